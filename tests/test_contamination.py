"""The acoustic contamination check: finds a leak, tolerates brain activity that follows the sound."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import scipy.signal

from pipeline.config.contamination import ContaminationConfig
from pipeline.evaluation import contamination
from pipeline.evaluation.contamination import Contamination, SignalPair, check_contamination, corrected

NEURAL_HZ, AUDIO_HZ = 1000.0, 8000.0
CONFIG = ContaminationConfig(surrogates=2000)


def voice(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Harmonics of a wandering pitch under a syllable-like envelope, float32 at 8 kHz."""
    n = int(seconds * AUDIO_HZ)
    knots = np.arange(int(seconds * 5) + 2)
    pitch = np.interp(np.arange(n) * 5 / AUDIO_HZ, knots, rng.uniform(75, 160, knots.size))
    loudness = np.interp(np.arange(n) * 5 / AUDIO_HZ, knots, rng.uniform(0, 1, knots.size) ** 2)
    phase = 2 * np.pi * np.cumsum(pitch) / AUDIO_HZ
    return (loudness * sum(np.sin(h * phase) / h for h in range(1, 6)) / 3).astype(np.float32)


def recording(
    seed: int, leak: float = 0.0, follow: float = 0.0, seconds: float = 60.0, offset_s: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Neural noise (time, 4) and voice; sound leaks into channel 2, or high gamma of channel 1 follows loudness."""
    rng = np.random.default_rng(seed)
    sound = voice(rng, seconds)
    low = scipy.signal.resample_poly(sound, 1, 8)
    lead = round(offset_s * NEURAL_HZ)
    neural = rng.normal(0, 1, (len(low) + lead, 4)).cumsum(axis=0) * 0.1 + rng.normal(0, 1, (len(low) + lead, 4))
    neural[lead:, 2] += leak * low
    loudness = np.convolve(np.abs(low), np.ones(100) / 100, "same")
    gamma = scipy.signal.sosfilt(scipy.signal.butter(4, (70, 170), "bandpass", fs=NEURAL_HZ, output="sos"),
                                 rng.normal(0, 3, len(low)))  # fmt: skip
    neural[lead:, 1] += follow * loudness * gamma
    return neural.astype(np.float32), sound


def check(neural: np.ndarray, sound: np.ndarray, **options: object) -> Contamination:
    pair = SignalPair(neural, sound, float(options.pop("audio_offset_s", 0.0)))  # type: ignore[arg-type]
    return check_contamination([pair], NEURAL_HZ, AUDIO_HZ, CONFIG, recording="r", **options)  # type: ignore[arg-type]


def test_leak_is_suspect_and_its_channel_named() -> None:
    found = [check(*recording(seed, leak=1.0)) for seed in range(4)]
    assert [f.result for f in found] == ["suspect"] * 4
    assert [f.channel for f in found] == [2] * 4


def test_high_gamma_that_follows_loudness_is_rarely_suspect() -> None:
    results = [check(*recording(seed, follow=6.0)).result for seed in range(10)]
    assert results.count("suspect") <= 2


def test_independent_data_give_uniform_p() -> None:
    p = np.array([check(*recording(seed, seconds=20)).p for seed in range(30)])
    assert np.mean(p < 0.05) <= 0.2
    assert 0.25 < p.mean() < 0.75


def test_p_is_never_0() -> None:
    """However strong the leak: the recording's own order is one of the n + 1 that could have been seen."""
    found = check(*recording(0, leak=10.0))
    assert found.p == found.p_adjusted == 1 / (CONFIG.surrogates + 1)


def test_p_equals_a_count_over_all_orders() -> None:
    """A 4 × 4 matrix: 24 orders, three of them with a mean diagonal at or above the one in place."""
    matrix = np.array([[0.5, 0.4, 0.0, 0.0], [0.4, 0.5, 0.0, 0.0], [0.0, 0.0, 0.1, 0.3], [0.0, 0.0, 0.3, 0.1]])
    means = [np.mean([matrix[i, j] for i, j in enumerate(order)]) for order in permutations(range(4))]
    expected = np.mean(np.array(means) >= np.trace(matrix) / 4 - 1e-9)
    assert expected == 3 / 24
    statistic, p = contamination.shuffle_test(matrix, 40_000, np.random.default_rng(0))
    assert statistic == pytest.approx(0.3)
    assert p == pytest.approx(expected, abs=0.01)


def test_clock_offset_is_applied() -> None:
    neural, sound = recording(0, leak=1.0, offset_s=1.5)
    with_clock, without = check(neural, sound, audio_offset_s=1.5), check(neural, sound)
    assert with_clock.result == "suspect"
    assert with_clock.statistic is not None
    assert without.statistic is not None
    assert with_clock.statistic > without.statistic + 0.1


def test_matrix_equals_plain_spectrograms() -> None:
    """Scipy's spectrograms and numpy's corrcoef, all at once, for one channel."""
    neural, sound = recording(1, leak=1.0, seconds=30)
    found = check(neural[:, 2:3], sound)
    low = contamination.resampled_audio(sound, AUDIO_HZ, NEURAL_HZ)
    powers = []
    for series in (low, neural[:, 2]):
        frequencies, _, power = scipy.signal.spectrogram(
            series, NEURAL_HZ, np.hamming(200), 200, noverlap=180, detrend="constant", mode="psd"
        )
        powers.append(power[(frequencies >= 70) & (frequencies <= 170)])
    frames = min(p.shape[1] for p in powers)
    expected = np.corrcoef(powers[0][:, :frames], powers[1][:, :frames])[: len(powers[0]), len(powers[0]) :]
    assert found.matrix is not None
    np.testing.assert_allclose(found.matrix, expected, atol=0.01)


def test_dead_channels_do_not_hide_a_leak() -> None:
    neural, sound = recording(0, leak=1.0)
    neural[:, 0] = 0
    assert check(neural, sound).result == "suspect"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"audio_modified": "pitch_shifted"}, "pitch-shifted"),
        ({"rate_hz": 100.0}, "features only"),
        ({"is_raw": False}, "already are features"),
        ({"seconds": 5}, "needed"),
    ],
)
def test_not_testable(options: dict, reason: str) -> None:
    neural, sound = recording(0, leak=1.0, seconds=options.pop("seconds", 30))
    rate_hz = options.pop("rate_hz", NEURAL_HZ)
    found = check_contamination([SignalPair(neural, sound)], rate_hz, AUDIO_HZ, CONFIG, recording="r", **options)
    assert found.result == "not testable"
    assert reason in str(found.reason)


