"""Import of other formats: files are written with pynwb, mne, edfio, pybv, scipy and soundfile, and every
sample, unit, clock and table that the sheet names is compared with what went in."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import soundfile

from imports import imported
from pipeline.cli import main
from pipeline.errors import InputError
from pipeline.importing.command import import_recordings
from pipeline.importing.naming import ids, key, safe_id
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording, Signal
from pipeline.importing.tables import marker_label
from pipeline.importing.writing import BLOCK_BYTES, write_recordings
from pipeline.raw.bids import read_annotations, read_channels, read_electrodes, read_events
from pipeline.raw.electrode_names import no_electrodes
from pipeline.raw.sheet import RecordingRow, read_sheet

EEG_HZ, SOUND_HZ, SECONDS = 512, 8000, 12
RNG = np.random.default_rng(0)
EEG_UV = RNG.normal(0, 50, (EEG_HZ * SECONDS, 4)).astype(np.float32)
SOUND = RNG.integers(-3000, 3000, SOUND_HZ * SECONDS).astype(np.int16)
NAMES = ["LA1", "LA2", "RB1", "RB2"]


def arrays(row: RecordingRow) -> tuple[np.ndarray, np.ndarray]:
    eeg, sound = row.path("eeg"), row.path("audio")
    assert eeg
    assert sound
    return np.load(eeg), np.load(sound)


def channel_names(row: RecordingRow) -> tuple[str, ...]:
    path = row.path("channels")
    assert path
    return read_channels(path).name


# --- NWB ------------------------------------------------------------------------------------------------


def write_nwb(path: Path, *, iEEG: str = "iEEG", stamps: bool = False) -> None:  # noqa: N803
    """A session as a lab would write it with pynwb: scaled integers, electrodes, trials, invalid times."""
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed: pip install pynwb")
    nwb = pynwb.NWBFile("test", path.stem, datetime(2020, 1, 1, tzinfo=UTC))
    group = nwb.create_electrode_group("LA", "shaft", "left", nwb.create_device("amplifier"))
    nwb.subject = pynwb.file.Subject(subject_id="P 7", age="P30Y")
    nwb.add_electrode_column("label", "name of the contact")
    nwb.add_electrode_column("bad", "too noisy")
    for i, name in enumerate(NAMES):
        place = {"x": float(i), "y": 2.0, "z": 3.0, "location": ["STG", "MTG"][i // 2]}
        nwb.add_electrode(**place, group=group, label=name, bad=name == "RB1")
    steps = np.rint(EEG_UV * 10).astype(np.int16)
    region = nwb.create_electrode_table_region(list(range(4)), "all")
    clock = {"timestamps": 2.0 + np.arange(len(steps)) / EEG_HZ} if stamps else {"rate": float(EEG_HZ)}
    clock |= {} if stamps else {"starting_time": 2.0}
    nwb.add_acquisition(
        pynwb.ecephys.ElectricalSeries(name=iEEG, data=steps, electrodes=region, conversion=1e-7, **clock)
    )
    sound = pynwb.TimeSeries(name="Audio", data=SOUND, unit="n/a", rate=float(SOUND_HZ), starting_time=2.5)
    nwb.add_acquisition(sound)
    words = np.array(["", "één", "twee"])[(np.arange(len(steps)) // EEG_HZ) % 3]
    stimulus = {"unit": "n/a", "rate": float(EEG_HZ), "starting_time": 2.0}
    nwb.add_acquisition(pynwb.TimeSeries(name="Stimulus", data=words.astype(object), **stimulus))
    nwb.add_trial_column("word", "what was said")
    nwb.add_trial(4.0, 4.5, word="drie")
    nwb.add_invalid_time_interval(5.0, 6.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)


@pytest.fixture
def session(tmp_path: Path) -> Path:
    path = tmp_path / "session.nwb"
    write_nwb(path, iEEG="raw")
    return path


def test_invalid_times_without_an_end_are_named(session: Path, tmp_path: Path) -> None:
    with h5py.File(session, "r+") as file:
        table = file["intervals/invalid_times"]
        del table["stop_time"]
        table["stop_time"] = [6.0, 7.0]
    with pytest.raises(InputError, match=r"\[intervals/invalid_times\]: got 1 start times and 2 stop times.*Mend"):
        imported(session, tmp_path / "raw", modified="none", neural="acquisition/raw")


def test_ibids_with_pynwb_sample_by_sample(tmp_path: Path) -> None:
    write_nwb(tmp_path / "set/sub-07/ieeg/sub-07_task-w_ieeg.nwb")
    (row,) = imported(tmp_path / "set", tmp_path / "raw", modified="none")
    assert (row.subject, row.recording, row.task) == ("sub-07", "sub-07_task-w", "w")
    assert (row.eeg_rate_hz, row.audio_rate_hz, row.eeg_units, row.audio_offset_s) == (EEG_HZ, SOUND_HZ, "uV", 0.5)
    eeg, sound = arrays(row)
    np.testing.assert_allclose(eeg, np.rint(EEG_UV * 10) / 10, atol=1e-4)
    np.testing.assert_array_equal(sound, SOUND)
    assert channel_names(row) == tuple(NAMES)
    electrodes = read_electrodes(row.path("electrodes"))  # type: ignore[arg-type]
    assert electrodes.region == ("STG", "STG", "MTG", "MTG")
    events = read_events(row.path("events"))  # type: ignore[arg-type]
    assert events.label[:2] == ("één", "twee")
    assert events.onset_s[:2] == pytest.approx((0.5, 1.5))
    marks = read_annotations(row.path("annotations"))  # type: ignore[arg-type]
    assert (marks.onset_s, marks.duration_s, marks.description) == ((3.0,), (1.0,), ("BAD_invalid",))


def test_a_plain_nwb_lists_its_series_until_they_are_named(session: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"acquisition/raw \(6144, 4\) \[volts\].*intervals/trials:word"):
        imported(session, tmp_path / "raw")
    names = {"neural": "acquisition/raw", "sound": "acquisition/Audio", "words": "intervals/trials:word"}
    (row,) = imported(session, tmp_path / "named", **names)
    assert (row.subject, row.recording) == ("P_7", "session")
    (row,) = imported(session, tmp_path / "raw", subject="p 1", recording="a/b", **names)
    assert (row.subject, row.recording) == ("p_1", "a_b")
    events = read_events(row.path("events"))  # type: ignore[arg-type]
    assert (events.onset_s, events.duration_s, events.label) == ((1.5,), (0.5,), ("drie",))


def electrode_column(nwb: h5py.File, column: str, values: list[object]) -> None:
    """``values`` in place of what the electrodes' table says of bad channels."""
    table = nwb["general/extracellular_ephys/electrodes"]
    for name in {"bad", column} & set(table):
        del table[name]
    table[column] = values


