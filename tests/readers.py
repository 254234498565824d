"""Whole files of each kind that is read, what may change in them, and the commands that read them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import soundfile
from hypothesis import strategies as st

from edits import BYTE_EDITS, HDF5_CHANGES, INDICES, ODD_NUMBERS, ODD_TEXTS, TEXT_EDITS, Edit, changed, edited, edits
from isolated import Isolated

EEG_HZ, SOUND_HZ, SECONDS = 500, 8000, 4
NAMES = ["LA1", "LA2", "RB1", "RB2"]
_RANDOM = np.random.default_rng(0)
EEG_UV = _RANDOM.normal(0, 50, (EEG_HZ * SECONDS, 4)).astype(np.float32)
SOUND = _RANDOM.integers(-3000, 3000, SOUND_HZ * SECONDS).astype(np.int16)
#: Of raw files, long enough for folds.
REPEATS = 15


@dataclass(frozen=True)
class Reader:
    """A kind of file: how ``write`` makes a folder of it, what may change, and the ``commands`` that read it.

    A command is the way of tests/isolated.py with its arguments; the next follows where one ended well.
    """

    write: Callable[[Path], None]
    mutations: st.SearchStrategy[Any]
    apply: Callable[[Path, Any], None]
    commands: tuple[tuple[str, ...], ...]


def _sheet_row(**cells: str) -> str:
    row = {"subject": "s1", "recording": "r1", "eeg": "eeg.npy", "eeg_rate_hz": "500", "eeg_units": "uV"}
    row |= {"audio": "audio.npy", "audio_rate_hz": "8000", **cells}
    return "\n".join(["\t".join(row), "\t".join(row.values())]) + "\n"


def lab(folder: Path, repeats: int = REPEATS, **cells: str) -> None:
    np.save(folder / "eeg.npy", np.tile(EEG_UV, (repeats, 1)))
    np.save(folder / "audio.npy", np.tile(SOUND, repeats))
    (folder / "my.yaml").write_text("data: {sheet: recordings.tsv}\n")
    (folder / "recordings.tsv").write_text(_sheet_row(**cells))


def _with_tables(folder: Path) -> None:
    lab(folder, **{kind: f"{kind}.tsv" for kind in TABLES})
    more = "".join(f"{4.5 + 2 * i}\t0.25\tnee\n" for i in range(2 * REPEATS - 2))
    for kind, text in TABLES.items():
        (folder / f"{kind}.tsv").write_text(text + (more if kind == "events" else ""))


TABLES = {
    "events": "onset\tduration\tlabel\n" + "".join(f"{0.5 + 2 * i}\t0.25\tja\n" for i in range(2)),
    "channels": "name\ttype\tunits\tsampling_frequency\tstatus\n"
    + "".join(f"{n}\tSEEG\tuV\t500\tgood\n" for n in NAMES),
    "electrodes": "name\tx\ty\tz\tregion\n" + "".join(f"{n}\t1\t2\t3.5\tSTG\n" for n in NAMES),
    "annotations": "onset\tduration\tdescription\n1\t0.5\tmove\n",
}
CONFIG = """\
data: {sheet: recordings.tsv}
causal: false
fold: 0
mel: {n_mels: 80, fmax_hz: 4000.0}
align: {features: [{kind: band_envelope, bands: [[70, 110]]}, {kind: low_pass, cutoff_hz: 20}]}
split: {folds: 5, validation_fraction: 0.1}
train:
  lr: 1e-3
  max_steps: 100
