"""What may be claimed: one level, with all that limits it.

Levels are tested in order, each at α = .01, and the level is the last one passed before one is not:

``no_link``: r without slow drift is not above chance;
``timing``: it is (:mod:`pipeline.evaluation.chance`);
``loudness``: utterances are distinguished beyond what timing explains (:mod:`pipeline.evaluation.utterance_tests`);
``beyond_loudness``: beyond what the course of loudness tells;
``content``: predicted words fit the training templates of their labels, before and after timing and loudness came off,
and fit their own words better than the predicted envelope does: the largest of the three p counts.

Where the first test cannot be made the level is ``None``, which is not "no link".  Folds of a subject are one test.
From seven subjects on an exact one-sided sign-flip test over the subjects' effects decides each level; below, the level
is the one that every subject reaches alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.chance import ALPHA, Null
from pipeline.evaluation.fold import Prepared
from pipeline.evaluation.group import LEAST_SUBJECTS, group_test
from pipeline.evaluation.types import MODEL, Document
from pipeline.evaluation.utterance_tests import Exchange, beyond_loudness_test, content_tests, loudness_test
from pipeline.evaluation.utterances import aligned_utterances, with_steady_background, with_templates
from pipeline.signal.correlation import MIN_STD

NO_LINK, TIMING, LOUDNESS, BEYOND_LOUDNESS, CONTENT = (
    "no_link", "timing", "loudness", "beyond_loudness", "content",
)  # fmt: skip
LEVELS = (NO_LINK, TIMING, LOUDNESS, BEYOND_LOUDNESS, CONTENT)
"""The weakest first."""
MEANINGS = {
    None: "not testable",
    NO_LINK: "no link between prediction and sound was shown",
    TIMING: "prediction and sound are linked in time: when something is heard, not what",
    LOUDNESS: "utterances are distinguished by the course of their sound, as far as loudness explains",
    BEYOND_LOUDNESS: "the spectrum is predicted beyond what timing and loudness tell, not which word it is",
    CONTENT: "words that occur in training are distinguished by their spectrum",
}
SIGN_FLIP = "exact one-sided sign-flip test over subjects"
LEAST_UTTERANCES = 20
"""Fewer make no test beyond timing."""
LEAST_LABELS = 5
"""Of test words that occur in training: of two words, loudness alone tells which it is, and so all of its spectrum."""
MOST_LISTED = 6
"""Sessions or subjects that a limit names; its numbers have all of them."""


@dataclass(frozen=True)
class LevelTest:
    """The test of one level: its parts, all of which must be passed; or why there is none, and what it would need."""

    parts: Mapping[str, Exchange]
    reason: str | None = None
    minutes_needed: float | None = None

    @property
    def p_value(self) -> float | None:
        """The largest p of the parts; ``None`` where there was no test."""
        return max((part.p_value for part in self.parts.values()), default=None)

    @property
    def passed(self) -> bool:
        """Whether every part has p ≤ .01."""
        return self.p_value is not None and self.p_value <= ALPHA

    def document(self) -> Document:
        """JSON values."""
        parts = {name: {"p_value": part.p_value, "effect": part.effect} for name, part in self.parts.items()}
        return {"p_value": self.p_value, "parts": parts, "reason": self.reason, "minutes_needed": self.minutes_needed}


Tests = Mapping[str, LevelTest]
"""By level, :data:`NO_LINK` aside."""


def subject_tests(prepared: Sequence[Prepared], null: Null | None, count: int, seed: Sequence[int]) -> Tests:
    """The tests of one subject's folds together; ``null`` is the model's over all frames, ``None`` without a model."""
    found = {TIMING: timing_test(null)}
    if null is None:
        return found | {level: LevelTest({}, found[TIMING].reason) for level in LEVELS[2:]}
    own = aligned_utterances(prepared)
    minutes = sum(len(p.target) for p in prepared) / prepared[0].fold.frame_rate_hz / 60
    if isinstance(own, str):
        return found | {level: LevelTest({}, own) for level in LEVELS[2:]}
    own = with_steady_background(own)
    words = with_templates(prepared, own)
    rng = [np.random.default_rng([*seed, k]) for k in range(3)]
    few = too_few(len(own), minutes)
    found[LOUDNESS] = few or LevelTest({"loudness": loudness_test(own, count, rng[0])})
    found[BEYOND_LOUDNESS] = few or LevelTest({"beyond_loudness": beyond_loudness_test(own, count, rng[1])})
    if isinstance(words, str):
        found[CONTENT] = LevelTest({}, words)
    elif (few := too_few(len(words), minutes)) or (count_labels := len(set(words.labels))) < LEAST_LABELS:
        found[CONTENT] = few or LevelTest({}, f"{count_labels} labels, {LEAST_LABELS} needed: loudness tells few apart")
    else:
        found[CONTENT] = LevelTest(content_tests(words, count, rng[2]))
    return found


def timing_test(null: Null | None) -> LevelTest:
    """The first level: r without slow drift against its null."""
    if null is None:
        return LevelTest({}, "the model has no r")
    if null.p_value is None:
        return LevelTest({}, null.reason, null.minutes_needed)
    chance = null.values[1:]
    effect = (null.values[0] - chance.mean()) / max(chance.std(), MIN_STD)
    return LevelTest({"link": Exchange(null.p_value, float(effect))})


def too_few(utterances: int, minutes: float) -> LevelTest | None:
    """Why so few utterances make no test, and the minutes of test sound that would."""
    if utterances >= LEAST_UTTERANCES:
        return None
    return LevelTest({}, f"{utterances} utterances, {LEAST_UTTERANCES} needed", minutes * LEAST_UTTERANCES / utterances)


def level_of(tests: Tests) -> str | None:
    """The last level passed before one is not; ``None`` where the first cannot be tested."""
    if tests[TIMING].p_value is None:
        return None
    reached = NO_LINK
    for level in LEVELS[1:]:
        if not tests[level].passed:
            break
        reached = level
    return reached


def weakest(levels: Sequence[str | None]) -> str | None:
    """The level that every one reaches; ``None`` where one has none."""
    known = [level for level in levels if level is not None]
    return min(known, key=LEVELS.index) if len(known) == len(levels) else None


def group_tests(by_subject: Mapping[str, Tests]) -> Tests:
    """The tests over subjects: of each part, an exact one-sided sign-flip test of the subjects' effects."""
    found = {}
    for level in LEVELS[1:]:
        own = [tests[level] for tests in by_subject.values() if tests[level].parts]
        if len(own) < LEAST_SUBJECTS:
            reason = next((t[level].reason for t in by_subject.values() if t[level].reason), None)
            because = f" ({reason})" if reason else ""
            found[level] = LevelTest({}, f"tested in {len(own)} subjects, {LEAST_SUBJECTS} needed{because}")
            continue
        parts = {}
        for name in own[0].parts:
            effects = [test.parts[name].effect for test in own]
            p = group_test(effects).sign_flip_p
            parts[name] = Exchange(1.0 if p is None else p, float(np.mean(effects)))
        found[level] = LevelTest(parts)
    return found


