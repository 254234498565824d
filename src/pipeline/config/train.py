"""The ``train`` section, and all that the train stage reads."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.mel_grid import MelGrid
from pipeline.config.model import NetworkConfig
from pipeline.config.window_size import WindowSize


class Normalisation(Section):
    """How neural features are normalised; read by ridge, train, ensemble and predict."""

    normalisation: Literal["train", "recording_unlabelled", "causal_running"] = Field(
        "train",
        description="Mean and scale of the features from: the training frames; each whole recording, including its "
        "test frames but not its sound; or a running average of the past",
    )


class InputScale(Normalisation):
    """What the ridge that networks correct shares with them."""

    clip_input: float = Field(
        5.0,
        gt=0,
        description="Normalised features are limited to ± this, against spikes [standard deviations]",
    )


class Arithmetic(Normalisation):
    """What the ensemble shares with its networks."""

    cpu_threads: int = Field(1, ge=1, le=256, description="Threads of the arithmetic; part of the result on CPUs")


class TrainConfig(Arithmetic, InputScale):
    """Optimisation, regularisation and reproducibility; null means the preset's value."""

    lr: float = Field(2e-3, gt=0, le=1, description="Peak learning rate of AdamW (warm-up, then cosine)")
    batch_size: int = Field(16, ge=1, le=4096, description="Windows per step")
    max_steps: int | None = Field(
        None, ge=1, le=100_000_000, description="Optimiser steps at most; null: preset [steps]"
    )
    steps_per_epoch: int = Field(40, ge=1, le=1_000_000, description="Steps between two validations [steps]")
    warmup_steps: int = Field(50, ge=0, le=100_000_000, description="Linear warm-up of the learning rate [steps]")
    patience: int = Field(
        4, ge=1, le=1_000_000, description="Stop after so many epochs without a better val_loss [epochs]"
    )
    loss: Literal["mse", "l1", "huber", "mix"] = Field(
        "mse", description="Training loss on the normalised mel; the choice mix is the mean of mse and l1"
    )
    scheduled_sampling: float = Field(
        1.0, ge=0, le=1, description="Final probability that the decoder reads its own output in training"
    )
    sampling_ramp: float = Field(
        0.5, gt=0, le=1, description="Share of the steps over which that probability rises from 0"
    )
    ema_decay: float = Field(0.99, ge=0, lt=1, description="Decay of the averaged weights per step")
    weight_decay: float | None = Field(None, ge=0, description="AdamW weight decay; null: preset")
    input_noise: float | None = Field(
        None,
        ge=0,
        description="Noise added to normalised features in training [standard deviations]; null: preset",
    )
    channel_drop: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Probability that a channel is set to zero in a training window; null: preset",
    )
    speech_weight: float | None = Field(
        None,
        ge=0,
        description="Weight of the error of speech frames about their own mean, added to the loss; null: preset",
    )
    grad_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient")
    precision: Literal["32", "bf16", "16"] = Field("32", description="Arithmetic of training: 32 bit or mixed")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of initial weights, order, dropout and noise")
    devices: int = Field(
        1, ge=1, le=64, description="GPUs (or CPU processes) that share each batch; changes the result [count]"
    )
    deterministic: bool = Field(True, description="Use deterministic algorithms only (CPU: always repeatable)")
    pool: Literal["none", "subjects"] = Field(
        "none", description="One model per subject, or one for all with an input layer per subject"
    )

    scale_by: Literal["subject", "session"] = Field(
        "subject",
        description="What has a mean and scale of features and mel, and an input layer, of its own: each subject, or "
        "each session. One session alone is the same either way",
    )

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.batch_size % self.devices:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of devices {self.devices}")
        return self


class TrainSection(TrainConfig):
    """The whole section; of the initial model its content counts, and not the name, so stages do not read that."""

    init_from: str | None = Field(
        None,
        min_length=1,
        description="Finished model whose weights training starts from: its file, or the beginning of its digest; "
        "{fold} and {id} in it stand for the fold (fold0, …) and the model id; null: random weights",
    )


def initial_name(sha256: str) -> str:
    """What provenance calls the file that ``init_from`` names: wherever it lies, its content counts."""
    return f"initial model {sha256[:16]}"


class SubjectSettings(Section):
    """What decides how a subject's features and windows are read; part of every stage that reads them."""

    train: Normalisation
    causal: bool
    window: WindowSize
    mel: MelGrid


class TrainStage(SubjectSettings):
    """All that the training of one network reads."""

    model: NetworkConfig
    train: TrainConfig
