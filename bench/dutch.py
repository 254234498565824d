"""SingleWordProductionDutch (Verwoert et al. 2022, Sci. Data 9:434) as raw arrays and a sample sheet.

In: the data set's folder, ``sub-XX/ieeg/sub-XX_task-wordProduction_ieeg.nwb`` with ``*_channels.tsv`` and
``*_electrodes.tsv`` beside it.  Each NWB file is read with h5py alone: acquisition ``iEEG``
(time, channel), ``Audio`` (time,) and ``Stimulus`` (the word on the screen at each sample).
Out: ``recordings.tsv`` and, per subject, neural ``.npy`` float32 [µV], sound ``.npy``, channels, electrodes
and events.  Rates, starting times and units are those that the files declare; where NWB and
``channels.tsv`` disagree about the unit, nothing is written until ``--units`` says which it is.
Events are words as they appeared on the screen, not as they were heard.  The published sound is
pitch-shifted, which the sheet says: contamination cannot be tested on it.

    python bench/dutch.py SingleWordProductionDutch-iBIDS raw
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.data.arrays import UNITS_UV
from pipeline.errors import EXIT_BAD_INPUT, InputError, Problem

NWB = "*_ieeg.nwb"
SPELLINGS = {
    "volts": "V", "volt": "V", "v": "V", "millivolts": "mV", "millivolt": "mV", "mv": "mV", "microvolts": "uV",
    "microvolt": "uV", "microv": "uV", "uv": "uV", "µv": "uV", "μv": "uV", "nanovolts": "nV", "nv": "nV",
}  # fmt: skip
NEURAL_TYPES = {"SEEG", "ECOG", "DBS", "EEG", "IEEG", "N/A"}
NO_WORD = {"", "+", "n/a", "nan"}
BLOCK_ROWS = 1 << 16
SHEET = (
    "subject", "recording", "task", "eeg", "eeg_rate_hz", "eeg_units", "channels", "electrodes", "events",
    "audio", "audio_rate_hz", "audio_offset_s", "audio_modified", "simulated",
)  # fmt: skip
CHANNELS = (
    "name", "type", "units", "sampling_frequency", "low_cutoff", "high_cutoff", "status", "status_description",
)  # fmt: skip
Row = dict[str, str]


@dataclass(frozen=True)
class Series:
    """A series: sample ``n`` lies at ``start_s + n / rate_hz``, and its value times ``scale`` is in ``unit``."""

    data: h5py.Dataset
    rate_hz: float
    start_s: float
    unit: str
    scale: float


def main() -> int:
    options = _parser().parse_args()
    try:
        print(convert(options.bids, options.out, options.units))
    except InputError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def convert(bids: Path, out: Path, units: str | None = None) -> Path:
    """Convert every subject; returns the sample sheet.  Raises :class:`InputError`."""
    files = sorted(bids.glob(f"sub-*/ieeg/{NWB}"))
    if not files:
        raise InputError(Problem(str(bids), "", "no sub-*/ieeg/*_ieeg.nwb", "the data set", "Name its folder"))
    out.mkdir(parents=True, exist_ok=True)
    rows = [convert_recording(file, out, units) for file in files]
    _write_table(out / "recordings.tsv", SHEET, rows)
    return out / "recordings.tsv"


def convert_recording(file: Path, out: Path, units: str | None) -> Row:
    """Write the arrays and tables of one recording; returns its row of the sheet."""
    subject = file.parents[1].name
    channels = _channel_rows(file)
    with h5py.File(file, "r") as nwb:
        ieeg, audio, words = (read_series(nwb, file, name) for name in ("iEEG", "Audio", "Stimulus"))
        if len(channels) != ieeg.data.shape[1]:
            got = f"{len(channels)} channels"
            raise InputError(
                Problem(str(file), "iEEG", got, f"{ieeg.data.shape[1]} as in the array", "Check the files")
            )
        neural = [i for i, row in enumerate(channels) if row.get("type", "n/a").upper() in NEURAL_TYPES]
        gain_uv = _gain_uv(file, ieeg, [channels[i] for i in neural], units)
        _write_neural(out / f"{subject}_eeg.npy", ieeg.data, gain_uv, neural)
        np.save(out / f"{subject}_audio.npy", _sound(file, audio), allow_pickle=False)
        events = list(word_events(words, audio.start_s))
    own = {"units": "uV", "sampling_frequency": f"{ieeg.rate_hz:g}"}
    _write_table(out / f"{subject}_channels.tsv", CHANNELS, [channels[i] | own for i in neural])
    _write_table(out / f"{subject}_events.tsv", ("onset", "duration", "trial_type", "label"), events)
    electrodes = next(iter(sorted(file.parent.glob("*_electrodes.tsv"))), None)
    if electrodes:
        shutil.copyfile(electrodes, out / f"{subject}_electrodes.tsv")
    return {
        "subject": subject,
        "recording": subject,
        "task": "wordProduction",
        "eeg": f"{subject}_eeg.npy",
        "eeg_rate_hz": repr(ieeg.rate_hz),
        "eeg_units": "uV",
        "channels": f"{subject}_channels.tsv",
        "electrodes": f"{subject}_electrodes.tsv" if electrodes else "n/a",
        "events": f"{subject}_events.tsv",
        "audio": f"{subject}_audio.npy",
        "audio_rate_hz": repr(audio.rate_hz),
        # t_neural = t_audio + offset, both counted from the first sample of their series.
        "audio_offset_s": repr(round(audio.start_s - ieeg.start_s, 9)),
        "audio_modified": "pitch_shifted",
        "simulated": "false",
    }


def read_series(nwb: h5py.File, file: Path, name: str) -> Series:
    """``acquisition/{name}`` with its clock, from ``starting_time`` or from evenly spaced ``timestamps``."""
    group = nwb.get(f"acquisition/{name}")
    if group is None or "data" not in group:
        expected = "acquisition/iEEG, Audio and Stimulus"
        raise InputError(Problem(str(file), name, "no such series", expected, "Name the published files"))
    data = group["data"]
    if "starting_time" in group:
        rate_hz, start_s = float(group["starting_time"].attrs["rate"]), float(group["starting_time"][()])
    else:
        times_s = group["timestamps"]
        start_s = float(times_s[0])
        rate_hz = round((len(times_s) - 1) / (float(times_s[-1]) - start_s), 6)
    unit = data.attrs.get("unit", "n/a")
    return Series(data, rate_hz, start_s, _text(unit), float(data.attrs.get("conversion", 1.0)))


def word_events(words: Series, audio_start_s: float) -> Iterator[Row]:
    """One row for each stretch of equal words, onset on the audio clock [s]; a pause between words is none."""
    at = 0
    for word, stretch in groupby(_text(value).strip() for value in words.data[:].ravel()):
        length = sum(1 for _ in stretch)
        onset_s = words.start_s + at / words.rate_hz - audio_start_s
        if word.lower() not in NO_WORD:
            yield {
                "onset": f"{onset_s:.6f}",
                "duration": f"{length / words.rate_hz:.6f}",
                "trial_type": "word",
                "label": " ".join(word.split()),
            }
        at += length


def _gain_uv(file: Path, ieeg: Series, channels: list[Row], units: str | None) -> float:
    """µV in one step of the array.  Raises :class:`InputError` where that cannot be told."""
    if units:
        return UNITS_UV[units]
    said = {
        "the NWB file": _uv(ieeg.unit, ieeg.scale),
        **{f"channels.tsv ({row['name']})": _uv(row.get("units", "n/a"), 1.0) for row in channels},
    }
    known = {source: gain for source, gain in said.items() if gain is not None}
    if not known or not np.allclose(list(known.values()), next(iter(known.values())), rtol=1e-6):
        seen = {gain: source for source, gain in reversed(known.items())}
        got = ", ".join(f"{gain:g} µV per step in {source}" for gain, source in seen.items()) or "no unit"
        raise InputError(
            Problem(str(file), "unit", got, "one unit", f"Give --units {'|'.join(UNITS_UV)} for the array")
        )
    return next(iter(known.values()))


def _uv(unit: str, scale: float) -> float | None:
    known = SPELLINGS.get(unit.strip().lower())
    return None if known is None else UNITS_UV[known] * scale


def _write_neural(path: Path, data: h5py.Dataset, gain_uv: float, columns: list[int]) -> None:
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(data), len(columns)))
    for start in range(0, len(data), BLOCK_ROWS):
        out[start : start + BLOCK_ROWS] = data[start : start + BLOCK_ROWS][:, columns] * gain_uv
    out.flush()


def _sound(file: Path, audio: Series) -> np.ndarray:
    """int16 as it is, floats within full scale as float32; whole numbers stored as floats become int16."""
    values = np.asarray(audio.data[:]).squeeze()
    peak = float(np.abs(values.astype(np.float64)).max(initial=0.0))
    if values.ndim != 1 or peak > 32768 or (peak > 1 and not np.array_equal(values, np.rint(values))):
        got, expected = f"shape {values.shape}, up to {peak:g}", "one channel, int16 or within -1 … 1"
        raise InputError(Problem(str(file), "Audio", got, expected, "Check the file"))
    return np.clip(values, -32768, 32767).astype(np.int16) if peak > 1 else values.astype(np.float32)


def _channel_rows(file: Path) -> list[Row]:
    tables = sorted(file.parent.glob("*_channels.tsv"))
    if not tables:
        raise InputError(Problem(str(file.parent), "*_channels.tsv", "no such file", "the channels", "Put it there"))
    with tables[0].open(encoding="utf-8-sig", newline="") as handle:
        return [
            {k: (v or "n/a").strip() for k, v in row.items() if k}
            for row in csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def _write_table(path: Path, columns: tuple[str, ...], rows: list[Row]) -> None:
    lines = ["\t".join(columns), *("\t".join(row.get(c, "n/a") for c in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bids", type=Path, help="folder of the data set")
    parser.add_argument("out", type=Path, help="folder for the arrays and the sheet")
    parser.add_argument("--units", choices=list(UNITS_UV), help="unit of the stored neural values, if undeclared")
    return parser


if __name__ == "__main__":
    sys.exit(main())
