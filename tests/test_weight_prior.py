"""The ridge with a prior of its weights: exact, neutral without weights, better where the response is weak."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pipeline.baselines import ridge as R  # noqa: N812
from pipeline.baselines.weight_prior import WeightPrior
from pipeline.signal.correlation import correlation_per_band
from test_ridge import SPANS, VAL, lagged, pair  # noqa: F401

LAGS = np.arange(-6, 7)


def weak_link(seed: int, n: int = 3000, channels: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Two of many channels carry the sound, smeared over some lags, far below the noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, channels)).astype(np.float32)
    smoothed = np.apply_along_axis(lambda c: np.convolve(c, np.hanning(9), "same"), 0, x[:, :2])
    mel = np.roll(smoothed, 2, axis=0) @ rng.normal(size=(2, 8)) + 12 * rng.normal(size=(n, 8))
    return x, mel.astype(np.float32)


def test_folding_is_the_product_with_the_factor() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(len(LAGS) * 4, 3))
    prior = WeightPrior.of(weights, LAGS, np.array([1.0, 2.0, 0.0]))
    factor = np.kron(prior.lag, np.diag(prior.channel))
    root = rng.normal(size=(len(factor), len(factor)))
    gram, cross = root @ root.T, rng.normal(size=(len(factor), 3))
    folded_gram, folded_cross = prior.fold(gram, cross)
    assert_allclose(folded_gram, factor.T @ gram @ factor, rtol=1e-9, atol=1e-9)
    assert_allclose(folded_cross, factor.T @ cross, rtol=1e-9, atol=1e-9)
    coordinates = rng.normal(size=(folded_gram.shape[0], 3))
    assert_allclose(prior.unfold(coordinates), factor @ coordinates, rtol=1e-9, atol=1e-9)


def test_its_scales_are_those_of_the_weights() -> None:
    weights = np.zeros((len(LAGS), 3, 2))
    weights[6, 1] = 2.0
    weights[6, 2] = 1.0
    prior = WeightPrior.of(weights.reshape(-1, 2), LAGS, np.ones(2))
    assert_allclose(prior.channel / prior.channel[1], [0.0, 1.0, 0.5])
    covariance = prior.lag @ prior.lag.T
    assert covariance[6, 6] == pytest.approx(covariance.max())
    assert_allclose(np.delete(covariance, 6, axis=0), 0, atol=1e-12)


def test_weights_that_say_nothing_leave_all_alike() -> None:
    prior = WeightPrior.of(np.zeros((len(LAGS) * 3, 2)), LAGS, np.ones(2))
    assert_allclose(prior.channel, 1.0)
    assert_allclose(np.diag(prior.lag @ prior.lag.T), 1.0, atol=0.02)


def test_equals_the_closed_form(pair) -> None:  # noqa: F811
    features, mel = pair
    fitted = R.fit_ridge(features, mel, SPANS, VAL, (4, 2), [30.0], by_relevance=True)
    plain = R.fit_ridge(features, mel, SPANS, VAL, (4, 2), [30.0])
    y = np.concatenate([mel[r][a:b] for r, a, b in SPANS]).astype(np.float64)
    prior = WeightPrior.of(plain.weights.reshape(-1, 5).astype(np.float64), plain.lags, y.std(axis=0))
    factor = np.kron(prior.lag, np.diag(prior.channel))
    x = np.concatenate([lagged(fitted.standardise(features[r]), fitted.lags, a, b) for r, a, b in SPANS])
    x = (x - x.mean(axis=0)) @ factor
    expected = factor @ np.linalg.solve(x.T @ x + 30.0 * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))
    assert_allclose(fitted.weights.reshape(-1, 5)[:, :4], expected[:, :4], atol=2e-5)
    assert_allclose(fitted.weights[..., 4], 0)
    assert fitted.plain_penalty == 30.0


def test_a_weak_link_is_found_better() -> None:
    train, validation, test = [(0, 10, 1500)], [(0, 1520, 2200)], (2220, 2980)
    gains = []
    for seed in range(4):
        x, mel = weak_link(seed)
        r = []
        for by_relevance in (False, True):
            options = {"per_band": False, "by_relevance": by_relevance}
            fitted = R.fit_ridge([x], [mel], train, validation, (8, 8), [1e2, 1e3, 1e4, 1e5], **options)
            r.append(np.nanmean(correlation_per_band(fitted.predict(x, *test), mel[slice(*test)])))
        gains.append(r[1] - r[0])
    assert min(gains) > 0.02, gains


def test_a_cross_fitted_part_has_no_say_in_its_own_prior(pair) -> None:  # noqa: F811
    features, mel = pair
    fitted = R.fit_ridge(features, mel, SPANS, VAL, (4, 0), [10.0], by_relevance=True)
    before = R.cross_fitted(features, mel, SPANS, fitted, 2)[0][10:210]
    changed = [mel[0].copy(), mel[1]]
    changed[0][10:210] = np.random.default_rng(1).normal(-6, 3, (200, 5))
    assert_allclose(R.cross_fitted(features, changed, SPANS, fitted, 2)[0][10:210], before, atol=1e-4)
