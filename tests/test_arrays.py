"""Array readers and the scan: a table of bad files, a table of valid oddities, blocks equal to the whole."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.config.ingest import IngestConfig
from pipeline.errors import InputError, Problem
from pipeline.raw.agreement import Durations, check_pair, duration_problems, outside_problems, rate_problems
from pipeline.raw.arrays import ArrayReader, open_audio, open_neural
from pipeline.raw.scan import AudioScan, NeuralReport, NeuralScan, silence_problems
from pipeline.raw.sheet import RecordingRow

RNG = np.random.default_rng(0)
NEURAL = (RNG.standard_normal((500, 4)) * 50).astype(np.float32)
SOUND = (RNG.standard_normal(8000) * 3000).astype(np.int16)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    head = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(head)) + head + data


def npz(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, array)
    return buffer.getvalue()


def wav(
    samples: np.ndarray, subtype: str = "PCM_16", rate_hz: int = 16000, kind: str = "WAV", endian: str = "FILE"
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, subtype, endian, kind)
    return buffer.getvalue()


class Attack:
    """Unpickling it would leave a file behind."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (os.mkdir, ("attacked",))


def problems_of(action: Callable[[], object]) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        action()
    for problem in caught.value.problems:
        assert problem.got
        assert problem.expected
        assert problem.fix
    return caught.value.problems


# --- bad files -----------------------------------------------------------------------------------------


