"""Keys of the stage evaluate: scores, chance level, report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.active_bands import ACTIVE_STD_NATS
from pipeline.config.base import Section
from pipeline.config.contamination import ContaminationLevel
from pipeline.config.mel import MelConfig


class EvaluateConfig(Section):
    """Metrics, intervals and the report."""

    speech_frames: Literal["energy", "events"] = Field(
        "energy",
        description="Definition of a speech frame: the target's mean log-mel is above the midpoint of the "
        "training frames' 10th and 90th percentile; or the frame is inside an event (without events, or where they are "
        "cues: energy)",
    )
    min_band_std_nats: float = Field(
        ACTIVE_STD_NATS,
        gt=0,
        description="Bands whose target has a smaller standard deviation over a fold hold no sound (the top of a "
        "recording at 8 kHz) and are left out of r [nats]",
    )
    bootstrap: int = Field(2000, ge=100, le=1_000_000, description="Resamples of each interval's bootstrap")
    block_s: float = Field(2.0, ge=2.0, le=3600, description="Shortest piece that an interval rests on [s]")
    stoi: bool = Field(True, description="Score STOI and ESTOI of the written sound (export.audio)")
    measures: bool = Field(
        True,
        description="Score what stands in summary.measures of eval.json, beside r: a second, of hundreds of short "
        "trials some ten",
    )
    pitch: bool = Field(
        False,
        description="Score F0 and voicing of the written sound by librosa's pYIN, which takes about a third of the "
        "sound's length (export.audio: all)",
    )
    recogniser: bool = Field(
        False,
        description="Score what the English recogniser PocketSphinx hears in the written sound, among the texts or "
        "words of the session (export.audio: all)",
    )
    report: bool = Field(True, description="Draw results/report.html; false: a page without content")
    report_examples: int = Field(
        3, ge=0, le=100, description="Test excerpts in the report, with spectrograms and players"
    )
    report_excerpt_s: float = Field(6.0, gt=0, le=30, description="Length of each excerpt [s]")
    report_words: int = Field(
        4,
        ge=0,
        le=1000,
        description="Words of each excerpt's test block with their own players (needs events and sound)",
    )
    seed: int = Field(0, ge=0, description="Seed of bootstrap, shifts and word swaps")


class ChanceConfig(Section):
    """The chance level: scores without a link between brain and sound."""

    shifts: int = Field(
        1000,
        ge=1000,
        le=1_000_000,
        description="Circular shifts of the predictions within their test blocks, or exchanges of trials, drawn at "
        "random; no more than are independent",
    )
    min_shift_s: float = Field(0.5, gt=0, le=3600, description="Shortest circular shift [s]")
    word_swaps: int = Field(
        1000, ge=1000, le=1_000_000, description="Random exchanges of predicted words (needs events)"
    )
    retrain: int = Field(
        0, ge=0, le=1000, description="Models trained on circularly shifted neural data, each scored as a null; 0: none"
    )


class EvaluateStage(Section):
    """What the evaluate stage reads."""

    evaluate: EvaluateConfig
    chance: ChanceConfig
    contamination: ContaminationLevel
    causal: bool
    mel: MelConfig
