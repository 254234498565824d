"""The ridge that networks correct: the strong ridge of a subject, as wide as their context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.artifacts.ridge_skip import RidgeSkip
from pipeline.baselines.ridge import RidgeChoice
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
    """What networks read of it: the ridge of the training frames, and their cross-fitted mel by recording."""
    ridge = tuned.ridge
    return RidgeSkip(
        weights=ridge.weights,
        lags=ridge.lags,
        intercept=ridge.intercept,
        mean=ridge.feature_mean,
        scale=ridge.feature_scale,
        floor=ridge.floor,
        penalties=np.array([tuned.choice.plain_penalty, tuned.choice.penalty], np.float64),
        mel=dict(zip(names, tuned.mel, strict=True)),
    )
