"""What a trial's row, arrays and tables say of the same thing has to agree: rates, durations, clocks, events.

In: headers and tables, never samples.  Rates are compared with those that tables, sidecars and sound files declare,
and with the sound's duration; more than :data:`MAX_APART` between them is a Problem that names both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import Problem
from pipeline.raw.arrays import ArrayReader
from pipeline.raw.sessions import overlaps
from pipeline.raw.sheet import RecordingRow

#: Two statements of one rate, or of one duration, may differ by this share.
MAX_APART = 0.005

#: An event may begin this far outside the sound: its onset was rounded [s].
EVENT_SLACK_S = 0.05

#: What is made of a duration by 1000 for 1024 Hz (500 for 512, 2000 for 2048), or 44.1 for 48 kHz, and the reverse.
CONFUSED = (1.024, 1 / 1.024, 480 / 441, 441 / 480)

_FEWEST_TRIALS = 5
_VARIED = 0.1


@dataclass(frozen=True)
class Durations:
    """How long a trial's two arrays are by their rates; the sound begins at ``offset_s`` on the neural clock."""

    recording: str
    eeg_rate_hz: float
    neural_s: float
    audio_rate_hz: float
    offset_s: float
    sound_s: float

    @classmethod
    def of(cls, row: RecordingRow, n_neural: int, n_sound: int) -> Durations:
        """From a row of the sheet and the lengths of its arrays [samples]."""
        assert row.audio_rate_hz is not None
        neural_s, sound_s = n_neural / row.eeg_rate_hz, n_sound / row.audio_rate_hz * (1 + row.audio_drift_ppm * 1e-6)
        return cls(row.recording, row.eeg_rate_hz, neural_s, row.audio_rate_hz, row.audio_offset_s, sound_s)

    @property
    def sound_end_s(self) -> float:
        """When the sound ends on the neural clock."""
        return self.offset_s + self.sound_s

    def clock_problems(self, file: str) -> list[Problem]:
        """A Problem where sound and brain have no common time."""
        if min(self.neural_s, self.sound_end_s) > max(0.0, self.offset_s):
            return []
        got = f"sound from {self.offset_s:g} to {self.sound_end_s:.3f} s"
        expected = f"sound within the {self.neural_s:.3f} s of the neural recording"
        fix = "Correct the offset: t_neural = t_audio + audio_offset_s."
        return [Problem(file, f"{self.recording}, audio_offset_s", got, expected, fix)]


def check_pair(
    row: RecordingRow, neural: ArrayReader, audio: ArrayReader | None, tolerance_s: float, sheet: str
) -> list[Problem]:
    """Problems between the headers of a trial's two arrays and its row of the sheet: rates, durations, clock.

    ``sheet`` is the sample sheet's name in problems.
    """
    if audio is None or row.audio_rate_hz is None:
        return []
    if audio.rate_hz is not None and abs(audio.rate_hz / row.audio_rate_hz - 1) > 1e-6:
        place, fix = f"{row.recording}, audio_rate_hz", f"Write {audio.rate_hz:g}, or name another file."
        got = f"{row.audio_rate_hz:g}"
        return [Problem(sheet, place, got, f"the {audio.rate_hz:g} Hz that the file declares", fix)]
    found = Durations.of(row, neural.n_samples, audio.n_samples)
    return found.clock_problems(sheet) or duration_problems([found], tolerance_s, sheet)


def session_problems(
    rows: Sequence[RecordingRow],
    n_neural: Mapping[str, int],
    n_sound: Mapping[str, int],
    tolerance_s: float,
    sheet: str,
) -> list[Problem]:
    """Problems between the trials of a session, by the lengths of their arrays [samples], by recording."""
    durations = [
        Durations.of(row, n_neural[row.recording], n_sound[row.recording])
        for row in rows
        if row.recording in n_sound and row.audio_rate_hz is not None
    ]
    apart = duration_problems(durations, tolerance_s, sheet) if len(durations) > 1 else []
    return [*overlaps(rows, n_neural, sheet), *apart]


