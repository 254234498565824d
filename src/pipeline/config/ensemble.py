"""What the stage ensemble reads, and the config that a released model carries."""

from __future__ import annotations

from pipeline.config.base import Section
from pipeline.config.mel_grid import MelGrid
from pipeline.config.model import EnsembleConfig, ModelConfig
from pipeline.config.train import Arithmetic, TrainConfig
from pipeline.config.window_size import WindowSize


class EnsembleStage(Section):
    """All that the stage ensemble reads; the networks come with their own config."""

    model: EnsembleConfig
    train: Arithmetic
    causal: bool
    window: WindowSize
    mel: MelGrid


class ModelSettings(Section):
    """What a released model was made with: the keys of its networks and of their ensemble."""

    model: ModelConfig
    train: TrainConfig
    causal: bool
    window: WindowSize
    mel: MelGrid