@pytest.mark.parametrize(
    ("column", "values", "status"),
    [
        ("bad", None, ("good", "good", "bad", "good")),
        ("good", [1, 1, 0, 0], ("good", "good", "bad", "bad")),
        ("good", [1.0, 1.0, 0.0, np.nan], ("good", "good", "bad", "good")),
        ("bad", [0.0, 0.0, 1.0, 0.0], ("good", "good", "bad", "good")),
        ("status", ["good", "Bad", "", "N/A"], ("good", "bad", "good", "good")),
        ("quality", ["a", "b", "c", "d"], ("good",) * 4),
    ],
)
def test_the_electrodes_table_of_an_nwb_says_which_channels_are_bad(
    session: Path, tmp_path: Path, column: str, values: list[object] | None, status: tuple[str, ...]
) -> None:
    with h5py.File(session, "r+") as nwb:
        if values:
            electrode_column(nwb, column, values)
    names = {"neural": "acquisition/raw/", "sound": "acquisition/Audio"}
    (row,) = imported(session, tmp_path / "raw", **names)
    assert read_channels(row.path("channels")).status == status  # type: ignore[arg-type]
    (session.parent / "session_channels.tsv").write_text("name\tstatus\nA\tbad\nB\tgood\nC\tgood\nD\tn/a\n")
    (row,) = imported(session, tmp_path / "raw2", **names)
    channels = read_channels(row.path("channels"))  # type: ignore[arg-type]
    assert channels.status == ("bad", "good", "good", status[3])
    reason = f"{column} in NWB" if status[3] == "bad" else "n/a"
    assert channels.status_description == ("n/a", "n/a", "n/a", reason)
    with h5py.File(session, "r+") as nwb:
        electrode_column(nwb, column, ["noisy", "noisy", "noisy", "n/a"])
    (row,) = imported(session, tmp_path / "raw3", **names)
    assert read_channels(row.path("channels")).status == ("bad", "good", "good", "good")  # type: ignore[arg-type]


def test_electrodes_of_another_count_than_the_channels_need_a_table(session: Path, tmp_path: Path) -> None:
    with h5py.File(session, "r+") as nwb:
        del nwb["acquisition/raw/electrodes"]
        nwb["acquisition/raw/electrodes"] = [0, 1, 2]
    names = {"neural": "acquisition/raw", "sound": "acquisition/Audio"}
    with pytest.raises(InputError, match=r"raw/electrodes\]: got 3 electrodes, expected 4, .* Fix: .* --channels"):
        imported(session, tmp_path / "raw", **names)
    (session.parent / "session_channels.tsv").write_text("name\tstatus\nA\tbad\nB\nC\nD\n")
    (row,) = imported(session, tmp_path / "raw", **names)
    assert read_channels(row.path("channels")).name == ("A", "B", "C", "D")  # type: ignore[arg-type]
    assert arrays(row)[0].shape == EEG_UV.shape


@pytest.mark.parametrize(
    ("words", "durations"),
    [
        ("acquisition/marks", (0.5,) * 3),
        ("events/words:word", (0.2, 0.5, 0.5)),
        ("events/bare:word", (0.5,) * 3),
        ("intervals/spoken:word", (0.2, 0.5, 0.5)),
    ],
)
def test_words_at_moments_have_their_own_times(
    session: Path, tmp_path: Path, words: str, durations: tuple[float, ...]
) -> None:
    """Three uneven time stamps are no rate: each word begins at its own."""
    texts, times = ["drie", "", "één", "+", "nan", "N/A ", "twee"], [3.0, 4.0, 5.5, 6.0, 7.0, 8.0, 12.2]
    with h5py.File(session, "r+") as nwb:
        marks = nwb.create_group("acquisition/marks")
        marks.attrs["neurodata_type"] = "AnnotationSeries"
        marks["data"], marks["timestamps"] = texts, times
        for name in ("words", "bare"):
            nwb[f"events/{name}/timestamp"], nwb[f"events/{name}/word"] = times, texts
        nwb["events/words/duration"] = [0.2, 0.3, np.nan, 0.3, 0.3, 0.3, -1.0]
        nwb["intervals/spoken/start_time"], nwb["intervals/spoken/word"] = times, texts
        nwb["intervals/spoken/stop_time"] = [3.2, 4.5, np.nan, 6.5, 7.5, 8.5, -1.0]
    names = {"neural": "acquisition/raw", "sound": "acquisition/Audio", "event_duration": "0.5"}
    (row,) = imported(session, tmp_path / "raw", words=words, **names)
    events = read_events(row.path("events"))  # type: ignore[arg-type]
    assert (events.onset_s, events.label) == ((0.5, 3.0, 9.7), ("drie", "één", "twee"))
    assert events.duration_s == durations
    with pytest.raises(InputError, match=r"events/bare:word; events/words:word"):
        imported(session, tmp_path / "other", words="events/words:speaker", **names)
    with h5py.File(session, "r+") as nwb:
        table = nwb[words.partition(":")[0]]
        column = next(c for c in ("duration", "stop_time", "word", "data") if c in table)
        values = table[column][:-1]
        del table[column]
        table[column] = values
    with pytest.raises(InputError, match=rf"got 7 in \S+, 6 in \S+/{column}, expected as many times as words"):
        imported(session, tmp_path / "other", words=words, **names)


def test_a_series_of_words_with_time_stamps_goes_by_them(session: Path, tmp_path: Path) -> None:
    """Each may be a sample late, which counts where samples are long."""
    with h5py.File(session, "r+") as nwb:
        series = nwb.create_group("acquisition/slow")
        series["data"] = ["drie", "", "één", "twee"]
        series["timestamps"] = [3.0, 5.0, 6.4, 9.0]
    names = {"neural": "acquisition/raw", "sound": "acquisition/Audio", "words": "acquisition/slow"}
    (row,) = imported(session, tmp_path / "raw", **names)
    events = read_events(row.path("events"))  # type: ignore[arg-type]
    assert (events.onset_s, events.label) == ((0.5, 3.9, 6.5), ("drie", "één", "twee"))


