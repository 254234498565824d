"""What the stage ensemble reads, and the config that a released model carries."""

from __future__ import annotations

from pipeline.config.model import EnsembleConfig, ModelConfig
from pipeline.config.train import Arithmetic, SubjectSettings, TrainConfig


class EnsembleStage(SubjectSettings):
    """All that the stage ensemble reads; the networks come with their own config."""

    model: EnsembleConfig
    train: Arithmetic


class ModelSettings(SubjectSettings):
    """What a released model was made with: the keys of its networks and of their ensemble."""

    model: ModelConfig
    train: TrainConfig
