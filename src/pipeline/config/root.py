"""The whole config: every section by its name.  Only what starts the workflow imports it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.align import AlignConfig
from pipeline.config.base import Section
from pipeline.config.contamination import ContaminationConfig
from pipeline.config.data import DataConfig
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.config.ingest import IngestConfig
from pipeline.config.mel import MelConfig
from pipeline.config.model import ModelConfig
from pipeline.config.predict import PredictConfig
from pipeline.config.ridge import RidgeConfig
from pipeline.config.runtime import RuntimeConfig
from pipeline.config.simulate import SimulateConfig
from pipeline.config.sweep import SweepConfig
from pipeline.config.train import TrainSection
from pipeline.config.variants import FINAL, NULL, PAST_ONLY_SOUND
from pipeline.config.vocode import ExportConfig, VocodeConfig
from pipeline.config.window import SplitConfig, WindowConfig

SHORTEST_WINDOW_FRAMES = 8  # twice what the encoder pools


#: Mel frames before the first one that a causal network needs: one position of its encoder.
LEAST_CAUSAL_CONTEXT = 4


class Config(Section):
    """All settings of a run."""

    data: DataConfig = Field(DataConfig(), description="Where the recordings come from")
    causal: bool = Field(
        False,
        description="Real-time model: causal filters, no future context, unidirectional encoder, past-only attention",
    )
    fold: Literal["all", "final"] | int = Field(
        0,
        description="The fold to run (from 0), for a first look; all for figures to report; final: all, and then a "
        "model trained on everything with settings from the folds, for new recordings",
    )
    context: Literal["full", "past_only_sound"] = Field(
        "full",
        description="past_only_sound: train and score a second model whose context lies before the sound only",
    )
    simulate: SimulateConfig = Field(SimulateConfig(), description="The simulated subject")
    ingest: IngestConfig = Field(IngestConfig(), description="Checking the raw arrays")
    align: AlignConfig = Field(AlignConfig(), description="Neural features and sound on one clock")
    mel: MelConfig = Field(MelConfig(), description="The log-mel spectrogram")
    window: WindowConfig = Field(WindowConfig(), description="Windows of neural context and target")
    split: SplitConfig = Field(SplitConfig(), description="Training, validation and test blocks")
    model: ModelConfig = Field(ModelConfig(), description="The sequence-to-sequence network")
    train: TrainSection = Field(TrainSection(), description="Training")
    ridge: RidgeConfig = Field(RidgeConfig(), description="The baselines")
    predict: PredictConfig = Field(PredictConfig(), description="Prediction of the test blocks")
    export: ExportConfig = Field(ExportConfig(), description="Predictions for use elsewhere")
    vocode: VocodeConfig = Field(VocodeConfig(), description="Mel to sound")
    contamination: ContaminationConfig = Field(ContaminationConfig(), description="Sound leaking into the brain signal")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="Scores and the report")
    chance: ChanceConfig = Field(ChanceConfig(), description="Chance level")
    sweep: SweepConfig = Field(SweepConfig(), description="Values of keys, of which main.py runs every combination")
    runtime: RuntimeConfig = Field(RuntimeConfig(), description="Device and log level; a change reruns nothing")

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if isinstance(self.fold, int) and not 0 <= self.fold < self.split.folds:
            raise ValueError(f"fold {self.fold}, but split.folds is {self.split.folds}: 0 … {self.split.folds - 1}")
        return self

    @model_validator(mode="after")
    def _durations_hold_frames(self) -> Self:
        """What the seconds come to on the mel's grid."""
        durations = {
            "window.length_s": (self.window.length_s, SHORTEST_WINDOW_FRAMES),
            "window.hop_s": (self.window.hop_s, 1),
            "model.attention_width_s": (self.model.attention_width_s, 1),
        }
        for name, (duration_s, least) in durations.items():
            if self.mel.frames(duration_s) < least:
                raise ValueError(
                    f"{name} {duration_s:g} is {self.mel.frames(duration_s)} mel frames, and needs {least}: "
                    f"at least {least / self.mel.frame_rate_hz:.3g} s"
                )
        return self

    @model_validator(mode="after")
    def _ridge_within_context(self) -> Self:
        """The gaps between training and test are made for the context that the network sees."""
        context_s = self.window.context_s
        for name in ("lags_before_s", "lags_after_s"):
            lag_s = getattr(self.ridge, name) or 0
            if lag_s > context_s:
                raise ValueError(f"ridge.{name} {lag_s:g} reaches beyond window.context_s {context_s:g}: raise that")
        if (self.causal or self.context == "past_only_sound") and self.mel.frames(context_s) < LEAST_CAUSAL_CONTEXT:
            raise ValueError(
                f"window.context_s {context_s:g} is less than the {LEAST_CAUSAL_CONTEXT} mel frames that a network of "
                "the past begins with: raise that"
            )
        if self.causal and self.ridge.lags_after_s:
            raise ValueError(f"ridge.lags_after_s {self.ridge.lags_after_s:g} looks ahead, and causal forbids it")
        return self

    @model_validator(mode="after")
    def _normalised_from_the_past(self) -> Self:
        if self.causal and self.train.normalisation == "recording_unlabelled":
            raise ValueError("train.normalisation recording_unlabelled uses the whole recording, and causal forbids it")
        return self

    @property
    def folds(self) -> list[int]:
        """The folds to run."""
        return [self.fold] if isinstance(self.fold, int) else list(range(self.split.folds))

    @property
    def makes_final(self) -> bool:
        """Whether a model is trained on everything after the folds."""
        return self.fold == FINAL

    @property
    def variants(self) -> list[str]:
        """Names of the variants: models that are trained in addition to the main one."""
        nulls = [f"{NULL}{n}" for n in range(self.chance.retrain)]
        return [*nulls, *([PAST_ONLY_SOUND] if self.context == "past_only_sound" else [])]

    @property
    def writes_sound(self) -> bool:
        """Whether sound is made: on request, or where the voice is simulated."""
        if self.export.audio == "auto":
            return self.data.sheet is None and self.simulate.speech is None
        return self.export.audio != "none"