def flac_from_a_pipe(samples: np.ndarray) -> bytes:
    """The 36 bits that hold the number of samples are 0, as an encoder leaves them that cannot go back."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 8000, format="FLAC")
    content = bytearray(buffer.getvalue())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


BAD_NEURAL: dict[str, tuple[bytes, dict[str, object], str, str]] = {
    # name: content, arguments, field, part of what was got
    "empty file": (b"", {}, "", "an empty file"),
    "a few bytes": (b"\x93N", {}, "format", "another format"),
    "magic only": (b"\x93NUMPY", {}, "header", "damaged"),
    "text": (b"1.0 2.0\n", {}, "format", "another format"),
    "npz renamed": (npz(NEURAL), {}, "format", ".npz"),
    "pickle renamed": (pickle.dumps(Attack()), {}, "format", "a pickle"),
    "object array": (npy(np.array([[Attack()], [None]], dtype=object)), {}, "dtype", "Python objects"),
    "HDF5 renamed": (b"\x89HDF\r\n\x1a\n" + bytes(100), {}, "format", "HDF5"),
    "cut in the data": (npy(NEURAL)[:-1], {}, "length", "the header claims"),
    "cut in the header": (npy(NEURAL)[:60], {}, "header", "damaged"),
    "trailing bytes": (npy(NEURAL) + b"\0", {}, "length", "1 bytes after"),
    "two arrays in a file": (npy(NEURAL) * 2, {}, "length", "after the array"),
    "claims 256 TB": (
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (274877906944, 128), }"),
        {},
        "length",
        "281474976710784",
    ),
    "negative length": (
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-5, 4), }"),
        {},
        "shape",
        "-5",
    ),
    "header runs code": (
        npy_header("{'descr': __import__('os').mkdir('attacked'), 'fortran_order': False, 'shape': (5, 4), }"),
        {},
        "header",
        "damaged",
    ),
    "header nests deep": (npy_header("(" * 100), {}, "header", "damaged"),
    "header without shape": (npy_header("{'descr': '<f8', 'fortran_order': False, }"), {}, "header", "damaged"),
    "header is binary": (npy_header("\0\1\2"), {}, "header", "damaged"),
    "unknown version": (npy_header("{}", version=b"\x09\x00"), {}, "header", "damaged"),
    "0-d": (npy(np.float32(3)), {}, "shape", "0 axes"),
    "1-d": (npy(NEURAL[:, 0]), {}, "shape", "1 axes"),
    "3-d": (npy(NEURAL[None]), {}, "shape", "3 axes"),
    "no samples": (npy(NEURAL[:0]), {}, "shape", "empty"),
    "no channels": (npy(NEURAL[:, :0]), {}, "shape", "empty"),
    "transposed": (npy(NEURAL.T), {}, "shape", "500 channels of 4 samples"),
    "transposed by declaration": (
        npy(np.zeros((5000, 4), np.float32)),
        {"layout": "channel_time"},
        "shape",
        "5000 channels of 4 samples",
    ),
    "complex": (npy(NEURAL.astype(complex)), {}, "dtype", "complex"),
    "bool": (npy(NEURAL > 0), {}, "dtype", "booleans"),
    "text array": (npy(NEURAL[:5].astype(str)), {}, "dtype", "text"),
    "bytes array": (npy(NEURAL[:5].astype("S")), {}, "dtype", "text"),
    "table": (npy(np.zeros((5, 2), [("a", "f4"), ("b", "i4")])), {}, "dtype", "mixed columns"),
    "dates": (npy(np.zeros((5, 2), "datetime64[s]")), {}, "dtype", "datetime64"),
    "int64": (npy(NEURAL.astype(np.int64)), {}, "dtype", "int64"),
    "uint8": (npy(NEURAL.astype(np.uint8)), {}, "dtype", "uint8"),
    "int16 without scale": (npy(NEURAL.astype(np.int16)), {}, "eeg_gain_uv", "int16 without scale"),
    "unknown unit": (npy(NEURAL), {"units": "Volt"}, "eeg_units", "Volt"),
    "gain and unit": (npy(NEURAL), {"units": "mV", "gain_uv": 0.1}, "eeg_units", "mV beside"),
}

BAD_AUDIO: dict[str, tuple[str, bytes, str | None, str, str]] = {
    # name: suffix, content, channel, field, part of what was got
    "mp3": (".mp3", b"ID3", None, "audio", ".mp3"),
    "no suffix": ("", wav(SOUND), None, "audio", "no suffix"),
    "zero-length npy": (".npy", npy(SOUND[:0]), None, "shape", "no sample"),
    "zero-length wav": (".wav", wav(SOUND[:0]), None, "length", "no sample"),
    "empty wav": (".wav", b"", None, "", "an empty file"),
    "text as wav": (".wav", b"not a sound at all, really", None, "format", "ormat"),
    "npy as wav": (".wav", npy(SOUND), None, "format", "ormat"),
    "wav as npy": (".npy", wav(SOUND), None, "format", "a WAV file"),
    "flac of unknown length": (".flac", flac_from_a_pipe(SOUND), None, "length", "a header that states none"),
    "cut wav": (".wav", wav(SOUND)[:-1001], None, "length", "the header claims 16000"),
    "cut RF64, of more than 4 GB": (".wav", wav(SOUND, kind="RF64")[:-1001], None, "length", "the header claims 16000"),
    "cut big-endian wav": (".wav", wav(SOUND, endian="BIG")[:-1001], None, "length", "the header claims 16000"),
    "wav of another format": (".wav", wav(SOUND, kind="AIFF"), None, "format", "AIFF"),
    "wav of a hole": (".wav", b"RIFF" + bytes(8 * 20_000) + wav(SOUND)[36:], None, "format", "without sound"),
    "wav without data": (".wav", wav(SOUND)[:36], None, "format", "without sound"),
    "stereo npy without a choice": (".npy", npy(np.stack([SOUND, SOUND], 1)), None, "audio_channel", "2 channels"),
    "stereo wav without a choice": (".wav", wav(np.stack([SOUND, SOUND], 1)), None, "audio_channel", "2 channels"),
    "stereo npy transposed": (".npy", npy(np.stack([SOUND, SOUND])), "left", "shape", "(2, 8000)"),
    "mono with a side": (".npy", npy(SOUND), "left", "audio_channel", "1 channels and audio_channel left"),
    "index beyond": (".npy", npy(np.stack([SOUND, SOUND], 1)), "2", "audio_channel", "audio_channel 2"),
    "five channels": (".npy", npy(np.stack([SOUND] * 5, 1)), "mean", "shape", "(8000, 5)"),
    "0-d": (".npy", npy(np.int16(3)), None, "shape", "0 axes"),
    "3-d": (".npy", npy(SOUND[None, :, None]), None, "shape", "3 axes"),
    "complex": (".npy", npy(SOUND.astype(complex)), None, "dtype", "complex"),
    "object": (".npy", npy(np.array([Attack()], dtype=object)), None, "dtype", "Python objects"),
    "cut npy": (".npy", npy(SOUND)[:-7], None, "length", "the header claims"),
}


@pytest.mark.parametrize("name", BAD_NEURAL)
def test_bad_neural_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, arguments, field, got = BAD_NEURAL[name]
    path = tmp_path / "eeg.npy"
    path.write_bytes(content)
    problems = problems_of(lambda: open_neural(path, **arguments))  # type: ignore[arg-type]
    assert [problem.field for problem in problems] == [field]
    assert got in problems[0].got
    assert [file.name for file in tmp_path.iterdir()] == ["eeg.npy"]


@pytest.mark.parametrize("name", BAD_AUDIO)
def test_bad_audio_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suffix, content, channel, field, got = BAD_AUDIO[name]
    path = tmp_path / f"sound{suffix}"
    path.write_bytes(content)
    problems = problems_of(lambda: open_audio(path, channel))
    assert [problem.field for problem in problems] == [field]
    assert got in problems[0].got
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_all_problems_of_a_file_at_once(tmp_path: Path) -> None:
    np.save(tmp_path / "eeg.npy", np.zeros((2, 3, 4), np.int16))
    problems = problems_of(lambda: open_neural(tmp_path / "eeg.npy", units="Volt"))
    assert [problem.field for problem in problems] == ["shape", "eeg_gain_uv", "eeg_units"]


@pytest.mark.parametrize("opener", [open_neural, open_audio])
def test_what_is_no_file_is_refused_at_once(opener: Callable[[Path], ArrayReader], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.npy")
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "loop.npy").symlink_to(tmp_path / "loop.npy")
    for name, got in (("fifo", "FIFO"), ("folder", "folder"), ("gone", "missing"), ("loop", "symbolic links")):
        (problem,) = problems_of(lambda name=name: opener(tmp_path / f"{name}.npy"))  # type: ignore[misc]
        assert got in problem.got


def test_a_cut_flac_is_an_error_not_a_short_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.flac", SOUND, 16000)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])

    def read_all() -> None:
        reader = open_audio(tmp_path / "cut.flac")
        reader.read(0, reader.n_samples)

    assert problems_of(read_all)


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "eeg.npy", NEURAL)
    reader = open_neural(tmp_path / "eeg.npy")
    os.truncate(tmp_path / "eeg.npy", 2000)
    (problem,) = problems_of(lambda: reader.read(0, 500))
    assert "shrank" in problem.got


# --- valid oddities ----------------------------------------------------------------------------------------

ODD_NEURAL: dict[str, tuple[np.ndarray, dict[str, object], float]] = {
    # name: array in the file, arguments, µV per unit of it
    "float32": (NEURAL, {"units": "uV"}, 1),
    "float64": (NEURAL.astype(float), {"units": "uV"}, 1),
    "float16": (NEURAL.astype(np.float16), {}, 1),
    "big-endian float": (NEURAL.astype(">f4"), {}, 1),
    "big-endian int": (NEURAL.astype(">i2"), {"gain_uv": 0.25}, 0.25),
    "int16": (NEURAL.astype(np.int16), {"gain_uv": 0.1, "units": "uV"}, 0.1),
    "int32 beyond float precision": (NEURAL.astype(np.int32) + 2**30, {"gain_uv": 1e-3}, 1e-3),
    "float with gain": (np.round(NEURAL), {"gain_uv": 0.5}, 0.5),
    "volts": (NEURAL * 1e-6, {"units": "V"}, 1e6),
    "Fortran order": (np.asfortranarray(NEURAL), {}, 1),
    "Fortran order, big-endian int": (np.asfortranarray(NEURAL.astype(">i2")), {"gain_uv": 2.0}, 2),
    "one channel": (NEURAL[:, :1], {}, 1),
    "one channel, Fortran order": (np.asfortranarray(NEURAL[:, :1]), {}, 1),
    "more channels than samples, as declared": (NEURAL[:500].reshape(20, 100), {"layout": "time_channel"}, 1),
    "channel first": (NEURAL.T.copy(), {"layout": "channel_time"}, 1),
    "channel first, Fortran order": (np.asfortranarray(NEURAL.T), {"layout": "channel_time"}, 1),
}


@pytest.mark.parametrize("name", ODD_NEURAL)
def test_neural_blocks_equal_the_whole(name: str, tmp_path: Path) -> None:
    array, arguments, scale = ODD_NEURAL[name]
    np.save(tmp_path / "eeg.npy", array)
    expected = (array.T if arguments.get("layout") == "channel_time" else array).astype(float) * scale
    with open_neural(tmp_path / "eeg.npy", **arguments) as reader:  # type: ignore[arg-type]
        assert (reader.n_samples, reader.n_channels) == expected.shape
        blocks = [reader.read(start, min(start + 77, len(expected))) for start in range(0, len(expected), 77)]
    assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=2e-7)


def test_units_are_micro_volts_only_where_declared(tmp_path: Path) -> None:
    np.save(tmp_path / "eeg.npy", NEURAL)
    arguments = ({}, {"units": "a.u."}, {"units": "mV"}, {"gain_uv": 2.0})
    units = [open_neural(tmp_path / "eeg.npy", **kwargs).units for kwargs in arguments]  # type: ignore[arg-type]
    assert units == ["a.u.", "a.u.", "uV", "uV"]


def test_npy_version_2_links_spaces_and_unicode(tmp_path: Path) -> None:
    target = tmp_path / "Größe, 脳 'x' $(y).npy"
    with target.open("wb") as file:
        np.lib.format.write_array(file, NEURAL, version=(2, 0))
    (tmp_path / "link.npy").symlink_to(target)
    with open_neural(tmp_path / "link.npy") as reader:
        np.testing.assert_array_equal(reader.read(0, 500), NEURAL)


STEREO = np.stack([SOUND, np.roll(SOUND, 1)], axis=1)
ODD_AUDIO: dict[str, tuple[np.ndarray, str | None, np.ndarray]] = {
    # name: array in the file, channel, expected samples
    "int16 stays": (SOUND, None, SOUND),
    "big-endian int16": (SOUND.astype(">i2"), None, SOUND),
    "float64": (SOUND / 32768, None, (SOUND / 32768).astype(np.float32)),
    "float16": ((SOUND / 32768).astype(np.float16), None, (SOUND / 32768).astype(np.float16).astype(np.float32)),
    "int32": (SOUND.astype(np.int32) * 65536, None, (SOUND / 32768).astype(np.float32)),
    "one column": (SOUND[:, None], None, SOUND),
    "one row": (SOUND[None], None, SOUND),
    "mono and mean": (SOUND, "mean", SOUND),
    "left": (STEREO, "left", STEREO[:, 0]),
    "right": (STEREO, "right", STEREO[:, 1]),
    "index": (STEREO, "1", STEREO[:, 1]),
    "mean": (STEREO, "mean", np.rint(STEREO.mean(axis=1)).astype(np.int16)),
    "Fortran order": (np.asfortranarray(STEREO), "right", STEREO[:, 1]),
}


@pytest.mark.parametrize("name", ODD_AUDIO)
def test_audio_blocks_equal_the_whole(name: str, tmp_path: Path) -> None:
    array, channel, expected = ODD_AUDIO[name]
    np.save(tmp_path / "sound.npy", array)
    with open_audio(tmp_path / "sound.npy", channel) as reader:
        assert (reader.n_samples, reader.n_channels, reader.rate_hz) == (8000, 1, None)
        blocks = [reader.read(start, min(start + 999, 8000)) for start in range(0, 8000, 999)]
    whole = np.concatenate(blocks)
    assert whole.dtype == expected.dtype
    np.testing.assert_array_equal(whole[:, 0], expected)


@pytest.mark.parametrize(
    ("suffix", "subtype", "dtype"),
    [
        (".wav", "PCM_16", np.int16),
        (".wav", "PCM_24", np.float32),
        (".wav", "FLOAT", np.float32),
        (".WAV", "PCM_16", np.int16),
        (".flac", "PCM_16", np.int16),
        (".flac", "PCM_24", np.float32),
    ],
)
def test_sound_files(suffix: str, subtype: str, dtype: type, tmp_path: Path) -> None:
    path = tmp_path / f"ein Ton{suffix}"
    soundfile.write(path, STEREO / 32768, 44100, subtype)
    with open_audio(path, "right") as reader:
        assert (reader.n_samples, reader.n_channels, reader.rate_hz) == (8000, 1, 44100)
        block = reader.read(100, 7000)
    assert block.dtype == dtype
    scale = 1 if dtype is np.int16 else 32768
    np.testing.assert_array_equal(block[:, 0] * scale, STEREO[100:7000, 1])


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "DOUBLE"])
def test_wav_files_of_all_kinds(kind: str, subtype: str, tmp_path: Path) -> None:
    (tmp_path / "sound.wav").write_bytes(wav(SOUND / 32768, subtype, kind=kind))
    with open_audio(tmp_path / "sound.wav") as reader:
        assert reader.n_samples == len(SOUND)
        scale = 1 if subtype == "PCM_16" else 32768
        np.testing.assert_allclose(reader.read(0, len(SOUND))[:, 0] * scale, SOUND, atol=1e-3)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A 2 GB file, mostly a hole, is read in blocks within 100 MB."""
    path = tmp_path / "big.npy"
    header = "{'descr': '<f4', 'fortran_order': %s, 'shape': (5000000, 100), }"
    for fortran in (False, True):
        path.write_bytes(npy_header(header % fortran))
        os.truncate(path, 128 + 4 * 500_000_000)
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open_neural(path) as reader:
            for start in range(0, reader.n_samples, 1_000_000):
                assert not reader.read(start, start + 20_000).any()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000


