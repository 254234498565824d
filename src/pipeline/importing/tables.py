"""BIDS tables beside a recording: which belong to it, their rows, and how rows are written.

Rows are dictionaries of text; ``n/a`` stands for nothing.  A table belongs to a file where all its
entities (``sub-01``, ``task-x``) are also the file's, as BIDS has it; ``space-`` and such count for none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from pipeline.artifacts.files import read_json, write_text
from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing.naming import entities, key
from pipeline.importing.options import Options
from pipeline.importing.recording import Row
from pipeline.raw.bids import is_number, number_problems, separator_problem

CHANNELS = (
    "name", "type", "units", "sampling_frequency", "low_cutoff", "high_cutoff", "status", "status_description",
)  # fmt: skip
ELECTRODES = ("name", "x", "y", "z")
EVENTS = ("onset", "duration", "trial_type", "label")
ANNOTATIONS = ("onset", "duration", "description")
TABLES = ("channels", "electrodes", "events", "annotations")
MAX_BYTES = 100_000_000

_FREE = ("space", "desc", "recording")


def tables_of(file: Path, options: Options) -> dict[str, list[Row]]:
    """Rows of the tables that the command line names, else of those beside ``file``."""
    found = {}
    for kind in TABLES:
        named: Path | None = getattr(options, kind)
        path = named or _beside(file, kind)
        if path:
            found[kind] = _timed(path, read_rows(path)) if kind in ("events", "annotations") else read_rows(path)
    return found


def _beside(file: Path, kind: str) -> Path | None:
    """The table of ``kind`` with most entities of those that belong to ``file``; for one without any, of its stem."""
    if not entities(file):
        plain = (file.with_name(f"{stem}_{kind}.tsv") for stem in (file.stem, key(file)))
        return next((path for path in plain if path.is_file()), None)
    return _nearest(file, f"*_{kind}.tsv")


def _nearest(file: Path, pattern: str) -> Path | None:
    """Of the files of ``pattern`` beside ``file`` whose entities are all also its own, the one with most."""
    own, fitting = entities(file), []
    for path in sorted(file.parent.glob(pattern)):
        declared = {k: v for k, v in entities(path).items() if k not in _FREE}
        if declared and declared.items() <= own.items():
            fitting.append((len(declared), path))
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def sidecar_rates(file: Path) -> dict[str, float]:
    """``SamplingFrequency`` [Hz] of the JSON sidecar of ``file``, by the sidecar's name; nothing without one."""
    path: Path | None = file.with_suffix(".json")
    if not file.with_suffix(".json").is_file():
        path = _nearest(file, f"*_{file.stem.rsplit('_', 1)[-1]}.json") if entities(file) else None
    return rates_in(path) if path else {}


def rates_in(path: Path) -> dict[str, float]:
    """``SamplingFrequency`` [Hz] of a JSON sidecar, by its name; nothing where it states none.  Raises InputError."""
    try:
        return {path.name: float(read_json(path)["SamplingFrequency"])}
    except KeyError:
        return {}
    except (OSError, ValueError, TypeError, OverflowError) as error:
        fix = "Correct the file, or move it away."
        raise InputError(Problem(str(path), "SamplingFrequency", str(error)[:80], "a rate in Hz", fix)) from None


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
    texts = [line for line in re.split(r"\r\n|\n|\r", text) if line]
    if texts and (wrong_separator := separator_problem(path, texts[0])):
        raise InputError(wrong_separator)
    lines = [line.split("\t") for line in texts]
    names = [name.strip() for name in lines[0]] if lines else []
    return [{k: (v or "n/a").strip() for k, v in zip_longest(names, row[: len(names)]) if k} for row in lines[1:]]


def markers(path: Path) -> dict[str, list[Row]]:
    """The rows of a table of markers over many recordings, by the file or recording that they name.

    Raises InputError.
    """
    return _markers(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=4)
