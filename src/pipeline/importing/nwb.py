"""NWB files: iBIDS as SingleWordProductionDutch lays it out, or any file with its series named.

In: ``sub-XX/ieeg/*_ieeg.nwb`` whose acquisition holds ``iEEG`` (time, channel), ``Audio`` (time,) and
``Stimulus`` (the word on the screen at each sample), with BIDS tables beside it; or NWB files of any layout,
whose series ``--neural``, ``--sound`` and ``--words`` name by their path in the file (``acquisition/…``).
Words are a series of one word per sample, or a table of intervals (``intervals/trials:column``); the sound may lie in
an NWB file of its own (``--sound-file``).

NWB 2 is HDF5 and is read as such: rates or time stamps, units, conversions, the electrodes' table, words
and invalid times as the format's description has them (https://nwb-schema.readthedocs.io).  The format has no place
for bad channels; labs add a column ``bad``, ``good`` or ``status`` to the electrodes' table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError
from pipeline.importing.assembly import assembled, channel_rows, separate_sound
from pipeline.importing.hdf5 import UNEXPECTED, GuardedFile
from pipeline.importing.naming import modality
from pipeline.importing.options import Options
from pipeline.importing.recording import NEURAL_TYPES, Found, Recording, Row, Signal, no_unit, unit_gain_uv
from pipeline.importing.sound import scaled
from pipeline.importing.tables import interval, on_audio_clock, tables_of, texts
from pipeline.raw.bids import is_number

IBIDS = {"neural": "acquisition/iEEG", "sound": "acquisition/Audio", "words": "acquisition/Stimulus"}
NO_WORD = {"", "+", "n/a", "nan"}
BLOCK_SAMPLES = 1 << 20

_ELECTRODES = "general/extracellular_ephys/electrodes"
_NAME_COLUMNS = ("channel_name", "label", "electrode_name", "name", "location_id")
#: Columns of the electrodes' table that say which channels are bad, and the status that their values stand for.
_BAD = {
    "bad": {"true": "bad", "1": "bad", "false": "good", "0": "good"},
    "good": {"true": "good", "1": "good", "false": "bad", "0": "bad"},
    "status": {},
}
_SLOWEST_SOUND_HZ = 4000
_TIMES = ("id", "start_time", "stop_time", "timestamp", "duration")
_STEPS_CHECKED = 10_000


def find(source: Path, options: Options) -> list[Found]:
    """The recordings of a file or folder.  Raises InputError where series have to be named."""
    files = [source] if source.is_file() else sorted(source.rglob("*.nwb"))
    return [Found(file, _opener(file, _named(file, options))) for file in files]


def is_ibids(file: Path) -> bool:
    """Whether a file lies and is called as iBIDS has it."""
    return file.parent.name == "ieeg" and file.name.endswith("_ieeg.nwb")


def _named(file: Path, options: Options) -> dict[str, str | None]:
    own = {"neural": options.neural, "sound": options.sound, "words": options.words}
    return {name: declared or IBIDS[name] for name, declared in own.items()} if is_ibids(file) else own


def _opener(file: Path, names: dict[str, str | None]) -> Any:
    return lambda closing, options: open_recording(file, names, options, closing)


@dataclass(frozen=True)
class Series:
    """A time series of the file: its clock, and what turns a value into ``unit``: value * scale + offset."""

    name: str
    data: h5py.Dataset
    rate_hz: float
    start_s: float
    unit: str
    scale: float
    offset: float


def open_recording(file: Path, names: dict[str, str | None], options: Options, closing: ExitStack) -> Recording:
    """The recording that an NWB file holds.  Raises InputError."""
    nwb = closing.enter_context(GuardedFile(file))
    if names["neural"] is None:
        raise nwb.refused("--neural", "no series named", listing(nwb), "Name the neural series: --neural PATH.")
    ieeg = read_series(nwb, names["neural"])
    sound, matched = _sound(nwb, names["sound"], options, closing)
    tables = tables_of(file, options)
    electrodes, own = electrode_rows(nwb, names["neural"])
    n_channels = 1 if ieeg.data.ndim == 1 else ieeg.data.shape[1]
    if own and len(own) != n_channels:
        if "channels" not in tables:
            got, expected = f"{len(own)} electrodes", f"{n_channels}, one for each channel"
            raise nwb.refused(f"{names['neural']}/electrodes", got, expected, "Name the channels: --channels TABLE.")
        electrodes, own = [], []
    labels = None if "channels" in tables else [row["name"] for row in own]
    rows = channel_rows(file, n_channels, tables.get("channels"), labels, own)
    if electrodes:
        tables.setdefault("electrodes", electrodes)
    tables["annotations"] = [*tables.get("annotations", []), *_invalid_times(nwb, ieeg.start_s)]
    start_s = sound.start_s if sound and sound.clocked else ieeg.start_s + (options.offset_s or 0.0)
    words = list(_words(nwb, names["words"], start_s)) if names["words"] else []
    words = [row for row in words if row["label"].lower() not in NO_WORD]
    words = on_audio_clock(words, 0.0, options.drift_ppm or 0.0)
    neural = Signal(_with_offset(nwb, ieeg), len(ieeg.data), n_channels, ieeg.rate_hz, ieeg.start_s)
    stated = options.units or options.gain_uv
    gain_uv = None if stated else _gain_uv(nwb, names["neural"], ieeg, rows, NEURAL_TYPES[modality(file, options)])
    return assembled(
        file,
        options,
        neural,
        rows,
        gain_uv=gain_uv,
        got_unit=f"the unit {ieeg.unit}",
        sound=sound,
        tables=tables,
        words=words,
        matched=matched,
        subject=_text(nwb, "general/subject/subject_id"),
        unused_sounds=[] if sound else _sounds(nwb, names["neural"]),
    )


def _sound(nwb: GuardedFile, name: str | None, options: Options, closing: ExitStack) -> tuple[Signal | None, str]:
    holder, clocked = nwb, True
    if options.sound_file and options.sound_file.suffix.lower() == ".nwb":
        holder = closing.enter_context(GuardedFile(options.sound_file))
        if name is None:
            raise holder.refused("--sound", "no series named", listing(holder), "Name the sound: --sound PATH.")
        clocked = _one_clock(nwb, holder, options)
    elif options.sound_file or name is None:
        return separate_sound(nwb.path, options, closing)
    series = read_series(holder, name)
    n_channels = 1 if series.data.ndim == 1 else series.data.shape[1]
    whole = Signal(holder.rows(series.data), len(series.data), n_channels, series.rate_hz, series.start_s, clocked)
    return scaled(whole, holder.path, options), ""


def _one_clock(nwb: GuardedFile, other: GuardedFile, options: Options) -> bool:
    """Whether the times of two files count from one moment.  Raises InputError where no offset is declared instead."""
    moments = [_text(file, "timestamps_reference_time") or "no stated moment" for file in (nwb, other)]
    try:
        same = datetime.fromisoformat(moments[0]) == datetime.fromisoformat(moments[1])
    except ValueError:
        same = False
    if options.offset_s is None and not same:
        got, expected = f"times that count from {moments[1]}", f"one moment for both ({nwb.path.name}: {moments[0]})"
        raise other.refused("timestamps_reference_time", got, expected, "Declare the offset of the clocks: --offset-s.")
    return same


def _sounds(nwb: GuardedFile, neural: str) -> list[str]:
    """Series that may be sound; what cannot be read is none."""
    found = []
    for name, _ in _series(nwb):
        with suppress(InputError, OSError, *UNEXPECTED):
            start = nwb.dataset(f"{name}/starting_time")
            if start and float(start.attrs.get("rate", 0)) >= _SLOWEST_SOUND_HZ and name != neural.strip("/"):
                found.append(name)
    return found


def _text(nwb: GuardedFile, name: str) -> str | None:
    data = nwb.dataset(name)
    return next(texts([data[()]])).strip() or None if data is not None and data.ndim == 0 else None


def _with_offset(nwb: GuardedFile, series: Series) -> Any:
    read, shift = nwb.rows(series.data), series.offset / (series.scale or 1.0)
    return read if shift == 0 else lambda start, stop: read(start, stop) + shift


# --- series -----------------------------------------------------------------------------------------


def read_series(nwb: GuardedFile, name: str) -> Series:
    """A series with its clock, from ``starting_time`` or from evenly spaced ``timestamps``.  Raises InputError."""
    data = nwb.dataset(f"{name}/data")
    if data is None or data.ndim not in (1, 2) or not len(data):
        fix = "Name one of these; files that are laid out otherwise are imported by themselves, with --append."
        raise nwb.refused(name, "no such series", listing(nwb), fix)
    if data.dtype.kind in "cV":
        raise nwb.refused(f"{name}/data", data.dtype.name, "plain numbers or texts", "Export real numbers.")
    rate_hz, start_s = _clock(nwb, name, len(data))
    attributes = data.attrs
    scale, offset = (float(attributes.get(key, default)) for key, default in (("conversion", 1.0), ("offset", 0.0)))
    if not (scale and math.isfinite(scale) and math.isfinite(offset)):
        got, fix = f"a conversion of {scale:g} and an offset of {offset:g}", "Mend the file; units are never guessed."
        raise nwb.refused(f"{name}/data", got, "finite numbers, the first not 0", fix)
    return Series(name, data, rate_hz, start_s, next(texts([attributes.get("unit", "n/a")])), scale, offset)


def _clock(nwb: GuardedFile, name: str, n_samples: int) -> tuple[float, float]:
    """Rate [Hz] and time of the first sample [s]."""
    start = nwb.dataset(f"{name}/starting_time")
    if start is not None and float(start.attrs.get("rate", 0)) > 0:
        return float(start.attrs["rate"]), float(start[()])
    stamps = nwb.dataset(f"{name}/timestamps")
    if stamps is None or len(stamps) != n_samples or n_samples < 2:
        raise nwb.refused(name, "neither a rate nor time stamps", "a rate", "Mend the file; rates are never guessed.")
    first_s, last_s = float(stamps[0]), float(stamps[-1])
    step = max(1, n_samples // _STEPS_CHECKED)
    places = np.arange(0, n_samples, step)
    rate_hz = (n_samples - 1) / (last_s - first_s) if last_s > first_s else 0.0
    late_s = np.abs(stamps[::step] - first_s - places / (rate_hz or 1.0)).max()
    if rate_hz == 0 or late_s * rate_hz > 1:
        got = f"time stamps up to {late_s:.4g} s off an even clock"
        raise nwb.refused(f"{name}/timestamps", got, "one rate", "Cut the recording at its gaps, or resample it.")
    return round(rate_hz, 6), first_s


def listing(nwb: GuardedFile) -> str:
    """The series and tables of a file, for choosing."""
    found = [f"{name} {data.shape} [{next(texts([data.attrs.get('unit', 'n/a')]))}]" for name, data in _series(nwb)]
    for group in nwb.groups():
        if {"start_time", "stop_time"} <= set(group) or "timestamp" in group:
            columns = "|".join(c for c in group if c not in _TIMES)
            found.append(f"{str(group.name).strip('/')}:{columns}")
    return "one of " + "; ".join(found) if found else "a time series"


def _series(nwb: GuardedFile) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every group that has data, by its path."""
    for group in nwb.groups():
        if isinstance(group.get("data", getlink=True), h5py.HardLink) and isinstance(group["data"], h5py.Dataset):
            yield str(group.name).strip("/"), group["data"]