# --- the scan ------------------------------------------------------------------------------------------------


def _recording(n: int = 20_000, channels: int = 8) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal((n, channels)) * 50).astype(np.float32)


def _scan(array: np.ndarray, units: str = "uV", block: int = 1000, **config: object) -> NeuralReport:
    scan = NeuralScan(IngestConfig.model_validate(config), array.shape[1], 1000.0, units)
    for start in range(0, len(array), block):
        scan.update(array[start : start + block])
    return scan.finish("eeg.npy")


def _spoil(value: float, *places: tuple[slice, int]) -> np.ndarray:
    array = _recording()
    for place in places:
        array[place] = value
    return array


def test_a_good_recording_passes_untouched() -> None:
    array = _recording()
    report = _scan(array)
    assert (report.bad, report.gaps, report.problems) == ({}, (), ())
    np.testing.assert_allclose(report.sd, array.std(axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("array", "channel", "reason"),
    [
        (_spoil(0.0, (slice(None), 2)), 2, "flat"),
        (_spoil(7.5, (slice(None), 0)), 0, "flat"),
        (_spoil(3.0, (slice(0, 12_000), 5)), 5, "flat: 60 %"),
        (_spoil(np.nan, (slice(None), 3)), 3, "missing: 100 %"),
        (_spoil(np.nan, (slice(5000, 11_000), 3)), 3, "missing: 30 %"),
        (np.clip(_recording(), -1e9, [1e9] * 7 + [60]), 7, "clipped: 1"),
        (_recording() * ([1] * 7 + [1e5]), 7, "amplitude: SD 5.01e+06"),
        (_recording() * ([1] * 7 + [1e-5]), 7, "amplitude: SD 0.000501"),
    ],
)
@pytest.mark.parametrize("policy", ["reject", "interpolate", "mask"])
def test_one_bad_channel_is_marked_not_fatal(array: np.ndarray, channel: int, reason: str, policy: str) -> None:
    array = array.astype(np.float32)
    report = _scan(array, nan_policy=policy)
    assert report.problems == ()
    assert list(report.bad) == [channel]
    assert report.bad[channel].startswith(reason)
    report.repair(array)
    assert np.isfinite(array).all()


@pytest.mark.parametrize(
    ("array", "config", "field", "got"),
    [
        (_spoil(np.nan, (slice(100, 103), 1), (slice(100, 103), 2)), {}, "samples", "2 gaps"),
        (_spoil(np.inf, (slice(0, 1), 1)), {}, "samples", "channel 1, 0.000 to 0.001 s"),
        (_spoil(np.nan, (slice(100, 251), 1)), {"nan_policy": "interpolate"}, "samples", "1 long gaps"),
        (_recording() * 1e-6, {}, "amplitude", "4.99e-05 µV"),
        (_recording() * 1e-3, {}, "amplitude", "0.0499 µV"),
        (_recording() * 1e6, {}, "amplitude", "4.99e+07 µV"),
        (_spoil(0.0, *((slice(None), c) for c in range(5))), {}, "channels", "5 of 8 channels bad (5 flat)"),
        (np.zeros((2000, 8)), {}, "channels", "8 of 8 channels bad (8 flat)"),
        (np.full((2000, 8), np.nan), {"nan_policy": "mask"}, "channels", "8 missing"),
    ],
)
def test_a_bad_recording_is_refused(array: np.ndarray, config: dict[str, object], field: str, got: str) -> None:
    (problem,) = _scan(array.astype(np.float32), **config).problems
    assert problem.field == field
    assert got in problem.got


def test_the_fix_names_the_unit_that_fits() -> None:
    fixes = [_scan(_recording() * np.float32(factor)).problems[0].fix for factor in (1e-6, 1e-3, 1e3)]
    assert [fix.rstrip(".").rsplit(" ", 1)[-1] for fix in fixes] == ["V", "mV", "nV"]


def test_values_beyond_float32_are_bad() -> None:
    array = _recording() * ([1] * 7 + [1e36])
    array[::2, 6] *= 1e300
    with np.errstate(over="ignore"):
        report = _scan(array.astype(np.float32), units="a.u.")
    assert report.bad == {6: "missing: 50 % of the samples", 7: "amplitude: SD 5.01e+37 a.u."}


def test_features_may_repeat_and_rest_at_their_lowest() -> None:
    """Spike counts are mostly zero; at a raw recording's rate that would be a broken channel."""
    counts = np.random.default_rng(0).poisson(0.3, (2000, 3)).astype(np.float32)
    as_features, as_raw = (NeuralScan(IngestConfig(), 3, rate_hz, "a.u.") for rate_hz in (100.0, 1000.0))
    for scan in (as_features, as_raw):
        scan.update(counts)
    assert as_features.finish("x").bad == {}
    assert list(as_raw.finish("x").bad) == [0, 1, 2]


def test_arbitrary_units_have_no_amplitude_limits() -> None:
    assert _scan(_recording() * np.float32(1e-9), units="a.u.").problems == ()


@pytest.mark.parametrize("block", [1, 7, 64, 1000, 100_000])
def test_gaps_are_found_and_bridged_across_blocks(block: int) -> None:
    array = _recording(600, 4)
    array[0:3, 0] = array[597:, 0] = np.nan
    array[100:120, 1] = np.nan
    array[120:122, 2] = -np.inf
    array[63:64, 3] = np.nan
    whole = array.copy()
    report = _scan(array, block=block, nan_policy="interpolate")
    assert report.problems == ()
    spans = sorted((gap.channel, gap.start, gap.stop) for gap in report.gaps)
    assert spans == [(0, 0, 3), (0, 597, 600), (1, 100, 120), (2, 120, 122), (3, 63, 64)]
    report.repair(array)
    assert np.isfinite(array).all()
    np.testing.assert_allclose(array[99:121, 1], np.linspace(array[99, 1], array[120, 1], 22), rtol=1e-4, atol=1e-4)
    assert array[0, 0] == array[3, 0]
    assert array[599, 0] == array[596, 0]
    kept = np.isfinite(whole)
    np.testing.assert_array_equal(array[kept], whole[kept])


def test_statistics_do_not_depend_on_the_block_length() -> None:
    array = _spoil(np.nan, (slice(5, 9), 1), (slice(0, 4500), 2))
    array[:, 3] += 1e4
    reports = [_scan(array, block=block, nan_policy="mask") for block in (3, 1000, 50_000)]
    for report in reports[1:]:
        assert report.bad == reports[0].bad
        assert report.gaps == reports[0].gaps
        np.testing.assert_allclose(report.sd, reports[0].sd, rtol=1e-5)


def test_masked_gaps_become_annotations_of_good_channels() -> None:
    array = _spoil(np.nan, (slice(100, 150), 0), (slice(140, 200), 1), (slice(900, 910), 0), (slice(0, 9000), 4))
    report = _scan(array, nan_policy="mask")
    marks = report.missing_annotations(1000.0)
    assert marks.onset_s == (0.1, 0.9)
    assert marks.duration_s == pytest.approx((0.1, 0.01))
    assert all(text.startswith("BAD") for text in marks.description)
    assert _scan(array[:, :4], nan_policy="interpolate").missing_annotations(1000.0).onset_s == ()


def test_a_channel_torn_to_pieces_is_bad() -> None:
    array = _recording(200_000, 3)
    array[::9, 1] = np.nan
    report = _scan(array, block=20_000, nan_policy="mask")
    assert list(report.bad) == [1]
    assert "22223 gaps" in report.bad[1]
    report.repair(array)
    assert np.isfinite(array).all()


@pytest.mark.parametrize(
    ("samples", "got"),
    [
        (np.zeros(16000, np.int16), "silence"),
        (np.full(16000, 0.25, np.float32), "silence"),
        (np.ones(16000, np.int16), "silence"),
        (np.full(16000, np.nan, np.float32), "NaN"),
        (np.where(np.arange(16000) == 4000, np.inf, 0.1 * np.sin(np.arange(16000))), "first at 0.250 s"),
        (3000.0 * np.sin(np.arange(16000)), "a float peak of 3000"),
        (np.zeros(10, np.int16), "silence"),
    ],
)
def test_sound_that_cannot_be_used_is_refused(samples: np.ndarray, got: str) -> None:
    scan = AudioScan(IngestConfig(), 16000.0)
    samples = samples if samples.dtype == np.int16 else samples.astype(np.float32)
    for start in range(0, len(samples), 700):
        scan.update(samples[start : start + 700, None])
    silent = silence_problems("sound.npy", scan.finish(), IngestConfig())
    assert any(got in problem.got for problem in [*scan.problems("sound.npy"), *silent])


def test_usable_sound_passes() -> None:
    quiet_word = np.zeros(160_000, np.int16)
    quiet_word[80_000:84_000] = SOUND[:4000] // 30
    loud = np.sin(np.arange(16000)) * np.float32(1.05)
    for samples in (SOUND, quiet_word, loud.astype(np.float32), SOUND[:50]):
        scan = AudioScan(IngestConfig(), 16000.0)
        scan.update(samples[:, None])
        assert [*silence_problems("sound.npy", scan.finish(), IngestConfig()), *scan.problems("sound.npy")] == []


# --- both together -----------------------------------------------------------------------------------------------


def _pair(tmp_path: Path, neural_s: float, audio_s: float, suffix: str = ".npy", **row: object) -> list[Problem]:
    np.save(tmp_path / "eeg.npy", np.zeros((round(neural_s * 100), 2), np.float32))
    samples = np.zeros(round(audio_s * 8000), np.int16)
    if suffix == ".npy":
        np.save(tmp_path / "sound.npy", samples)
    else:
        soundfile.write(tmp_path / f"sound{suffix}", samples, 8000)
    given = dict(subject="a", recording="r", eeg="eeg.npy", eeg_rate_hz=100.0, audio="s", audio_rate_hz=8000.0) | row
    neural, audio = open_neural(tmp_path / "eeg.npy"), open_audio(tmp_path / f"sound{suffix}")
    return check_pair(RecordingRow(**given), neural, audio, 1.0, "recordings.tsv")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("neural_s", "audio_s", "row", "field", "in_fix"),
    [
        (120, 60, {}, "r, eeg_rate_hz", "eeg_rate_hz 200"),
        (2, 4, {}, "r, eeg_rate_hz", "eeg_rate_hz 50"),
        (60, 90, {}, "r, eeg_rate_hz", "duration_tolerance_s"),
        (60, 60, {"audio_offset_s": 61.0}, "r, audio_offset_s", "offset"),
        (60, 60, {"audio_offset_s": -60.5}, "r, audio_offset_s", "offset"),
        (900, 900, {"audio_rate_hz": 7812.5}, "r, eeg_rate_hz", "raise"),
        (307.2, 300, {}, "r, eeg_rate_hz", "eeg_rate_hz 102.4"),
        (65, 60, {}, "r, eeg_rate_hz", "raise ingest.duration_tolerance_s"),
    ],
)
def test_durations_that_contradict_the_rates(
    neural_s: float, audio_s: float, row: dict[str, object], field: str, in_fix: str, tmp_path: Path
) -> None:
    (problem,) = _pair(tmp_path, neural_s, audio_s, **row)
    assert problem.field == field
    assert in_fix in problem.fix


