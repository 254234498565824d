"""The simulated subject: what it claims about itself is true, and equal seeds give equal bytes."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from pipeline.config.simulate import SimulateConfig, simulated_sheet
from pipeline.errors import InputError
from pipeline.raw.sheet import read_sheet, rows_of
from pipeline.simulation.clips import read_clips
from pipeline.simulation.speech import WORDS, speak
from pipeline.simulation.subject import (
    Blob,
    Sound,
    band_energies,
    make_eeg,
    make_implant,
    make_sound,
    respond,
    write_subjects,
)

LJSPEECH = Path(__file__).parents[2] / "shared" / "data" / "ljspeech32"
SMALL = SimulateConfig(minutes=0.2, channels=6, audio_rate_hz=16000)


def _clean(**changes: object) -> SimulateConfig:
    """A recording without faults, long enough to measure things in."""
    faultless = dict(dead_channels=0, noisy_channels=0, spikes_per_minute=0.0, line_noise_uv=0.0, gain_drift=0.0)
    base = dict(minutes=1.0, channels=4, audio_rate_hz=16000, snr_db=20.0, responsive_share=1.0)
    return SimulateConfig.model_validate(faultless | base | changes)


def _recording(config: SimulateConfig) -> tuple[Sound, np.ndarray]:
    """Sound, and neural recording [µV], of the first recording."""
    place = (0, 0)
    sound = make_sound(config, place, 0, None)
    driving = make_sound(config, place, 1, None) if config.mode == "null" else sound
    eeg, _ = make_eeg(config, place, make_implant(config, 0), sound, driving)
    return sound, eeg.astype(float) * 0.1


def _envelope(eeg: np.ndarray, config: SimulateConfig) -> np.ndarray:
    """Log high-gamma amplitude (frames, channels) at 100 Hz of the audio clock, through the declared clock."""
    band = signal.butter(4, [70, 170], "bandpass", fs=config.eeg_rate_hz, output="sos")
    power = signal.sosfiltfilt(band, eeg, axis=0) ** 2
    smooth = signal.sosfiltfilt(signal.butter(2, 12, fs=config.eeg_rate_hz, output="sos"), power, axis=0)
    t_audio = np.arange(round(config.minutes * 6000) + 1) / 100
    t_neural = t_audio * (1 + config.audio_drift_ppm * 1e-6) + config.audio_offset_s
    at = np.clip(np.rint(t_neural * config.eeg_rate_hz).astype(int), 0, len(eeg) - 1)
    return 0.5 * np.log(np.maximum(smooth[at], 1e-6))


def _correlations(config: SimulateConfig) -> np.ndarray:
    """r of each channel's envelope with its true response."""
    sound, eeg = _recording(config)
    drive = band_energies(sound.samples, config.audio_rate_hz)
    envelope = _envelope(eeg, config)
    implant = make_implant(config, 0)
    return np.array([np.corrcoef(envelope[:, i], respond(c.field, drive))[0, 1] for i, c in enumerate(implant)])


def _digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


# --- files ------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_recordings(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_subjects(SMALL.model_copy(update={"seed": seed}), tmp_path / name)
    a, b, c = (_digests(tmp_path / name) for name in "abc")
    assert a == b
    assert a["sim01_run01_eeg.npy"] != c["sim01_run01_eeg.npy"]
    assert a["sim01_run01_audio.npy"] != c["sim01_run01_audio.npy"]


def test_the_sheet_follows_from_the_config_and_can_be_read(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"subjects": 2, "recordings": 2, "minutes": 0.05})
    sheet = write_subjects(config, tmp_path / "new" / "folder")
    rows = read_sheet(sheet)
    assert rows == rows_of(simulated_sheet(config), sheet)
    assert [row.recording for row in rows] == ["sim01_run01", "sim01_run02", "sim02_run01", "sim02_run02"]
    assert all(row.simulated for row in rows)
    written = {path.name for row in rows for path in row.files().values()}
    assert written | {"recordings.tsv", "truth.json"} == {path.name for path in sheet.parent.iterdir()}


def test_recordings_of_a_subject_share_its_electrodes_and_nothing_else(tmp_path: Path) -> None:
    write_subjects(SMALL.model_copy(update={"subjects": 2, "recordings": 2, "minutes": 0.05}), tmp_path)
    truth = json.loads((tmp_path / "truth.json").read_text())
    fields = [recording["channels"] for recording in truth["recordings"]]
    assert fields[0] == fields[1] != fields[2]
    digests = _digests(tmp_path)
    assert len({digest for name, digest in digests.items() if name.endswith(".npy")}) == 8