# --- units ------------------------------------------------------------------------------------------


def _gain_uv(
    nwb: GuardedFile, name: str, ieeg: Series, rows: Sequence[Row], types: Sequence[str]
) -> npt.NDArray[np.float64] | None:
    """µV in one step of each channel.

    A conversion that somebody set says it all.  Without one the unit of NWB is volts by default, also where
    the values are not; then the units in ``channels.tsv`` have to agree.  Raises InputError.
    """
    file_gain = unit_gain_uv(ieeg.unit, ieeg.scale)
    declared = {"the NWB file": file_gain}
    if ieeg.scale == 1.0 or file_gain is None:
        neural = [row for row in rows if row.get("type", "n/a").upper() in types]
        declared |= {f"channels.tsv ({row['name']})": unit_gain_uv(row.get("units", "n/a")) for row in neural}
    known = {source: gain for source, gain in declared.items() if gain is not None}
    if not known:
        return None
    first = next(iter(known.values()))
    if not np.allclose(list(known.values()), first, rtol=1e-6):
        seen = {gain: source for source, gain in reversed(known.items())}
        raise no_unit(nwb.path, ", ".join(f"{gain:g} µV per step in {source}" for gain, source in seen.items()))
    per_channel = nwb.dataset(f"{name}/channel_conversion")
    factors = np.ones(len(rows)) if per_channel is None else np.asarray(per_channel[:], np.float64)
    return first * factors


