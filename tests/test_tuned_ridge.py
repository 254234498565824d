"""The strong ridge: chosen by cross-validation, exact against the plain definition, blind to what it must not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pipeline.artifacts.core import Provenance
from pipeline.artifacts.predictions import BASELINES, PredictedFold, write_predicted
from pipeline.artifacts.ridge_skip import read_ridge_skip, skip_arrays, skip_digest
from pipeline.baselines import tuned_ridge as T  # noqa: N812
from pipeline.baselines.ridge import RidgeChoice, cut
from pipeline.baselines.ridge_skip import as_skip
from pipeline.baselines.weight_prior import WeightPrior
from pipeline.signal.correlation import correlation_per_band
from test_ridge import SPANS, lagged, pair, plain_ridge  # noqa: F401

VAL = [(1, 180, 240)]
KNOWN = RidgeChoice(False, 10.0, 30.0)


def weak_link(seed: int, n: int = 3000, channels: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Two of many channels carry the sound, smeared over some lags, far below the noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, channels)).astype(np.float32)
    smoothed = np.apply_along_axis(lambda c: np.convolve(c, np.hanning(9), "same"), 0, x[:, :2])
    mel = np.roll(smoothed, 2, axis=0) @ rng.normal(size=(2, 8)) + 12 * rng.normal(size=(n, 8))
    return x, mel.astype(np.float32)


def standard(features: list[np.ndarray]) -> list[np.ndarray]:
    rows = np.concatenate([features[r][a:b] for r, a, b in SPANS]).astype(np.float64)
    return [(f - rows.mean(axis=0)) / rows.std(axis=0) for f in features]


def closed_form(features, mel, spans, lags, choice: RidgeChoice) -> tuple[np.ndarray, np.ndarray]:
    """Weights (lag * channel, band) and intercept of a ridge with the prior of a plain one, on the lagged matrix."""
    x = np.concatenate([lagged(features[r], lags, a, b) for r, a, b in spans])
    y = np.concatenate([mel[r][a:b] for r, a, b in spans]).astype(np.float64)
    xc, yc = x - x.mean(axis=0), (y - y.mean(axis=0)) * (y.std(axis=0) > 0.1)
    plain = np.linalg.solve(xc.T @ xc + choice.plain_penalty * np.eye(x.shape[1]), xc.T @ yc)
    prior = WeightPrior.of(plain, lags, y.std(axis=0))
    factor = np.kron(prior.lag, np.diag(prior.channel))
    z = xc @ factor
    weights = factor @ np.linalg.solve(z.T @ z + choice.penalty * np.eye(z.shape[1]), z.T @ yc)
    return weights, y.mean(axis=0) - x.mean(axis=0) @ weights


def test_equals_the_closed_form(pair) -> None:  # noqa: F811
    features, mel = pair
    found = T.tuned_ridge(features, mel, SPANS, VAL, (4, 2), choice=KNOWN)
    x, lags = standard(features), np.arange(-4, 3)
    for ridge, spans in ((found.ridge, SPANS), (found.refit, [*SPANS, *VAL])):
        weights, intercept = closed_form(x, mel, spans, lags, KNOWN)
        expected = lagged(x[1], lags, 150, 180) @ weights + intercept
        assert_allclose(ridge.predict(features[1], 150, 180), expected, atol=2e-4)
        assert_allclose(ridge.predict(features[1], 150, 180)[:, 4], -11.5129, rtol=1e-6)
    assert np.abs(found.ridge.weights - found.refit.weights).max() > 1e-3


def test_the_penalty_is_that_of_the_best_prediction_of_unseen_frames(pair) -> None:  # noqa: F811
    features, mel = pair
    rng = np.random.default_rng(1)
    features = [np.concatenate([f, rng.normal(size=(len(f), 40))], axis=1).astype(np.float32) for f in features]
    penalties = [1e-2, 3.0, 1e2, 1e3, 1e5]
    found = T.tuned_ridge(features, mel, SPANS, VAL, (4, 2), penalties)
    x, lags = standard(features), np.arange(-4, 3)
    parts = [*cut(SPANS, T.PARTS), VAL]
    r = []
    for penalty in penalties:
        truth, predicted = [], []
        for part in parts:
            rest = [span for other in parts if other is not part for span in other]
            choice = RidgeChoice(False, found.choice.plain_penalty, penalty)
            weights, intercept = closed_form(x, mel, rest, lags, choice)
            truth += [mel[q][a:b] for q, a, b in part]
            predicted += [lagged(x[q], lags, a, b) @ weights + intercept for q, a, b in part]
        r.append(correlation_per_band(np.concatenate(predicted), np.concatenate(truth))[:4].mean())
    assert 0 < np.argmax(r) < len(r) - 1
    assert found.choice.penalty == penalties[np.argmax(r)]
    assert found.choice.r == pytest.approx(max(r), abs=1e-4)


@pytest.mark.parametrize("is_log", [False, True])
def test_the_logarithm_is_taken_where_it_predicts_better(is_log: bool) -> None:
    rng = np.random.default_rng(2)
    amplitude = np.exp(rng.normal(0, 1, (900, 6))).astype(np.float32)
    source = np.log(amplitude) if is_log else amplitude
    mel = [(source @ rng.normal(size=(6, 8)) + rng.normal(0, 0.5, (900, 8))).astype(np.float32)]
    found = T.tuned_ridge([amplitude], mel, [(0, 0, 500)], [(0, 520, 700)], (2, 2), [1.0, 30.0])
    assert found.choice.is_log == is_log
    assert (found.refit.floor is not None) == is_log
    predicted = found.refit.predict(amplitude, 700, 900)
    assert correlation_per_band(predicted, mel[0][700:]).mean() > 0.9
    amplitude[750] = 0.0  # no signal where there was one
    assert np.isfinite(found.refit.predict(amplitude, 700, 900)).all()
    silent = np.where(np.arange(900)[:, None] == 100, 0, amplitude)
    for none in (amplitude - 1, silent):
        found = T.tuned_ridge([none], mel, [(0, 0, 500)], [(0, 520, 700)], (2, 2), [1.0, 30.0])
        assert not found.choice.is_log, "amplitudes are above 0"


def test_what_networks_learn_from_has_not_seen_validation_nor_its_own_part(pair) -> None:  # noqa: F811
    features, mel = pair
    before = T.tuned_ridge(features, mel, SPANS, VAL, (4, 0), choice=KNOWN)
    changed = [mel[0], mel[1].copy()]
    changed[1][180:240] = np.random.default_rng(1).normal(-6, 3, (60, 5))
    after = T.tuned_ridge(features, changed, SPANS, VAL, (4, 0), choice=KNOWN)
    assert_array_equal(before.ridge.weights, after.ridge.weights)
    for one, two in zip(before.mel, after.mel, strict=True):
        assert_array_equal(one, two)
    assert np.abs(before.refit.weights - after.refit.weights).max() > 1e-3
    (r, a, b), *_ = cut(SPANS, T.PARTS)[0]
    changed = [mel[0].copy(), mel[1]]
    changed[r][a:b] = np.random.default_rng(1).normal(-6, 3, (b - a, 5))
    assert_allclose(
        T.tuned_ridge(features, changed, SPANS, VAL, (4, 0), choice=KNOWN).mel[r][a:b], before.mel[r][a:b], atol=1e-4
    )


def test_a_part_is_predicted_by_the_others_and_the_mean_stands_beyond(pair) -> None:  # noqa: F811
    features, mel = pair
    found = T.tuned_ridge(features, mel, SPANS, VAL, (4, 0), choice=KNOWN)
    x, lags = standard(features), np.arange(-4, 1)
    first, *others = cut(SPANS, T.PARTS)
    weights, intercept = closed_form(x, mel, [span for part in others for span in part], lags, KNOWN)
    (r, a, b), *_ = first
    assert_allclose(found.mel[r][a:b], lagged(x[r], lags, a, b) @ weights + intercept, atol=1e-3)
    assert_allclose(found.mel[0][:10], np.tile(found.mel[0][0], (10, 1)))


def test_frames_beside_what_was_fitted_take_no_part_in_a_score() -> None:
    parts = [[(0, 0, 100)], [(0, 100, 150), (1, 0, 50)], [(0, 150, 152)]]
    assert T._away_from_edges(parts[0], parts, 20) == [(0, 0, 80)]
    assert T._away_from_edges(parts[1], parts, 20) == [(0, 120, 130), (1, 0, 50)]
    assert T._away_from_edges(parts[2], parts, 20) == [(0, 150, 152)], "a part of which nothing would be left"
    parts = [[(0, 0, 10)], [(0, 10, 14)], [(0, 14, 30)]]
    assert [T._away_from_edges(part, parts, 2) for part in parts] == [[(0, 0, 8)], [(0, 10, 14)], [(0, 16, 30)]]


def test_without_validation_the_refit_is_the_ridge(pair) -> None:  # noqa: F811
    features, mel = pair
    found = T.tuned_ridge(features, mel, [*SPANS, *VAL], [], (4, 0), choice=KNOWN)
    assert found.refit is found.ridge


def test_a_weak_link_is_found_better_than_by_a_plain_ridge() -> None:
    train, validation, test = [(0, 10, 1500)], [(0, 1520, 2200)], (2220, 2980)
    gains = []
    for seed in range(4):
        x, mel = weak_link(seed)
        found = T.tuned_ridge([x], [mel], train, validation, (8, 8), [1e2, 1e3, 1e4, 1e5])
        plain = max(
            np.nanmean(correlation_per_band(fit.predict(x, *test), mel[slice(*test)]))
            for fit in (plain_ridge([x], [mel], [*train, *validation], (8, 8), p) for p in (1e2, 1e3, 1e4, 1e5))
        )
        gains.append(np.nanmean(correlation_per_band(found.refit.predict(x, *test), mel[slice(*test)])) - plain)
    assert min(gains) > 0, gains
    assert np.mean(gains) > 0.02, gains


def test_the_ridge_of_each_inner_fold_comes_back_from_the_file(pair, tmp_path: Path) -> None:  # noqa: F811
    features, mel = pair
    first = T.tuned_ridge(features, mel, SPANS, VAL, (4, 2), choice=KNOWN)
    train = [span for span in SPANS if span[0] == 0]
    second = T.tuned_ridge(features, mel, train, [(1, 0, 240)], (4, 2), choice=KNOWN)
    skips = [as_skip(tuned, ["a", "b"]) for tuned in (first, second)]
    arrays = skip_arrays(skips)
    result = PredictedFold([], {"skip_digest": skip_digest(arrays)}, arrays)
    write_predicted(tmp_path / "fold0.h5", BASELINES, result, Provenance())
    for k, skip in enumerate(skips):
        found = read_ridge_skip(tmp_path / "fold0.h5", ["b"], k)
        assert_array_equal(found.fitted.weights, skip.fitted.weights)
        assert_array_equal(found.mel["b"], skip.mel["b"])
        assert_array_equal(found.refit.weights, skips[0].refit.weights)
    assert np.abs(skips[0].mel["b"] - skips[1].mel["b"]).max() > 1e-3
