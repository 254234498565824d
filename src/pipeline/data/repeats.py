"""Recordings that a model's data hold twice: which are refused as copies, and which stretches of sound repeat.

In: fingerprints of the sound and of the brain activity of all trials (:mod:`pipeline.signal.fingerprint`).  A copy in
training and in test would be recognised instead of decoded, so that an independent brain is above chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.artifacts.repeats import Repeat
from pipeline.data.stimuli import whole_text
from pipeline.errors import InputError, Problem
from pipeline.signal.fingerprint import Fingerprint, Match, matches, share

COPY_SHARE = 0.9
"""Of a trial's sound, or of its brain activity: a copy."""
MIN_S = 1.5
"""Shortest stretch that counts as repeated [s]: longer than a word, so that equal words are none."""


@dataclass(frozen=True)
class Trial:
    """A trial's fingerprints; ``file`` names its mel in messages, ``text`` what the sheet says was said."""

    recording: str
    subject: str
    text: str
    file: str
    simulated: bool
    sound: Fingerprint
    brain: Fingerprint
    mel_frames: int


def repeats_of(trials: Sequence[Trial]) -> list[Repeat]:
    """Stretches of sound that occur twice, but for those of trials that are declared to be one sentence.

    The split keeps such trials together.

    Raises :class:`InputError` for copies: trials that share :data:`COPY_SHARE` of either one's sound and are not
    declared to be one stimulus, or of their brain activity.
    """
    sounds = [trial.sound for trial in trials]
    found = matches(sounds, _stimuli(trials), MIN_S)
    problems = list(_copies(trials, sounds, found, "sound"))
    for columns in {trial.brain.values.shape[1] for trial in trials}:
        alike = [trial for trial in trials if trial.brain.values.shape[1] == columns]
        brains = [trial.brain for trial in alike]
        problems += _copies(alike, brains, matches(brains, range(len(brains)), MIN_S), "brain activity")
    if problems:
        raise InputError(problems)
    return [_repeat(trials, match) for match in found]


def _stimuli(trials: Sequence[Trial]) -> list[int]:
    """A number for each trial, equal where a subject's trials have one text of several words."""
    numbers: dict[tuple[str, ...], int] = {}
    keys = [(t.subject, whole_text(t.text) or "", "" if whole_text(t.text) else t.recording) for t in trials]
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _copies(
    trials: Sequence[Trial], prints: Sequence[Fingerprint], found: Iterable[Match], what: str
) -> Iterator[Problem]:
    """A problem for each pair of trials that are one recording."""
    ordered = sorted((m for m in found if m.first != m.second), key=lambda m: (m.first, m.second))
    for (i, j), own in groupby(ordered, key=lambda m: (m.first, m.second)):
        shares = share(prints, list(own))
        first, second = trials[i], trials[j]
        declared = what == "sound" and first.subject == second.subject and first.text and first.text == second.text
        if max(shares) >= COPY_SHARE and not declared:
            yield _problem(first, second, max(shares), what)


def _problem(first: Trial, second: Trial, part: float, what: str) -> Problem:
    got = f"{100 * part:.0f} % of the {what} of {first.recording} or {second.recording} in the other one too"
    fix = "Remove one of the two recordings"
    if what == "sound" and first.subject == second.subject:
        fix += ", or give both the same text in the sheet if they are one stimulus that was presented twice"
    elif what == "sound":
        fix += ": subjects with the same stimulus cannot share a model (train.pool)"
    return Problem(second.file, f"{first.recording}, {second.recording}", got, f"{what} of its own", fix)


def _repeat(trials: Sequence[Trial], match: Match) -> Repeat:
    """A match in mel frames."""
    first, second = trials[match.first], trials[match.second]

    def frames(trial: Trial, *at: int) -> list[int]:
        step = -(-trial.mel_frames // max(1, len(trial.sound.values)))
        return [min(step * frame, trial.mel_frames) for frame in at]

    own, other = frames(first, match.start, match.stop), frames(second, match.other_start, match.other_stop)
    return Repeat(first.recording, own[0], own[1], second.recording, other[0], other[1], match.r)