evaluate: {bootstrap: 100}
"""
TOML = '[data]\nsheet = "recordings.tsv"\n[train]\nlr = 1e-3\nmax_steps = 100\n[split]\nfolds = 5\n'
MAIN = ("main", "--config", "my.yaml", "--dry-run")
RAW = (MAIN, ("ingest", "recordings.tsv", "out.h5"), ("pipeline", "doctor", "my.yaml"))


def _config(folder: Path) -> None:
    lab(folder)
    (folder / "my.yaml").write_text(CONFIG)
    (folder / "my.toml").write_text(TOML)


def _sound(folder: Path, suffix: str, subtype: str) -> None:
    lab(folder, audio=f"audio.{suffix}")
    soundfile.write(folder / f"audio.{suffix}", np.tile(SOUND, REPEATS) / 32768, SOUND_HZ, subtype=subtype)


def _npy_header(folder: Path, drawn: tuple[str, dict[str, Any], int]) -> None:
    """A header of any values before the numbers of the file, or as many zeros as it claims."""
    name, changes, version = drawn
    dtype, shape = ("<f4", (len(EEG_UV) * REPEATS, 4)) if name == "eeg.npy" else ("<i2", (len(SOUND) * REPEATS,))
    header = {"descr": dtype, "fortran_order": False, "shape": shape} | changes
    text = repr(header).encode("latin-1", "replace") + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text) % 65536)
    data = (folder / name).read_bytes()[128:]
    (folder / name).write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + text + data)


DTYPES = [
    "<f8",
    ">f4",
    "<i2",
    "|i1",
    "<i4",
    "<c8",
    "|O",
    "<M8[ns]",
    "|V4",
    "<U4",
    "|b1",
    "<f16",
    "(2,2)<f4",
    "",
    "x",
    "<f2",
]
HEADERS = st.tuples(
    st.sampled_from(["eeg.npy", "audio.npy"]),
    st.fixed_dictionaries(
        {},
        optional={
            "descr": st.sampled_from(DTYPES) | st.just([("a", "<f4")]) | st.integers(),
            "fortran_order": st.booleans() | st.integers() | st.text(max_size=3),
            "shape": st.lists(st.integers(-3, 10) | st.sampled_from([30000, 4, 2**31, 2**63, 10**30]), max_size=4).map(
                tuple
            )
            | st.sampled_from([(130000,), (4, 30000), (30000, 2, 2), (True, 130000), (30000.0, 4), 5, None]),
            "extra": st.integers(),
        },
    ),
    st.sampled_from([1, 2, 3, 9]),
)

# --- recordings of other formats ---


def _import(source: str, *options: str) -> tuple[str, ...]:
    return ("pipeline", "import", source, "--out", "raw", "--yes", *options)


def _matlab5(folder: Path, compress: bool = False) -> None:
    inner = {"trial": EEG_UV.astype(np.float64), "label": np.array(NAMES, dtype=object)}
    values = {"data": inner, "sound": SOUND[:, None], "fs": 500.0, "fs_sound": 8000.0, "notes": "text"}
    scipy.io.savemat(folder / "s1.mat", values, do_compression=compress)


def _matlab73(folder: Path) -> None:
    with h5py.File(folder / "s1.mat", "w", userblock_size=512) as file:
        file["data/trial"] = EEG_UV.astype(np.float64).T
        file["sound"], file["fs"], file["fs_sound"] = SOUND[None], np.array([[500.0]]), np.array([[8000.0]])
        for name, kind in (("data/trial", "double"), ("sound", "int16"), ("fs", "double")):
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
        cells = file.create_dataset("data/label", (1, 4), h5py.ref_dtype)
        for i, name in enumerate(NAMES):
            cell = file.create_dataset(f"#refs#/{i}", data=np.array([[ord(c)] for c in name], np.uint16))
            cells[0, i] = cell.ref


MATLAB_VALUES: dict[str, Callable[[], Any]] = {
    "complex": lambda: EEG_UV * 1j,
    "sparse": lambda: scipy.sparse.csc_matrix(EEG_UV[:50]),
    "bool": lambda: EEG_UV > 0,
    "cell": lambda: np.array([EEG_UV, "x"], dtype=object),
    "text": lambda: "text",
    "texts": lambda: ["a", "bcd"],
    "empty": lambda: np.zeros((0, 0)),
    "no cell": lambda: np.zeros((0, 0), object),
    "three axes": lambda: np.zeros((20, 4, 3)),
    "structure": lambda: {"trial": {"trial": 1}},
    "structures": lambda: np.zeros((2, 1), [("trial", object), ("label", object)]),
    "nan": lambda: np.nan,
    "inf": lambda: np.inf,
    "negative": lambda: -5.0,
    "zero": lambda: 0,
    "wide": lambda: EEG_UV.T,
    "numbers": lambda: np.arange(4.0),
    "nan array": lambda: EEG_UV * np.nan,
    "unsigned": lambda: np.full((2000, 4), 255, np.uint8),
    "nested cells": lambda: np.array([np.array(["a"], object), np.array([["b"]], object), "c", "d"], object),
    "names": lambda: np.array(["a", "a", "", "\0"], object),
    "numbers of names": lambda: np.array([1, 2, 3, 4], object),
    "huge": lambda: EEG_UV * np.float64(1e300),
    "int64": lambda: np.full((2000, 4), 2**62),
    "column": lambda: EEG_UV[:, :1],
    "padded": lambda: np.array(["LA1", "B", "C  ", "D"]),
    "voids": lambda: np.zeros((0, 1), [("trial", object)]),
}


def _matlab_values(folder: Path, drawn: dict[str, str]) -> None:
    values: dict[str, Any] = {"sound": SOUND[:, None], "fs": 500.0, "fs_sound": 8000.0}
    inner: dict[str, Any] = {"trial": EEG_UV.astype(np.float64), "label": np.array(NAMES, dtype=object)}
    for name, kind in drawn.items():
        (inner if name in inner else values)[name] = MATLAB_VALUES[kind]()
    scipy.io.savemat(folder / "s1.mat", {"data": inner, **values} if "data" not in drawn else values)


MATLAB = _import(
    "s1.mat", "--neural", "data.trial", "--names", "data.label", "--sound", "sound", "--eeg-rate", "fs", "--sound-rate",
    "fs_sound", "--units", "uV",
)  # fmt: skip


def _nwb(folder: Path) -> None:
    """As pynwb writes it, but for what no import reads."""
    with h5py.File(folder / "s1.nwb", "w") as file:
        steps = np.rint(EEG_UV * 10).astype(np.int16)
        for name, data, rate_hz, unit in (("raw", steps, EEG_HZ, "volts"), ("Audio", SOUND, SOUND_HZ, "n/a")):
            series = file.create_group(f"acquisition/{name}")
            series["data"], series["starting_time"] = data, 2.0
            series["data"].attrs.update({"unit": unit, "conversion": 1e-7 if name == "raw" else 1.0, "offset": 0.0})
            series["starting_time"].attrs.update({"rate": float(rate_hz), "unit": "seconds"})
        file["acquisition/raw/electrodes"] = np.arange(4)
        file["acquisition/raw/channel_conversion"] = np.ones(4)
        table = file.create_group("general/extracellular_ephys/electrodes")
        for axis in "xyz":
            table[axis] = np.arange(4.0)
        texts = h5py.string_dtype()
        for name, values in (("label", NAMES), ("location", ["STG"] * 4), ("group_name", ["LA"] * 4)):
            table.create_dataset(name, data=np.array(values, object), dtype=texts)
        for name in ("trials", "invalid_times"):
            file[f"intervals/{name}/start_time"], file[f"intervals/{name}/stop_time"] = [3.0, 4.0], [3.5, 4.5]
        file.create_dataset("intervals/trials/word", data=np.array(["ja", "nee"], object), dtype=texts)


NWB = _import(
    "s1.nwb", "--neural", "acquisition/raw", "--sound", "acquisition/Audio", "--words", "intervals/trials:word"
)


def _nwb_words(folder: Path) -> None:
    """A series of words and time stamps instead of rates."""
    _nwb(folder)
    with h5py.File(folder / "s1.nwb", "r+") as file:
        words = file.create_group("acquisition/Words")
        values = np.array(["", "ja", "nee"], object)[(np.arange(len(EEG_UV)) // 200) % 3]
        words.create_dataset("data", data=values, dtype=h5py.string_dtype())
        words["timestamps"] = 2.0 + np.arange(len(EEG_UV)) / EEG_HZ
        del file["acquisition/raw/starting_time"]
        file["acquisition/raw/timestamps"] = 2.0 + np.arange(len(EEG_UV)) / EEG_HZ


def _edf(folder: Path) -> None:
    import edfio

    signals = [
        edfio.EdfSignal(EEG_UV[:, i], EEG_HZ, label=name, physical_dimension="uV") for i, name in enumerate(NAMES)
    ]
    signals.append(edfio.EdfSignal(SOUND.astype(float), SOUND_HZ, label="MIC", physical_range=(-32768, 32767)))
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(1, 0.5, "ja"), edfio.EdfAnnotation(2, 1, "BAD")]).write(
        folder / "s1.edf"
    )


def _brainvision(folder: Path) -> None:
    import pybv

    marks = [{"onset": 512, "duration": 256, "description": "ja", "type": "Comment"}]
    options = {"sfreq": EEG_HZ, "ch_names": NAMES, "fname_base": "s1", "events": marks}
    pybv.write_brainvision(data=EEG_UV.T * 1e-6, folder_out=folder, unit="µV", **options)


def _fif(folder: Path) -> None:
    import mne

    raw = mne.io.RawArray(EEG_UV.T * 1e-6, mne.create_info(NAMES, EEG_HZ, "seeg"), first_samp=100, verbose="ERROR")
    raw.set_meas_date(0)
    places = {name: np.array([i, 2.0, 3.0]) * 1e-3 for i, name in enumerate(NAMES)}
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    raw.set_annotations(mne.Annotations([1.0], [0.5], ["ja"]))
    raw.save(folder / "s1_raw.fif", verbose="ERROR")


def _edf_fields(folder: Path, drawn: Sequence[tuple[int, str]]) -> None:
    """Fields of the header, which is text of 8 characters and more in each."""
    data = bytearray((folder / "s1.edf").read_bytes())
    for place, text in drawn:
        at = 8 * (place % (256 * 7 // 8))
        data[at : at + 8] = text.encode("latin-1", "replace")[:8].ljust(8)
    (folder / "s1.edf").write_bytes(data)


def _chunk(tag: int, content: bytes) -> bytes:
    return b"\x08" + struct.pack("<Q", len(content) + 2) + struct.pack("<H", tag) + content


def _xdf_chunks() -> list[tuple[int, bytes]]:
    """Chunks of an XDF file (https://github.com/sccn/xdf/wiki/Specifications) with three streams."""
    chunks = [(1, b'<?xml version="1.0"?><info><version>1.0</version></info>')]
    streams = [
        ("Amp", "EEG", "float32", EEG_UV, EEG_HZ), ("Mic", "Audio", "int16", SOUND[: SOUND_HZ * 2, None], SOUND_HZ),
        ("Markers", "Markers", "string", ["word: ja", "word: nee"], 0),
    ]  # fmt: skip
    for number, (name, kind, numbers, values, rate_hz) in enumerate(streams, start=1):
        own, listed = struct.pack("<I", number), ""
        if name == "Amp":
            listed = "".join(f"<channel><label>{n}</label><type>SEEG</type><unit>uV</unit></channel>" for n in NAMES)
        n_channels = 1 if isinstance(values, list) else values.shape[1]
        header = (
            f'<?xml version="1.0"?><info><name>{name}</name><type>{kind}</type>'
            f"<channel_count>{n_channels}</channel_count><nominal_srate>{rate_hz}</nominal_srate><channel_format>{numbers}</channel_format>"
            f"<hostname>pc</hostname><desc><channels>{listed}</channels></desc></info>"
        )
        chunks.append((2, own + header.encode()))
        parts = [b"\x04" + struct.pack("<I", len(values))]
        for i, value in enumerate(values):
            stamp = (
                b"\x08" + struct.pack("<d", 100.0 + (i / rate_hz if rate_hz else 1 + i))
                if i % 500 == 0 or not rate_hz
                else b"\0"
            )
            text = value.encode() if isinstance(value, str) else b""
            parts += [stamp, b"\x04" + struct.pack("<I", len(text)) + text if text else value.tobytes()]
        chunks.append((3, own + b"".join(parts)))
        chunks.append((4, own + struct.pack("<dd", 100.0, 0.0)))
        chunks.append((6, own + b'<?xml version="1.0"?><info></info>'))
    return chunks


def _write_xdf(folder: Path, chunks: Sequence[tuple[int, bytes]]) -> None:
    (folder / "s1.xdf").write_bytes(b"".join([b"XDF:", *(_chunk(*chunk) for chunk in chunks)]))


def _xdf(folder: Path) -> None:
    _write_xdf(folder, _xdf_chunks())


def _xdf_edits(folder: Path, drawn: Sequence[tuple[int, Edit]]) -> None:
    """Within chunks, whose lengths stay right."""
    chunks = _xdf_chunks()
    for place, edit in drawn:
        tag, content = chunks[place % len(chunks)]
        chunks[place % len(chunks)] = (tag, edit(content))
    _write_xdf(folder, chunks)


XDF = _import("s1.xdf", "--neural", "Amp", "--sound", "Mic", "--words", "Markers", "--words-match", "word: (.*)")


def in_file(*names: str, apply: Callable[[Path, Any], None] = edited) -> Callable[[Path, Any], None]:
    """What changes one of a folder's files, chosen by the first place."""

    def change(folder: Path, drawn: Sequence[Any]) -> None:
        apply(folder / names[getattr(drawn[0], "other", 0) % len(names)], drawn)

    return change


def _tables_beside(folder: Path) -> None:
    """An array with the tables that an import takes beside it."""
    np.save(folder / "s1_eeg.npy", EEG_UV)
    soundfile.write(folder / "s1_audio.wav", SOUND, SOUND_HZ)
    for kind, text in TABLES.items():
        (folder / f"s1_{kind}.tsv").write_text(text)
    (folder / "s1_eeg.json").write_text(json.dumps({"SamplingFrequency": 500}))
    (folder / "cut.tsv").write_text("onset\tduration\tlabel\n0\t1.5\tja\n2\t1.5\tnee\n")
    (folder / "markers.tsv").write_text("file\tonset\tduration\tlabel\ns1_audio.wav\t0.5\t0.25\tja\n")


PAIR = _import(".", "--eeg-rate", "500", "--units", "uV")
BESIDE = ("s1_events.tsv", "s1_channels.tsv", "s1_electrodes.tsv", "s1_annotations.tsv", "s1_eeg.json")
SHEET_EDITS = edits(TEXT_EDITS, TEXT_EDITS, BYTE_EDITS)
HDF5_OR_BYTES = HDF5_CHANGES | HDF5_CHANGES | edits(BYTE_EDITS)


def _artifacts(folder: Path, isolated: Isolated | None) -> None:
    """Those of the stages ingest, align, mel and window."""
    assert isolated
    _with_tables(folder)
    for command in (
        ("ingest", "recordings.tsv", "recording.h5"),
        ("stage", "align", "--recording", "recording.h5", "--output", "aligned.h5"),
        ("stage", "mel", "--aligned", "aligned.h5", "--output", "mel.h5"),
        ("stage", "window", "--aligned", "aligned.h5", "--output", "windows.h5"),
    ):
        ended = isolated.run(folder, *command)
        assert ended.code == 0, ended.errors


def readers(isolated: Isolated | None = None) -> dict[str, Reader]:
    """By name; ``isolated`` makes the artifacts."""
    from model_readers import model_readers  # which takes the folders of this module

    return _file_readers() | _artifact_readers(partial(_artifacts, isolated=isolated)) | model_readers(isolated)


def _file_readers() -> dict[str, Reader]:
    return {
        "sheet": Reader(_with_tables, SHEET_EDITS, in_file("recordings.tsv"), RAW),
        "yaml": Reader(_config, SHEET_EDITS, in_file("my.yaml"), (MAIN, ("pipeline", "doctor", "my.yaml"))),
        "toml": Reader(_config, SHEET_EDITS, in_file("my.toml"), (("main", "--config", "my.toml", "--dry-run"),)),
        "tables": Reader(_with_tables, SHEET_EDITS, in_file(*(f"{kind}.tsv" for kind in TABLES)), RAW),
        "npy": Reader(lab, edits(BYTE_EDITS), in_file("eeg.npy", "audio.npy"), RAW),
        "npy header": Reader(lab, HEADERS, _npy_header, RAW),
        "wav": Reader(partial(_sound, suffix="wav", subtype="PCM_16"), edits(BYTE_EDITS), in_file("audio.wav"), RAW),
        "float wav": Reader(
            partial(_sound, suffix="wav", subtype="FLOAT"), edits(BYTE_EDITS), in_file("audio.wav"), RAW
        ),
        "flac": Reader(partial(_sound, suffix="flac", subtype="PCM_16"), edits(BYTE_EDITS), in_file("audio.flac"), RAW),
        "matlab 5": Reader(_matlab5, edits(BYTE_EDITS), in_file("s1.mat"), (MATLAB,)),
        "matlab 7": Reader(partial(_matlab5, compress=True), edits(BYTE_EDITS), in_file("s1.mat"), (MATLAB,)),
        "matlab values": Reader(
            _matlab5,
            st.dictionaries(
                st.sampled_from(["trial", "label", "sound", "fs", "fs_sound", "data"]),
                st.sampled_from(sorted(MATLAB_VALUES)),
                min_size=1,
                max_size=2,
            ),
            _matlab_values,
            (MATLAB,),
        ),
        "matlab 7.3": Reader(_matlab73, HDF5_OR_BYTES, in_file("s1.mat", apply=changed), (MATLAB,)),
        "nwb": Reader(_nwb, HDF5_OR_BYTES, in_file("s1.nwb", apply=changed), (NWB,)),
        "nwb words": Reader(
            _nwb_words, HDF5_OR_BYTES, in_file("s1.nwb", apply=changed), ((*NWB[:-1], "acquisition/Words"),)
        ),
        "nwb listing": Reader(_nwb_words, HDF5_OR_BYTES, in_file("s1.nwb", apply=changed), (_import("s1.nwb"),)),
        "edf": Reader(_edf, edits(BYTE_EDITS), in_file("s1.edf"), (_import("s1.edf", "--sound", "MIC"),)),
        "edf fields": Reader(
            _edf,
            st.lists(st.tuples(st.integers(0, 999), ODD_NUMBERS | ODD_TEXTS), min_size=1, max_size=3),
            _edf_fields,
            (_import("s1.edf", "--sound", "MIC"),),
        ),
        "brainvision": Reader(
            _brainvision, SHEET_EDITS, in_file("s1.vhdr", "s1.vmrk", "s1.vhdr", "s1.eeg"), (_import("s1.vhdr"),)
        ),
        "fif": Reader(_fif, edits(BYTE_EDITS), in_file("s1_raw.fif"), (_import("s1_raw.fif"),)),
        "xdf": Reader(_xdf, edits(BYTE_EDITS), in_file("s1.xdf"), (XDF,)),
        "xdf chunks": Reader(
            _xdf,
            st.lists(st.tuples(INDICES, TEXT_EDITS | BYTE_EDITS), min_size=1, max_size=2),
            _xdf_edits,
            (XDF,),
        ),
        "tables beside": Reader(_tables_beside, SHEET_EDITS, in_file(*BESIDE), (PAIR,)),
        "cut table": Reader(_tables_beside, SHEET_EDITS, in_file("cut.tsv"), ((*PAIR, "--cut", "cut.tsv"),)),
        "markers": Reader(_tables_beside, SHEET_EDITS, in_file("markers.tsv"), ((*PAIR, "--markers", "markers.tsv"),)),
    }


def _artifact_readers(made: Callable[[Path], None]) -> dict[str, Reader]:
    return {
        "recording artifact": Reader(
            made,
            HDF5_OR_BYTES,
            in_file("recording.h5", apply=changed),
            (
                ("pipeline", "inspect", "recording.h5"),
                ("stage", "align", "--recording", "recording.h5", "--output", "o.h5"),
            ),
        ),
        "aligned artifact": Reader(
            made,
            HDF5_OR_BYTES,
            in_file("aligned.h5", apply=changed),
            (
                ("pipeline", "inspect", "aligned.h5", "--plot", "x.png"),
                ("stage", "mel", "--aligned", "aligned.h5", "--output", "o.h5"),
                ("stage", "window", "--aligned", "aligned.h5", "--output", "o.h5"),
            ),
        ),
        "mel artifact": Reader(
            made,
            HDF5_OR_BYTES,
            in_file("mel.h5", apply=changed),
            (
                ("pipeline", "inspect", "mel.h5", "--verify"),
                ("pipeline", "plot", "mel.h5", "--out", "x.png"),
                ("stage", "repeats", "--mel", "mel.h5", "--aligned", "aligned.h5", "--output", "o.h5"),
            ),
        ),
    }
