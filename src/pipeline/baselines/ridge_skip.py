"""The ridge that networks correct: as wide as their context, with a prior on its weights and one penalty.

Networks learn from its cross-fitted mel: what a ridge says of frames that it was fitted
on is better than what it will say of new ones.
"""

from __future__ import annotations

from pipeline.artifacts.ridge_skip import RidgeSkip
from pipeline.baselines.ridge import cross_fitted, fit_ridge, frame_features
from pipeline.data.training_data import TrainingData

CROSS_FOLDS = 5
COLUMNS = 3072  # of the lagged matrix: cross-fitting holds a Gram matrix per fold
PENALTIES = (1e1, 1e2, 3e2, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6)


def fit_ridge_skip(data: TrainingData, causal: bool, clip: float) -> RidgeSkip:
    """The ridge of the one subject in ``data``; features are limited to ± ``clip`` standard deviations."""
    lags = (data.context, 0 if causal else data.context)
    train, validation = data.spans("train"), data.spans("val")
    frames, floor = frame_features(data.features, train, data.rows_per_frame)
    ridge = fit_ridge(
        frames, data.mel, train, validation or train, lags, PENALTIES, clip,
        per_band=False, max_columns=COLUMNS, by_relevance=True,
    )  # fmt: skip
    mel = cross_fitted(frames, data.mel, train, ridge, CROSS_FOLDS)
    return RidgeSkip(
        weights=ridge.weights,
        lags=ridge.lags,
        intercept=ridge.intercept,
        mean=ridge.feature_mean,
        scale=ridge.feature_scale,
        floor=floor,
        mel=dict(zip(data.names, mel, strict=True)),
    )