def test_the_sound_of_an_nwb_may_lie_in_one_of_its_own(tmp_path: Path) -> None:
    write_nwb(tmp_path / "ecog.nwb", iEEG="raw")
    write_nwb(tmp_path / "mic.nwb")
    names = {"neural": "acquisition/raw", "sound_file": tmp_path / "mic.nwb"}
    said: list[str] = []
    options = Options(neural="acquisition/raw")
    import_recordings(tmp_path / "ecog.nwb", tmp_path / "silent", options, dry_run=True, say=said.append)
    assert "not trained on (acquisition/Audio in it: --sound takes one)" in said[0]
    with pytest.raises(InputError, match=r"mic.nwb\[--sound\]: got no series named.*acquisition/Audio"):
        imported(tmp_path / "ecog.nwb", tmp_path / "raw", **names)
    (row,) = imported(tmp_path / "ecog.nwb", tmp_path / "raw", sound="acquisition/Audio", **names)
    assert (row.audio_offset_s, row.audio_offset_from) == (0.5, "file")
    np.testing.assert_array_equal(arrays(row)[1], SOUND)
    with h5py.File(tmp_path / "mic.nwb", "r+") as nwb:
        nwb["timestamps_reference_time"][()] = "2020-01-01T00:00:07+00:00"
    with pytest.raises(InputError, match=r"timestamps_reference_time\]: got times that count from 2020-01-01T00:00:07"):
        imported(tmp_path / "ecog.nwb", tmp_path / "later", sound="acquisition/Audio", **names)
    (row,) = imported(tmp_path / "ecog.nwb", tmp_path / "later", sound="acquisition/Audio", offset_s=7.5, **names)
    assert (row.audio_offset_s, row.audio_offset_from) == (7.5, "declared")
    for number, text in enumerate(("2020-01-01T00:00:00Z", "2020-01-01T01:00:00.000000+01:00")):
        with h5py.File(tmp_path / "mic.nwb", "r+") as nwb:
            nwb["timestamps_reference_time"][()] = text
        (row,) = imported(tmp_path / "ecog.nwb", tmp_path / f"{number}", sound="acquisition/Audio", **names)
        assert (row.audio_offset_s, row.audio_offset_from) == (0.5, "file")
    for name in ("ecog.nwb", "mic.nwb"):
        with h5py.File(tmp_path / name, "r+") as nwb:
            del nwb["timestamps_reference_time"]
    with pytest.raises(InputError, match=r"count from no stated moment, expected one .* no stated moment"):
        imported(tmp_path / "ecog.nwb", tmp_path / "unstated", sound="acquisition/Audio", **names)


def test_what_is_odd_elsewhere_in_an_nwb_is_no_sound(session: Path, tmp_path: Path) -> None:
    with h5py.File(session, "r+") as nwb:
        for name in ("linked", "rates"):
            nwb[f"acquisition/{name}/data"] = np.zeros(3)
        nwb["acquisition/linked/starting_time"] = h5py.ExternalLink("other.h5", "/x")
        nwb["acquisition/rates/starting_time"] = 0.0
        nwb["acquisition/rates/starting_time"].attrs["rate"] = [8000.0, 16000.0]
    said: list[str] = []
    import_recordings(session, tmp_path / "raw", Options(neural="acquisition/raw"), dry_run=True, say=said.append)
    assert "(acquisition/Audio in it: --sound takes one)" in said[0]


def test_uneven_time_stamps_are_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "s.nwb"
    write_nwb(path, iEEG="raw", stamps=True)
    names = {"neural": "acquisition/raw", "sound": "acquisition/Audio"}
    (row,) = imported(path, tmp_path / "raw", **names)
    assert (row.eeg_rate_hz, row.audio_offset_s) == (EEG_HZ, 0.5)
    with h5py.File(path, "r+") as nwb:
        nwb["acquisition/raw/timestamps"][3000:] += 0.5
    with pytest.raises(InputError, match="off an even clock"):
        imported(path, tmp_path / "raw2", **names)


@pytest.mark.parametrize("trick", ["external link", "external storage", "virtual", "filter", "cut"])
def test_a_hostile_nwb_reads_nothing_outside_itself(session: Path, tmp_path: Path, trick: str) -> None:
    with h5py.File(session, "r+") as nwb:
        group = nwb["acquisition/raw"]
        attributes = dict(group["data"].attrs)
        del group["data"]
        shape, kind = EEG_UV.shape, np.int16
        if trick == "external link":
            group["data"] = h5py.ExternalLink("other.h5", "/x")
        elif trick == "external storage":
            group.create_dataset("data", shape, kind, external=[(str(tmp_path / "elsewhere"), 0, h5py.h5f.UNLIMITED)])
        elif trick == "virtual":
            layout = h5py.VirtualLayout(shape, kind)
            layout[:] = h5py.VirtualSource("other.h5", "x", shape)
            group.create_virtual_dataset("data", layout)
        elif trick == "filter":
            group.create_dataset("data", data=EEG_UV, compression="lzf")
        else:
            group.create_dataset("data", data=EEG_UV.astype(kind))
        if trick != "external link":
            group["data"].attrs.update(attributes)
    if trick == "cut":
        session.write_bytes(session.read_bytes()[:50_000])
    found = {"external link": "another file", "filter": "HDF5 filter", "cut": "HDF5"}.get(trick, "data in other files")
    with pytest.raises(InputError, match=found):
        imported(session, tmp_path / "raw", neural="acquisition/raw")
    assert not (tmp_path / "raw").exists()


# --- through mne -------------------------------------------------------------------------------------------