# -- claims ---------------------------------------------------------------------------------------


def claims(by_subject: Mapping[str, Tests], suspect: Mapping[str, str], limits: Sequence[Document]) -> Document:
    """The level and its reason, what could not be tested, every subject's level, and the limits.

    ``suspect`` names the subjects whose recordings the contamination check suspects, and why: their link may be sound
    in the recording, so they count as no link.  ``limits`` (:func:`limit`) stand before those that follow from the
    levels.
    """
    tested = {subject: level_of(tests) for subject, tests in by_subject.items()}
    alone = {s: NO_LINK if s in suspect and level is not None else level for s, level in tested.items()}
    trusted = {s: tests for s, tests in by_subject.items() if s not in suspect}
    tests = group_tests(trusted) if len(trusted) >= LEAST_SUBJECTS else None
    level = weakest(list(alone.values())) if tests is None else level_of(tests)
    weakest_subject = min(by_subject, key=lambda s: _rank(alone[s]))
    if tests is not None:
        reason = "over subjects: " + level_reason(level, tests)
    else:
        reason = suspect.get(weakest_subject) or level_reason(level, by_subject[weakest_subject])
    return {
        "level": level,
        "level_reason": reason,
        "meaning": MEANINGS[level],
        "limits": [*limits, *group_limits(alone, level, tests is not None)],
        "not_testable": not_testable(by_subject if tests is None else {"": tests}),
        "group": f"not testable ({len(trusted)}; {LEAST_SUBJECTS} needed)" if tests is None else SIGN_FLIP,
        "tests": None if tests is None else {name: test.document() for name, test in tests.items()},
        "by_subject": {
            subject: {"level": alone[subject], "tests": {name: test.document() for name, test in own.items()}}
            for subject, own in by_subject.items()
        },
    }


