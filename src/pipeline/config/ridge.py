"""The ``ridge`` section, and all that the stage ridge reads."""

from __future__ import annotations

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.train import InputScale, SubjectSettings


class RidgeConfig(Section):
    """The baselines of the network."""

    penalties: list[float] = Field(
        [1e2, 3e2, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6],
        min_length=1,
        description="Ridge penalties to choose from by cross-validation, one for all bands [training frames]",
    )
    lags_before_s: float | None = Field(
        None, ge=0, le=60, description="Features from so long before the sound frame; null: the window's context [s]"
    )
    lags_after_s: float | None = Field(
        None, ge=0, le=60, description="Features until so long after it; null: the context, 0 if causal [s]"
    )
    latency_range_s: float = Field(
        0.5, gt=0, le=60, description="Single-lag ridge is scored from minus to plus this lag [s]"
    )
    nearest_neighbour: bool = Field(
        False,
        description="Also predict the training frame with the most similar lagged features; slow on long recordings, "
        "and the first to gain from a leak",
    )

    @model_validator(mode="after")
    def _penalties_positive(self) -> RidgeConfig:
        if any(penalty <= 0 for penalty in self.penalties):
            raise ValueError("every penalty must be above 0")
        return self


class RidgeStage(SubjectSettings):
    """All that the stage ridge reads."""

    ridge: RidgeConfig
    train: InputScale

    @property
    def lags_frames(self) -> tuple[int, int]:
        """Mel frames before and after the sound frame whose features the ridge reads."""
        context_s, before_s, after_s = self.window.context_s, self.ridge.lags_before_s, self.ridge.lags_after_s
        if after_s is None:
            after_s = 0.0 if self.causal else context_s
        return self.mel.frames(context_s if before_s is None else before_s), self.mel.frames(after_s)