@pytest.fixture
def edf(tmp_path: Path) -> Path:
    """A BIDS pair of EDF and tables; a microphone at its own rate, an ECG in mV, and a slow temperature."""
    edfio = pytest.importorskip("edfio", reason="edfio is not installed: pip install edfio")
    pytest.importorskip("mne", reason="mne is not installed: pip install mne")
    signals = [
        edfio.EdfSignal(EEG_UV[:, i], EEG_HZ, label=name, physical_dimension="mV" if i == 1 else "uV")
        for i, name in enumerate(NAMES)
    ]
    signals[1] = edfio.EdfSignal(EEG_UV[:, 1] / 1e3, EEG_HZ, label="LA2", physical_dimension="mV")
    limits = (-32768, 32767)
    microphone = edfio.EdfSignal(SOUND.astype(float), SOUND_HZ, label="MIC", physical_range=limits)
    slow = edfio.EdfSignal(np.linspace(36, 37, 4 * SECONDS), 4, label="TEMP", physical_dimension="degC")
    marks = [
        edfio.EdfAnnotation(1.5, 2, "BAD_move"),
        edfio.EdfAnnotation(3, 0.5, "ja"),
        edfio.EdfAnnotation(4, None, "x"),
    ]
    folder = tmp_path / "set/sub-01/ieeg"
    folder.mkdir(parents=True)
    path = folder / "sub-01_task-talk_run-2_ieeg.edf"
    edfio.Edf([*signals, microphone, slow], annotations=marks).write(path)
    return path


def test_edf_with_a_microphone_channel(edf: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--drop TEMP"):
        imported(edf, tmp_path / "raw", sound="MIC")
    (row,) = imported(edf, tmp_path / "raw", sound="MIC", drop=("TEMP",))
    assert (row.subject, row.recording, row.eeg_rate_hz, row.audio_rate_hz) == (
        "sub-01", "sub-01_task-talk_run-2", EEG_HZ, SOUND_HZ,
    )  # fmt: skip
    eeg, sound = arrays(row)
    steps_uv = np.ptp(EEG_UV, axis=0) / 65535
    assert (np.abs(eeg - EEG_UV) <= steps_uv).all()
    np.testing.assert_array_equal(sound, SOUND)
    events = read_events(row.path("events"))  # type: ignore[arg-type]
    assert (events.onset_s, events.duration_s, events.label) == ((3.0,), (0.5,), ("ja",))
    marks = read_annotations(row.path("annotations"))  # type: ignore[arg-type]
    assert marks.description == ("BAD_move", "x")
    assert marks.duration_s[0] == 2.0


def test_marks_without_a_duration_become_events_where_they_are_asked_for(edf: Path, tmp_path: Path) -> None:
    options = {"sound": "MIC", "drop": ("TEMP",), "event_duration": "0.25"}
    (row,) = imported(edf, tmp_path / "raw", **options)
    events = read_events(row.path("events"))  # type: ignore[arg-type]
    assert (events.onset_s, events.duration_s, events.label) == ((3.0, 4.0), (0.5, 0.25), ("ja", "x"))
    assert read_annotations(row.path("annotations")).description == ("BAD_move",)  # type: ignore[arg-type]
    (row,) = imported(edf, tmp_path / "raw2", **options, words_match="[xy]")
    assert read_events(row.path("events")).label == ("x",)  # type: ignore[arg-type]
    assert read_annotations(row.path("annotations")).description == ("BAD_move", "ja")  # type: ignore[arg-type]
    (edf.parent / "table.tsv").write_text("onset\tduration\tlabel\n1\tn/a\tnee\n")
    (row,) = imported(edf, tmp_path / "raw3", **options, events=edf.parent / "table.tsv")
    assert read_events(row.path("events")).label == ("nee",)  # type: ignore[arg-type]
    assert "x" in read_annotations(row.path("annotations")).description, "not lost"  # type: ignore[arg-type]


def test_a_group_of_words_match_that_fits_nothing_gives_no_label() -> None:
    label = marker_label(Options(words_match="start|word: (.*)"))
    assert [label(text) for text in ("word:  ja", "start", "end")] == ["ja", "n/a", None]


@pytest.mark.parametrize("option", ["words", "names", "layout"])
def test_an_option_that_the_format_does_not_read_is_refused(edf: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(InputError, match=f"--{option}: got the option for mne files, expected "):
        imported(edf, tmp_path / "raw", sound="MIC", drop=("TEMP",), **{option: "time_channel"})


def test_what_is_no_electrode_by_its_name_and_sound_that_is_not_taken_are_said(edf: Path, tmp_path: Path) -> None:
    edf.with_name("sub-01_task-talk_run-2_ieeg_Mikro.wav").touch()
    edfio = pytest.importorskip("edfio")
    signals = [edfio.EdfSignal(EEG_UV[:, 0], EEG_HZ, label=name, physical_dimension="uV") for name in ("LA1", "Trig 1")]
    edfio.Edf(signals).write(edf)
    said: list[str] = []
    import_recordings(edf, tmp_path / "raw", Options(), dry_run=True, say=said.append)
    assert "note   by their names no electrodes: Trig 1; to leave them out: --drop 'Trig 1'" in said[0]
    assert "not trained on (sub-01_task-talk_run-2_ieeg_Mikro.wav beside it: --sound-file takes one)" in said[0]
    assert no_electrodes(["TTL", "Trig 1", "DC01", "EKG", "LA 1", "EMG1", "STG2"], "ieeg") == [
        "TTL", "Trig 1", "DC01", "EKG", "EMG1",
    ]  # fmt: skip
    assert no_electrodes(["EMG1", "EKG"], "emg") == ["EKG"]


def test_of_sound_with_two_channels_the_option_is_named(edf: Path, tmp_path: Path) -> None:
    soundfile.write(edf.with_suffix(".wav"), np.zeros((100, 2)), SOUND_HZ)
    with pytest.raises(InputError, match=r"--sound-channel\]: got 2 channels .* Fix: Say which is the voice: --sound"):
        imported(edf, tmp_path / "raw", sound_file=edf.with_suffix(".wav"), drop=("TEMP", "MIC"))


def test_bids_tables_choose_channels_and_give_events_on_the_neural_clock(edf: Path, tmp_path: Path) -> None:
    stem = edf.parent / "sub-01_task-talk"
    rows = [("MIC", "AUDIO"), ("TEMP", "TEMP"), ("RB2", "ECG"), ("RB1", "SEEG"), ("LA2", "SEEG"), ("LA1", "SEEG")]
    table = "name\ttype\tunits\tstatus\n" + "".join(
        f"{n}\t{t}\tuV\t{'bad' if n == 'LA2' else 'n/a'}\n" for n, t in rows
    )
    Path(f"{stem}_run-2_channels.tsv").write_text(table)
    Path(f"{stem}_run-1_channels.tsv").write_text("name\nother run\n")
    Path(f"{stem}_run-2_events.tsv").write_text("onset\tduration\ttrial_type\tlabel\n2.0\t0.5\tword\tnee\n")
    places = "name\tx\ty\tz\tregion\nLA1\t1\t2\t3\tHeschl\n"
    (edf.parent / "sub-01_space-MNI_electrodes.tsv").write_text(places)
    (row,) = imported(edf, tmp_path / "raw", sound="MIC", offset_s=0.25)
    assert channel_names(row) == ("LA1", "LA2", "RB1")
    assert read_channels(row.path("channels")).status == ("good", "bad", "good")  # type: ignore[arg-type]
    assert arrays(row)[0].shape == (EEG_HZ * SECONDS, 3)
    events = read_events(row.path("events"))  # type: ignore[arg-type]
    assert (events.onset_s, events.label) == ((1.75,), ("nee",))
    assert read_electrodes(row.path("electrodes")).region == ("Heschl",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda series: series["data"].attrs.__setitem__("conversion", 0.0), "a conversion of 0"),
        (lambda series: series["data"].attrs.__setitem__("conversion", float("nan")), "a conversion of nan"),
        (lambda series: series["data"].attrs.__setitem__("offset", float("inf")), "an offset of inf"),
        (lambda series: series["electrodes"].__setitem__(0, -1), "row -1"),
        (
            lambda series: electrode_column(series.file, "bad", ["no", "noisy", "", "1"]),
            r"status\]: got no \(bad in NWB\) for LA1",
        ),
        (lambda series: replaced(series, series["data"][:].astype(complex)), "complex128"),
        (lambda series: replaced(series, np.zeros(4, "i4,f8")), "plain numbers"),
        (lambda series: series["starting_time"].attrs.__setitem__("rate", "fast"), "damaged HDF5"),
        (lambda series: series["data"].attrs.__setitem__("conversion", "much"), "damaged HDF5"),
    ],
)
def test_malformed_nwb_is_named(tmp_path: Path, change: Callable[[h5py.Group], None], said: str) -> None:
    write_nwb(tmp_path / "s.nwb")
    with h5py.File(tmp_path / "s.nwb", "r+") as file:
        change(file["acquisition/iEEG"])
    with pytest.raises(InputError, match=said):
        imported(tmp_path / "s.nwb", tmp_path / "raw", neural="acquisition/iEEG", sound="acquisition/Audio")
    assert not (tmp_path / "raw").exists()