def _markers(path: Path, changed_ns: int) -> dict[str, list[Row]]:
    rows, found = _timed(path, read_rows(path)), dict[str, list[Row]]()
    column = next((c for c in ("file", "recording") if rows and c in rows[0]), None)
    if column is None:
        fix = "Say in a column file or recording which sound, or which recording, each marker belongs to."
        raise InputError(Problem(str(path), "file", "no such column", "a column file or recording", fix))
    for row in rows:
        own = {name: text for name, text in row.items() if name != column}
        found.setdefault(Path(row[column]).name, []).append(own)
    return found


def _timed(path: Path, rows: list[Row]) -> list[Row]:
    """The same rows.  Raises InputError where an onset or a duration is no number."""
    cells = {column: [row.get(column, "n/a") for row in rows] for column in ("onset", "duration")}
    for column, column_texts in cells.items():
        numbered = enumerate(column_texts, 2)
        wrong = [(f"row {n}", text, "a plain number") for n, text in numbered if text != "n/a" and not is_number(text)]
        raise_if_any(number_problems(path, column, wrong))
    return rows


def marker_label(options: Options) -> Callable[[str], str | None]:
    """The label of a marker's text by ``--words-match``, or None where it is no event.  Raises InputError."""
    try:
        fits = re.compile(options.words_match or "(.*)", re.DOTALL)
    except (re.error, RecursionError, OverflowError) as error:
        got = f"{options.words_match} ({error})"
        raise InputError(Problem("--words-match", "", got, "a regular expression", "Correct it.")) from None

    def label(text: str) -> str | None:
        match = fits.fullmatch(text.strip())
        if not match or not text.strip():
            return None
        own = match.group(1) if match.groups() else text
        return " ".join((own or "").split()) or "n/a"

    return label


def lasting(rows: Sequence[Row], duration: str | None) -> list[Row]:
    """Events whose missing durations are filled in: a number [s], or ``next`` for until the next event.

    Raises InputError.
    """
    if duration is None:
        return list(rows)
    if duration != "next" and not re.fullmatch(r"[0-9]+(\.[0-9]*)?", duration):
        fix = "Write a plain number, or next."
        raise InputError(Problem("--event-duration", "", duration, "seconds, or next", fix))
    ordered = sorted(rows, key=lambda row: float(row["onset"]))
    found = []
    for row, following in zip_longest(ordered, ordered[1:]):
        until = following and f"{float(following['onset']) - float(row['onset']):.6f}"
        missing = row.get("duration", "n/a") in ("n/a", "") or float(row["duration"]) == 0
        own = duration if duration != "next" else until or "n/a"
        found.append(row | {"duration": own} if missing else row)
    return found


def on_audio_clock(rows: Iterable[Row], offset_s: float, drift_ppm: float) -> list[Row]:
    """Events whose onsets are on the neural clock, on the audio clock."""
    return [row | {"onset": _shifted(row.get("onset", "n/a"), offset_s, drift_ppm)} for row in rows]


def _shifted(onset: str, offset_s: float, drift_ppm: float) -> str:
    try:
        return f"{(float(onset) - offset_s) / (1 + drift_ppm * 1e-6):.6f}"
    except ValueError:
        return onset


def events_of(tables: Mapping[str, list[Row]], options: Options, offset_s: float, names: Collection[str]) -> list[Row]:
    """The rows of the event table on the audio clock; of a table of markers, those of a recording's ``names``.

    A BIDS table beside a recording counts from the recording's first sample; one that the command line
    names may count from either, which matters where the two clocks differ.  Raises InputError.
    """
    rows, drift_ppm, table = tables.get("events", []), options.drift_ppm or 0.0, options.events or options.markers
    if options.markers:
        marked = markers(options.markers)
        rows = [row for name in sorted(names) for row in marked.get(name, ())]
    if table and options.events_clock is None and (offset_s or drift_ppm):
        fix = "Give --events-clock neural (BIDS) or audio."
        got = f"onsets, and clocks {offset_s:g} s apart"
        raise InputError(Problem(str(table), "onset", got, "the clock that they count on", fix))
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
