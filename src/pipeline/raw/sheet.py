"""The sample sheet ``recordings.tsv``: one row per trial.

Rows of equal subject and session are the trials of one session; a row without a session is a session of
its own.  Tab-separated UTF-8 with a header; ``n/a`` or an empty cell is a missing value, as
in BIDS.  Paths are relative to the sheet.  All problems of a sheet are reported at
once.  Imports no large package, since the workflow reads the sheet at every start.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pipeline.config.canonical import canonical
from pipeline.config.checks import file_problem, id_problem, periodic_problem
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.raw.modality import MODALITIES

REQUIRED = ("subject", "recording", "eeg", "eeg_rate_hz", "audio", "audio_rate_hz")
FILE_COLUMNS = ("eeg", "audio", "channels", "electrodes", "events", "annotations")
UNITS = ("uV", "mV", "V", "nV", "a.u.")

_MAX_BYTES = 10_000_000
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
#: What :class:`PurePosixPath` leaves as it is.
_PLAIN_PATH = re.compile(r"(?:[^./][^/]*/)*[^./][^/]*")
_CHOICES = {
    "eeg_units": UNITS,
    "eeg_layout": ("time_channel", "channel_time"),
    "audio_offset_from": ("file", "declared", "assumed"),
    "events_are": ("voice", "cue"),
    "audio_modified": ("none", "pitch_shifted", "unknown"),
    "simulated": ("true", "false"),
    "modality": MODALITIES,
}
#: Lowest and highest value that each number may take.
_BOUNDS = {
    "eeg_rate_hz": (0.5, 1e6),
    "audio_rate_hz": (4000.0, 1e6),
    "eeg_gain_uv": (1e-9, 1e9),
    "audio_offset_s": (-1e6, 1e6),
    "audio_drift_ppm": (-10_000.0, 10_000.0),
    "start_s": (-1e9, 1e9),
}
#: What must be equal in all rows of a session: its trials are judged, filtered and scored together.
SHARED = ("modality", "eeg_rate_hz", "audio_rate_hz", "audio_modified", "events_are", "simulated")
_MICRO = {"µV": "uV", "μV": "uV", "microvolt": "uV", "au": "a.u."}


@dataclass(frozen=True)
class RecordingRow:
    """One trial, as declared.  Paths are as written in the sheet; :meth:`path` resolves them.

    ``recording`` is its id, ``text`` the stimulus, ``speaker`` whose voice is heard,
    ``start_s`` when it began in its session [s];
    ``audio`` and ``audio_rate_hz`` are None for a recording that is only predicted;
    ``eeg_gain_uv`` is µV per step; the clock is
    t_neural = t_audio * (1 + audio_drift_ppm * 1e-6) + audio_offset_s, and ``audio_offset_from`` says whether the
    offset was read from the files, declared, or assumed.  ``events_are`` onsets of the voice, or of cues to speak.
    """

    subject: str
    recording: str
    eeg: str
    eeg_rate_hz: float
    audio: str | None = None
    audio_rate_hz: float | None = None
    session: str | None = None
    task: str | None = None
    eeg_units: str | None = None
    eeg_gain_uv: float | None = None
    eeg_layout: Literal["time_channel", "channel_time"] | None = None
    channels: str | None = None
    electrodes: str | None = None
    events: str | None = None
    annotations: str | None = None
    audio_channel: str | None = None
    audio_offset_s: float = 0.0
    audio_drift_ppm: float = 0.0
    audio_modified: Literal["none", "pitch_shifted", "unknown"] = "unknown"
    simulated: bool = False
    text: str | None = None
    speaker: str | None = None
    start_s: float | None = None
    modality: Literal["ieeg", "eeg", "meg", "emg"] = "ieeg"
    events_are: Literal["voice", "cue"] | None = None
    audio_offset_from: Literal["file", "declared", "assumed"] | None = None
    folder: Path = Path()

    @property
    def session_name(self) -> str:
        """The session that the trial belongs to, as its files are called."""
        return f"{self.subject}_{self.session}" if self.session else self.recording

    def path(self, column: str) -> Path | None:
        """Where the file of a column lies, or None if the row names none."""
        written = getattr(self, column)
        return None if written is None else self.folder / written

    def files(self) -> dict[str, Path]:
        """Column -> path of each file that the row names."""
        return {column: Path(name) for column, name in self.names.items()}

    @cached_property
    def names(self) -> dict[str, str]:
        """The same as text: thousands of rows are asked again and again at every start."""
        folder = str(self.folder)
        before = "" if folder == "." else folder.rstrip("/") + "/"
        written = ((column, getattr(self, column)) for column in FILE_COLUMNS)
        return {column: path if path[0] == "/" else before + path for column, path in written if path}

    @cached_property
    def statuses(self) -> dict[str, os.stat_result]:
        """Column -> status of each file that was there when this was first asked."""
        found = {}
        for column, name in self.names.items():
            with suppress(OSError, ValueError):
                found[column] = os.stat(name)  # noqa: PTH116  (a Path takes as long as the call)
        return found

    @cached_property
    def json_text(self) -> str:
        """The row as JSON in which equal rows are equal texts, without the folders of the sheet and the files.

        It is stored in artifacts, which may be shared: a file elsewhere is named after recording and column.
        """
        values = {column: getattr(self, column) for column in COLUMNS}
        return canonical(values | {c: self.recorded_path(c, values[c]) for c in FILE_COLUMNS if values[c]})

    def recorded_path(self, column: str, path: str) -> str:
        """``path`` for artifacts: unchanged where it stays inside the sheet's folder, else without any folder."""
        inside = not path.startswith("/") and ".." not in path.split("/")
        return path if inside else f"elsewhere/{self.recording}_{column}{Path(path).suffix}"

    @classmethod
    def from_json(cls, text: str, folder: Path) -> RecordingRow:
        """The row back from :attr:`json_text`; its paths are relative to ``folder``."""
        return cls(**json.loads(text), folder=folder)


