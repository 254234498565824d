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
    assert np.mean(p < 0.05) <= 0.1
    assert 0.35 < p.mean() < 0.65


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
    shuffles = contamination.column_shuffles(4, 40_000, np.random.default_rng(0))
    (found,) = contamination.mean_diagonals(matrix[None], shuffles)
    assert found[0] == pytest.approx(0.3)
    assert np.mean(found >= found[0] - 1e-6) == pytest.approx(expected, abs=0.01)


def test_the_better_search_counts_in_surrogates_too() -> None:
    """Against a loop: of each column the smaller of its two P, and how many columns have one as small."""
    values = np.random.default_rng(0).normal(size=(2, 40)).round(1).astype(np.float32)
    p = [[np.mean(row >= v - 1e-6) for v in row] for row in values]
    best = [min(pair) for pair in zip(*p, strict=True)]
    for k in range(40):
        found, search = contamination.best_search(np.roll(values, -k, axis=1))
        assert found == pytest.approx(np.mean(np.array(best) <= best[k] + 1e-9))
        assert p[search][k] == best[k]


def test_whitening_leaves_noise_of_overlapping_windows_independent() -> None:
    """Powers of white noise: neighbouring frequencies correlate, whitened ones as little as centring allows."""
    rng = np.random.default_rng(0)
    spectra = contamination.Spectra(1000.0, np.arange(70.0, 171, 5))
    noise = rng.normal(0, 1, 400 * 2000).astype(np.float32)
    power = contamination.power(spectra.of(noise, np.arange(0, len(noise) - 200, 200)))
    plain = np.corrcoef(power.T)
    white = np.corrcoef((power @ contamination.whitening(np.arange(70.0, 171, 5), 1000.0)).T)
    assert np.diagonal(plain, 1).mean() > 0.3
    assert np.abs(np.diagonal(white, 1) + 1 / 20).mean() < 0.05


def test_clock_offset_is_applied() -> None:
    neural, sound = recording(0, leak=1.0, offset_s=1.5)
    with_clock, without = check(neural, sound, audio_offset_s=1.5), check(neural, sound)
    assert (with_clock.result, with_clock.lag_s) == ("suspect", 0.0)
    assert without.result == "no evidence"


@pytest.mark.parametrize("delay_s", [0.3, -0.2])
def test_a_late_or_early_leak_is_found_with_its_lag(delay_s: float) -> None:
    """The sound passed through a device, which the declared clock does not know."""
    neural, sound = recording(0, leak=1.0, offset_s=1.0)
    found = check(neural, sound, audio_offset_s=1.0 - delay_s)
    assert (found.result, found.channel) == ("suspect", 2)
    assert found.lag_s == pytest.approx(delay_s, abs=0.021)


def with_hum(neural: np.ndarray, sound: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A loud hum at 50 Hz and its harmonics in both, louder and softer at the same moments."""
    knots = np.exp(rng.normal(0, 0.7, 200))
    added = []
    for signal, rate_hz, level in ((neural, NEURAL_HZ, 30.0), (sound, AUDIO_HZ, 0.3)):
        time_s = np.arange(len(signal)) / rate_hz
        wave = sum(np.sin(2 * np.pi * 50 * h * time_s + h) / h for h in range(1, 9))
        hum = level * np.interp(time_s * 2, np.arange(200), knots) * wave
        added.append(signal + (hum[:, None] if signal.ndim == 2 else hum))
    return added[0].astype(np.float32), added[1].astype(np.float32)


def test_a_hum_that_both_hold_is_no_leak_and_hides_none() -> None:
    clean = [with_hum(*recording(seed), np.random.default_rng(seed)) for seed in range(6)]
    leaking = [with_hum(*recording(seed, leak=1.0), np.random.default_rng(seed)) for seed in range(3)]
    assert [check(*data, line_noise_hz=50.0).result for data in clean].count("suspect") <= 1
    assert [check(*data, line_noise_hz=50.0).result for data in leaking] == ["suspect"] * 3


def test_frequencies_of_the_mains_are_left_out() -> None:
    assert contamination.band_frequencies(1000.0, (70.0, 170.0), 50.0).tolist() == [
        70.0, 75.0, 80.0, 85.0, 115.0, 120.0, 125.0, 130.0, 135.0, 165.0, 170.0,
    ]  # fmt: skip
    assert len(contamination.band_frequencies(1000.0, (70.0, 170.0))) == 21
    found = check_contamination(
        [SignalPair(*recording(0))],
        NEURAL_HZ,
        AUDIO_HZ,
        ContaminationConfig(band_hz=(90.0, 120.0)),
        recording="r",
        line_noise_hz=50.0,
    )
    assert "mains left out" in str(found.reason)


def test_the_detectable_leak_is_one_that_is_found() -> None:
    """A leak 5 dB above the level that is stated is found in other recordings, one far below is not."""
    stated = [check(*recording(seed)).detectable_db for seed in range(4)]
    assert all(level is not None and -40 <= level <= -10 for level in stated)
    spectra = contamination.Spectra(NEURAL_HZ, contamination.band_frequencies(NEURAL_HZ, CONFIG.band_hz))
    found = {5.0: 0, -15.0: 0}
    for seed, level in enumerate(stated):
        neural, sound = recording(10 + seed)
        low = contamination.resampled_audio(sound, AUDIO_HZ, NEURAL_HZ)
        gains = contamination.leak_gains([SignalPair(neural, sound)], [low], spectra, np.array([3]))
        strongest = gains[contamination.LEAKS_DB.index(-10.0), 0]
        for above_db in found:
            leaking = neural.copy()
            leaking[: len(low), 3] += strongest * 10 ** ((level + above_db + 10) / 20) * low
            found[above_db] += check(leaking, sound).result == "suspect"
    assert found[5.0] >= 3
    assert found[-15.0] <= 1


def test_what_a_claim_must_say() -> None:
    assert "may have leaked into r" in str(check(*recording(0, leak=1.0)).limit())
    clean = check(*recording(3))
    assert clean.limit() is None
    assert "none of -10 dB would have been" in str(replace(clean, detectable_db=None).limit())
    assert "could not be tested" in str(check(*recording(1), audio_modified="pitch_shifted").limit())
    assert clean.document()["detectable_db"] == clean.detectable_db


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
    powers[1] /= powers[1].mean(axis=0)
    frames = min(p.shape[1] for p in powers)
    expected = np.corrcoef(powers[0][:, :frames], powers[1][:, :frames])[: len(powers[0]), len(powers[0]) :]
    assert found.lag_s == 0
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
