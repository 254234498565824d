"""Recordings as raw arrays, BIDS tables and ``recordings.tsv``: a whole folder, or nothing.

Neural arrays are ``.npy`` (time, channel) float32 in µV (or a.u.), sound ``.npy`` int16 or float32.  Everything
is written into a folder beside the wanted one, read back as the pipeline would, and then renamed; what is there
already is never overwritten.  ``append`` adds recordings to a folder that an import made.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.files import locked, writing
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing.naming import repeated
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording, Row, Signal
from pipeline.importing.tables import ANNOTATIONS, CHANNELS, ELECTRODES, EVENTS, markers, read_rows, write_table
from pipeline.raw.agreement import Durations, duration_problems
from pipeline.raw.bids import channel_differences, read_annotations, read_channels, read_electrodes, read_events
from pipeline.raw.sheet import COLUMNS, read_sheet, rows_of

SHEET = "recordings.tsv"
BLOCK_BYTES = 1 << 24
_READERS: dict[str, Callable[[Path], Any]] = {
    "channels": read_channels,
    "electrodes": read_electrodes,
    "events": read_events,
    "annotations": read_annotations,
}


def refuse_existing(out: Path, append: bool) -> None:
    """Raise InputError where writing to ``out`` could touch what is there."""
    filled = out.is_file() or (out.is_dir() and any(out.iterdir()))
    if append and not (out / SHEET).is_file():
        fix = "Leave out --append for the first import."
        raise InputError(Problem(str(out), "--append", f"no {SHEET}", "a folder of an earlier import", fix))
    if append:
        read_sheet(out / SHEET)
    if filled and not append:
        fix = "Name a new folder, remove this one, or add to it with --append."
        raise InputError(Problem(str(out), "--out", "a folder with files", "a new or empty folder", fix))


def check_together(recordings: Sequence[Recording], out: Path, options: Options) -> None:
    """Raise InputError where ids come twice, sessions disagree within, or the disk is too small."""
    known = [row["recording"] for row in _sheet_rows(out)]
    fix = "Give --recording, or --subject-from."
    if known:
        fix += f" To import it again, remove its row from {out / SHEET}, and its files."
    problems = [
        Problem(str(out), "recording", f"{name} twice", "ids of their own", fix)
        for name in repeated((r.recording for r in recordings), known)
    ]
    for session in sessions(recordings).values():
        problems += _session_problems(session, options)
    problems += _marker_problems(recordings, options)
    rows = [sheet_row(recording, options) for recording in recordings]
    try:
        rows_of([*_sheet_rows(out), *rows] if not problems else [], out / SHEET)
    except InputError as error:
        problems += error.problems
    needed, free = sum(map(size_bytes, recordings)), shutil.disk_usage(_existing(out)).free
    if needed > free:
        got, fix = f"{free / 1e9:.1f} GB free", "Name a folder on a larger disk, or import fewer recordings."
        problems.append(Problem(str(out), "--out", got, f"{needed / 1e9:.1f} GB", fix))
    raise_if_any(problems)


def size_bytes(recording: Recording) -> int:
    """About how much the arrays take on disk."""
    neural, sound = recording.neural, recording.sound
    return 4 * neural.n_samples * len(recording.keep) + (4 * sound.n_samples if sound else 0)


def sessions(recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    """The recordings of each session, by its name."""
    found: dict[str, list[Recording]] = {}
    for recording in recordings:
        found.setdefault(recording.session_name, []).append(recording)
    return found


def _session_problems(session: Sequence[Recording], options: Options) -> list[Problem]:
    """Channels that are not those of the session's first trial, and durations that contradict the rates."""
    durations = [
        Durations(
            r.recording,
            r.neural.rate_hz,
            r.neural.duration_s,
            r.sound.rate_hz,
            r.offset_s,
            r.sound.duration_s * (1 + r.drift_ppm * 1e-6),
        )
        for r in session
        if r.sound
    ]
    names = {r.recording: [row["name"] for row in r.channels] for r in session}
    problems, folder = channel_differences(names), str(session[0].file.parent)
    problems += [problem for trial in durations for problem in trial.clock_problems(folder)]
    key = "--duration-tolerance-s, and ingest.duration_tolerance_s of the config"
    groups = [] if problems else [*([durations] if len(durations) > 1 else []), *([one] for one in durations)]
    for group in groups:
        problems += duration_problems(group, options.duration_tolerance_s, folder, key)
    return problems


