"""The prior of a ridge's weights: exact, and neutral without weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pipeline.baselines.weight_prior import WeightPrior

LAGS = np.arange(-6, 7)


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
