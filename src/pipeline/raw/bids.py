"""The BIDS tables that may accompany a recording: channels, electrodes, events, annotations.

Each is read into a small frozen table of tuples; other columns are ignored.  Events are on the
audio clock [s], annotations on the neural clock [s], because people mark them in a viewer of the
neural recording.  All problems of a table are reported at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem, raise_if_any

_MAX_BYTES = 100_000_000
_MOST_NAMES = 5  # most names in a message
#: Columns of an electrode table that may hold the region, the first that is there counts.
REGION_COLUMNS = ("region", "roi", "anatomy", "location")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
#: Cells with the same mistake that are named one by one.
_MOST_CELLS = 3


@dataclass(frozen=True)
class Channels:
    """Channels in the order of the array; ``group`` is the shaft, strip or grid.

    A missing number is NaN, a missing text ``n/a``.
    """

    name: tuple[str, ...]
    type: tuple[str, ...]
    units: tuple[str, ...]
    sampling_frequency: tuple[float, ...]
    low_cutoff: tuple[float, ...]
    high_cutoff: tuple[float, ...]
    status: tuple[str, ...]
    status_description: tuple[str, ...]
    group: tuple[str, ...]


@dataclass(frozen=True)
class Electrodes:
    """Contacts: position [as in the table, usually mm], NaN where missing; region, ``n/a`` where missing."""

    name: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    z: tuple[float, ...]
    region: tuple[str, ...]


@dataclass(frozen=True)
class Events:
    """Events on the audio clock [s], by onset.  ``label`` is the spoken word: column ``label``, else ``trial_type``."""

    onset_s: tuple[float, ...]
    duration_s: tuple[float, ...]
    label: tuple[str, ...]


@dataclass(frozen=True)
class Annotations:
    """Marked intervals on the neural clock [s], by onset; some are bad (:func:`is_bad`)."""

    onset_s: tuple[float, ...]
    duration_s: tuple[float, ...]
    description: tuple[str, ...]


def is_bad(description: str) -> bool:
    """Whether an annotation marks spoilt time: its description begins with BAD, as in MNE."""
    return description.upper().startswith("BAD")


def read_channels(path: Path, n_channels: int | None = None) -> Channels:
    """The channel table; ``n_channels``: how many the array has.  Raises InputError."""
    table = _Table(path, required=("name",))
    names = table.texts("name")
    status = tuple(text.lower() for text in table.texts("status"))
    channels = Channels(
        names,
        table.texts("type"),
        table.texts("units"),
        table.numbers("sampling_frequency", above=0),
        table.numbers("low_cutoff", at_least=0),
        table.numbers("high_cutoff", above=0),
        tuple("good" if text == "n/a" else text for text in status),
        table.texts("status_description"),
        table.texts("group"),
    )
    table.names_unique("name")
    for line, text in zip(table.lines, status, strict=True):
        if text not in ("good", "bad", "n/a"):
            table.problem(line, "status", text, "good, bad or n/a", "Correct the status.")
    if n_channels is not None and len(names) != n_channels:
        got, expected = f"{len(names)} channels", f"{n_channels}, one row per channel of the array"
        table.problem(None, "name", got, expected, "List every channel once, in the order of the array.")
    raise_if_any(table.problems)
    return channels


def read_electrodes(path: Path) -> Electrodes:
    """The electrode table (region from ``region``, ``roi``, ``anatomy`` or ``location``).  Raises InputError."""
    table = _Table(path, required=("name", "x", "y", "z"))
    region = next((c for c in REGION_COLUMNS if c in table.header), "region")
    electrodes = Electrodes(
        table.texts("name"), table.numbers("x"), table.numbers("y"), table.numbers("z"), table.texts(region)
    )
    table.names_unique("name")
    raise_if_any(table.problems)
    return electrodes


def read_events(path: Path) -> Events:
    """The events (label from ``label`` or ``word``, else ``trial_type``), by onset.  Raises InputError."""
    table = _Table(path, required=("onset", "duration"), may_be_empty=True)
    onset_s, duration_s = table.spans()
    label = next((c for c in ("label", "word") if c in table.header), "trial_type")
    raise_if_any(table.problems)
    return Events(*_by_onset(onset_s, duration_s, table.texts(label)))


def read_annotations(path: Path) -> Annotations:
    """The annotations (text from ``description``, else ``trial_type``), by onset.  Raises InputError."""
    table = _Table(path, required=("onset", "duration"), may_be_empty=True)
    onset_s, duration_s = table.spans()
    text = next((c for c in ("description", "trial_type") if c in table.header), None)
    if text is None:
        table.problem(None, "description", "no such column", "what is marked", "Add a column description.")
    raise_if_any(table.problems)
    return Annotations(*_by_onset(onset_s, duration_s, table.texts(text or "description")))


def separator_problem(path: Path, header: str) -> Problem | None:
    """A table whose first line has commas or semicolons, and no tab, between its columns."""
    between = next((name for mark, name in ((";", "semicolons"), (",", "commas")) if mark in header), None)
    if between is None or "\t" in header:
        return None
    return Problem(str(path), "header", f"{between} between columns", "tabs", "Save it as tab-separated text.")


def number_problems(path: Path, column: str, wrong: Sequence[tuple[str, str, str]]) -> list[Problem]:
    """A problem for each of the cells (place, text, what was expected), or one for many of a kind in ``column``."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for place, text, expected in wrong:
        kinds.setdefault(expected, []).append((place, text))
    found = []
    for expected, cells in kinds.items():
        comma = all(_DECIMAL_COMMA.fullmatch(text) for _, text in cells)
        fix = "Write a point in place of the decimal comma." if comma else "Correct the number, or write n/a."
        more = f" and {len(cells) - 1} more" if len(cells) > _MOST_CELLS else ""
        for place, text in cells[:1] if more else cells:
            found.append(Problem(str(path), ", ".join(filter(None, [place + more, column])), text[:80], expected, fix))
    return found


