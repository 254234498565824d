"""Import of sessions: folders of trials, tables of markers, XDF, BIDS roots, the layout of SingleWordProductionDutch.

BIDS roots are written by mne-bids, NWB by pynwb, and XDF by a writer of a few lines that follows the format's
specification; every sample, clock and table is compared with what went in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from imports import imported, load
from pipeline.cli import main
from pipeline.errors import InputError
from pipeline.importing.trials import compiled
from pipeline.raw.bids import read_channels, read_electrodes, read_events
from pipeline.raw.sheet import RecordingRow, read_sheet

RNG = np.random.default_rng(0)
EMG_HZ, SOUND_HZ = 600, 8000
LENGTHS_S = (2.0, 3.5, 2.5, 4.0)
NO_MNE_BIDS = "mne-bids is not installed: pip install mne-bids"
NO_PYXDF = "pyxdf is not installed: pip install pyxdf"


def events(row: RecordingRow) -> list[tuple[float, float, str]]:
    path = row.path("events")
    assert path
    found = read_events(path)
    return list(zip(found.onset_s, found.duration_s, found.label, strict=True))


# --- a folder of trials ---------------------------------------------------------------------------------

PATTERN = "{subject}_{session}_{trial}_emg.npy"
DECLARED = ["--eeg-rate", "600", "--sound-rate", "8000", "--gain-uv", "0.5", "--modality", "emg"]


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    """Two sessions of four utterances: integers, sound, and words of each in files of one name."""
    folder = tmp_path / "trials"
    folder.mkdir()
    for session in ("001", "002"):
        for trial, length_s in enumerate(LENGTHS_S):
            stem = folder / f"s2_{session}_{trial:04d}"
            np.save(f"{stem}_emg.npy", RNG.integers(-999, 999, (round(length_s * EMG_HZ), 3)).astype(np.int16))
            np.save(f"{stem}_audio.npy", RNG.integers(-999, 999, round(length_s * SOUND_HZ)).astype(np.int16))
            Path(f"{stem}_events.tsv").write_text(f"onset\tduration\ttrial_type\n0.5\t0.3\tword{trial}\n")
    return folder


def command(trials: Path, out: Path, *more: str) -> list[str]:
    return ["import", str(trials), "--out", str(out), "--pattern", PATTERN, *DECLARED, *more]


def test_trials_of_a_pattern_become_sessions(trials: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "raw"
    assert main(command(trials, out)) == 0
    shown = capsys.readouterr().out
    assert "session s2_001 (subject s2): 4 trials, 2.0 to 4.0 s, median 3.0 s" in shown
    assert "s2_001_0000_emg.npy + s2_001_0000_audio.npy" in shown
    assert "muscle 3 channels" in shown
    assert "ASSUMED 0 s" in shown
    assert "add --yes" in shown
    assert not out.exists()
    assert main(command(trials, out, "--yes")) == 0
    rows = read_sheet(out / "recordings.tsv")
    assert [r.session_name for r in rows] == ["s2_001"] * 4 + ["s2_002"] * 4
    assert [r.recording for r in rows[:2]] == ["s2_001_0000", "s2_001_0001"]
    assert {(r.modality, r.audio_offset_from, r.audio_offset_s) for r in rows} == {("emg", "assumed", 0.0)}
    for row in rows:
        source = np.load(trials / f"{row.recording}_emg.npy")
        np.testing.assert_array_equal(load(row, "eeg"), source * np.float32(0.5))
        np.testing.assert_array_equal(load(row, "audio"), np.load(trials / f"{row.recording}_audio.npy"))
    assert events(rows[5]) == [(0.5, 0.3, "word1")]
    assert {r.channels for r in rows} == {"s2_001_0000_channels.tsv"}, "equal tables are one file"


def test_text_and_start_come_from_the_table_of_trials(trials: Path, tmp_path: Path) -> None:
    lines = ["session\ttrial\ttext\tstart_s"]
    lines += [f"{s}\t{t:04d}\tsentence {t}\t{10 * t}" for s in ("001", "002") for t in range(4)]
    (tmp_path / "trials.tsv").write_text("\n".join(lines))
    rows = imported(
        trials, tmp_path / "raw", pattern=PATTERN, trials=tmp_path / "trials.tsv", eeg_rate="600", sound_rate="8000",
        gain_uv=1.0, offset_s=0.1, modality="emg",
    )  # fmt: skip
    assert [(r.text, r.start_s) for r in rows[:4]] == [(f"sentence {t}", 10.0 * t) for t in range(4)]
    assert {(r.audio_offset_s, r.audio_offset_from) for r in rows} == {(0.1, "declared")}
    assert events(rows[0])[0][0] == pytest.approx(0.4), "events of a table beside the array are on its clock"


def test_one_table_of_markers_over_many_sounds(trials: Path, tmp_path: Path) -> None:
    lines = ["file\tonset\tduration\tlabel", "s2_001_0000_audio.npy\t1.0\t0.2\tja", "s2_001_0000_audio\t0.1\t0.2\tnee"]
    lines += [f"s2_{s}_{t:04d}_audio.npy\t0.7\tn/a\tlast" for s in ("001", "002") for t in range(4)]
    table = tmp_path / "markers.tsv"
    table.write_text("\n".join(lines))
    options = {"pattern": PATTERN, "eeg_rate": "600", "sound_rate": "8000", "gain_uv": 1.0, "markers": table}
    options["modality"] = "emg"
    rows = imported(trials, tmp_path / "raw", event_duration="0.25", events_are="cue", **options)
    assert events(rows[0]) == [(0.1, 0.2, "nee"), (0.7, 0.25, "last"), (1.0, 0.2, "ja")]
    assert events(rows[7]) == [(0.7, 0.25, "last")]
    assert {r.events_are for r in rows} == {"cue"}
    with pytest.raises(InputError) as refused:
        table.write_text(table.read_text().replace("0.7", "0,7"))
        imported(trials, tmp_path / "raw2", **options)
    (problem,) = refused.value.problems
    assert (problem.file, problem.field) == (str(table), "row 4 and 7 more, onset")
    assert problem.fix == "Write a point in place of the decimal comma."
    table.write_text(table.read_text().replace("0,7", "0.7") + "\nother.wav\t1\t1\tx\nother.wav\t2\t1\ty\n")
    with pytest.raises(InputError, match=r"2 markers of 1 other files \(other.wav"):
        imported(trials, tmp_path / "raw2", **options)


def test_a_pattern_reads_paths_and_other_formats(tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio", reason="edfio is not installed: pip install edfio")
    pytest.importorskip("mne", reason="mne is not installed: pip install mne")
    for trial in (1, 2):
        folder = tmp_path / f"lab/anna/day-7/{trial}"
        folder.mkdir(parents=True)
        values = RNG.normal(0, 50, 3 * 500)
        edfio.Edf([edfio.EdfSignal(values, 500, label="LA1", physical_dimension="uV")]).write(folder / "brain.edf")
        soundfile.write(folder / "voice.wav", RNG.integers(-999, 999, 3 * 8000).astype(np.int16), 8000)
    names = {"pattern": "{subject}/day-{session}/{trial}/brain.edf", "sound": "{subject}/day-{session}/{trial}/*.wav"}
    rows = imported(tmp_path / "lab", tmp_path / "raw", **names)
    assert [(r.subject, r.session, r.recording) for r in rows] == [("anna", "7", "anna_7_1"), ("anna", "7", "anna_7_2")]
    np.testing.assert_array_equal(load(rows[1], "audio"), soundfile.read(folder / "voice.wav", dtype="int16")[0])


@pytest.mark.parametrize(
    ("pattern", "name", "fields"),
    [
        ("{subject}_{session}_{trial}.npy", "s2_001_0100.npy", {"subject": "s2", "session": "001", "trial": "0100"}),
        ("{subject}_{session}_{trial}.npy", "s2_001_0100_emg.npy", None),
        ("sub-{subject}_{trial}_*.edf", "sub-01_3_a_b.edf", {"subject": "01", "trial": "3"}),
        ("{subject}/{subject}_{trial}.npy", "a/a_1.npy", {"subject": "a", "trial": "1"}),
        ("{subject}/{subject}_{trial}.npy", "a/b_1.npy", None),
        ("{trial}(x).npy", "7(x).npy", {"trial": "7"}),
    ],
)
def test_patterns(pattern: str, name: str, fields: dict[str, str] | None) -> None:
    match = compiled(pattern, "--pattern").fullmatch(name)
    assert (match.groupdict() if match else None) == fields


def test_a_name_that_says_emg_asks_for_the_modality_and_many_files_are_one_line(
    trials: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["import", str(trials), "--out", str(tmp_path / "raw")]
    assert main(folder) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "s2_001_0000_emg.npy and 7 more files[--eeg-rate]: got no rate" in line
    rates = ["--eeg-rate", "600", "--sound-rate", "8000", "--gain-uv", "0.5"]
    assert main([*folder, *rates]) == 2
    assert "got emg in the name, expected what was recorded. Fix: State it: --modality emg" in capsys.readouterr().err


def two_sounds(trials: Path) -> None:
    np.save(trials / "s2_001_0000_mic.npy", np.zeros(16000, np.int16))


def no_sound(trials: Path) -> None:
    (trials / "s2_001_0003_audio.npy").unlink()


def another_channel_count(trials: Path) -> None:
    np.save(trials / "s2_001_0001_emg.npy", np.zeros((2100, 4), np.int16))


def events_in_ms(trials: Path) -> None:
    for path in trials.glob("s2_001_*_events.tsv"):
        path.write_text("onset\tduration\ttrial_type\n1500\t300\tword\n700\t200\tword\n")


def decimal_commas(trials: Path) -> None:
    for path in trials.glob("*_events.tsv"):
        path.write_text("onset\tduration\tlabel\n" + "".join(f"1,{n}\t0,1\tword\n" for n in range(9)))


def semicolons(trials: Path) -> None:
    (trials / "s2_001_0000_events.tsv").write_text("\ufeffonset;duration;label\r\n0,5;0,1;word\r\n")


def rate_of_a_sidecar(trials: Path) -> None:
    (trials / "s2_002_0002_emg.json").write_text('{"SamplingFrequency": 625}')


@pytest.mark.parametrize(
    ("spoil", "more", "said"),
    [
        (two_sounds, [], "several for s2_001_0000_emg.npy"),
        (no_sound, [], "none for 1 of 8 trials (s2_001_0003_emg.npy)"),
        (another_channel_count, [], "also ch004"),
        (events_in_ms, [], "2 of 2 events outside, the first at 1500; they look like milliseconds"),
        (
            decimal_commas,
            ["--dry-run"],
            "s2_001_0000_events.tsv and 7 more files[row 2 and 8 more, onset]: got 1,0",
        ),
        (semicolons, ["--dry-run"], "s2_001_0000_events.tsv[header]: got semicolons between columns, expected tabs"),
        (rate_of_a_sidecar, [], "got 600 Hz, expected the 625 Hz of s2_002_0002_emg.json"),
        (None, ["--eeg-rate", "1200"], "eeg_rate_hz 600 would fit the sound"),
        (None, ["--pattern", "{subject}_{day}_{trial}_emg.npy"], "{day}, expected one of {subject}"),
        (None, ["--pattern", "{subject}.npy"], "a pattern with {trial}"),
        (None, ["--pattern", "{trial}.edf"], "a pattern that fits the files, such as s2_001_0000_"),
        (None, ["--sound", "{subject}_{trial}_audio.npy"], "none for"),
        (None, ["--event-duration", "long"], "seconds, or next"),
        (None, ["--offset-s", "60"], "1 of 1 events outside, the first at -59.5"),
        (None, ["--session", "a b/c", "--trials", "missing.tsv"], "missing.tsv"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or (" ".join(value) if isinstance(value, list) else ""),
)
def test_what_is_wrong_with_trials_ends_with_2_and_writes_nothing(
    trials: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None] | None,
    more: list[str],
    said: str,
) -> None:
    if spoil:
        spoil(trials)
    before = sorted(tmp_path.rglob("*"))
    assert main(command(trials, tmp_path / "raw", "--yes", *more)) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_events_outside_the_sound_can_be_left_out(
    trials: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trials / "s2_001_0000_events.tsv").write_text("onset\tduration\ttrial_type\n0.5\t0.3\ta\n2.5\t0.3\tb\n")
    assert main(command(trials, tmp_path / "raw", "--yes")) == 2
    assert main(command(trials, tmp_path / "raw", "--yes", "--drop-outside")) == 0
    assert "(1 outside the sound left out)" in capsys.readouterr().out
    assert events(read_sheet(tmp_path / "raw/recordings.tsv")[0]) == [(0.5, 0.3, "a")]


# --- XDF --------------------------------------------------------------------------------------------------


def _chunk(tag: int, content: bytes) -> bytes:
    return b"\x08" + struct.pack("<Q", len(content) + 2) + struct.pack("<H", tag) + content


def _header(
    name: str, kind: str, values: np.ndarray | list[str], rate_hz: float, channels: list[tuple[str, ...]]
) -> str:
    if isinstance(values, list):
        text, n_channels = "string", 1
    else:
        text, n_channels = {"float32": "float32", "int16": "int16"}[values.dtype.name], values.shape[1]
    listed = "".join(f"<channel><label>{n}</label><type>{t}</type><unit>{u}</unit></channel>" for n, t, u in channels)
    return (
        f'<?xml version="1.0"?><info><name>{name}</name><type>{kind}</type><channel_count>{n_channels}</channel_count>'
        f"<nominal_srate>{rate_hz}</nominal_srate><channel_format>{text}</channel_format><hostname>{name}-pc</hostname>"
        f"<desc><channels>{listed}</channels></desc></info>"
    )


def _samples(values: np.ndarray | list[str], stamps: np.ndarray) -> bytes:
    parts = [b"\x04" + struct.pack("<I", len(stamps))]
    for value, stamp in zip(values, stamps, strict=True):
        parts.append(b"\x08" + struct.pack("<d", stamp))
        if isinstance(value, str):
            text = value.encode()
            parts.append(b"\x04" + struct.pack("<I", len(text)) + text)
        else:
            parts.append(value.tobytes())
    return b"".join(parts)


def write_xdf(path: Path, streams: list[dict[str, Any]]) -> None:
    """An XDF file (https://github.com/sccn/xdf/wiki/Specifications): a clock of its own for each stream, ahead of the
    recorder's by ``ahead_s``, as measured every 5 s."""
    parts = [b"XDF:", _chunk(1, b'<?xml version="1.0"?><info><version>1.0</version></info>')]
    for number, stream in enumerate(streams, start=1):
        own = struct.pack("<I", number)
        values, stamps = stream["values"], stream["stamps"] + stream["ahead_s"]
        header = _header(stream["name"], stream["type"], values, stream["rate_hz"], stream.get("channels", []))
        parts.append(_chunk(2, own + header.encode()))
        for start in range(0, len(stamps), 500):
            stop = min(start + 500, len(stamps))
            parts.append(_chunk(3, own + _samples(values[start:stop], stamps[start:stop])))
        if stream.get("measured", True):
            for at_s in np.arange(stamps[0], stamps[-1] + 5, 5.0):
                parts.append(_chunk(4, own + struct.pack("<dd", at_s, -stream["ahead_s"])))
        parts.append(_chunk(6, own + b'<?xml version="1.0"?><info></info>'))
    path.write_bytes(b"".join(parts))


XDF_HZ = 500
XDF_EEG = RNG.normal(0, 50, (XDF_HZ * 20, 3)).astype(np.float32)
XDF_SOUND = RNG.integers(-3000, 3000, (8000 * 20, 1)).astype(np.int16)


@pytest.fixture
def streams() -> list[dict[str, Any]]:
    """An amplifier 20 ppm fast, a microphone that starts 0.75 s later, markers; each on a computer of its own."""
    labels = [("LA1", "SEEG", "microvolts"), ("LA2", "SEEG", "microvolts"), ("TRIG", "TRIG", "n/a")]
    amplifier_hz = XDF_HZ * (1 + 20e-6)
    return [
        {
            "name": "Amp", "type": "EEG", "values": XDF_EEG, "rate_hz": XDF_HZ, "channels": labels,
            "stamps": 100.0 + np.arange(len(XDF_EEG)) / amplifier_hz, "ahead_s": 3000.0,
        },
        {
            "name": "Mic", "type": "Audio", "values": XDF_SOUND, "rate_hz": 8000,
            "stamps": 100.75 + np.arange(len(XDF_SOUND)) / 8000, "ahead_s": -50.0,
        },
        {
            "name": "Markers", "type": "Markers", "values": ["begin", "word: één", "word: twee", "end"], "rate_hz": 0,
            "stamps": np.array([99.0, 104.0, 106.5, 130.0]), "ahead_s": 12.0,
        },
    ]  # fmt: skip


XDF = {"neural": "Amp", "sound": "Mic", "words": "Markers", "words_match": "word: (.*)", "modified": "none"}


def test_xdf_streams_lie_on_one_clock(streams: list[dict[str, Any]], tmp_path: Path) -> None:
    pytest.importorskip("pyxdf", reason=NO_PYXDF)
    write_xdf(tmp_path / "s1_run1.xdf", streams)
    (row,) = imported(tmp_path / "s1_run1.xdf", tmp_path / "raw", event_duration="next", **XDF)
    assert (row.eeg_rate_hz, row.audio_rate_hz, row.eeg_units) == (XDF_HZ, 8000, "uV")
    assert row.audio_offset_from == "file"
    assert row.audio_drift_ppm == pytest.approx(20, abs=0.1)
    eeg, sound = load(row, "eeg"), load(row, "audio")
    first = int(np.ceil(0.75 * XDF_HZ * (1 + 20e-6)))
    np.testing.assert_array_equal(eeg, XDF_EEG[first : first + len(eeg), :2])
    np.testing.assert_array_equal(sound, XDF_SOUND[: len(sound), 0])
    # The amplifier ends at 100 + 20 s by its own clock; the first sample kept is the first in the sound's time.
    starts_s = 100.0 + first / (XDF_HZ * (1 + 20e-6))
    assert row.audio_offset_s == pytest.approx((100.75 - starts_s) * (1 + 20e-6), abs=2e-6)
    assert len(eeg) == len(XDF_EEG) - first
    end_s = 100.0 + (len(XDF_EEG) - 1) / (XDF_HZ * (1 + 20e-6))
    assert len(sound) == int((end_s - 100.75) * 8000) + 1
    assert read_channels(row.path("channels")).name == ("LA1", "LA2")  # type: ignore[arg-type]
    found = events(row)
    assert [label for _, _, label in found] == ["één", "twee"]
    assert [onset for onset, _, _ in found] == pytest.approx([3.25, 5.75], abs=1e-4)
    assert [duration for _, duration, _ in found] == pytest.approx([2.5, 0.0], abs=1e-4)


def test_an_xdf_lists_its_streams_until_they_are_named(streams: list[dict[str, Any]], tmp_path: Path) -> None:
    pytest.importorskip("pyxdf", reason=NO_PYXDF)
    write_xdf(tmp_path / "s1.xdf", streams)
    with pytest.raises(InputError, match=r"1: Amp \(EEG, 3 × 500 Hz\); 2: Mic \(Audio, 1 × 8000 Hz\); 3: Markers"):
        imported(tmp_path / "s1.xdf", tmp_path / "raw")
    (row,) = imported(tmp_path / "s1.xdf", tmp_path / "raw", neural="1", drop=("LA2",))
    assert row.audio is None
    np.testing.assert_array_equal(load(row, "eeg"), XDF_EEG[:, :1])


def gap(streams: list[dict[str, Any]]) -> None:
    streams[0]["stamps"][6000:] += 3.0


def wrong_nominal_rate(streams: list[dict[str, Any]]) -> None:
    streams[0]["rate_hz"] = 512


def unlinked(streams: list[dict[str, Any]]) -> None:
    streams[1]["measured"] = False


def two_of_a_name(streams: list[dict[str, Any]]) -> None:
    streams[1]["name"] = "Amp"


def never_together(streams: list[dict[str, Any]]) -> None:
    streams[1]["stamps"] += 1000


def empty_stream(streams: list[dict[str, Any]]) -> None:
    streams[1] |= {"values": XDF_SOUND[:0], "stamps": np.zeros(0), "measured": False}


@pytest.mark.parametrize(
    ("spoil", "options", "said"),
    [
        (gap, {}, "1 gaps, the first after 11.998 s"),
        (wrong_nominal_rate, {}, "got 512 Hz, expected the 500.01 Hz of the time stamps"),
        (unlinked, {}, "Amp-pc and Mic-pc without clock offsets"),
        (two_of_a_name, {}, "2 streams called Amp"),
        (never_together, {}, "no common time of Amp and Mic"),
        (empty_stream, {}, "a stream without a sample"),
        (None, {"neural": "Markers"}, "a stream of numbers at one rate"),
        (None, {"words_match": "word: .*|begin"}, "1 of 3 events outside, the first at -1.75"),
        (None, {"words_match": "("}, "a regular expression"),
        (None, {"sound": "Nothing"}, "0 streams called Nothing"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value) if isinstance(value, dict) else ""),
)
def test_what_is_wrong_with_an_xdf_ends_with_2_and_writes_nothing(
    streams: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[list[dict[str, Any]]], None] | None,
    options: dict[str, str],
    said: str,
) -> None:
    pytest.importorskip("pyxdf", reason=NO_PYXDF)
    if spoil:
        spoil(streams)
    write_xdf(tmp_path / "s1.xdf", streams)
    flags = [part for name, text in {**XDF, **options}.items() for part in (f"--{name.replace('_', '-')}", text)]
    assert main(["import", str(tmp_path / "s1.xdf"), "--out", str(tmp_path / "raw"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["s1.xdf"]


@pytest.mark.parametrize("cut", [3, 40, 400, 5000])
def test_a_damaged_xdf_is_refused_or_read_as_far_as_it_goes(
    streams: list[dict[str, Any]], tmp_path: Path, cut: int
) -> None:
    pytest.importorskip("pyxdf", reason=NO_PYXDF)
    write_xdf(tmp_path / "whole.xdf", streams)
    (tmp_path / "s1.xdf").write_bytes((tmp_path / "whole.xdf").read_bytes()[:cut])
    flags = [part for name, text in XDF.items() for part in (f"--{name.replace('_', '-')}", text)]
    assert main(["import", str(tmp_path / "s1.xdf"), "--out", str(tmp_path / "raw"), *flags]) == 2
    assert not (tmp_path / "raw").exists()


# --- BIDS roots -----------------------------------------------------------------------------------------------


BIDS_UV = RNG.normal(0, 50, (5000, 4))


def write_bids(root: Path, kind: str = "EDF", datatype: str = "ieeg") -> None:
    """A subject with two sessions of two runs and one of another, as mne-bids writes it; sound in ``beh``."""
    mne = pytest.importorskip("mne", reason="mne is not installed: pip install mne")
    mne_bids = pytest.importorskip("mne_bids", reason=NO_MNE_BIDS)
    pytest.importorskip("edfio", reason="edfio is not installed: pip install edfio")
    pytest.importorskip("pybv", reason="pybv is not installed: pip install pybv")
    types = {"ieeg": ["seeg", "seeg", "seeg", "ecg"], "eeg": ["eeg"] * 3 + ["ecg"]}[datatype]
    names = ["LA1", "LA2", "RB1", "EKG"]
    for number, (subject, session, run) in enumerate(
        [("01", "1", "1"), ("01", "1", "2"), ("01", "2", "1"), ("02", "1", "1")]
    ):
        info = mne.create_info(names, 500, types)
        info["line_freq"] = 50
        raw = mne.io.RawArray((BIDS_UV.T + 100 * number) * 1e-6, info, verbose="ERROR")
        raw.info["bads"] = ["LA2"] if run == "1" else []
        raw.set_annotations(mne.Annotations([1.0, 4.0], [0.5, 0.5], ["ja", "nee"]))
        places = {n: np.array([i, 2.0, 3.0]) * 1e-3 for i, n in enumerate(names[:3])}
        raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="mni_tal"))
        path = mne_bids.BIDSPath(subject=subject, session=session, run=run, task="talk", datatype=datatype, root=root)
        mne_bids.write_raw_bids(
            raw, path, format=kind, allow_preload=True, overwrite=True, verbose="ERROR",
        )  # fmt: skip
        folder = root / f"sub-{subject}/ses-{session}/beh"
        folder.mkdir(exist_ok=True)
        sound = RNG.integers(-3000, 3000, 80000).astype(np.int16)
        soundfile.write(folder / f"sub-{subject}_ses-{session}_task-talk_run-{run}_audio.wav", sound, 8000)


@pytest.mark.filterwarnings("ignore:Fiducial point nasion")
@pytest.mark.parametrize("kind", ["EDF", "BrainVision"])
def test_a_bids_root_with_mne_bids(tmp_path: Path, kind: str) -> None:
    write_bids(tmp_path / "set", kind)
    rows = imported(tmp_path / "set", tmp_path / "raw", modified="none", events_are="voice")
    assert [(r.subject, r.session, r.recording) for r in rows] == [
        ("sub-01", "1", "sub-01_ses-1_task-talk_run-1"), ("sub-01", "1", "sub-01_ses-1_task-talk_run-2"),
        ("sub-01", "2", "sub-01_ses-2_task-talk_run-1"), ("sub-02", "1", "sub-02_ses-1_task-talk_run-1"),
    ]  # fmt: skip
    for number, row in enumerate(rows):
        np.testing.assert_allclose(load(row, "eeg"), BIDS_UV[:, :3] + 100 * number, atol=0.02)
        sound = tmp_path / f"set/{row.subject}/ses-{row.session}/beh/{row.recording}_audio.wav"
        np.testing.assert_array_equal(load(row, "audio"), soundfile.read(sound, dtype="int16")[0])
        assert [(o, d, label) for o, d, label in events(row)] == [(1.0, 0.5, "ja"), (4.0, 0.5, "nee")]
        assert (row.modality, row.events_are, row.task) == ("ieeg", "voice", "talk")
    channels = [read_channels(row.path("channels")) for row in rows]  # type: ignore[arg-type]
    assert channels[0].status == ("good", "bad", "good")
    assert channels[1].status == ("good", "good", "good")
    assert read_electrodes(rows[0].path("electrodes")).name[:3] == ("LA1", "LA2", "RB1")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:Fiducial point nasion")
def test_tables_are_inherited_and_rates_of_the_sidecar_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bids(tmp_path / "set", "BrainVision")
    (tmp_path / "set/sub-02/ses-1/ieeg/sub-02_ses-1_task-talk_run-1_channels.tsv").unlink()
    names = (
        "name\ttype\tunits\tstatus\nLA1\tSEEG\tµV\tgood\nLA2\tSEEG\tµV\tgood\nRB1\tMISC\tµV\tgood\nEKG\tECG\tµV\tn/a\n"
    )
    (tmp_path / "set/sub-02/sub-02_channels.tsv").write_text(names)
    rows = imported(tmp_path / "set", tmp_path / "raw")
    assert read_channels(rows[3].path("channels")).name == ("LA1", "LA2")  # type: ignore[arg-type]
    for sidecar in tmp_path.glob("set/sub-01/ses-2/ieeg/*_ieeg.json"):
        sidecar.write_text(sidecar.read_text().replace('"SamplingFrequency": 500.0', '"SamplingFrequency": 512.0'))
    assert main(["import", str(tmp_path / "set"), "--out", str(tmp_path / "raw2")]) == 2
    assert "got 500 Hz, expected the 512 Hz of sub-01_ses-2_task-talk_run-1_ieeg.json" in capsys.readouterr().err
    assert not (tmp_path / "raw2").exists()


@pytest.mark.filterwarnings("ignore:Fiducial point nasion")
def test_scans_say_when_runs_began(tmp_path: Path) -> None:
    write_bids(tmp_path / "set", "BrainVision")
    scans = tmp_path / "set/sub-01/ses-1/sub-01_ses-1_scans.tsv"
    runs = [f"ieeg/sub-01_ses-1_task-talk_run-{run}_ieeg.vhdr" for run in (1, 2)]
    scans.write_text(f"filename\tacq_time\n{runs[1]}\t1925-01-01T10:02:30.5\n{runs[0]}\t1925-01-01T10:00:00\n")
    rows = imported(tmp_path / "set", tmp_path / "raw")
    assert [r.start_s for r in rows] == [0.0, 150.5, None, None]
    scans.write_text(scans.read_text().replace("1925-01-01T10:02:30.5", "half past ten"))
    with pytest.raises(InputError, match="acq_time]: got half past ten"):
        imported(tmp_path / "set", tmp_path / "raw2")


@pytest.mark.filterwarnings("ignore:Fiducial point nasion")
def test_the_modality_is_that_of_the_folder(tmp_path: Path) -> None:
    write_bids(tmp_path / "set", "BrainVision", "eeg")
    rows = imported(tmp_path / "set", tmp_path / "raw")
    assert {row.modality for row in rows} == {"eeg"}
    write_bids(tmp_path / "set", "BrainVision")
    with pytest.raises(InputError, match="recordings of eeg and ieeg"):
        imported(tmp_path / "set", tmp_path / "raw2")
    assert len(imported(tmp_path / "set", tmp_path / "raw2", modality="ieeg")) == 4


@pytest.mark.parametrize(("package", "ending"), [("pyxdf", ".xdf"), ("mne_bids", ".vhdr")], ids=["xdf", "bids"])
def test_without_the_package_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, ending: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    (tmp_path / f"set/a{ending}").parent.mkdir()
    (tmp_path / f"set/a{ending}").write_bytes(b"XDF:")
    (tmp_path / "set/dataset_description.json").write_text("{}")
    with pytest.raises(InputError, match="pip install"):
        imported(tmp_path / "set", tmp_path / "raw")


# --- SingleWordProductionDutch ------------------------------------------------------------------------------

DUTCH_HZ, DUTCH_SOUND_HZ, DUTCH_S = 1024, 48000, 12
DUTCH_EEG = RNG.normal(0, 50, (DUTCH_HZ * DUTCH_S, 5))
DUTCH_SOUND = RNG.integers(-3000, 3000, DUTCH_SOUND_HZ * DUTCH_S).astype(np.int16)


def write_dutch(root: Path) -> None:
    """A made-up copy of the set's layout: iBIDS, NWB by pynwb with iEEG, Audio and Stimulus, tables beside it."""
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed: pip install pynwb")
    (root / "sub-01/ieeg").mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "made-up", "BIDSVersion": "1.7.0"}')
    nwb = pynwb.NWBFile("made-up", "sub-01", datetime(2020, 1, 1, tzinfo=UTC))
    words = np.array(["", "één", "", "twee woorden"])[(np.arange(len(DUTCH_EEG)) // (2 * DUTCH_HZ)) % 4]
    series = {"iEEG": (DUTCH_EEG, DUTCH_HZ), "Audio": (DUTCH_SOUND, DUTCH_SOUND_HZ)}
    series["Stimulus"] = (words.astype(object), DUTCH_HZ)
    for name, (data, rate_hz) in series.items():
        nwb.add_acquisition(pynwb.TimeSeries(name=name, data=data, unit="n/a", rate=float(rate_hz), starting_time=0.0))
    stem = "sub-01_task-wordProduction"
    with pynwb.NWBHDF5IO(root / f"sub-01/ieeg/{stem}_ieeg.nwb", "w") as io:
        io.write(nwb)
    rows = [f"LA{i + 1}\tSEEG\tuV\t{DUTCH_HZ}" for i in range(4)] + [f"EKG1\tECG\tuV\t{DUTCH_HZ}"]
    head = "name\ttype\tunits\tsampling_frequency\n"
    (root / f"sub-01/ieeg/{stem}_channels.tsv").write_text(head + "\n".join(rows))
    places = "".join(f"LA{i + 1}\t{i}\t2\t3\tn/a\tctx_lh_superiortemporal\n" for i in range(4))
    (root / f"sub-01/ieeg/{stem}_space-ACPC_electrodes.tsv").write_text("name\tx\ty\tz\tsize\tlocation\n" + places)
    (root / f"sub-01/ieeg/{stem}_ieeg.json").write_text(f'{{"SamplingFrequency": {DUTCH_HZ}, "TaskName": "words"}}')


def test_the_layout_of_single_word_production_dutch(tmp_path: Path) -> None:
    write_dutch(tmp_path / "set")
    (row,) = imported(tmp_path / "set", tmp_path / "raw", modified="pitch_shifted", events_are="cue")
    assert (row.eeg_rate_hz, row.audio_rate_hz, row.eeg_units, row.session) == (DUTCH_HZ, DUTCH_SOUND_HZ, "uV", None)
    assert (row.audio_modified, row.events_are, row.audio_offset_from) == ("pitch_shifted", "cue", "file")
    np.testing.assert_allclose(load(row, "eeg"), DUTCH_EEG[:, :4], rtol=1e-6)
    np.testing.assert_array_equal(load(row, "audio"), DUTCH_SOUND)
    assert [e[2] for e in events(row)] == ["één", "twee woorden", "één"]
    assert [e[0] for e in events(row)] == pytest.approx([2, 6, 10])
    assert read_electrodes(row.path("electrodes")).region[0] == "ctx_lh_superiortemporal"  # type: ignore[arg-type]


def test_1000_hz_for_1024_is_an_error_of_the_sidecar_and_of_the_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "s1_eeg.npy", RNG.normal(0, 50, (1024 * 60, 2)).astype(np.float32))
    soundfile.write(tmp_path / "s1_audio.wav", RNG.integers(-999, 999, 8000 * 60).astype(np.int16), 8000)
    rates = ["--eeg-rate", "1000", "--units", "uV", "--yes"]
    assert main(["import", str(tmp_path / "s1_eeg.npy"), "--out", str(tmp_path / "raw"), *rates,
                 "--sound-file", str(tmp_path / "s1_audio.wav")]) == 2  # fmt: skip
    assert "61.440 s at 1000 Hz, beside 60.000 s of sound at 8000 Hz, 2.4 % apart" in capsys.readouterr().err
    (tmp_path / "s1_eeg_channels.tsv").write_text("name\tsampling_frequency\nA\t1024\nB\t1024\n")
    assert main(["import", str(tmp_path / "s1_eeg.npy"), "--out", str(tmp_path / "raw"), *rates]) == 2
    assert "got 1000 Hz, expected the 1024 Hz of channels.tsv (A) (2 such rows)" in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()