def test_arrays_have_the_declared_form(tmp_path: Path) -> None:
    write_subjects(SMALL, tmp_path)
    eeg = np.load(tmp_path / "sim01_run01_eeg.npy")
    audio = np.load(tmp_path / "sim01_run01_audio.npy")
    assert (eeg.dtype, audio.dtype) == (np.int16, np.int16)
    assert audio.shape == (12 * 16000,)
    assert eeg.shape == (round((12 * 1.00004 + 0.137 + 0.25) * 1024), 6)
    as_float = tmp_path / "float"
    write_subjects(SMALL.model_copy(update={"eeg_dtype": "float32"}), as_float)
    in_uv = np.load(as_float / "sim01_run01_eeg.npy")
    assert in_uv.dtype == np.float32
    assert np.abs(in_uv - eeg * np.float32(0.1)).max() <= 0.0501


def test_truth_names_dead_and_noisy_channels_and_no_folder(tmp_path: Path) -> None:
    write_subjects(SMALL, tmp_path)
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["simulated"] is True
    states = {channel["name"]: channel["state"] for channel in truth["recordings"][0]["channels"]}
    assert sorted(states.values()) == ["dead", "good", "good", "good", "good", "noisy"]
    eeg = np.load(tmp_path / "sim01_run01_eeg.npy")
    with (tmp_path / "sim01_run01_channels.tsv").open() as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    for i, row in enumerate(table):
        assert (eeg[:, i].std() == 0) == (states[row["name"]] == "dead")
        assert (row["status"] == "bad") == (states[row["name"]] == "noisy")
    assert str(tmp_path) not in (tmp_path / "truth.json").read_text()


@pytest.mark.parametrize(
    "keys",
    [
        {"lag_min_s": 0.4},
        {"channels": 2, "dead_channels": 1, "noisy_channels": 1},
        {"mode": "contaminated", "channels": 3},
        {"minutes": 1 / 60, "audio_offset_s": -0.5},
        {"mode": "Linked"},
        {"minutes": 0},
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="SimulateConfig"):
        SimulateConfig.model_validate(keys)


# --- sound --------------------------------------------------------------------------------------


def test_mel_bands_vary_apart_from_loudness() -> None:
    sound = make_sound(_clean(), (0, 0), 0, None)
    spoken = np.zeros(6001, bool)
    for onset, duration in zip(sound.onsets_s, sound.durations_s, strict=True):
        spoken[round(100 * onset) : round(100 * (onset + duration))] = True
    energies = band_energies(sound.samples, 16000)[spoken]
    power = np.linalg.svd(energies - energies.mean(axis=0), compute_uv=False) ** 2
    assert power.sum() ** 2 / (power**2).sum() > 2.2
    assert power[0] / power.sum() < 0.65


def test_words_differ_from_each_other_more_than_from_themselves() -> None:
    rng = np.random.default_rng(0)

    def loud_bands(word: str) -> np.ndarray:
        _, power = signal.welch(speak(word, 16000, 120.0, rng), 16000, nperseg=512)
        bands = np.log(power + 1e-9)[:256].reshape(32, 8).mean(axis=1)
        return bands - bands.mean()

    first, again = (np.array([loud_bands(word) for word in WORDS]) for _ in range(2))
    distance = np.linalg.norm(first[:, None] - again, axis=2)
    assert (distance.argmin(axis=1) == np.arange(len(WORDS))).mean() > 0.6


def test_events_lie_where_the_sound_is_loud() -> None:
    sound = make_sound(_clean(), (0, 0), 0, None)
    spoken = np.zeros(len(sound.samples), bool)
    for onset, duration in zip(sound.onsets_s, sound.durations_s, strict=True):
        spoken[round(onset * 16000) : round((onset + duration) * 16000)] = True
    loud = sound.samples.astype(float) ** 2
    assert loud[spoken].mean() > 1000 * loud[~spoken].mean()
    assert 0.3 < spoken.mean() < 0.8
    assert set(sound.labels) <= set(WORDS)
    assert np.all(np.diff(sound.onsets_s) > 0)


def test_a_recording_of_one_second_has_sound() -> None:
    config = SimulateConfig(minutes=1 / 60, channels=3, audio_rate_hz=16000)
    loud = [np.abs(make_sound(config, (0, r), 0, None).samples).max() > 1000 for r in range(20)]
    assert sum(loud) >= 15


@pytest.mark.skipif(not LJSPEECH.is_dir(), reason="needs ../shared/data/ljspeech32: clips of real speech")
def test_real_speech_fills_the_recording_in_seeded_order() -> None:
    config = _clean(speech=str(LJSPEECH), minutes=0.5)
    clips = read_clips(LJSPEECH, 16000, None)
    assert len(clips) == 32
    assert sum(len(clip.samples) for clip in clips) / 16000 == pytest.approx(222, abs=2)
    first, second = (make_sound(config.model_copy(update={"seed": s}), (0, 0), 0, clips) for s in (0, 1))
    assert first.labels != second.labels
    assert first.onsets_s[-1] + first.durations_s[-1] > 28
    assert np.abs(first.samples).max() > 10000


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no .wav, .flac or .npy file"),
        ({"a.npy": None}, "none declared"),
        ({"a.npy": None, "meta.json": "{"}, "meta.json"),
        ({"a.npy": None, "meta.json": '{"clips": [{"name": "a", "rate": 22.05}]}'}, "rate 22.05"),
        ({"a.npy": "text"}, "another format"),
    ],
)
def test_speech_that_cannot_be_used_is_refused(tmp_path: Path, files: dict[str, str | None], complaint: str) -> None:
    for name, text in files.items():
        if text is None:
            np.save(tmp_path / name, np.zeros(2000, np.int16))
        else:
            (tmp_path / name).write_text(text)
    out = tmp_path / "out"
    with pytest.raises(InputError, match=complaint):
        write_subjects(SMALL.model_copy(update={"speech": str(tmp_path)}), out)
    assert not out.exists()