# --- electrodes, words, invalid times ----------------------------------------------------------------


def electrode_rows(nwb: GuardedFile, name: str) -> tuple[list[Row], list[Row]]:
    """The rows of the electrodes' table that a series refers to, as electrodes and as channels; none without them."""
    region, table = nwb.dataset(f"{name}/electrodes"), nwb.get(_ELECTRODES)
    if region is None or not isinstance(table, h5py.Group):
        return [], []
    chosen = region[:].astype(int)
    if len(chosen) and chosen.min() < 0:
        raise nwb.refused(f"{name}/electrodes", f"row {chosen.min()}", "rows from 0 on", "Mend the file.")
    column = next((c for c in _NAME_COLUMNS if nwb.dataset(f"{_ELECTRODES}/{c}") is not None), None)
    labels = _column(nwb, column, chosen) if column else [f"ch{i + 1:03d}" for i in range(len(chosen))]
    if len(set(labels)) < len(labels) or "n/a" in labels:
        labels = [f"ch{i + 1:03d}" for i in range(len(chosen))]
    columns = {"name": labels, **{c: _column(nwb, c, chosen) for c in "xyz"}}
    columns |= {"region": _column(nwb, "location", chosen), "group": _column(nwb, "group_name", chosen)}
    placed = any(v != "n/a" for c in ("x", "y", "z", "region") for v in columns[c])
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    said = next((c for c in _BAD if nwb.dataset(f"{_ELECTRODES}/{c}") is not None), "status")
    channels = [{"name": label} for label in labels]
    for row, text in zip(channels, _column(nwb, said, chosen), strict=True):
        plain = f"{float(text):g}" if is_number(text) else text.lower()
        row["status"] = _BAD[said].get(plain, plain)
        row["status_description"] = "n/a" if row["status"] in ("good", "n/a") else f"{said} in NWB"
    return (rows if placed else []), channels


