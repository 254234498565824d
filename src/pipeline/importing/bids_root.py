"""A BIDS root of EDF, BDF, BrainVision or FIF files: recordings and their tables found with mne-bids.

mne-bids (Appelhoff et al. 2019, doi:10.21105/joss.01896) lists the recordings and finds the channels, electrodes,
events and sidecar that apply to each by BIDS' rule of inheritance; :mod:`pipeline.importing.mne_files` reads them.
``ses`` is the session, so that its runs become its trials.  The sound is a channel, or a file of the same entities
beside the recording or in the folder ``beh`` or ``audio`` of its session.  When runs began in their session comes
from ``scans.tsv``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing import mne_files
from pipeline.importing.naming import key, sounds_in
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording, Row
from pipeline.importing.tables import rates_in, read_rows
from pipeline.raw.agreement import rate_problems
from pipeline.raw.modality import MODALITIES

_TABLES = ("channels", "electrodes", "events")
_SOUND_FOLDERS = ("beh", "audio")


def find(source: Path, options: Options) -> list[Found]:
    """The recordings of a root, of one modality where several lie in it.  Raises InputError."""
    bids = _mne_bids()
    kinds = [options.modality] if options.modality else list(MODALITIES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = bids.find_matching_paths(source, datatypes=kinds, suffixes=kinds, ignore_json=True)
    fitting = [p for p in paths if p.fpath.name.lower().endswith(mne_files.SUFFIXES)]
    found = sorted({p.datatype for p in fitting})
    if len(found) > 1:
        fix = f"Choose one: --modality {'|'.join(found)}."
        raise InputError(Problem(str(source), "", f"recordings of {' and '.join(found)}", "one modality", fix))
    starts_s = _starts_s([path.fpath for path in fitting])
    return [
        Found(path.fpath, _opener(path, starts_s.get(path.fpath)))
        for path in sorted(fitting, key=lambda path: str(path.fpath))
    ]


def _opener(path: Any, start_s: float | None) -> Callable[[ExitStack, Options], Recording]:
    def opened(closing: ExitStack, options: Options) -> Recording:
        own = start_s if options.start_s is None else options.start_s
        return open_recording(path, replace(options, start_s=own), closing)

    return opened


def _starts_s(files: Sequence[Path]) -> dict[Path, float]:
    """When each run began after the first one of its session [s], by ``acq_time`` of ``scans.tsv``.

    Only for sessions of several runs that all have one.  Raises InputError where a time cannot be read.
    """
    found: dict[Path, float] = {}
    for folder in {file.parent.parent for file in files}:
        own = [file for file in files if file.parent.parent == folder]
        tables = sorted(folder.glob("*_scans.tsv"))
        rows = {folder / row.get("filename", ""): row.get("acq_time", "n/a") for row in _rows_of(tables)}
        times = {file: rows.get(file, "n/a") for file in own}
        if len(own) > 1 and "n/a" not in times.values():
            begun = {file: _moment(tables[0], text) for file, text in times.items()}
            first = min(begun.values())
            found |= {file: (moment - first).total_seconds() for file, moment in begun.items()}
    return found


def _rows_of(tables: Sequence[Path]) -> list[Row]:
    return [row for table in tables for row in read_rows(table)]


def _moment(table: Path, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=None)
    except ValueError:
        fix = "Write YYYY-MM-DDThh:mm:ss, or n/a."
        raise InputError(Problem(str(table), "acq_time", text, "a date and time as in BIDS", fix)) from None


def open_recording(path: Any, options: Options, closing: ExitStack) -> Recording:
    """The recording at a BIDS path.  Raises InputError."""
    own: dict[str, Any] = {
        kind: getattr(options, kind) or _sidecar(path, kind, ".tsv")
        for kind in _TABLES
        if not (kind == "events" and options.markers)
    }
    if own.get("events") and not options.events:
        own["events_clock"] = options.events_clock or "neural"
    if options.sound is None and options.sound_file is None:
        own["sound_file"] = _sound(path.fpath)
    recording = mne_files.open_recording(path.fpath, replace(options, **own), closing)
    stated = _sidecar(path, path.datatype, ".json")
    if stated:
        raise_if_any(rate_problems(str(path.fpath), "rate", recording.neural.rate_hz, rates_in(stated)))
    return replace(recording, matched=own["sound_file"].name) if own.get("sound_file") else recording


def _mne_bids() -> Any:
    """mne-bids, which is an optional extra."""
    try:
        import mne_bids
    except ImportError:
        fix = 'Install it: pip install mne-bids, or the project with its extra: pip install -e ".[import]"; '
        fix += "or give --format mne, which takes the tables beside each file."
        raise InputError(
            Problem("import", "mne_bids", "no such package", "mne-bids, which finds recordings in a BIDS root", fix)
        ) from None
    return mne_bids


def _sidecar(path: Any, suffix: str, extension: str) -> Path | None:
    found = path.find_matching_sidecar(suffix=suffix, extension=extension, on_error="ignore")
    return Path(found) if found else None


def _sound(file: Path) -> Path | None:
    """The sound of the same entities, beside a recording or in a folder for sound of its session."""
    folders = [file.parent, *(file.parent.parent / name for name in _SOUND_FOLDERS)]
    fitting = [s for folder in folders if folder.is_dir() for s in sounds_in(folder) if key(s) == key(file)]
    if len(fitting) > 1:
        names = ", ".join(p.name for p in fitting)
        raise InputError(Problem(str(file), "sound", names, "one sound", "Name it with --sound-file."))
    return fitting[0] if fitting else None
