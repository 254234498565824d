"""Ridge with wide lags, 128 channels x 30 minutes, against scikit-learn on the lagged matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run

TITLE = "ridge with 27 lags over ±26 frames, 128 channels × 30 min"
CHANNELS, FRAMES, BANDS, LAGS, PENALTY = 128, 155040, 80, 26, 1000.0


def prepare(work: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((FRAMES, CHANNELS), np.float32)
    linked = np.roll(features, 5, axis=0) @ rng.standard_normal((CHANNELS, BANDS)).astype(np.float32)
    np.save(work / "features.npy", features)
    np.save(work / "mel.npy", linked + 10 * rng.standard_normal((FRAMES, BANDS), np.float32))


def ours(work: Path) -> Run:
    from pipeline.baselines.ridge import moments_of_spans, solve

    features, mel = np.load(work / "features.npy"), np.load(work / "mel.npy")
    spans = [(0, LAGS, FRAMES - 1000)]
    lags = np.arange(-LAGS, LAGS + 1)
    return lambda: solve(moments_of_spans([features], [mel], spans, lags), [PENALTY])[0]


def scikit_learn(work: Path) -> Run:
    from sklearn.linear_model import Ridge

    features, mel = np.load(work / "features.npy"), np.load(work / "mel.npy")

    def run() -> np.ndarray:
        rows = slice(LAGS, FRAMES - 1000)
        standard = (features - features[rows].mean(axis=0)) / features[rows].std(axis=0)
        lagged = np.concatenate([np.roll(standard, -lag, axis=0)[rows] for lag in range(-LAGS, LAGS + 1, 2)], axis=1)
        weights = Ridge(alpha=PENALTY, solver="cholesky").fit(lagged, mel[rows]).coef_
        return weights.T.reshape(-1, CHANNELS, BANDS)

    return run


def judge(m: Measured) -> list[Figure]:
    theirs = m.output("scikit-learn")
    error = np.abs(m.output("ours") - theirs).max() / np.abs(theirs).max()
    lagged_mb = FRAMES * CHANNELS * (LAGS + 1) * 4 / 2**20
    return [
        Figure("times faster than scikit-learn", m.faster("ours", "scikit-learn"), ">=", 1.0),
        Figure("peak memory over the size of the lagged matrix", m["ours"].peak_mb / lagged_mb, "<=", 1.0),
        Figure("largest difference of the weights, relative", float(error), "<=", 1e-3),
    ]


CONTENDERS = (Contender("ours", ours), Contender("scikit-learn", scikit_learn))
