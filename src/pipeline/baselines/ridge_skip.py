"""The ridge that networks correct: the strong ridge of a subject, as wide as their context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.artifacts.ridge_skip import LinearMap, RidgeSkip
from pipeline.baselines.ridge import Ridge, RidgeChoice
from pipeline.baselines.tuned_ridge import PENALTIES, TunedRidge, tuned_ridge
from pipeline.data.training_data import TrainingData


def fit_ridge_skip(
    data: TrainingData,
    causal: bool,
    clip: float,
    penalties: Sequence[float] = PENALTIES,
    gap: int = 0,
    choice: RidgeChoice | None = None,
) -> TunedRidge:
    """The ridge of the one subject in ``data``; features are limited to ± ``clip`` standard deviations."""
    lags = (data.context, 0 if causal else data.context)
    return tuned_ridge(
        data.features, data.mel, data.spans("train"), data.spans("val"), lags, penalties,
        rows_per_frame=data.rows_per_frame, clip=clip, gap=gap, choice=choice,
    )  # fmt: skip


def as_skip(tuned: TunedRidge, names: Sequence[str]) -> RidgeSkip:
    """What networks read of it; the cross-fitted mel by recording."""
    return RidgeSkip(
        fitted=_map(tuned.ridge),
        refit=_map(tuned.refit),
        penalties=np.array([tuned.choice.plain_penalty, tuned.choice.penalty], np.float64),
        mel=dict(zip(names, tuned.mel, strict=True)),
    )


def _map(ridge: Ridge) -> LinearMap:
    return LinearMap(ridge.weights, ridge.lags, ridge.intercept, ridge.feature_mean, ridge.feature_scale, ridge.floor)