@pytest.mark.parametrize(
    ("neural_s", "audio_s", "row"),
    [
        (60, 60, {}),
        (61, 60, {}),
        (2.2, 2, {}),
        (603, 600, {}),
        (70, 40, {"audio_offset_s": 30.0}),
        (60, 68, {"audio_offset_s": -8.0}),
    ],
)
def test_durations_that_may_be(neural_s: float, audio_s: float, row: dict[str, object], tmp_path: Path) -> None:
    assert _pair(tmp_path, neural_s, audio_s, **row) == []


def test_a_wav_at_another_rate_than_declared(tmp_path: Path) -> None:
    (problem,) = _pair(tmp_path, 5, 5, ".wav", audio_rate_hz=16000.0)
    assert (problem.field, problem.got) == ("r, audio_rate_hz", "16000")
    assert _pair(tmp_path, 5, 5, ".wav") == []


def _trials(sound_s: list[float], neural_s: list[float]) -> list[Durations]:
    return [
        Durations(f"t{i}", 1000.0, long_s, 16000.0, 0.0, end_s)
        for i, (end_s, long_s) in enumerate(zip(sound_s, neural_s, strict=True))
    ]


SOUND_S = [2.0, 3.5, 5.0, 6.5, 8.0] * 10


@pytest.mark.parametrize(
    ("trials", "in_got"),
    [
        (_trials(SOUND_S, [1.024 * s for s in SOUND_S]), "2.4 % apart"),
        (_trials(SOUND_S, [1.024 * s + 0.4 for s in SOUND_S]), "2.4 % apart"),
        (_trials([4.0] * 50, [4.096] * 50), "2.4 % apart"),
    ],
    ids=["cut together", "recorded around each sound", "of one length"],
)
def test_a_rate_that_no_single_short_trial_betrays_shows_over_the_session(trials: list[Durations], in_got: str) -> None:
    assert not any(duration_problems([trial], 1.0, "recordings.tsv") for trial in trials)
    (problem,) = duration_problems(trials, 1.0, "recordings.tsv")
    assert "at 1000 Hz" in problem.got
    assert "at 16000 Hz" in problem.got
    assert in_got in problem.got


