"""One long recording cut into the trials of a session, by a table with a row for each (``--cut``).

=============  ======================================================================================
column         meaning
=============  ======================================================================================
``onset``      when the trial's sound began [s] after the first neural sample, as in BIDS' events.tsv
``stim_file``  its sound, in the table's folder or in the folder ``stimuli`` of a BIDS root; without
               this column sound is cut out of the recording's own
``duration``   length of the sound [s]; needed where there is no ``stim_file``
``recording``  which recording, where there are several: its id or its file
``text``       what was said
``label``      one word, which lasts the whole trial; only where the recording has no events in it
=============  ======================================================================================

``start_s`` of a trial counts from the start of its session, where that of the recording is known or the recording is
all of it.  Up to :data:`MARGIN_S` of brain signal around a sound stays with it, at most half of the gap to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording, Row, Signal
from pipeline.importing.sound import sound_of_file
from pipeline.importing.tables import interval, read_rows

MARGIN_S = 0.5


@dataclass(frozen=True)
class Cut:
    """Where a trial lies: its sound [s] on the neural clock, and the neural signal that stays with it."""

    row: Row
    name: str
    onset_s: float
    end_s: float
    first_s: float
    last_s: float
    sound: Path | None


class _LastOpened:
    """The recording that was opened last, so that it is opened once for all its trials."""

    def __init__(self) -> None:
        self._found: Found | None = None
        self._closing = ExitStack()
        self._recording: Recording | None = None

    def get(self, found: Found, options: Options) -> Recording:
        if self._recording is None or self._found is not found:
            self._closing.close()
            self._found, self._recording = found, found.opened(self._closing, options)
        return self._recording


def cut(found: Sequence[Found], options: Options) -> list[Found]:
    """The trials of recordings that a table cuts; the recordings as they are without one.  Raises InputError."""
    if options.cut is None:
        return list(found)
    if options.pattern:
        fix = "Leave one out: the files of a pattern are trials already."
        raise InputError(Problem("--cut", "", "--pattern beside it", "long recordings", fix))
    table, last = options.cut, _LastOpened()
    whole = replace(options, cut=None, start_s=None, text=None)
    facts = [(one, last.get(one, whole)) for one in found]  # of which the arrays are closed again
    paired = _rows_of_each(table, facts)
    counts = Counter(_session(recording) for _, recording, _ in paired)
    trials = []
    for one, recording, rows in paired:
        is_alone = counts[_session(recording)] == 1
        trials += [Found(one.file, _opener(one, own, last, is_alone)) for own in _cuts(table, rows, recording, options)]
    return trials


def _session(recording: Recording) -> tuple[str, str]:
    return recording.subject, recording.session or recording.recording


def _rows_of_each(table: Path, found: Sequence[tuple[Found, Recording]]) -> list[tuple[Found, Recording, list[Row]]]:
    rows = read_rows(table)
    if not rows or "onset" not in rows[0]:
        fix = "Write a row for each trial, with its onset [s] after the first neural sample."
        raise InputError(Problem(str(table), "onset", "no such column", "a table of trials", fix))
    if "recording" not in rows[0]:
        if len(found) > 1:
            fix = "Add a column recording: the id or the file of each row's recording."
            raise InputError(Problem(str(table), "recording", f"{len(found)} recordings", "one", fix))
        return [(*found[0], rows)]
    paired, left = [], list(rows)
    for one, recording in found:
        own = [row for row in left if row["recording"] in recording.aliases]
        left = [row for row in left if row["recording"] not in recording.aliases]
        paired.append((one, recording, own))
    if left or not all(own for *_, own in paired):
        lonely = [one.file.name for one, _, own in paired if not own]
        got = f"no recording {left[0]['recording']}" if left else f"no row for {', '.join(lonely[:3])}"
        fix = "Write the ids or files of the recordings as import lists them."
        raise InputError(Problem(str(table), "recording", got, "rows for each recording", fix))
    return paired


def _cuts(table: Path, rows: Sequence[Row], recording: Recording, options: Options) -> list[Cut]:
    """Where each trial of a recording lies, in their order in time.  Raises InputError with all problems."""
    problems: list[Problem] = []
    spans = []
    for number, row in enumerate(rows, 1):
        try:
            spans.append((*_span(row, table, recording, options), row))
        except InputError as error:
            problems += [replace(p, file=str(table), field=f"row {number}, {p.field}") for p in error.problems]
    raise_if_any(problems)
    spans.sort(key=lambda span: span[0])
    for (_, end_s, _, _), (onset_s, _, _, _) in pairwise(spans):
        if onset_s < end_s:
            got = f"sound from {onset_s:g} s, before the one before it ends at {end_s:g} s"
            problems.append(Problem(str(table), "onset", got, "trials one after another", "Correct the table."))
    raise_if_any(problems)
    length_s = recording.neural.duration_s
    before = [0.0, *(end_s for _, end_s, _, _ in spans)]
    after = [*(onset_s for onset_s, _, _, _ in spans[1:]), length_s]
    # The recording's own ends need not be shared with a neighbour.
    shares = [1.0, *[0.5] * (len(spans) - 1), 1.0]
    return [
        Cut(
            row,
            f"{recording.recording}_{number:0{max(3, len(str(len(spans))))}d}",
            onset_s,
            end_s,
            max(0.0, onset_s - min(MARGIN_S, shares[i] * (onset_s - before[i]))),
            min(length_s, end_s + min(MARGIN_S, shares[i + 1] * (after[i] - end_s))),
            sound,
        )
        for i, (number, (onset_s, end_s, sound, row)) in enumerate(enumerate(spans, 1))
    ]


def _span(row: Row, table: Path, recording: Recording, options: Options) -> tuple[float, float, Path | None]:
    """Begin and end of a trial's sound on the neural clock [s], and the sound's file."""
    onset_s = _seconds(row, "onset")
    name, sound = row.get("stim_file", "n/a"), None
    if name != "n/a":
        sound = _stimulus(table, recording.file, name)
        with ExitStack() as closing:
            lasts_s = sound_of_file(sound, options, closing).duration_s
    else:
        lasts_s = _seconds(row, "duration")
    end_s = onset_s + lasts_s * (1 + recording.drift_ppm * 1e-6)
    if not (0 <= onset_s < end_s <= recording.neural.duration_s):
        got = f"{onset_s:g} to {end_s:g} s of a recording of {recording.neural.duration_s:g} s"
        raise InputError(Problem("", "onset", got, "a stretch of it [s]", "Correct onset and duration, in s."))
    return onset_s, end_s, sound


def _seconds(row: Row, name: str) -> float:
    try:
        value = float(row.get(name, "n/a"))
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        fix = "Write s as a plain number" + (
            ", or name the sound in a column stim_file." if name == "duration" else "."
        )
        raise InputError(Problem("", name, row.get(name, "no such column"), "a number [s]", fix))
    return value


def _stimulus(table: Path, recording: Path, name: str) -> Path:
    """A sound by its name in a table: beside the table, beside the recording, or among a BIDS root's stimuli."""
    folders = [table.parent, recording.parent, *(parent / "stimuli" for parent in recording.parents[:5])]
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if Path(name).is_absolute() or ".." in Path(name).parts or found is None:
        fix = "Lay it beside the table or into the folder stimuli of the BIDS root, and name it relative to that."
        raise InputError(Problem("", "stim_file", name, "a sound file", fix))
    return found


