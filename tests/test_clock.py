"""Clocks: known lags, offsets and drifts are found, and unrelated series say that they are."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.signal.blocks import array_reader
from pipeline.signal.clock import audio_to_neural_s, neural_to_audio_s
from pipeline.signal.lag import LagEstimate, feature_energy, neural_audio_lag, sound_envelope

RATE_HZ = 100.0


def loudness(seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times at 400 Hz and a speech-like loudness, rectified noise that changes within 0.15 s."""
    time_s = np.arange(round(seconds * 400)) / 400
    noise = np.random.default_rng(seed).standard_normal(len(time_s))
    return time_s, np.maximum(0, np.convolve(noise, np.hanning(60), "same"))


def pair(
    seconds: float, lag_s: float = 0.0, drift_ppm: float = 0.0, offset_s: float = 0.0, snr: float = 0.7, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Energy and envelope on the audio clock, as if the clocks had been declared equal.

    The brain runs ``lag_s`` ahead of the sound; its clock really is drifting and offset.
    """
    fine_s, loud = loudness(seconds, seed)
    times_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    audio_length_s = neural_to_audio_s(times_s, offset_s, drift_ppm) + lag_s
    noise = np.convolve(np.random.default_rng(seed + 1).standard_normal(len(times_s)), np.hanning(9), "same")
    energy = snr * np.interp(audio_length_s, fine_s, loud) / loud.std() + noise / noise.std()
    return energy, np.interp(times_s, fine_s, loud)


def estimate(energy: np.ndarray, envelope: np.ndarray, **keys: float) -> LagEstimate:
    return neural_audio_lag(energy, envelope, RATE_HZ, **{"max_lag_s": 1.0, **keys})


@pytest.mark.parametrize("lag_s", [-0.4, -0.013, 0.0, 0.1, 0.62])
def test_lag_is_found_with_its_sign(lag_s: float) -> None:
    found = estimate(*pair(300, lag_s))
    assert found.lag_s == pytest.approx(lag_s, abs=0.005)
    assert found.confidence > 0.6
    assert found.correlation is not None
    assert found.correlation > 0.3
    assert found.p_value is not None
    assert found.p_value < 0.01


def test_brain_before_sound_is_positive() -> None:
    envelope = np.zeros(6000)
    envelope[np.random.default_rng(0).choice(5900, 40)] = 1
    found = estimate(np.roll(envelope, -20), envelope)
    assert found.lag_s == pytest.approx(0.2, abs=1e-3)


def test_energy_that_falls_with_sound_is_found_too() -> None:
    energy, envelope = pair(300, 0.2)
    found = estimate(-energy, envelope)
    assert found.lag_s == pytest.approx(0.2, abs=0.005)
    assert found.correlation is not None
    assert found.correlation < -0.3


@pytest.mark.parametrize("drift_ppm", [-120.0, -20.0, 0.0, 60.0, 250.0])
def test_drift_is_found_with_its_sign(drift_ppm: float) -> None:
    found = estimate(*pair(900, 0.1, drift_ppm))
    assert found.drift_ppm is not None
    assert found.drift_se_ppm is not None
    assert abs(found.drift_ppm - drift_ppm) < max(4 * found.drift_se_ppm, 4)
    assert found.drift_se_ppm < 5
    assert found.reason == ""


def test_declared_clocks_leave_only_the_lag() -> None:
    """What is estimated is to be added to what is declared: declaring it leaves nothing."""
    offset_s, drift_ppm, lag_s, seconds = 0.4, 80.0, 0.15, 600
    fine_s, loud = loudness(seconds, 5)
    neural_s = np.arange(round(seconds * 400)) / 400
    on_audio_s = neural_to_audio_s(neural_s, offset_s, drift_ppm)
    brain = np.interp(on_audio_s + lag_s, fine_s, loud)
    times_s = np.arange(100, round(seconds * RATE_HZ) - 200) / RATE_HZ
    envelope = np.interp(times_s, fine_s, loud)
    declared = np.interp(audio_to_neural_s(times_s, offset_s, drift_ppm), neural_s, brain)
    found = estimate(declared, envelope)
    assert found.lag_s == pytest.approx(lag_s, abs=0.003)
    assert found.drift_ppm == pytest.approx(0, abs=2)
    undeclared = estimate(np.interp(audio_to_neural_s(times_s, offset_s, 0.0), neural_s, brain), envelope)
    assert undeclared.drift_ppm == pytest.approx(drift_ppm, abs=2)
    unshifted = estimate(np.interp(audio_to_neural_s(times_s, 0.0, drift_ppm), neural_s, brain), envelope)
    assert unshifted.lag_s == pytest.approx(lag_s - offset_s, abs=0.003)


def test_unrelated_series_have_no_confidence() -> None:
    found = []
    for seed in range(60):
        energy, _ = pair(300, seed=seed)
        _, envelope = pair(300, seed=1000 + seed)
        found.append(estimate(energy, envelope))
    assert np.mean([f.confidence > 0 for f in found]) <= 0.05
    assert max(f.confidence for f in found) < 0.15
    assert np.mean([(f.p_value or 0) < 0.1 for f in found]) <= 0.2
    assert all(f.drift_ppm is None for f in found if f.confidence == 0)


def test_slow_trends_in_both_are_no_lag() -> None:
    trend = np.linspace(0, 30, 30_000) + 20 * np.sin(np.arange(30_000) / 6000)
    energy, _ = pair(300, seed=1)
    _, envelope = pair(300, seed=2)
    assert estimate(energy + trend, envelope + trend).confidence == 0


def test_too_short_or_constant_gives_a_reason() -> None:
    short = estimate(*pair(20))
    assert short.lag_s is None
    assert short.drift_ppm is None
    assert short.confidence == 0
    assert "shorter than 40 s" in short.reason
    energy, envelope = pair(60)
    assert estimate(np.ones_like(energy), envelope).reason == "one of the two is constant"
    assert estimate(energy, np.zeros_like(envelope)).lag_s is None
    with pytest.raises(ValueError, match="one length"):
        estimate(energy, envelope[1:])
    half_a_minute = estimate(*pair(30), max_lag_s=0.5, segment_s=10.0)
    assert half_a_minute.lag_s == pytest.approx(0, abs=0.01)


def test_lags_that_jump_are_no_drift() -> None:
    energy, envelope = pair(600, seed=3)
    pieces = np.array_split(np.arange(len(energy)), 12)
    jumps = np.random.default_rng(0).permutation([0, 0, 0, 0, *np.linspace(-60, 60, 8).astype(int)])
    jumping = np.concatenate([np.roll(energy, jump)[piece] for piece, jump in zip(pieces, jumps, strict=True)])
    found = estimate(jumping, envelope)
    assert found.confidence > 0
    assert found.drift_ppm is None
    assert found.reason == "the segments' lags lie on no line"


def test_maps_between_clocks_are_inverse() -> None:
    t_audio_s = np.linspace(0, 3600, 1001)
    t_neural_s = audio_to_neural_s(t_audio_s, -1.25, 90.0)
    np.testing.assert_allclose(t_neural_s, t_audio_s + t_audio_s * 90e-6 - 1.25, rtol=0, atol=1e-9)
    np.testing.assert_allclose(neural_to_audio_s(t_neural_s, -1.25, 90.0), t_audio_s, rtol=0, atol=1e-9)


def test_sound_envelope_is_the_mean_around_each_time() -> None:
    audio = (np.random.default_rng(0).standard_normal(22050 * 30) * 3000).astype(np.int16)
    times_s = 0.1 + np.arange(2900) / 100 * (1 + 1e-4)
    envelope = sound_envelope(array_reader(audio), len(audio), 22050, times_s)
    first = np.floor(times_s * 22050 - (1102 - 1) / 2 + 0.5).astype(int)
    expected = [np.abs(audio[a : a + 1102] / 32768).mean() for a in first]
    np.testing.assert_allclose(envelope, expected, rtol=1e-4)
    at_the_ends = sound_envelope(array_reader(audio), len(audio), 22050, np.array([0.0, 30.0 - 1 / 22050]))
    assert np.all(at_the_ends > 0)


def test_feature_energy_weighs_channels_alike() -> None:
    rng = np.random.default_rng(0)
    common = rng.standard_normal(5000)
    other = rng.standard_normal(5000)
    features = np.stack([common, 1000 * other + 7, np.full(5000, 3.3)], axis=1).astype(np.float32)
    z = [(x - x.mean()) / x.std() for x in (common, other)]
    np.testing.assert_allclose(feature_energy(array_reader(features), 5000), np.mean(z, axis=0), atol=1e-4)
    assert not feature_energy(array_reader(np.ones((100, 3), np.float32)), 100).any()
