"""Windows and splits: the frames of training, validation and test."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.mel_grid import MelFraming
from pipeline.config.window_size import WindowSize


class WindowConfig(WindowSize):
    """Size and spacing of the windows, and the gap between roles."""

    hop_s: float = Field(
        0.28, gt=0, le=3600, description="Distance of the starts of neighbouring windows, at least a mel frame [s]"
    )
    purge_gap_s: float | None = Field(
        None,
        ge=0,
        le=86_400,
        description="Gap between blocks of different roles; null: the receptive field of context and filters [s]",
    )

    @model_validator(mode="after")
    def _hop_within_window(self) -> Self:
        if self.hop_s > self.length_s:
            raise ValueError("window.hop_s is longer than length_s: frames between windows would be lost")
        return self


class SplitConfig(Section):
    """How recordings are divided into training, validation and test blocks."""

    by: Literal["block", "recording", "session", "label"] = Field(
        "block",
        description="What is held out together: contiguous blocks, trials (rows of the sheet), sessions, or words",
    )
    order: Literal["any", "chronological"] = Field(
        "any", description="chronological: training lies before validation, validation before test"
    )
    folds: int = Field(5, ge=1, le=100, description="Number of folds: each frame is tested in one of them")
    validation_fraction: float = Field(
        0.15, gt=0, lt=0.5, description="Share of the data in each fold's validation block"
    )
    inner_folds: int = Field(
        2,
        ge=1,
        le=16,
        description="Parts of each fold's training data that validate in turn, one for each network of a model; "
        "chronological: 1",
    )
    snap_to_events: bool = Field(
        True, description="Move block borders into the pause between two events, where there are events"
    )
    seed: int = Field(0, ge=0, description="Seed of the assignment of trials or words to folds (by: recording, label)")


class WindowStage(Section):
    """What the stage window reads."""

    window: WindowConfig
    split: SplitConfig
    causal: bool
    mel: MelFraming