def _opener(one: Found, own: Cut, last: _LastOpened, is_alone: bool) -> Callable[[ExitStack, Options], Recording]:
    """Opens a trial; ``is_alone``: no other recording shares the session, which then begins with this one."""

    def opened(closing: ExitStack, options: Options) -> Recording:
        whole = last.get(one, replace(options, cut=None, start_s=None, text=None))
        begins_s = 0.0 if whole.start_s is None and is_alone else whole.start_s
        return _trial(replace(whole, start_s=begins_s), own, _sound(whole, own, options, closing))

    return opened


def _sound(whole: Recording, own: Cut, options: Options, closing: ExitStack) -> Signal | None:
    """The trial's sound, which begins at its onset."""
    if own.sound is not None:
        return sound_of_file(own.sound, options, closing)
    if whole.sound is None:
        return None
    scale = 1 + whole.drift_ppm * 1e-6
    start_s, stop_s = ((t - whole.offset_s) / scale for t in (own.onset_s, own.end_s))
    if start_s < 0 or stop_s > whole.sound.duration_s + 1 / whole.sound.rate_hz:
        got = f"a trial from {own.onset_s:g} to {own.end_s:g} s where the sound has none"
        raise InputError(Problem(str(whole.file), own.name, got, "sound", "Correct the table or the offset."))
    return _part(whole.sound, start_s, stop_s)


def _part(signal: Signal, start_s: float, stop_s: float) -> Signal:
    """The samples from ``start_s`` up to ``stop_s`` after the first one."""
    first, last = (round(t * signal.rate_hz) for t in (start_s, stop_s))
    last = min(last, signal.n_samples)
    read = signal.read
    return replace(signal, read=lambda a, b: read(first + a, first + b), n_samples=last - first, start_s=0.0)


def _trial(whole: Recording, own: Cut, sound: Signal | None) -> Recording:
    neural = _part(whole.neural, own.first_s, own.last_s)
    first_s = round(own.first_s * whole.neural.rate_hz) / whole.neural.rate_hz
    scale = 1 + whole.drift_ppm * 1e-6
    lasts_s = (own.end_s - own.onset_s) / scale
    shift_s = (own.onset_s - whole.offset_s) / scale  # of the sound's clock
    events = [row for row in _shifted(whole.events, shift_s) if 0 <= float(row["onset"]) < lasts_s]
    label = own.row.get("label", "n/a")
    if not events and label != "n/a":
        events = [interval(0.0, lasts_s, trial_type="word", label=label)]
    spoilt = [
        row
        for row in _shifted(whole.annotations, first_s)
        if float(row["onset"]) < neural.duration_s and float(row["onset"]) + _lasting_s(row) > 0
    ]
    text = own.row.get("text", "n/a")
    return replace(
        whole,
        recording=own.name,
        session=whole.session or whole.recording,
        neural=neural,
        sound=sound,
        offset_s=round(own.onset_s - first_s, 9),
        offset_from="declared" if own.sound else whole.offset_from,
        start_s=None if whole.start_s is None else whole.start_s + first_s,
        text=None if text == "n/a" else text,
        events=events,
        annotations=spoilt,
        outside=0,
        matched=own.sound.name if own.sound else whole.matched,
        aliases=whole.aliases | {own.name},
    )


def _shifted(rows: Sequence[Row], by_s: float) -> list[Row]:
    return [row | {"onset": f"{float(row['onset']) - by_s:.6f}"} for row in rows]


def _lasting_s(row: Row) -> float:
    try:
        return float(row.get("duration", "n/a"))
    except ValueError:
        return 0.0
