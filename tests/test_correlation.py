"""Pearson's r of each band over time, from sums that add."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.signal.correlation import correlation, correlation_per_band, moments_of, stretch_moments


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction (frame, band) float32; band 3 of either is constant."""
    rng = np.random.default_rng(0)
    truth = rng.normal(-6, 2, (700, 5)).astype(np.float32)
    predicted = (0.5 * truth + rng.normal(2, 1, truth.shape)).astype(np.float32)
    truth[:, 3], predicted[:, 4] = np.float32(-11.512925), np.float32(0.1)
    return predicted, truth


def test_r_per_band_is_numpys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, truth = pair
    expected = [np.corrcoef(predicted[:, b].astype(float), truth[:, b].astype(float))[0, 1] for b in range(3)]
    np.testing.assert_allclose(correlation_per_band(predicted, truth)[:3], expected, atol=1e-12)


def test_r_keeps_its_digits_far_from_0_and_is_never_beyond_1() -> None:
    rng = np.random.default_rng(0)
    truth, noise = rng.normal(1000, 1, (300, 50)), rng.normal(size=(300, 50))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip((truth + noise).T, truth.T, strict=True)]
    np.testing.assert_allclose(correlation_per_band(truth + noise, truth), expected, rtol=0, atol=1e-12)
    for sign in (3, -3):
        r = correlation_per_band(sign * truth, truth)
        np.testing.assert_allclose(r, np.sign(sign))
        assert np.abs(r).max() <= 1


def test_a_constant_band_has_no_r_even_where_round_off_moves_it(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, truth = pair
    truth[:, 3] += np.float32(1e-6) * (np.arange(len(truth)) % 2)
    assert np.isnan(correlation_per_band(predicted, truth)[3:]).all()


def test_moments_of_stretches_add_up_to_those_of_all(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, truth = (x.astype(np.float64) - 6 for x in pair)
    parts = stretch_moments(truth, predicted, np.ones(len(truth)), np.array([0, 90, 400]))
    np.testing.assert_allclose(parts.sum(axis=0), moments_of(truth, predicted), rtol=1e-12)
    own = correlation_per_band(predicted[90:400], truth[90:400])
    np.testing.assert_allclose(correlation(parts)[1], own, atol=1e-9)


def test_a_weight_of_zero_leaves_a_frame_out(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, truth = (x.astype(np.float64) for x in pair)
    kept = np.arange(len(truth)) % 3 > 0
    weighed = stretch_moments(truth, predicted, kept.astype(float), np.array([0]))[0]
    np.testing.assert_allclose(correlation(weighed), correlation_per_band(predicted[kept], truth[kept]), atol=1e-9)
