"""Griffin-Lim and pulses: the mel of the sound that they make is, or follows, the mel that they were given."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.mel import MelConfig
from pipeline.config.vocode import VocodeConfig
from pipeline.signal.mel import log_mel, mel_filter_bank
from pipeline.vocoder import griffin_lim, pulses
from pipeline.vocoder.base import Vocoder
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.pulses import Pulses

SPEECH = Path(__file__).parents[2] / "shared" / "data" / "ljspeech32" / "LJ001-0002.npy"


def vocoder_of(mel: MelConfig, **options: float) -> GriffinLim:
    return GriffinLim(mel_filter_bank(mel), mel, VocodeConfig(**options))  # type: ignore[arg-type]


def mel_r(one: np.ndarray, two: np.ndarray) -> float:
    """r over time, mean over bands."""
    n = min(len(one), len(two))
    return float(np.mean([np.corrcoef(one[:n, b], two[:n, b])[0, 1] for b in range(one.shape[1])]))


def chirp(seconds: float) -> np.ndarray:
    """A gliding tone with harmonics that comes and goes, over faint noise."""
    t = np.arange(int(seconds * 22050)) / 22050
    phase = 2 * np.pi * (150 * t + 40 * np.sin(2 * t))
    tone = sum(np.sin(h * phase) / h for h in range(1, 25)) * np.sin(np.pi * 3 * t) ** 2
    return (0.1 * tone + 1e-3 * np.random.default_rng(0).normal(size=t.size)).astype(np.float32)


@pytest.mark.parametrize("flavor", ["tacotron2", "hifigan"])
def test_copy_synthesis_of_real_speech(flavor: str) -> None:
    if not SPEECH.is_file():
        pytest.skip("needs ../shared/data/ljspeech32: real speech that the project does not ship")
    config = MelConfig(flavor=flavor)  # type: ignore[arg-type]
    target = log_mel(np.load(SPEECH), 22050, config)
    sound = vocoder_of(config)(target)
    assert mel_r(target, log_mel(np.clip(sound, -1, 1), 22050, config)) > 0.98


@pytest.mark.parametrize("flavor", ["tacotron2", "hifigan"])
def test_length_and_time_of_the_sound(flavor: str) -> None:
    """A click stays where it was: neither flavor's padding shifts the sound."""
    config = MelConfig(flavor=flavor)  # type: ignore[arg-type]
    click = 1e-4 * np.random.default_rng(0).normal(size=22050).astype(np.float32)
    click[10000:10200] += 0.5
    mel = log_mel(click, 22050, config)
    sound = vocoder_of(config)(mel)
    assert len(sound) == 256 * (len(mel) - (flavor == "tacotron2"))
    energy = sound.astype(np.float64) ** 2
    assert (np.arange(len(sound)) * energy).sum() / energy.sum() == pytest.approx(10100, abs=100)


def test_same_mel_gives_same_sound() -> None:
    mel = log_mel(chirp(0.5), 22050, MelConfig())
    vocoder: Vocoder = vocoder_of(MelConfig(), iterations=4)
    sound = vocoder(mel)
    assert sound.dtype == np.float32
    assert vocoder.sample_rate_hz == 22050
    np.testing.assert_array_equal(sound, vocoder(mel))


def test_magnitude_inversion_is_non_negative_and_exact_on_the_mel() -> None:
    config = MelConfig()
    mel = np.exp(log_mel(chirp(1.0), 22050, config))
    spectrum = vocoder_of(config).magnitude(mel)
    assert spectrum.min() >= 0
    assert np.abs(np.log(spectrum @ mel_filter_bank(config).T + 1e-5) - np.log(mel + 1e-5)).mean() < 0.02


def test_transform_and_overlap_add_are_inverse() -> None:
    vocoder = vocoder_of(MelConfig(hop_length=300, win_length=800))
    wave = np.random.default_rng(0).normal(size=1024 + 300 * 20).astype(np.float32)
    spectrum = vocoder.transform(wave)
    rebuilt = vocoder.overlap_add(spectrum, vocoder.weight(len(spectrum)))
    assert len(rebuilt) == len(wave)
    np.testing.assert_allclose(rebuilt[600:-600], wave[600:-600], atol=1e-4)


def test_long_mels_are_done_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(griffin_lim, "FRAMES_AT_ONCE", 64)
    config = MelConfig()
    for frames in (64, 65, 130, 200):
        mel = log_mel(chirp(3.0), 22050, config)[:frames]
        sound = vocoder_of(config)(mel)
        assert len(sound) == 256 * (frames - 1)
        assert mel_r(mel, log_mel(np.clip(sound, -1, 1), 22050, config)) > 0.9