def test_brain_recorded_around_each_sound_is_no_other_rate() -> None:
    rng = np.random.default_rng(0)
    around = [s + 0.8 + rng.normal(0, 0.05) for s in SOUND_S]
    assert duration_problems(_trials(SOUND_S, around), 1.0, "recordings.tsv") == []
    assert duration_problems(_trials([4.1] * 50, [4.35] * 50), 1.0, "recordings.tsv") == []


def test_a_rate_that_a_table_contradicts() -> None:
    assert rate_problems("s.tsv", "r", 1024.0, {"channels.tsv (A)": 1024.4, "channels.tsv (B)": float("nan")}) == []
    (problem,) = rate_problems("s.tsv", "r", 1000.0, {"channels.tsv (A)": 1024.0, "channels.tsv (B)": 1024.0})
    assert (problem.got, problem.expected) == ("1000 Hz", "the 1024 Hz of channels.tsv (A) (2 such rows)")


@pytest.mark.parametrize(
    ("onsets", "in_got"),
    [
        ([-1.0, 2.0, 61.0, 70.0], "3 of 4 events outside, the first at -1"),
        ([400.0, 8000.0, 59000.0], "3 of 3 events outside, the first at 400; they look like milliseconds"),
    ],
)
def test_events_outside_the_sound_are_counted(onsets: list[float], in_got: str) -> None:
    (problem,) = outside_problems("events.tsv", onsets, 60.0)
    assert problem.got == in_got
    assert outside_problems("events.tsv", [-0.02, 30.0, 60.04], 60.0) == []
