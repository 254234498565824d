"""BIDS tables beside a recording: which belong to it, their rows, and how rows are written.

Rows are dictionaries of text; ``n/a`` stands for nothing.  A table belongs to a file where all its
entities (``sub-01``, ``task-x``) are also the file's, as BIDS has it; ``space-`` and such count for none.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.artifacts.files import write_text
from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem
from pipeline.importing.options import Options
from pipeline.importing.recording import Row

CHANNELS = (
    "name", "type", "units", "sampling_frequency", "low_cutoff", "high_cutoff", "status", "status_description",
)  # fmt: skip
ELECTRODES = ("name", "x", "y", "z")
EVENTS = ("onset", "duration", "trial_type", "label")
ANNOTATIONS = ("onset", "duration", "description")
TABLES = ("channels", "electrodes", "events", "annotations")
MAX_BYTES = 100_000_000

_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9]+)")
_FREE = ("space", "desc", "recording")


def entities(file: Path) -> dict[str, str]:
    """``sub-01_task-x_ieeg.nwb`` as ``{"sub": "01", "task": "x"}``."""
    parts = (_ENTITY.fullmatch(part) for part in file.stem.split("_"))
    return {match[1]: match[2] for match in parts if match}


def tables_of(file: Path, options: Options) -> dict[str, list[Row]]:
    """Rows of the tables that the command line names, else of those beside ``file``."""
    found = {}
    for kind in TABLES:
        named: Path | None = getattr(options, kind)
        path = named or _beside(file, kind)
        if path:
            found[kind] = read_rows(path)
    return found


def _beside(file: Path, kind: str) -> Path | None:
    """The table of ``kind`` with most entities of those that belong to ``file``; for one without any, of its stem."""
    own = entities(file)
    if not own:
        plain = file.with_name(f"{file.stem}_{kind}.tsv")
        return plain if plain.is_file() else None
    fitting = []
    for path in sorted(file.parent.glob(f"*_{kind}.tsv")):
        declared = {k: v for k, v in entities(path).items() if k not in _FREE}
        if declared and declared.items() <= own.items():
            fitting.append((len(declared), path))
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def read_rows(path: Path) -> list[Row]:
    """The rows of a TSV file.  Raises InputError."""
    problem = file_problem(path, str(path), "")
    if problem is None and path.stat().st_size > MAX_BYTES:
        problem = Problem(str(path), "", "more than 100 MB", "a BIDS table", "Name the right file.")
    if problem:
        raise InputError(problem)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        wrong = Problem(str(path), "encoding", "bytes that are not UTF-8", "UTF-8", "Save it as UTF-8.")
        raise InputError(wrong) from None
    reader = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [{k.strip(): (v or "n/a").strip() for k, v in row.items() if k} for row in reader]


def on_audio_clock(rows: Iterable[Row], offset_s: float, drift_ppm: float) -> list[Row]:
    """Events whose onsets are on the neural clock, on the audio clock."""
    return [row | {"onset": _shifted(row.get("onset", "n/a"), offset_s, drift_ppm)} for row in rows]


def _shifted(onset: str, offset_s: float, drift_ppm: float) -> str:
    try:
        return f"{(float(onset) - offset_s) / (1 + drift_ppm * 1e-6):.6f}"
    except ValueError:
        return onset


def events_of(tables: Mapping[str, list[Row]], options: Options, offset_s: float) -> list[Row]:
    """The rows of the event table on the audio clock.

    A BIDS table beside a recording counts from the recording's first sample; one that the command line
    names may count from either, which matters where the two clocks differ.  Raises InputError.
    """
    rows, drift_ppm = tables.get("events", []), options.drift_ppm or 0.0
    if options.events and options.events_clock is None and (offset_s or drift_ppm):
        fix = "Give --events-clock neural (BIDS) or audio."
        got = f"onsets, and clocks {offset_s:g} s apart"
        raise InputError(Problem(str(options.events), "onset", got, "the clock that they count on", fix))
    return rows if options.events_clock == "audio" else on_audio_clock(rows, offset_s, drift_ppm)


def interval(onset_s: float, duration_s: float, **texts: str) -> Row:
    """A row with onset and duration [s]."""
    return {"onset": f"{onset_s:.6f}", "duration": f"{duration_s:.6f}", **texts}


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """``rows`` with ``columns`` first and whatever else they hold behind, in one line each."""
    more = dict.fromkeys(name for row in rows for name in row if name not in columns)
    header = [*columns, *more]
    lines = ["\t".join(header), *("\t".join(_cell(row.get(c, "n/a")) for c in header) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def _cell(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "n/a"


def texts(values: Iterable[object]) -> Iterator[str]:
    """Strings of an HDF5 or MATLAB array."""
    for value in values:
        yield value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
