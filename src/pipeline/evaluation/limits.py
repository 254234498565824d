"""The claims of a run: the tests of all subjects, and what limits them beside the level.

A limit has a name, a reason and numbers; none of them changes the level but a suspected contamination, which leaves a
subject without a link.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.evaluation.audit import AuditResult
from pipeline.evaluation.contamination import Contamination
from pipeline.evaluation.fold import FoldScores
from pipeline.evaluation.intervals import LEAST_PIECES
from pipeline.evaluation.levels import claims, limit, listed, subject_tests, with_model
from pipeline.evaluation.nulls import Nulls
from pipeline.evaluation.types import MODEL, Document


def all_claims(
    scored: Sequence[FoldScores], nulls: Nulls, count: int, seed: int, run: Mapping[str, Any],
    audits: Mapping[tuple[str, int], AuditResult], contamination: Sequence[Contamination], repeats: Mapping[str, Any],
    sessions: Mapping[str, Sequence[str]],
) -> Document:  # fmt: skip
    """The level of the run, with all that limits it (:mod:`pipeline.evaluation.levels`)."""
    tests = {}
    for number, subject in enumerate(sorted({s.fold.subject for s in scored})):
        own = with_model([s.prepared for s in scored if s.fold.subject == subject])
        null = nulls.get(subject, {}).get(MODEL, {}).get("pearson_r")
        tests[subject] = subject_tests(own, null, count, [seed, number, 4])
    suspected = suspects(sessions, contamination)
    limits = [*suspected_limits(suspected), *run_limits(scored, run, audits, contamination, repeats)]
    return claims(tests, {subject: leaked(own) for subject, own in suspected.items()}, limits)


def suspects(sessions: Mapping[str, Collection[str]], found: Sequence[Contamination]) -> dict[str, list[Contamination]]:
    """By subject: those of its sessions that the contamination check suspects; ``sessions`` as the sheet has them."""
    bad = {s: [c for c in found if c.result == "suspect" and c.recording in own] for s, own in sessions.items()}
    return {subject: own for subject, own in bad.items() if own}


def leaked(found: Sequence[Contamination]) -> str:
    """Why a link in these sessions may be sound, and what to leave out."""
    return listed([str(c.limit()) for c in found], "; ")


def suspected_limits(suspected: Mapping[str, Sequence[Contamination]]) -> list[Document]:
    """One limit for all suspected sessions, nothing without any."""
    found = [c for own in suspected.values() for c in own]
    if not found:
        return []
    numbers = {"subjects": list(suspected), "sessions": [c.recording for c in found]}
    return [limit("contamination", f"no link is claimed for {listed(list(suspected))}: {leaked(found)}", numbers)]


def unseen_limits(contamination: Sequence[Contamination]) -> list[Document]:
    """One limit for all sessions that could not be tested, and one for those where a leak might not have been found."""
    found = []
    for result in ("not testable", "no evidence"):
        alike: dict[str, list[Contamination]] = {}
        for c in contamination:
            if c.result == result and (said := replace(c, recording="").limit()):
                alike.setdefault(said, []).append(c)
        reasons = [str(replace(own[0], recording=listed([c.recording for c in own])).limit()) for own in alike.values()]
        if reasons:
            names = [c.recording for own in alike.values() for c in own]
            found.append(limit("contamination_" + result.replace(" ", "_"), listed(reasons, "; "), {"sessions": names}))
    return found


def run_limits(
    scored: Sequence[FoldScores], run: Mapping[str, Any], audits: Mapping[tuple[str, int], AuditResult],
    contamination: Sequence[Contamination], repeats: Mapping[str, Any],
) -> list[Document]:  # fmt: skip
    """What a reader must know beside the level: each with its reason and numbers."""
    found = unseen_limits(contamination)
    if run.get("simulated"):
        found.append(limit("simulated", "simulated data: no finding about any brain"))
    if "emg" in run.get("modalities", ()):
        found.append(limit("muscle", "muscle activity was recorded, no brain activity"))
    modified = {c.recording: c.audio_modified for c in contamination if c.audio_modified == "pitch_shifted"}
    if modified:
        found.append(limit("modified_audio", "the sound was changed after it was recorded", modified))
    repeated = sum(a.repeated_stimuli for a in audits.values())
    if repeated:
        reason = "whole stimuli of the test occur in training too: what was learnt may be the stimulus"
        found.append(limit("repeats", reason, {"repeated_stimuli": repeated}))
    if repeats.get("limit"):
        numbers = {key: repeats[key] for key in ("share_repeated", "pearson_r_repeated", "pearson_r_not_repeated")}
        found.append(limit("repeated_sound", repeats["limit"], numbers))
    folds = [sum(s.fold.subject == subject for s in scored) for subject in {s.fold.subject for s in scored}]
    if min(folds) < 2:
        reason = "one fold was scored: a first look at part of the data (fold: all scores it all)"
        found.append(limit("one_fold", reason, {"folds": min(folds)}))
    pieces = min((sum(len(s.prepared.starts) for s in scored if s.fold.subject == subject)
                  for subject in {s.fold.subject for s in scored}), default=0)  # fmt: skip
    if pieces < LEAST_PIECES:
        reason = f"{pieces} pieces of test sound, {LEAST_PIECES} needed for intervals"
        found.append(limit("few_pieces", reason, {"pieces": pieces, "needed": LEAST_PIECES}))
    if not all(b.speaker for s in scored for b in s.fold.blocks):
        reason = "the sheet has no column speaker: of several voices, the speaker may be all that goes beyond loudness"
        found.append(limit("no_speaker_column", reason))
    if not any(b.events for s in scored for b in s.fold.blocks):
        reason = "no events: loudness may be knowledge of when words begin and end, of which energy tells a part"
        found.append(limit("no_events", reason))
    return found