def replaced(series: h5py.Group, values: np.ndarray) -> None:
    attributes = dict(series["data"].attrs)
    del series["data"]
    series["data"] = values
    series["data"].attrs.update(attributes)


def test_brainvision(tmp_path: Path) -> None:
    pybv = pytest.importorskip("pybv", reason="pybv is not installed: pip install pybv")
    words = [{"onset": 512, "duration": 256, "description": "ja", "type": "Comment"}]
    options = {"sfreq": EEG_HZ, "ch_names": NAMES, "fname_base": "s1_ieeg", "events": words}
    pybv.write_brainvision(data=EEG_UV.T * 1e-6, folder_out=tmp_path / "in", unit="µV", **options)
    soundfile.write(tmp_path / "in/s1_audio.wav", SOUND, SOUND_HZ, subtype="PCM_16")
    (row,) = imported(tmp_path / "in/s1_ieeg.vhdr", tmp_path / "raw")
    eeg, sound = arrays(row)
    np.testing.assert_allclose(eeg, EEG_UV, atol=1e-4)
    np.testing.assert_array_equal(sound, SOUND)
    events = read_events(row.path("events"))  # type: ignore[arg-type]
    assert (events.onset_s, events.duration_s, events.label) == ((1.0,), (0.5,), ("ja",))
    header = tmp_path / "in/s1_ieeg.vhdr"
    whole = header.read_text()
    for line in ("DataFile=../../secret.eeg", "DataFile: ../../secret.eeg", " datafile =/etc/passwd"):
        for before in ("", "; long\n" * 30_000):
            header.write_text(before + whole.replace("DataFile=s1_ieeg.eeg", line))
            with pytest.raises(InputError, match="a file beside the header"):
                imported(header, tmp_path / "raw2")


