"""Import of SingleWordProductionDutch, on a small made-up folder of the same layout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from conftest import ROOT
from pipeline.config.loader import load_config
from pipeline.config.simulate import SimulateConfig
from pipeline.errors import InputError
from pipeline.importing.command import import_recordings
from pipeline.importing.options import Options
from pipeline.raw.bids import read_channels, read_electrodes, read_events
from pipeline.raw.sheet import read_sheet
from pipeline.simulation.subject import write_subjects

EEG_HZ, AUDIO_HZ = 512.0, 8000.0
WORDS = ["", "", "één", "één", "één", "", "twee woorden", "+", "één", "één"]


def convert(bids: Path, out: Path, units: str | None = None) -> Path:
    sheet = import_recordings(bids, out, Options(units=units, modified="pitch_shifted", events_are="cue"))
    assert sheet
    return sheet


def write_recording(
    bids: Path,
    subject: str,
    eeg: np.ndarray,
    audio: np.ndarray,
    words: list[str],
    *,
    eeg_hz: float = EEG_HZ,
    audio_hz: float = AUDIO_HZ,
    unit: str = "volts",
    conversion: float = 1e-6,
    table_units: str = "uV",
    eeg_start_s: float = 0.0,
    names: list[str] | None = None,
) -> Path:
    """One NWB file with its tables; words are one per neural sample."""
    folder = bids / subject / "ieeg"
    folder.mkdir(parents=True)
    file = folder / f"{subject}_task-wordProduction_ieeg.nwb"
    with h5py.File(file, "w") as nwb:
        starts = {"iEEG": (eeg_start_s, eeg_hz), "Audio": (1.25, audio_hz), "Stimulus": (eeg_start_s, eeg_hz)}
        for name, values in (("iEEG", eeg), ("Audio", audio)):
            nwb[f"acquisition/{name}/data"] = values
        text = h5py.string_dtype()
        nwb.create_dataset("acquisition/Stimulus/data", data=np.array(words, object), dtype=text)
        for name, (start_s, rate_hz) in starts.items():
            nwb[f"acquisition/{name}/starting_time"] = start_s
            nwb[f"acquisition/{name}/starting_time"].attrs["rate"] = rate_hz
        nwb["acquisition/iEEG/data"].attrs.update(unit=unit, conversion=conversion)
    names = names or [f"LA{i + 1}" for i in range(eeg.shape[1])]
    kinds = ["ECG" if name == "EKG" else "SEEG" for name in names]
    units = {"SEEG": table_units, "ECG": "mV"}
    rows = [f"{n}\t{k}\t{units[k]}\tn/a\tgood\n" for n, k in zip(names, kinds, strict=True)]
    stem = f"{subject}_task-wordProduction"
    (folder / f"{stem}_channels.tsv").write_text("name\ttype\tunits\tlow_cutoff\tstatus\n" + "".join(rows))
    places = "".join(f"{name}\t1.5\t2\t3\tSTG\n" for name in names)
    (folder / f"{stem}_space-ACPC_electrodes.tsv").write_text("name\tx\ty\tz\tlocation\n" + places)
    return file


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Two subjects of 20 s; the second one's neural clock starts half a second in, and it has an EKG."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "SingleWordProductionDutch-iBIDS"
    words = [word for word in WORDS for _ in range(1024)]
    eeg = rng.normal(0, 50, (len(words), 3))
    audio = rng.integers(-2000, 2000, int(20 * AUDIO_HZ)).astype(np.int16)
    write_recording(folder, "sub-01", eeg, audio, words)
    eeg_v, sound = (eeg * 1e-6).astype(np.float64), (audio / 32768).astype(np.float64)
    options = {"unit": "volts", "conversion": 1.0, "table_units": "V", "eeg_start_s": 0.5}
    write_recording(folder, "sub-02", eeg_v, sound[:, None], words, **options, names=["LA1", "LA2", "EKG"])
    return folder


def test_arrays_rates_units_and_clock_are_what_the_files_declare(bids: Path, tmp_path: Path) -> None:
    first, second = read_sheet(convert(bids, tmp_path / "raw"))
    assert (first.subject, first.eeg_rate_hz, first.audio_rate_hz) == ("sub-01", EEG_HZ, AUDIO_HZ)
    assert (first.audio_modified, first.eeg_units, first.simulated) == ("pitch_shifted", "uV", False)
    assert (first.audio_offset_s, second.audio_offset_s) == (1.25, 0.75)
    eeg = [np.load(tmp_path / "raw" / row.eeg) for row in (first, second)]
    assert eeg[0].dtype == np.float32
    assert (eeg[0].shape, eeg[1].shape) == ((10240, 3), (10240, 2))
    np.testing.assert_allclose(eeg[0][:, :2], eeg[1], rtol=1e-5)
    assert eeg[0].std() == pytest.approx(50, rel=0.05)
    audio = [np.load(tmp_path / "raw" / str(row.audio)) for row in (first, second)]
    assert [a.dtype for a in audio] == [np.int16, np.float32]
    assert audio[1].shape == (160000,)
    np.testing.assert_allclose(audio[0] / 32768, audio[1], atol=1e-6)


def test_words_become_events_on_the_audio_clock(bids: Path, tmp_path: Path) -> None:
    rows = read_sheet(convert(bids, tmp_path / "raw"))
    events = [read_events(tmp_path / "raw" / str(row.events)) for row in rows]
    assert events[0].label == events[1].label == ("één", "twee woorden", "één")
    assert events[0].onset_s == pytest.approx((4 - 1.25, 12 - 1.25, 16 - 1.25))
    assert events[0].duration_s == pytest.approx((6, 2, 4))
    assert np.subtract(events[1].onset_s, events[0].onset_s) == pytest.approx([0.5] * 3)


def test_tables_follow_the_array(bids: Path, tmp_path: Path) -> None:
    second = read_sheet(convert(bids, tmp_path / "raw"))[1]
    channels = read_channels(tmp_path / "raw" / str(second.channels), 2)
    assert channels.name == ("LA1", "LA2")
    assert (channels.units[0], channels.sampling_frequency[0]) == ("uV", EEG_HZ)
    assert read_electrodes(tmp_path / "raw" / str(second.electrodes)).region[0] == "STG"


def test_a_rate_from_time_stamps(bids: Path, tmp_path: Path) -> None:
    with h5py.File(bids / "sub-01/ieeg/sub-01_task-wordProduction_ieeg.nwb", "r+") as nwb:
        group = nwb["acquisition/iEEG"]
        del group["starting_time"]
        group["timestamps"] = 0.25 + np.arange(10240) / EEG_HZ
    first = read_sheet(convert(bids, tmp_path / "raw"))[0]
    assert (first.eeg_rate_hz, first.audio_offset_s) == (EEG_HZ, 1.0)


@pytest.mark.parametrize("bad", ["units", "series", "channels"])
def test_what_contradicts_itself_is_refused(bids: Path, tmp_path: Path, bad: str) -> None:
    with h5py.File(bids / "sub-01/ieeg/sub-01_task-wordProduction_ieeg.nwb", "r+") as nwb:
        if bad == "units":
            nwb["acquisition/iEEG/data"].attrs["conversion"] = 1.0
        elif bad == "series":
            del nwb["acquisition/Stimulus"]
        else:
            values = nwb["acquisition/iEEG/data"][:, :2]
            del nwb["acquisition/iEEG/data"]
            nwb["acquisition/iEEG/data"] = values
    words = {"units": "1e\\+06 µV per step in the NWB file", "series": "Stimulus", "channels": "3 channels"}
    with pytest.raises(InputError, match=words[bad]):
        convert(bids, tmp_path / "raw")
    assert not (tmp_path / "raw/recordings.tsv").exists()


def test_a_stated_unit_settles_it(bids: Path, tmp_path: Path) -> None:
    with h5py.File(bids / "sub-01/ieeg/sub-01_task-wordProduction_ieeg.nwb", "r+") as nwb:
        nwb["acquisition/iEEG/data"].attrs["conversion"] = 1.0
    convert(bids, tmp_path / "raw", "uV")
    assert np.load(tmp_path / "raw/sub-01_task-wordProduction_eeg.npy").std() == pytest.approx(50, rel=0.05)


def test_the_ready_config_is_valid() -> None:
    config = load_config([ROOT / "config/single_word_production_dutch.yaml"])
    assert (config.fold, config.split.folds, str(config.data.sheet)) == ("all", 10, "raw/recordings.tsv")


@pytest.mark.slow
def test_the_whole_script_on_a_simulated_folder(tmp_path: Path) -> None:
    """From NWB files to a report: pitch-shifted sound cannot be tested for contamination."""
    config = SimulateConfig(minutes=1.5, channels=6, dead_channels=0, noisy_channels=0, eeg_dtype="float32")
    row = read_sheet(write_subjects(config, tmp_path / "simulated"))[0]
    eeg = np.load(tmp_path / "simulated" / row.eeg)
    audio = np.load(tmp_path / "simulated" / str(row.audio))
    printed = read_events(tmp_path / "simulated" / str(row.events))
    words = [""] * len(eeg)
    for onset_s, duration_s, label in zip(printed.onset_s, printed.duration_s, printed.label, strict=True):
        start, stop = (round((t + 1.25) * row.eeg_rate_hz) for t in (onset_s, onset_s + duration_s))
        words[start:stop] = [label] * (min(stop, len(words)) - start)
    bids = tmp_path / "bids"
    rates = {"eeg_hz": row.eeg_rate_hz, "audio_hz": float(row.audio_rate_hz or 0)}
    write_recording(bids, "sub-01", eeg, audio, words, **rates, eeg_start_s=1.25 - row.audio_offset_s)
    small = ["split.folds=3", "fold=0", "model.preset=tiny", "train.max_steps=30", "vocode.iterations=4"]
    command = ["bash", str(ROOT / "bench/dutch.sh"), str(bids), str(tmp_path / "work"), "--cores", "1"]
    for setting in [*small, "context=full", "evaluate.bootstrap=100", "split.validation_fraction=0.2"]:
        command += ["--set", setting]
    environment = {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    page = (tmp_path / "work/results/report.html").read_text()
    assert "pitch-shifted after recording" in page
    assert "Simulated data" not in page
    assert "Events are cues: onsets of words are taken from the sound." in page
    assert (tmp_path / "work/results/eval.json").is_file()