def _column(nwb: GuardedFile, name: str, chosen: npt.NDArray[np.int_]) -> list[str]:
    data = nwb.dataset(f"{_ELECTRODES}/{name}")
    if data is None or data.ndim != 1 or (len(chosen) and chosen.max() >= len(data)):
        return ["n/a"] * len(chosen)
    values = [text.strip() for text in texts(data[:][chosen])]
    return ["n/a" if text.lower() in ("", "nan", "n/a", "unknown") else text for text in values]


def _words(nwb: GuardedFile, name: str, audio_start_s: float) -> Iterator[Row]:
    """The words of a table of intervals or of moments, of a series of marks or of one word per sample."""
    table, _, label = name.partition(":")
    times = ("start_time", "stop_time", "timestamp", "duration")
    starts, stops, moments, durations = (nwb.dataset(f"{table}/{c}") for c in times)
    marked = nwb.get(table)
    if marked is not None and next(texts([marked.attrs.get("neurodata_type", "")])) == "AnnotationSeries":
        moments, label = nwb.dataset(f"{table}/timestamps"), "data"
    starts = moments if starts is None or stops is None else starts
    if starts is None:
        yield from word_events(nwb, table, audio_start_s)
        return
    labels = nwb.dataset(f"{table}/{label}") if label else None
    if labels is None:
        raise nwb.refused(name, "no column of words", listing(nwb), "Name the column: TABLE:COLUMN.")
    ends = durations if stops is None else stops
    rows = {len(column): str(column.name) for column in (starts, labels, ends) if column is not None}
    if len(rows) > 1:
        got = ", ".join(f"{n} in {column}" for n, column in rows.items())
        raise nwb.refused(table, got, "as many times as words", "Mend the file.")
    lengths_s = np.zeros(len(starts)) if ends is None else ends[:] - (0.0 if stops is None else starts[:])
    lengths_s = np.nan_to_num(lengths_s, posinf=0.0).clip(0)  # an unknown one is often -1
    for start_s, length_s, word in zip(starts[:], lengths_s, texts(labels[:]), strict=True):
        yield interval(float(start_s) - audio_start_s, float(length_s), trial_type="word", label=" ".join(word.split()))


def word_events(nwb: GuardedFile, name: str, audio_start_s: float) -> Iterator[Row]:
    """One row for each stretch of equal words, onset on the audio clock [s]; pauses (:data:`NO_WORD`) among them."""
    words, at = read_series(nwb, name), 0
    stamps = nwb.dataset(f"{name}/timestamps") if nwb.dataset(f"{name}/starting_time") is None else None
    for word, stretch in groupby(_one_by_one(words.data)):
        length = sum(1 for _ in stretch)
        onset_s = (words.start_s + at / words.rate_hz if stamps is None else float(stamps[at])) - audio_start_s
        yield interval(onset_s, length / words.rate_hz, trial_type="word", label=" ".join(word.split()))
        at += length


def _one_by_one(data: h5py.Dataset) -> Iterator[str]:
    for start in range(0, len(data), BLOCK_SAMPLES):
        yield from (text.strip() for text in texts(data[start : start + BLOCK_SAMPLES].ravel()))


def _invalid_times(nwb: GuardedFile, neural_start_s: float) -> Iterator[Row]:
    """The table of invalid times as BAD intervals on the neural clock."""
    starts, stops = (nwb.dataset(f"intervals/invalid_times/{c}_time") for c in ("start", "stop"))
    if starts is not None and stops is not None:
        if len(starts) != len(stops):
            got, fix = f"{len(starts)} start times and {len(stops)} stop times", "Mend the file."
            raise nwb.refused("intervals/invalid_times", got, "as many of both", fix)
        for start_s, stop_s in zip(starts[:], stops[:], strict=True):
            yield interval(float(start_s) - neural_start_s, float(stop_s - start_s), description="BAD_invalid")