COLUMNS = tuple(field.name for field in fields(RecordingRow) if field.name != "folder")


def read_sheet(path: Path, is_made: Callable[[RecordingRow], bool] = lambda row: False) -> list[RecordingRow]:
    """The rows of a sample sheet, after a check that every file that they name exists.

    A file may be missing where ``is_made`` says that its recording holds it already.  Raises InputError with all
    problems of the sheet.
    """
    lines = _read_lines(path)
    header, cells = _split(path, lines)
    problems = [*_header_problems(path, header), *_shape_problems(path, header, cells)]
    raise_if_any(problems)
    records: list[tuple[int, Mapping[str, str]]] = [
        (number, dict(zip(header, row, strict=True))) for number, row in cells
    ]
    rows = _parse(records, path)
    raise_if_any([*_missing_files(path, rows, is_made), *_shared_files(path, rows)])
    return [row for _, row in rows]


def rows_of(records: Sequence[Mapping[str, str]], sheet: Path) -> list[RecordingRow]:
    """Rows from cells in memory (of a simulated sheet); the files need not exist yet.

    ``sheet`` is the path of the sheet.  Raises InputError with all problems.
    """
    return [row for _, row in _parse(list(enumerate(records, start=2)), sheet)]


# --- text to cells -----------------------------------------------------------------------------------


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines that are not blank, without the byte order mark."""
    problem = file_problem(path, str(path), "")
    if problem:
        raise InputError(problem)
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(Problem(str(path), "", "more than 10 MB", "a table of recordings", "Name the sample sheet."))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte {error.start} that is not UTF-8"
        raise InputError(Problem(str(path), "encoding", got, "UTF-8", "Save the sheet as UTF-8.")) from None
    lines = re.split(r"\r\n|\n|\r", text)
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _split(path: Path, lines: list[tuple[int, str]]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    if len(lines) < 2:
        got = "no row" if lines else "no line"
        raise InputError(
            Problem(str(path), "", got, "a header and at least one recording", "Add one row per recording.")
        )
    (_, first), *rest = lines
    if "\t" not in first:
        between = next((name for mark, name in ((",", "commas"), (";", "semicolons")) if mark in first), "spaces")
        raise InputError(
            Problem(str(path), "header", f"{between} between columns", "tabs", "Save the sheet as tab-separated text.")
        )
    cells = [(number, [cell.strip() for cell in line.split("\t")]) for number, line in rest]
    return [name.strip() for name in first.split("\t")], cells


def _header_problems(path: Path, header: list[str]) -> Iterator[Problem]:
    for name in REQUIRED:
        if name not in header:
            near = get_close_matches(name, set(header) - set(COLUMNS), 1, 0.6)
            fix = f"Rename column {near[0]} to {name}." if near else f"Add a column {name}."
            yield Problem(str(path), name, "no such column", "a required column", fix)
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            yield Problem(str(path), name, f"{header.count(name)} columns of that name", "one", "Remove the others.")
        if name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, 1, 0.6)
            fix = f"Did you mean {near[0]}?" if near else f"Remove it; known are {', '.join(COLUMNS)}."
            yield Problem(str(path), name or "header", "an unknown column", "a known column", fix)


def _shape_problems(path: Path, header: list[str], cells: list[tuple[int, list[str]]]) -> Iterator[Problem]:
    for number, row in cells:
        if len(row) != len(header):
            fix = "Give every column a cell; n/a where there is nothing."
            yield Problem(str(path), f"row {number}", f"{len(row)} cells", f"{len(header)} cells", fix)
        for name, cell in zip(header, row, strict=False):
            if not cell.isprintable():
                fix = "Remove the control character."
                yield Problem(str(path), f"row {number}, {name}", repr(cell), "printable text", fix)


# --- cells to rows ----------------------------------------------------------------------------------------


def _parse(records: list[tuple[int, Mapping[str, str]]], sheet: Path) -> list[tuple[int, RecordingRow]]:
    problems: list[Problem] = []
    values: list[tuple[int, dict[str, Any]]] = []
    for number, record in records:
        cells = {name: cell for name, cell in record.items() if cell not in ("", "n/a")}
        row, found = _parse_row(cells, str(sheet), number)
        values.append((number, row))
        problems += found
    problems += _duplicates(str(sheet), values)
    raise_if_any(problems)
    folder = sheet.parent
    rows = [(number, RecordingRow(**row, folder=folder)) for number, row in values]
    raise_if_any(_session_problems(str(sheet), rows))
    return rows


def _parse_row(cells: Mapping[str, str], sheet: str, number: int) -> tuple[dict[str, Any], list[Problem]]:
    row: dict[str, Any] = dict(cells)
    problems = list(_missing_cells(cells, sheet, number))
    for name, cell in cells.items():
        place = f"row {number}, {name}"
        problem: Problem | None = None
        if name in _BOUNDS:
            row[name], problem = _number(name, cell, sheet, place)
        elif name in _CHOICES:
            cell = cell.lower() if name == "simulated" else cell  # pandas writes True
            row[name] = _MICRO.get(cell, cell)
            problem = _choice_problem(row[name], _CHOICES[name], sheet, place)
        elif name in ("subject", "recording", "session", "task"):
            problem = id_problem(cell, sheet, place)
        elif name in FILE_COLUMNS:
            row[name] = cell if _PLAIN_PATH.fullmatch(cell) else str(PurePosixPath(cell))  # ./x is x
        elif name == "audio_channel" and not re.fullmatch(r"left|right|mean|[0-9]{1,3}", cell):
            expected = "left, right, mean or an index from 0"
            problem = Problem(sheet, place, cell, expected, "Name the channel that holds the voice.")
        if problem:
            problems.append(problem)
    if "simulated" in row:
        row["simulated"] = row["simulated"] == "true"
    return row, problems


def _missing_cells(cells: Mapping[str, str], sheet: str, number: int) -> Iterator[Problem]:
    for name in ("subject", "recording", "eeg", "eeg_rate_hz"):
        if name not in cells:
            yield Problem(sheet, f"row {number}, {name}", "nothing", "a value", "Fill the cell.")
    if "audio" in cells and "audio_rate_hz" not in cells:
        fix = "State the rate of the sound; it is never guessed."
        yield Problem(sheet, f"row {number}, audio_rate_hz", "nothing", "the rate of audio in Hz", fix)
    if cells.get("eeg") is not None and cells.get("eeg") == cells.get("audio"):
        yield Problem(sheet, f"row {number}, audio", "the same file as eeg", "the sound", "Name the sound file.")
    if "eeg_gain_uv" in cells and cells.get("eeg_units", "uV") not in ("uV", "µV", "μV"):
        fix = "Leave out one of the two."
        got = f"{cells['eeg_units']} beside eeg_gain_uv"
        yield Problem(sheet, f"row {number}, eeg_units", got, "uV or nothing", fix)


def _number(name: str, cell: str, sheet: str, place: str) -> tuple[float, Problem | None]:
    """The value of a number cell (NaN when there is a problem)."""
    value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    low, high = _BOUNDS[name]
    if low <= value <= high:
        return value, None
    expected = f"a number from {low:g} to {high:g}"
    fix = "Write a plain number with a decimal point and no unit."
    if name.endswith("_rate_hz") and 0 < value < low:
        fix = f"It looks like a period: write {1 / value:.10g}." if value < 0.05 else "State the rate in Hz."
        if name == "audio_rate_hz" and 8 <= value <= 200:
            fix = f"It looks like kHz: write {1000 * value:g}."
    elif math.isfinite(value):
        fix = f"Correct {name}; mind its unit."
    elif re.fullmatch(r"[+-]?[0-9]+,[0-9]+", cell):
        fix = f"Use a decimal point: {cell.replace(',', '.')}."
    return math.nan, Problem(sheet, place, cell, expected, fix)


def _choice_problem(cell: str, choices: Sequence[str], sheet: str, place: str) -> Problem | None:
    if cell in choices:
        return None
    if cell == "nirs":
        fix = "Leave the recording out: blood flow follows speech seconds later, too slowly for frames of sound."
        return Problem(sheet, place, cell, f"one of {', '.join(choices)}", fix)
    near = get_close_matches(cell.lower(), [choice.lower() for choice in choices], 1, 0.6)
    fix = f"Did you mean {next(c for c in choices if c.lower() == near[0])}?" if near else "Write one of these."
    return Problem(sheet, place, cell, f"one of {', '.join(choices)}", fix)


# --- between the rows ----------------------------------------------------------------------------------------


def _duplicates(sheet: str, values: list[tuple[int, dict[str, Any]]]) -> Iterator[Problem]:
    seen: dict[str, tuple[int, str]] = {}
    for number, row in values:
        name = row.get("recording")
        if name is None:
            continue
        first = seen.setdefault(name.lower(), (number, name))
        if first[0] == number:
            continue
        place = f"row {number}, recording"
        if first[1] == name:
            fix = f"Write {row.get('subject', 'subject')}_{name}, or another unique id."
            yield Problem(sheet, place, f"{name}, also in row {first[0]}", "an id that no other row has", fix)
        else:
            got = f"{name}, but {first[1]} in row {first[0]}"
            yield Problem(sheet, place, got, "ids that differ by more than case", "Rename one of them.")
    subjects: dict[str, tuple[int, str]] = {}
    for number, row in values:
        name = row.get("subject")
        if name is None:
            continue
        first = subjects.setdefault(name.lower(), (number, name))
        if first[1] != name:
            got = f"{name}, but {first[1]} in row {first[0]}"
            yield Problem(sheet, f"row {number}, subject", got, "one spelling of a subject", f"Write {first[1]}.")


def _session_problems(sheet: str, rows: Sequence[tuple[int, RecordingRow]]) -> Iterator[Problem]:
    """Two sessions of one name, and rows of a session or of a subject that disagree on what they share."""
    first: dict[str, tuple[int, RecordingRow]] = {}
    subjects: dict[str, tuple[int, RecordingRow]] = {}
    for number, row in rows:
        other, before = subjects.setdefault(row.subject, (number, row))
        if row.modality != before.modality and row.session_name != before.session_name:
            got = f"{row.modality}, but {before.modality} in row {other}"
            fix = "Correct the cell, or give what was recorded another way a subject of its own."
            yield Problem(sheet, f"row {number}, modality", got, "the same in all sessions of a subject", fix)
        named = {"subject": row.subject, "session" if row.session else "recording": row.session_name}
        for column, name in named.items() if row.session_name.lower() not in first else ():
            if problem := periodic_problem(name, sheet, f"row {number}, {column}"):
                yield problem
        other, before = first.setdefault(row.session_name.lower(), (number, row))
        if (row.session_name, row.subject, row.session) != (before.session_name, before.subject, before.session):
            got = f"files named {row.session_name}, as those of row {other}"
            yield Problem(
                sheet, f"row {number}, session", got, "a name that no other session has", "Rename one of them."
            )
            continue
        for column in SHARED:
            mine, its = getattr(row, column), getattr(before, column)
            if mine != its and ("audio" not in column or (row.audio and before.audio)):
                got = f"{mine if mine is not None else 'n/a'}, but {its if its is not None else 'n/a'} in row {other}"
                fix = "Correct the cell, or give the row a session of its own."
                yield Problem(sheet, f"row {number}, {column}", got, "the same in all rows of a session", fix)


def _missing_files(
    sheet: Path, rows: list[tuple[int, RecordingRow]], is_made: Callable[[RecordingRow], bool]
) -> Iterator[Problem]:
    for number, row in rows:
        for column, name in row.names.items():
            problem = file_problem(name, str(sheet), f"row {number}, {column}", row.statuses.get(column))
            if problem and _is_gone(name) and is_made(row):
                continue
            if not problem and ("{" in name or "}" in name):
                fix = "Rename it, or link to it by another name."
                got = f"{name}, which Snakemake takes for a pattern"
                problem = Problem(str(sheet), f"row {number}, {column}", got, "a path without { and }", fix)
            if problem:
                yield problem


def _is_gone(name: str) -> bool:
    try:
        Path(name).stat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _shared_files(sheet: Path, rows: list[tuple[int, RecordingRow]]) -> Iterator[Problem]:
    """Problems of one neural file under two ids, or one sound under two ids of a subject: a leak into the test."""
    seen: dict[tuple[object, ...], int] = {}
    for number, row in rows:
        for column in ("eeg", "audio"):
            status = row.statuses.get(column)
            if status is None:
                continue
            owner = row.subject if column == "audio" else None
            first = seen.setdefault((column, owner, status.st_dev, status.st_ino), number)
            if first != number:
                got = f"the file of row {first} again ({getattr(row, column)})"
                fix = "Name the right file, or remove the row."
                yield Problem(str(sheet), f"row {number}, {column}", got, "a file of its own", fix)