def _marker_problems(recordings: Sequence[Recording], options: Options) -> list[Problem]:
    """Markers of recordings that are not there."""
    if options.markers is None:
        return []
    known = frozenset[str]().union(*(r.aliases for r in recordings))
    foreign = {name: len(rows) for name, rows in markers(options.markers).items() if name not in known}
    if not foreign:
        return []
    got = f"{sum(foreign.values())} markers of {len(foreign)} other files ({', '.join(list(foreign)[:3])} …)"
    fix = "Write names as those of the files or recordings, or remove these rows."
    return [Problem(str(options.markers), "file", got, "names of imported files or recordings", fix)]


def _existing(path: Path) -> Path:
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def write_recordings(
    found: Sequence[Found], out: Path, options: Options, *, append: bool, on_written: Callable[[str], None]
) -> Path:
    """Write every recording; returns the sample sheet.  Raises InputError, and leaves nothing behind then."""
    with _alone(out), _staging(out) as folder:
        rows, shared = [], dict[str, str]()
        for one in found:
            with ExitStack() as closing:
                rows.append(_write_one(one.opened(closing, options), folder, options, shared))
            on_written(rows[-1]["recording"])
        _write_sheet(folder / SHEET, rows)
        _read_back(folder)
        if append:
            _move_into(folder, out, rows)
        else:
            _fresh(out)
            folder.rename(out)
    return out / SHEET


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other import into ``out`` within the block: two would lose each other's rows.  Raises InputError."""
    lock = out.absolute().with_name(f".{out.name}.import.lock")
    busy = Problem(str(out), "--out", "another import at work", "one at a time", "Wait for it, then start again")
    with locked(lock, InputError(busy)):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that goes, with what is in it, unless it was renamed."""
    parent = out.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    leftover = re.compile(rf"\.{re.escape(out.name)}\.import-[0-9a-f]{{8}}")
    for old in parent.glob(".*.import-*"):
        if leftover.fullmatch(old.name):
            shutil.rmtree(old)
    folder = parent / f".{out.name}.import-{secrets.token_hex(4)}"
    with writing(folder):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fresh(out: Path) -> None:
    if out.is_dir():
        out.rmdir()


def _move_into(folder: Path, out: Path, rows: Sequence[Row]) -> None:
    """Files first, the sheet last: until it names them they are not there."""
    both = [*_sheet_rows(out), *rows]
    (folder / SHEET).unlink()
    moved: list[Path] = []
    try:
        for file in sorted(folder.iterdir()):
            _place(file, out / file.name)
            moved.append(out / file.name)
        _write_sheet(out / SHEET, both)
        moved.clear()
    except FileExistsError as error:
        fix = "Rename the recording with --recording, or remove that file."
        raise InputError(Problem(str(error.filename2), "", "a file of that name", "a free name", fix)) from None
    finally:
        for file in moved:
            file.unlink()


def _place(file: Path, place: Path) -> None:
    """Give a file its name, and never that of another; by a second name, where the file system has such."""
    try:
        os.link(file, place)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, "exists", str(file), None, str(place)) from None
        file.rename(place)


def _sheet_rows(folder: Path) -> list[Row]:
    """The rows of an earlier import; of a folder that was edited, whatever they hold."""
    return read_rows(folder / SHEET) if (folder / SHEET).is_file() else []


def _write_sheet(path: Path, rows: Sequence[Row]) -> None:
    """The sheet's columns in its order, without those that no row fills."""
    wanted = ("audio", "audio_rate_hz")
    columns = [c for c in COLUMNS if c in wanted or any(row.get(c, "n/a") != "n/a" for row in rows)]
    write_table(path, columns, [{c: row.get(c, "n/a") for c in columns} for row in rows])