def duration_problems(
    trials: Sequence[Durations], tolerance_s: float, file: str, key: str = "ingest.duration_tolerance_s"
) -> list[Problem]:
    """A Problem where brain and sound of a session last more than :data:`MAX_APART` and ``tolerance_s`` apart.

    They agree where they last equally long (one button started and stopped both), or end together (the sound was
    started later).  ``key`` is what raises the tolerance.
    """
    ends_s = [[trial.sound_s for trial in trials], [trial.sound_end_s for trial in trials]]
    neural = [trial.neural_s for trial in trials]
    ratio, total_s = min(((duration_ratio(neural, s), sum(s)) for s in ends_s), key=lambda found: abs(found[0] - 1))
    apart_s = abs(ratio - 1) * total_s
    doubled = any(abs(ratio / factor - 1) < MAX_APART for factor in (2, 4, 0.5, 0.25)) and apart_s > 0.25
    if not doubled and (apart_s <= tolerance_s or abs(ratio - 1) <= MAX_APART):
        return []
    first = trials[0]
    neural_s = sum(trial.neural_s for trial in trials)
    place = first.recording if len(trials) == 1 else f"{len(trials)} trials from {first.recording} on"
    got = f"{neural_s:.3f} s at {first.eeg_rate_hz:g} Hz, beside {total_s:.3f} s of sound"
    got += f" at {first.audio_rate_hz:g} Hz, {100 * abs(ratio - 1):.1f} % apart"
    fix = f"Correct a rate or the offset (eeg_rate_hz {first.eeg_rate_hz * ratio:.6g} would fit the sound), cut the"
    fix += f" longer file, or, where both rates are right, raise {key}."
    expected = f"durations at most {100 * MAX_APART:g} % or {tolerance_s:g} s apart"
    return [Problem(file, f"{place}, eeg_rate_hz", got, expected, fix)]


def duration_ratio(neural: Sequence[float], sound: Sequence[float]) -> float:
    """How much longer the brain's time is than the sound's, as a factor: what a wrong rate makes of it.

    Both are [s] by trial.  Brain that is recorded around each trial's sound is no other rate: where trials vary in
    length, the factor is the slope of one duration over the other (1 within three standard errors); where they do
    not, the ratio of the sums counts only as one of :data:`CONFUSED`.
    """
    sound_s, neural_s = np.array(sound), np.array(neural)
    ratio = float(neural_s.sum() / sound_s.sum())
    if len(sound) == 1:
        return ratio
    if len(sound) < _FEWEST_TRIALS or sound_s.std() < _VARIED * sound_s.mean():
        return ratio if any(abs(ratio / factor - 1) < 1e-3 for factor in CONFUSED) else 1.0
    (slope, _), covariance = np.polyfit(sound_s, neural_s, 1, cov=True)
    return float(slope) if abs(slope - 1) > 3 * np.sqrt(covariance[0, 0]) else 1.0


def rate_problems(file: str, field: str, rate_hz: float, declared: Mapping[str, float]) -> list[Problem]:
    """A Problem for the first of the rates that a source (its name -> Hz) declares, and that differs from ``rate_hz``.

    Missing rates are NaN.
    """
    differing = {source: hz for source, hz in declared.items() if abs(hz / rate_hz - 1) > MAX_APART}
    if not differing:
        return []
    source, hz = next(iter(differing.items()))
    more = f" ({len(differing)} such rows)" if len(differing) > 1 else ""
    fix = "Correct the one that is wrong; a rate is never guessed."
    return [Problem(file, field, f"{rate_hz:g} Hz", f"the {hz:g} Hz of {source}{more}", fix)]


def outside_problems(file: str, onsets_s: Iterable[float], length_s: float, what: str = "the sound") -> list[Problem]:
    """A Problem with the number of events that begin outside the ``length_s`` of the sound."""
    onsets = np.array(list(onsets_s), dtype=np.float64)
    outside = onsets[(onsets < -EVENT_SLACK_S) | (onsets > length_s + EVENT_SLACK_S)]
    if not len(outside):
        return []
    got = f"{len(outside)} of {len(onsets)} events outside, the first at {outside[0]:g}"
    fix = "Remove them, or correct their clock: onsets are s of the sound."
    if np.nanmax(onsets) > 20 * length_s and np.nanmax(onsets) / 1000 <= length_s + EVENT_SLACK_S:
        got += "; they look like milliseconds"
        fix = "Divide onset and duration by 1000: both are in s."
    return [Problem(file, "onset", got, f"onsets in s within the {length_s:.3f} s of {what}", fix)]