def test_the_next_part_of_a_fif_file_lies_beside_it(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne", reason="mne is not installed: pip install mne")
    raw = mne.io.RawArray(np.zeros((4, 600_000)), mne.create_info(NAMES, EEG_HZ, "seeg"), verbose="ERROR")
    (tmp_path / "in").mkdir()
    raw.save(tmp_path / "in/s2_raw.fif", split_size="2MB", verbose="ERROR", fmt="single")
    first = (tmp_path / "in/s2_raw.fif").read_bytes()
    assert first.count(b"s2_raw-1.fif") == 1
    (tmp_path / "in/s2_raw-1.fif").rename(tmp_path / "other.fif")
    (tmp_path / "in/s2_raw.fif").write_bytes(first.replace(b"s2_raw-1.fif", b"../other.fif"))
    with pytest.raises(InputError, match="a file beside this one"):
        imported(tmp_path / "in/s2_raw.fif", tmp_path / "raw", units="V", subject="s2")


def _another_tag(content: bytes, kind: int, other: int, value: bytes) -> bytes:
    """The one tag of a kind in a FIF file as another kind and value of the same size."""
    at = content.index(struct.pack(">ii", kind, 3 if kind == 117 else 10) + struct.pack(">i", len(value)))
    return content[:at] + struct.pack(">i", other) + content[at + 4 : at + 16] + value + content[at + 16 + len(value) :]


@pytest.mark.parametrize("how", ["name", "number", "tag"])
def test_a_fif_file_that_goes_on_with_itself_is_refused(tmp_path: Path, how: str) -> None:
    mne = pytest.importorskip("mne", reason="mne is not installed: pip install mne")
    raw = mne.io.RawArray(np.zeros((4, 600_000)), mne.create_info(NAMES, EEG_HZ, "seeg"), verbose="ERROR")
    (tmp_path / "in").mkdir()
    raw.save(tmp_path / "in/s2_raw.fif", split_size="2MB", verbose="ERROR", fmt="single")
    content = (tmp_path / "in/s2_raw.fif").read_bytes()
    file = tmp_path / "s2_raw-2.fif"
    if how == "number":
        content = _another_tag(content, 118, 999, b"s2_raw-1.fif")
        content = _another_tag(content, 117, 117, struct.pack(">i", 2))
    elif how == "name":
        content = content.replace(b"s2_raw-1.fif", b"s2_raw-2.fif")
    else:  # no directory at the end, and a second tag that is followed by the first
        content = content[:52] + struct.pack(">i", -1) + content[56:]
        content = content[:48] + struct.pack(">i", 36) + content[52:]
    file.write_bytes(content)
    with pytest.raises(InputError, match="tags in order" if how == "tag" else "was not read before"):
        imported(file, tmp_path / "raw", units="V", subject="s2")


def test_fif_with_a_first_sample_bad_channels_and_positions(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne", reason="mne is not installed: pip install mne")
    info = mne.create_info([*NAMES, "MISC1"], EEG_HZ, ["seeg"] * 4 + ["misc"])
    data = np.vstack([EEG_UV.T * 1e-6, np.zeros((1, len(EEG_UV)))])
    raw = mne.io.RawArray(data, info, first_samp=1000, verbose="ERROR")
    raw.set_meas_date(0)
    raw.info["bads"] = ["RB1"]
    places = {name: np.array([i, 2.0, 3.0]) * 1e-3 for i, name in enumerate(NAMES)}
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    onset_s = raw.first_time + 2.0
    raw.set_annotations(mne.Annotations([onset_s], [1.0], ["bad_blink"], orig_time=raw.info["meas_date"]))
    raw.save(tmp_path / "s2_raw.fif", verbose="ERROR", fmt="double")
    soundfile.write(tmp_path / "voice.flac", np.stack([SOUND, SOUND // 2], 1), SOUND_HZ, subtype="PCM_16")
    voice = {"sound_file": tmp_path / "voice.flac"}
    with pytest.raises(InputError, match="--sound-channel"):
        imported(tmp_path / "s2_raw.fif", tmp_path / "raw", **voice)
    (row,) = imported(tmp_path / "s2_raw.fif", tmp_path / "raw", sound_channel="right", **voice)
    eeg, sound = arrays(row)
    np.testing.assert_allclose(eeg, EEG_UV, rtol=1e-5)
    np.testing.assert_array_equal(sound, SOUND // 2)
    assert read_channels(row.path("channels")).status[2] == "bad"  # type: ignore[arg-type]
    assert read_electrodes(row.path("electrodes")).x == pytest.approx((0, 1, 2, 3))  # type: ignore[arg-type]
    marks = read_annotations(row.path("annotations"))  # type: ignore[arg-type]
    assert (marks.onset_s, marks.description) == (pytest.approx((2.0,)), ("bad_blink",))


def test_edf_channels_without_a_unit_need_one(tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio", reason="edfio is not installed: pip install edfio")
    pytest.importorskip("mne", reason="mne is not installed: pip install mne")
    edfio.Edf([edfio.EdfSignal(EEG_UV[:, 0], EEG_HZ, label="LA1")]).write(tmp_path / "a.edf")
    with pytest.raises(InputError, match=r"LA1 \[n/a\].*--units"):
        imported(tmp_path / "a.edf", tmp_path / "raw")
    (row,) = imported(tmp_path / "a.edf", tmp_path / "raw", units="mV")
    assert row.audio is None
    np.testing.assert_allclose(np.load(row.path("eeg"))[:, 0], EEG_UV[:, 0] * 1e3, atol=10)  # type: ignore[arg-type]


def test_without_mne_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mne", None)
    (tmp_path / "a.edf").write_bytes(b"0       ")
    with pytest.raises(InputError, match="pip install"):
        imported(tmp_path / "a.edf", tmp_path / "raw")


# --- MATLAB -------------------------------------------------------------------------------------------------


def write_mat5(path: Path) -> None:
    labels = np.array(NAMES, dtype=object)
    inner = {"trial": EEG_UV.astype(np.float64), "label": labels}
    values = {"data": inner, "sound": SOUND[:, None], "fs": 512.0, "fs_sound": 8000.0, "wide": EEG_UV.T}
    scipy.io.savemat(path, values)


def write_mat73(path: Path) -> None:
    """What MATLAB's ``save -v7.3`` writes: axes reversed, texts as references to 16-bit codes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["data/trial"] = EEG_UV.astype(np.float64).T
        file["wide"] = EEG_UV
        file["sound"], file["fs"], file["fs_sound"] = SOUND[None], np.array([[512.0]]), np.array([[8000.0]])
        for name, kind in (("data/trial", "double"), ("wide", "single"), ("sound", "int16"), ("fs", "double")):
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
        cells = file.create_dataset("data/label", (1, 4), h5py.ref_dtype)
        for i, name in enumerate(NAMES):
            cell = file.create_dataset(f"#refs#/{i}", data=np.array([[ord(c)] for c in name], np.uint16))
            cells[0, i] = cell.ref


@pytest.mark.parametrize("write", [write_mat5, write_mat73])
def test_matlab(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "s3.mat")
    declared = {"eeg_rate": "fs", "sound": "sound", "sound_rate": "fs_sound", "units": "uV"}
    with pytest.raises(InputError, match=r"wide"):
        imported(tmp_path / "s3.mat", tmp_path / "raw", **declared)
    (row,) = imported(tmp_path / "s3.mat", tmp_path / "raw", neural="data.trial", names="data.label", **declared)
    assert (row.subject, row.eeg_rate_hz, row.audio_rate_hz) == ("s3", 512, 8000)
    eeg, sound = arrays(row)
    np.testing.assert_array_equal(eeg, EEG_UV)
    np.testing.assert_array_equal(sound, SOUND)
    assert channel_names(row) == tuple(NAMES)
    with pytest.raises(InputError, match="--layout"):
        imported(tmp_path / "s3.mat", tmp_path / "raw2", neural="wide", **declared)
    (row,) = imported(tmp_path / "s3.mat", tmp_path / "raw2", neural="wide", layout="channel_time", **declared)
    np.testing.assert_array_equal(arrays(row)[0], EEG_UV)


@pytest.mark.parametrize("write", [write_mat5, write_mat73])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neural": "nothing"}, "no such variable"),
        ({"neural": "data.label"}, "label"),
        ({"neural": "data.trial"}, "--eeg-rate"),
        ({"neural": "data.trial", "eeg_rate": "512"}, "--units"),
        ({"neural": "data.trial", "eeg_rate": "wide"}, "wide"),
    ],
)
def test_matlab_variables_that_will_not_do(tmp_path: Path, write: Any, options: dict[str, str], message: str) -> None:
    write(tmp_path / "s3.mat")
    with pytest.raises(InputError, match=message):
        imported(tmp_path / "s3.mat", tmp_path / "raw", **options)


def test_matlab_objects_are_refused_unread(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "o.mat", {"x": np.zeros((4, 2))})
    content = bytearray((tmp_path / "o.mat").read_bytes())
    flags = content.index(b"\x06\x00\x00\x00\x08\x00\x00\x00", 128) + 8
    assert content[flags] == 6
    content[flags] = 3  # mxDOUBLE_CLASS becomes mxOBJECT_CLASS
    (tmp_path / "o.mat").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"class object|unreadable"):
        imported(tmp_path / "o.mat", tmp_path / "raw", neural="x", eeg_rate="100", units="uV")


# --- folders of .npy -----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs of a person and one of another, sound as .wav, .npy and none."""
    made = tmp_path / "lab"
    made.mkdir()
    for i, name in enumerate(["anna_run1", "anna_run2", "bob_run1"]):
        np.save(made / f"{name}_sEEG.npy", EEG_UV + i)
    soundfile.write(made / "anna_run1_audio.wav", SOUND, SOUND_HZ, subtype="PCM_16")
    np.save(made / "anna_run2_audio.npy", SOUND + 1)
    (made / "anna_run1_sEEG_events.tsv").write_text("onset\tduration\tlabel\n1\t0.5\tja\n")
    return made


DECLARED = ["--eeg-rate", "512", "--sound-rate", "8000", "--units", "uV"]


def test_pairs_are_listed_before_anything_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import", str(folder), "--out", str(tmp_path / "raw"), *DECLARED]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "anna_run1_sEEG.npy + anna_run1_audio.wav" in shown
    assert "--yes" in shown
    assert not (tmp_path / "raw").exists()
    assert main([*command, "--yes"]) == 0
    rows = read_sheet(tmp_path / "raw/recordings.tsv")
    assert [(r.subject, r.recording) for r in rows] == [
        ("anna", "anna_run1"), ("anna", "anna_run2"), ("bob", "bob_run1"),
    ]  # fmt: skip
    assert [r.audio_rate_hz for r in rows] == [8000, 8000, None]
    np.testing.assert_array_equal(arrays(rows[1])[0], EEG_UV + 1)
    np.testing.assert_array_equal(arrays(rows[0])[1], SOUND)
    assert read_events(rows[0].path("events")).label == ("ja",)  # type: ignore[arg-type]


def test_what_has_no_partner_is_named(folder: Path, tmp_path: Path) -> None:
    np.save(folder / "carl_audio.npy", SOUND)
    np.save(folder / "notes.npy", SOUND)
    with pytest.raises(InputError, match=r"carl_audio.npy has no neural array; notes.npy is neither"):
        imported(folder, tmp_path / "raw", eeg_rate="512", sound_rate="8000", units="uV")


SIDECARS = {
    # file, content: words
    ("s1_eeg.json", '{"SamplingFrequency": ' + "9" * 400 + "}"): "int too large",
    ("s1_eeg.json", '{"SamplingFrequency": ' + "9" * 5000 + "}"): "Exceeds the limit",
    ("s1_eeg.json", "[" * 100_000): "nest too deep",
    ("s1_eeg.json", "[1]"): "a rate in Hz",
    ("s1_events.tsv", "onset\tduration\n" + "9" * 5000 + "\t1\n"): "a plain number",
    ("s1_channels.tsv", "name\n" + "a" * 200_000 + "\n"): "1 channels",
    ("s1_channels.tsv", "\n\n"): "no channel ch001",
}


@pytest.mark.parametrize(("file", "content"), SIDECARS, ids=range(len(SIDECARS)))
def test_sidecars_that_cannot_be_read_are_named(tmp_path: Path, file: str, content: str) -> None:
    np.save(tmp_path / "s1_eeg.npy", EEG_UV)
    soundfile.write(tmp_path / "s1_audio.wav", SOUND, SOUND_HZ)
    (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match=SIDECARS[file, content]):
        imported(tmp_path, tmp_path / "raw", eeg_rate="512", units="uV")


def test_cells_of_any_length_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "s1_eeg.npy", EEG_UV)
    (tmp_path / "s1_annotations.tsv").write_text(f"onset\tduration\tdescription\n1\t1\t{'a' * 200_000}\n")
    (row,) = imported(tmp_path, tmp_path / "raw", eeg_rate="512", units="uV")
    assert len(read_annotations(row.path("annotations")).description[0]) == 200_000  # type: ignore[arg-type]


SHEETS = ["", "nonsense\n", "recording\nr1\n", "subject\trecording\tmore\ns\tr\tx\n", "\x00\x01", "a\tb\n1\n"]


@pytest.mark.parametrize("text", SHEETS)
def test_what_is_no_sheet_is_not_appended_to(tmp_path: Path, text: str) -> None:
    np.save(tmp_path / "s1_eeg.npy", EEG_UV)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/recordings.tsv").write_text(text)
    arguments = ["import", str(tmp_path / "s1_eeg.npy"), "--out", str(tmp_path / "raw"), "--append", "--units", "uV"]
    assert main([*arguments, "--eeg-rate", "512"]) == 2
    assert (tmp_path / "raw/recordings.tsv").read_text() == text
    assert len(list((tmp_path / "raw").iterdir())) == 1


def test_patterns_and_subjects_of_ones_own(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    for n in (3, 4):
        np.save(lab / f"brain.patient_{n}.npy", np.rint(EEG_UV * 10).astype(np.int16))
        np.save(lab / f"patient_{n}.out.npy", (SOUND / 32768).astype(np.float64))
    options = {"neural": "brain.*.npy", "sound": "*.out.npy", "subject_from": r"patient_(\d)", "gain_uv": 0.1}
    rows = imported(lab, tmp_path / "raw", eeg_rate="512", sound_rate="8000", **options)
    assert [r.subject for r in rows] == ["3", "4"]
    eeg, sound = arrays(rows[0])
    np.testing.assert_allclose(eeg, np.rint(EEG_UV * 10) / 10, rtol=1e-6)
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(sound, (SOUND / 32768).astype(np.float32))


@pytest.mark.parametrize("pattern", ["(", "(" * 500, "a{99999999999}"])
def test_what_is_no_regular_expression_is_named(tmp_path: Path, pattern: str) -> None:
    np.save(tmp_path / "s_eeg.npy", EEG_UV)
    with pytest.raises(InputError, match="a regular expression"):
        imported(tmp_path, tmp_path / "raw", eeg_rate="512", units="uV", subject_from=pattern)


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "s_eeg.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickle"):
        imported(tmp_path, tmp_path / "raw", eeg_rate="512", units="uV")


def test_sound_beyond_full_scale_has_to_be_declared(tmp_path: Path) -> None:
    np.save(tmp_path / "s_eeg.npy", EEG_UV)
    np.save(tmp_path / "s_audio.npy", SOUND / 10)
    options = {"eeg_rate": "512", "sound_rate": "8000", "units": "uV"}
    with pytest.raises(InputError, match="--sound-full-scale"):
        imported(tmp_path, tmp_path / "raw", **options)
    (row,) = imported(tmp_path, tmp_path / "raw", sound_full_scale=3276.8, **options)
    np.testing.assert_allclose(arrays(row)[1], SOUND / 32768, atol=1e-7)


# --- writing -------------------------------------------------------------------------------------------------


def test_nothing_is_overwritten_and_append_adds(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raw"
    single = ["import", str(folder / "bob_run1_sEEG.npy"), "--out", str(out), *DECLARED]
    assert main(single) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert main(single) == 2
    assert main([*single, "--append"]) == 2
    assert "bob_run1 twice" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    voice = ["--sound-file", str(folder / "anna_run2_audio.npy"), "--recording", "bob_run2"]
    assert main([*single, "--append", *voice]) == 0
    rows = read_sheet(out / "recordings.tsv")
    assert [(r.recording, r.audio) for r in rows] == [("bob_run1", None), ("bob_run2", "bob_run2_audio.npy")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lab", "raw"]


def test_append_does_without_hard_links(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as on exFAT

    monkeypatch.setattr("os.link", refused)
    out = tmp_path / "raw"
    single = ["import", str(folder / "bob_run1_sEEG.npy"), "--out", str(out), *DECLARED]
    again = [*single, "--append", "--recording", "bob_run2"]
    assert main(single) == 0
    (out / "bob_run2_eeg.npy").write_text("another's")
    assert main(again) == 2
    assert "bob_run2_eeg.npy: got a file of that name" in capsys.readouterr().err
    assert (out / "bob_run2_eeg.npy").read_text() == "another's"
    (out / "bob_run2_eeg.npy").unlink()
    assert main(again) == 0
    assert [r.recording for r in read_sheet(out / "recordings.tsv")] == ["bob_run1", "bob_run2"]


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    def recording(name: str, fails: bool) -> Found:
        def read(start: int, stop: int) -> np.ndarray:
            if fails and start > 0:
                raise OSError("the disk went away")
            return np.ones((stop - start, 2))

        def opened(closing: ExitStack, options: Options) -> Recording:
            neural = Signal(read, 3 * BLOCK_BYTES // 16, 2, 100.0)
            rows = [{"name": "a"}, {"name": "b"}]
            return Recording(Path(name), "s", name, neural, "uV", np.ones(2), [0, 1], rows)

        return Found(Path(name), opened)

    found = [recording("whole", False), recording("broken", True)]
    with pytest.raises(OSError, match="went away"):
        write_recordings(found, tmp_path / "raw", Options(), append=False, on_written=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_arrays_are_copied_a_block_at_a_time(tmp_path: Path) -> None:
    asked: list[int] = []

    def read(start: int, stop: int) -> np.ndarray:
        asked.append(stop - start)
        return np.arange(start, stop, dtype=np.float64)[:, None]

    def opened(closing: ExitStack, options: Options) -> Recording:
        neural = Signal(read, 5_000_000, 1, 100.0)
        return Recording(Path("x"), "s", "r", neural, "uV", np.full(1, 2.0), [0], [{"name": "a"}])

    sheet = write_recordings([Found(Path("x"), opened)], tmp_path / "raw", Options(), append=False, on_written=print)
    assert max(asked) * 8 <= BLOCK_BYTES
    eeg = np.load(sheet.parent / "r_eeg.npy", mmap_mode="r")
    np.testing.assert_array_equal(eeg[::100_003, 0], np.arange(0, 5_000_000, 100_003, dtype=np.float32) * 2)


def test_events_of_ones_own_have_to_say_their_clock(folder: Path, tmp_path: Path) -> None:
    options = {"eeg_rate": "512", "units": "uV", "sound_file": folder / "anna_run1_audio.wav", "offset_s": 0.2}
    options |= {"events": folder / "anna_run1_sEEG_events.tsv"}
    source = folder / "bob_run1_sEEG.npy"
    with pytest.raises(InputError, match="--events-clock"):
        imported(source, tmp_path / "raw", **options)
    for clock, onset_s in (("audio", 1.0), ("neural", 0.8)):
        (row,) = imported(source, tmp_path / clock, events_clock=clock, **options)
        assert read_events(row.path("events")).onset_s == pytest.approx((onset_s,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-01_ses-2_task-a_ieeg.edf", ("sub-01", "sub-01_ses-2_task-a")),
        ("S1_run3_raw_EEG.npy", ("S1", "S1_run3")),
        ("Müller, Anna.mat", ("M_ller", "M_ller__Anna")),
    ],
)
def test_ids_from_names(name: str, expected: tuple[str, str]) -> None:
    for unnamed in (None, "", "Unknown", "n/a", "none", "患者"):
        found = ids(Path(name), Options(), unnamed)
        assert (found["subject"], found["recording"]) == expected


def test_ids_are_safe_as_file_names() -> None:
    assert safe_id("../../etc/passwd") == "etc_passwd"
    assert safe_id("-rf") == "rf"
    assert key(Path("eeg.npy")) == "eeg"
    with pytest.raises(InputError):
        safe_id("äö")
