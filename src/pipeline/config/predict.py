"""What the stage predict reads, and its own keys."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.model import NetworkKind
from pipeline.config.train import SubjectSettings
from pipeline.config.vocode import ExportMels
from pipeline.config.window import WindowConfig


class PredictConfig(Section):
    """Free-running prediction of the test blocks."""

    attention_windows: int = Field(
        4, ge=0, le=10_000, description="Windows of each fold whose attention weights are kept"
    )
    importance: bool = Field(
        True,
        description="Predict again with the channels of each shaft and region circularly shifted in time, and keep "
        "the loss of r",
    )
    importance_shifts: int = Field(5, ge=1, le=1000, description="Circular shifts that each loss of r is averaged over")


class PredictStage(SubjectSettings):
    """What the stage predict reads; the network comes with its own config in the checkpoint."""

    predict: PredictConfig
    export: ExportMels
    window: WindowConfig
    model: NetworkKind