def test_silence_stays_silent() -> None:
    silence = np.full((40, 80), np.log(1e-5), np.float32)
    assert np.abs(vocoder_of(MelConfig())(silence)).max() < 1e-3


# --- pulses ---------------------------------------------------------------------------------------------------------


def pulses_of(mel: MelConfig, pitch_hz: float = 120.0) -> Pulses:
    return Pulses(vocoder_of(mel), pitch_hz)


@pytest.mark.parametrize("flavor", ["tacotron2", "hifigan"])
def test_pulses_keep_time_and_mel(flavor: str) -> None:
    config = MelConfig(flavor=flavor)  # type: ignore[arg-type]
    mel = log_mel(chirp(2.0), 22050, config)
    sound = pulses_of(config)(mel)
    assert sound.dtype == np.float32
    assert len(sound) == len(vocoder_of(config, iterations=1)(mel))
    again = log_mel(np.clip(sound, -1, 1), 22050, config)
    loudness, found = mel.mean(axis=1), again.mean(axis=1)[: len(mel)]
    assert np.corrcoef(loudness[: len(found)], found)[0, 1] > 0.97
    late = np.corrcoef(loudness[: len(found) - 4], found[4:])[0, 1]
    assert late < np.corrcoef(loudness[: len(found)], found)[0, 1] - 0.05


@pytest.mark.parametrize("pitch_hz", [100.0, 137.0])
def test_pulses_have_the_pitch(pitch_hz: float) -> None:
    sound = pulses_of(MelConfig(), pitch_hz)(np.full((80, 80), -3.0, np.float32)).astype(np.float64)
    likeness = np.correlate(sound, sound, "full")[len(sound) - 1 :]
    assert 60 + np.argmax(likeness[60:400]) == pytest.approx(22050 / pitch_hz, abs=1.5)


def wavering(sound: np.ndarray) -> float:
    """Standard deviation over time of the level of third octaves in frames of 26 ms, as STOI takes them [nats]."""
    length = 564
    frames = np.lib.stride_tricks.sliding_window_view(sound, length)[length:-length:256] * np.hanning(length)
    power, hz = np.abs(np.fft.rfft(frames, axis=1)) ** 2, np.fft.rfftfreq(length, 1 / 22050)
    edges = 300 * 2 ** (np.arange(13) / 3)
    bands = [power[:, (hz >= a) & (hz < b)].sum(axis=1) for a, b in itertools.pairwise(edges)]
    return float(np.log(bands).std(axis=1).mean())


def test_a_steady_spectrum_stays_steady() -> None:
    """The reason for pulses."""
    steady = np.full((200, 80), -3.0, np.float32)
    assert wavering(pulses_of(MelConfig())(steady)) < 0.1 < 0.3 < wavering(vocoder_of(MelConfig())(steady))


def test_pulses_of_long_mels_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    mel = log_mel(chirp(3.0), 22050, MelConfig())
    whole = pulses_of(MelConfig())(mel)
    monkeypatch.setattr(pulses, "FRAMES_AT_ONCE", 64)
    np.testing.assert_allclose(pulses_of(MelConfig())(mel), whole, atol=1e-6)


@pytest.mark.parametrize("flavor", ["tacotron2", "hifigan"])
@pytest.mark.parametrize("cuts", [[1], [3, 1, 20], [0, 7], [1000]])
def test_pulses_of_frames_as_they_come_are_those_of_the_whole(flavor: str, cuts: list[int]) -> None:
    mel = np.random.default_rng(0).normal(-4, 1, (61, 80)).astype(np.float32)
    vocoder = pulses_of(MelConfig(flavor=flavor))
    for _ in range(2):  # what finished leaves nothing behind
        sounds, start = [], 0
        for cut in itertools.cycle(cuts):
            sounds.append(vocoder.push(mel[start : start + cut]))
            start += cut
            if start >= len(mel):
                break
        np.testing.assert_allclose(
            np.concatenate([*sounds, vocoder.finish()]), pulses_of(MelConfig(flavor=flavor))(mel), atol=1e-6
        )
    assert sum(map(len, sounds)) == 61 * 256 - vocoder.griffin_lim.padding, "a hop for each frame, at once"
    assert not len(vocoder.finish())