def _rank(level: str | None) -> int:
    return -1 if level is None else LEVELS.index(level)


def level_reason(level: str | None, tests: Tests) -> str:
    """Which tests were passed, and why the next was not."""
    if level is None:
        return f"not testable: {tests[TIMING].reason}"
    at = LEVELS.index(level) + 1
    said = {name: name.replace("_", " ") for name in LEVELS}
    clauses = [f"{said[name]} passed (p = {tests[name].p_value:.2g})" for name in LEVELS[1:at]]
    for name in LEVELS[at : at + 1]:
        p, reason = tests[name].p_value, tests[name].reason
        clauses.append(f"{said[name]} not testable: {reason}" if p is None else f"{said[name]} not (p = {p:.2g})")
    return "; ".join(clauses) + f"; each tested at {ALPHA:g}"


def not_testable(by_subject: Mapping[str, Tests]) -> Document:
    """Levels that could not be tested in some subject: the reason, and the minutes of test sound needed."""
    found: Document = {}
    for level in LEVELS[1:]:
        missing = [test for tests in by_subject.values() if not (test := tests[level]).parts]
        if missing:
            minutes = [t.minutes_needed for t in missing if t.minutes_needed is not None]
            found[level] = {"reason": missing[0].reason, "minutes_needed": max(minutes, default=None)}
            found[level]["subjects"] = len(missing)
    return found


def limit(name: str, reason: str, numbers: Mapping[str, Any] | None = None) -> Document:
    """One limit of a claim, as eval.json lists it."""
    return {"limit": name, "reason": reason, "numbers": dict(numbers or {})}


def listed(names: Sequence[str], between: str = ", ") -> str:
    """The names, and beyond :data:`MOST_LISTED` of them how many more there are."""
    more = len(names) - MOST_LISTED
    return between.join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def group_limits(alone: Mapping[str, str | None], level: str | None, grouped: bool) -> list[Document]:
    """Who reaches more than the headline, and that few subjects stand for no group."""
    found = []
    more = {subject: own for subject, own in alone.items() if _rank(own) > max(_rank(level), 0)}
    if more:
        names = listed([f"{subject} {own}" for subject, own in more.items()])
        found.append(limit("subjects_differ", f"{len(more)} of {len(alone)} subjects reach more alone: {names}", more))
    numbers = {"subjects": len(alone), "needed": LEAST_SUBJECTS}
    if not grouped:
        reason = f"a test over subjects needs {LEAST_SUBJECTS} of them: the level holds for {', '.join(alone)} alone"
        found.append(limit("few_subjects", reason, numbers))
    elif level == NO_LINK:
        found.append(limit("group_not_above_chance", "the test over subjects is not passed", numbers))
    return found


def with_model(prepared: Sequence[Prepared]) -> list[Prepared]:
    """The folds whose model has a chance test."""
    return [p for p in prepared if MODEL in p.decoders]