def test_of_unknown_sound_only_a_finding_counts() -> None:
    assert check(*recording(0, leak=1.0), audio_modified="unknown").result == "suspect"
    assert check(*recording(3), audio_modified="unknown").result == "not testable"


def test_correction_over_recordings() -> None:
    """Benjamini–Hochberg by hand: p = .01, .04, .03 of three tested -> .03, .04, .04; the untested one stays."""
    p = [0.01, 0.04, 0.03, None]
    found = [Contamination(f"r{i}", "no evidence" if v else "not testable", p=v) for i, v in enumerate(p)]
    adjusted = corrected(found, 0.035)
    assert [c.p_adjusted for c in adjusted] == [
        pytest.approx(0.03),
        pytest.approx(0.04),
        pytest.approx(0.045 * 2 / 2.25),
        None,
    ]
    assert [c.result for c in adjusted] == ["suspect", "no evidence", "no evidence", "not testable"]
    assert corrected([replace(found[1], result="suspect")], 0.05)[0].result == "suspect"


def test_blocks_of_reading_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    neural, sound = recording(2, leak=0.3, seconds=47.0)
    whole = check(neural, sound)
    monkeypatch.setattr(contamination, "BLOCK_S", 3.0)
    pieces = check(neural, sound)
    assert whole.matrix is not None
    assert pieces.matrix is not None
    np.testing.assert_allclose(whole.matrix, pieces.matrix, atol=1e-3)