def test_a_declared_rate_makes_npy_clips_usable(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", (8000 * np.sin(np.arange(8000) / 10)).astype(np.int16))
    (clip,) = read_clips(tmp_path, 16000, 8000.0)
    assert clip.label == "a"
    assert len(clip.samples) == 16000
    assert 0.2 < np.abs(clip.samples).max() < 0.3


# --- brain ---------------------------------------------------------------------------------------


def test_a_linked_brain_follows_the_sound_and_a_null_brain_does_not() -> None:
    assert np.all(_correlations(_clean()) > 0.5)
    independent = np.concatenate([_correlations(_clean(mode="null", seed=seed)) for seed in range(3)])
    assert np.abs(independent).max() < 0.45
    assert abs(independent.mean()) < 0.12


def _ridge_r(config: SimulateConfig) -> float:
    """Mean r over bands, on the last quarter, of a ridge regression on lags of -300 to +300 ms."""
    sound, eeg = _recording(config)
    good = [i for i, channel in enumerate(make_implant(config, 0)) if channel.state == "good"]
    envelope = _envelope(eeg[:, good], config)
    envelope = (envelope - envelope.mean(axis=0)) / envelope.std(axis=0)
    lags = range(-30, 31, 3)
    inputs = np.concatenate([np.roll(envelope, lag, axis=0) for lag in lags], axis=1)[30:-30]
    target = band_energies(sound.samples, config.audio_rate_hz)[30:-30]
    train, test = slice(0, len(target) * 3 // 4 - 100), slice(len(target) * 3 // 4, None)
    gram = inputs[train].T @ inputs[train] + 1e4 * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs[train].T @ (target[train] - target[train].mean(axis=0)))
    predicted, truth = inputs[test] @ weights, target[test]
    return float(np.mean([np.corrcoef(predicted[:, b], truth[:, b])[0, 1] for b in range(target.shape[1])]))


def test_the_default_subject_can_be_decoded_and_its_null_cannot() -> None:
    default = SimulateConfig(audio_rate_hz=16000)
    assert 0.35 < _ridge_r(default) < 0.75
    assert abs(_ridge_r(default.model_copy(update={"mode": "null", "minutes": 2.0}))) < 0.15


def test_onset_only_knows_when_but_not_what() -> None:
    config = _clean(mode="onset-only", minutes=2.0)
    sound, eeg = _recording(config)
    envelope = _envelope(eeg, config)
    onsets = np.rint(100 * sound.onsets_s[(sound.onsets_s > 0.5) & (sound.onsets_s < 119)]).astype(int)
    around = np.stack([envelope[onsets + lag] for lag in range(-40, 60)], axis=1)
    locked = around.mean(axis=0).std(axis=0)
    random = (
        np.stack([envelope[onsets * 37 % 11800 + 100 + lag] for lag in range(-40, 60)], axis=1).mean(axis=0).std(axis=0)
    )
    assert np.all(locked > 3 * random)
    other = Sound(np.roll(sound.samples[::-1], 7), sound.onsets_s, sound.durations_s, sound.labels)
    same, _ = make_eeg(config, (0, 0), make_implant(config, 0), other, other)
    assert np.array_equal(same * 0.1, eeg)


def test_positive_lag_means_that_the_brain_precedes() -> None:
    drive = np.zeros((200, 24), np.float32)
    drive[100] = 1.0
    early = respond((Blob(10, 3, 0.3, 0.02, 1.0),), drive)
    late = respond((Blob(10, 3, -0.15, 0.02, 1.0),), drive)
    assert (early.argmax(), late.argmax()) == (70, 115)


def test_declared_clock_is_the_true_clock() -> None:
    """Offset and drift come out of the response's place in the first and in the last third."""
    config = _clean(minutes=3.0, channels=3, audio_offset_s=0.4, audio_drift_ppm=2000.0)
    sound, eeg = _recording(config)
    undeclared = config.model_copy(update={"audio_offset_s": 0.0, "audio_drift_ppm": 0.0})
    envelope = _envelope(eeg, undeclared)
    implant = make_implant(config, 0)
    drive = band_energies(sound.samples, config.audio_rate_hz)
    response = np.stack([respond(channel.field, drive) for channel in implant], axis=1)

    def delay_s(span: slice) -> float:
        shifts = np.arange(0, 120)
        piece = response[span] - response[span].mean(axis=0)
        scores = [np.sum(piece * envelope[span.start + s : span.stop + s]) for s in shifts]
        return float(shifts[np.argmax(scores)]) / 100

    for middle_s, span in ((30, slice(0, 6000)), (140, slice(11000, 17000))):
        assert delay_s(span) == pytest.approx(0.4 + middle_s * 2e-3, abs=0.025)


def test_only_the_contaminated_mode_holds_the_waveform() -> None:
    """Coherence of a channel with the sound itself, resampled through the declared clock."""

    def coherence(mode: str) -> np.ndarray:
        config = _clean(mode=mode, leak_channels=2, leak_db=0.0, snr_db=-6.0)
        sound, eeg = _recording(config)
        t_audio = (np.arange(len(eeg)) / 1024 - config.audio_offset_s) / (1 + config.audio_drift_ppm * 1e-6)
        low = signal.sosfiltfilt(signal.butter(8, 400, fs=16000, output="sos"), sound.samples.astype(float))
        voice = np.interp(t_audio, np.arange(len(low)) / 16000, low)
        freqs, values = signal.coherence(eeg, voice[:, None], 1024, nperseg=512, axis=0)
        return values[(freqs > 90) & (freqs < 160)].mean(axis=0)

    leaks = [channel.leaks for channel in make_implant(_clean(mode="contaminated", leak_channels=2), 0)]
    assert sum(leaks) == 2
    contaminated, linked = coherence("contaminated"), coherence("linked")
    assert contaminated[leaks].min() > 0.1
    assert linked.max() < 0.03


def test_requested_faults_are_there() -> None:
    faulty = _clean(line_noise_uv=30.0, spikes_per_minute=60.0, snr_db=-60.0)
    _, eeg = _recording(faulty)
    _, clean = _recording(_clean(snr_db=-60.0))
    freqs, power = signal.welch(eeg, 1024, nperseg=4096, axis=0)
    at_50, near = power[np.abs(freqs - 50) < 0.6].max(axis=0), power[np.abs(freqs - 45) < 2].mean(axis=0)
    at_150 = power[np.abs(freqs - 150) < 0.6].max(axis=0)
    assert np.all(at_50 > 30 * near)
    assert np.all(at_150 > 10 * power[np.abs(freqs - 140) < 2].mean(axis=0))
    assert np.abs(eeg).max() > 1.5 * np.abs(clean).max()


def test_background_falls_with_frequency() -> None:
    _, eeg = _recording(_clean(snr_db=-60.0))
    freqs, power = signal.welch(eeg, 1024, nperseg=2048, axis=0)
    spectrum = power.mean(axis=1)
    slope = np.polyfit(np.log(freqs[(freqs > 10) & (freqs < 150)]), np.log(spectrum[(freqs > 10) & (freqs < 150)]), 1)[
        0
    ]
    assert -2.3 < slope < -1.6
    assert 15 < np.median(eeg.std(axis=0)) < 90