def _read_back(folder: Path) -> None:
    """Refuse, before anything is published, what the pipeline would refuse."""
    problems: list[Problem] = []
    for row in read_sheet(folder / SHEET):
        for column, read in _READERS.items():
            path = row.path(column)
            try:
                if path:
                    read(path)
            except InputError as error:
                problems += error.problems
    raise_if_any(problems)


# --- one recording ------------------------------------------------------------------------------------


def _write_one(recording: Recording, folder: Path, options: Options, shared: dict[str, str]) -> Row:
    """The arrays and tables of one recording; returns its row of the sheet.  ``shared``: tables written so far."""
    name = recording.recording
    gain, keep = recording.gain, list(recording.keep)
    _write_array(folder / f"{name}_eeg.npy", recording.neural, lambda block: block[:, keep] * gain, (len(keep),))
    row = sheet_row(recording, options)
    if recording.sound:
        _write_array(folder / f"{name}_audio.npy", recording.sound, lambda block: block[:, 0], ())
    for kind, columns in (
        ("channels", CHANNELS),
        ("electrodes", ELECTRODES),
        ("events", EVENTS),
        ("annotations", ANNOTATIONS),
    ):
        if rows := getattr(recording, kind):
            row[kind] = _write_once(folder, f"{name}_{kind}.tsv", kind, columns, rows, shared)
    return row


def sheet_row(recording: Recording, options: Options) -> Row:
    """The row of the sample sheet, but for its tables."""
    name, start_s = recording.recording, recording.start_s
    row = {
        "subject": recording.subject,
        "recording": name,
        "session": recording.session or "n/a",
        "task": recording.task or "n/a",
        "modality": recording.modality,
        "text": recording.text or "n/a",
        "start_s": "n/a" if start_s is None else repr(start_s),
        "eeg": f"{name}_eeg.npy",
        "eeg_rate_hz": repr(recording.neural.rate_hz),
        "eeg_units": recording.units,
        "audio_modified": options.modified or "unknown",
        "events_are": options.events_are or "n/a",
        "simulated": str(options.simulated).lower(),
    }
    if recording.sound:
        row |= {"audio": f"{name}_audio.npy", "audio_rate_hz": repr(recording.sound.rate_hz)}
        row |= {"audio_offset_s": repr(recording.offset_s), "audio_drift_ppm": repr(recording.drift_ppm)}
        row |= {"audio_offset_from": recording.offset_from}
    return row


def _write_once(
    folder: Path, name: str, kind: str, columns: Sequence[str], rows: Sequence[Row], shared: dict[str, str]
) -> str:
    """Write a table and return its name; trials with equal channels or electrodes share one file."""
    content = f"{kind} {rows!r}"
    if kind in ("channels", "electrodes") and content in shared:
        return shared[content]
    write_table(folder / name, columns, rows)
    return shared.setdefault(content, name)


def _write_array(path: Path, signal: Signal, convert: Callable[[Any], Any], columns: tuple[int, ...]) -> None:
    """A ``.npy`` file (samples, *columns) written a block at a time: int16 stays, all else is float32."""
    dtype = np.dtype(np.int16 if not columns and signal.read(0, 1).dtype == np.int16 else np.float32)
    step = max(1, BLOCK_BYTES // (8 * signal.n_channels))
    header = {"descr": dtype.str, "fortran_order": False, "shape": (signal.n_samples, *columns)}
    with path.open("xb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, signal.n_samples, step):
            block = convert(signal.read(start, min(start + step, signal.n_samples)))
            with np.errstate(over="ignore"):
                file.write(np.ascontiguousarray(block, dtype).data)
        file.flush()
        os.fsync(file.fileno())