def is_number(text: str) -> bool:
    """Whether a cell is a plain finite number."""
    return bool(_NUMBER.fullmatch(text)) and math.isfinite(float(text))


def unmatched_names(names: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that ``others`` lack, in their order: channels without an electrode, or the opposite."""
    known = set(others)
    return tuple(name for name in names if name not in known)


def electrode_warnings(channels: Sequence[str], electrodes: Sequence[str]) -> list[str]:
    """Warnings about electrodes without a channel (contacts that were not recorded), and channels without electrode."""
    idle, unplaced = unmatched_names(electrodes, channels), unmatched_names(channels, electrodes)
    near = _near_names(idle, unplaced)
    available = [f"{name} ({near[name]}?)" if name in near else name for name in idle]
    return [
        *_counted(f"of {len(electrodes)} electrodes match no channel", available),
        *_counted(f"of {len(channels)} channels have no electrode, hence no position or region", unplaced),
    ]


def foreign_electrodes(path: Path, channels: Sequence[str], electrodes: Sequence[str], named: bool) -> list[Problem]:
    """A problem where no electrode has a channel's name; ``named``: the names come from a channel table."""
    if set(electrodes) & set(channels):
        return []
    pairs = [f"{name} → {channel}" for name, channel in _near_names(electrodes, channels).items()]
    fix = "Name the electrodes of this recording, or leave the cell empty."
    if pairs:
        fix = f"Rename the electrodes as the channels: {', '.join(pairs)} …"
    if not named:
        fix = "Also name the channel table in the column channels of the sheet."
    (got,) = _counted("electrodes, none with the name of a channel", electrodes)
    return [Problem(str(path), "name", got, f"names of channels, as {', '.join(channels[:3])}", fix)]


def _near_names(names: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """The nearest of ``others`` for the first few ``names`` that have one, whatever their case."""
    plain = {other.lower(): other for other in others}
    near = {name: get_close_matches(name.lower(), plain, 1, 0.6) for name in names[:_MOST_NAMES]}
    return {name: plain[found[0]] for name, found in near.items() if found}


def _counted(what: str, names: Sequence[str]) -> list[str]:
    """One line: how many, and the first few; none where there are none."""
    return [f"{len(names)} {_listed(f'{what}:', names)}"] if names else []


def channel_differences(names: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Problems where a session's trials (recording -> channel names in array order) differ from the first."""
    problems = []
    (first, expected), *others = names.items()
    for recording, found in others:
        if tuple(found) == tuple(expected):
            continue
        extra, lacking = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
        if extra or lacking:
            got = "; ".join(filter(None, [_listed("also", extra), _listed("lacks", lacking)]))
        else:
            got = "the same channels in another order"
        fix = "List the same channels in the same order in all trials of a session, or give it another session."
        problems.append(Problem(recording, "channels", got, f"the channels of {first}", fix))
    return problems


def _listed(word: str, names: Sequence[str]) -> str:
    return f"{word} {', '.join(names[:_MOST_NAMES])}{' …' if len(names) > _MOST_NAMES else ''}" if names else ""


def _by_onset(onset_s: tuple[float, ...], *columns: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    order = sorted(range(len(onset_s)), key=onset_s.__getitem__)
    return (tuple(column[i] for i in order) for column in (onset_s, *columns))


class _Table:
    """A TSV file as columns of text, and the problems found in it so far."""

    def __init__(self, path: Path, required: Sequence[str], may_be_empty: bool = False) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.header, self.lines, self._cells = self._read()
        for name in required:
            if name not in self.header:
                near = get_close_matches(name, self.header, 1, 0.6)
                fix = f"Rename column {near[0]} to {name}." if near else f"Add a column {name}."
                self.problem(None, name, "no such column", "a required column", fix)
        if not self.lines and not may_be_empty:
            self.problem(None, "", "no row", "at least one row", "Fill the table, or do not name it in the sheet.")
        raise_if_any(self.problems)

    def _read(self) -> tuple[list[str], list[int], list[list[str]]]:
        missing = file_problem(self.path, str(self.path), "")
        if missing:
            raise InputError(missing)
        text = self._decode()
        lines = [(n, line) for n, line in enumerate(re.split(r"\r\n|\n|\r", text), 1) if line.strip()]
        if not lines:
            raise InputError(Problem(str(self.path), "", "an empty file", "a table with a header", "Fill it."))
        if wrong := separator_problem(self.path, lines[0][1]):
            raise InputError(wrong)
        header = [name.strip() for name in lines[0][1].split("\t")]
        for name in {name for name in header if header.count(name) > 1}:
            self.problem(None, name, "several columns of that name", "one", "Remove the others.")
        rows = [(n, [cell.strip() for cell in line.split("\t")]) for n, line in lines[1:]]
        for n, row in rows:
            if len(row) != len(header):
                self.problem(n, "", f"{len(row)} cells", f"{len(header)} cells", "Separate the columns by tabs.")
        raise_if_any(self.problems)
        return header, [n for n, _ in rows], [row for _, row in rows]

    def _decode(self) -> str:
        if self.path.stat().st_size > _MAX_BYTES:
            raise InputError(Problem(str(self.path), "", "more than 100 MB", "a BIDS table", "Name the right file."))
        try:
            return self.path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            wrong = Problem(str(self.path), "encoding", "bytes that are not UTF-8", "UTF-8", "Save it as UTF-8.")
            raise InputError(wrong) from None

    def problem(self, line: int | None, column: str, got: str, expected: str, fix: str) -> None:
        place = ", ".join(filter(None, [f"row {line}" if line else "", column]))
        self.problems.append(Problem(str(self.path), place, got, expected, fix))

    def texts(self, column: str) -> tuple[str, ...]:
        """The cells of a column; ``n/a`` for an empty cell or a missing column."""
        if column not in self.header:
            return ("n/a",) * len(self.lines)
        index = self.header.index(column)
        return tuple(row[index] or "n/a" for row in self._cells)

    def numbers(
        self, column: str, above: float = -math.inf, at_least: float = -math.inf, missing: float = math.nan
    ) -> tuple[float, ...]:
        """The finite numbers of a column; ``missing`` for an empty cell."""
        values, wrong = [], []
        for line, text in zip(self.lines, self.texts(column), strict=True):
            value = missing if text == "n/a" else float(text) if is_number(text) else math.nan
            if text != "n/a" and not (value > above and value >= at_least):
                expected = "a plain number" if math.isnan(value) else "a number in range"
                wrong.append((f"row {line}", text, expected))
                value = math.nan
            values.append(value)
        self.problems += number_problems(self.path, column, wrong)
        return tuple(values)

    def spans(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Onsets and durations [s]; an onset must be there, a missing duration is 0."""
        for line, text in zip(self.lines, self.texts("onset"), strict=True):
            if text == "n/a":
                self.problem(line, "onset", "n/a", "a time in seconds", "State the onset, or remove the row.")
        return self.numbers("onset"), self.numbers("duration", at_least=0, missing=0.0)

    def names_unique(self, column: str) -> None:
        names = self.texts(column)
        first: dict[str, int] = {}
        for line, name in zip(self.lines, names, strict=True):
            if name == "n/a" or any(not c.isprintable() for c in name) or len(name) > 80:
                self.problem(line, column, name[:80], "a name of printable text", "Give every row a name.")
            elif first.setdefault(name, line) != line:
                self.problem(line, column, f"{name}, also in row {first[name]}", "unique names", "Rename one of them.")
