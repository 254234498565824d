"""Keys of the stage vocode, and of exports for use outside the workflow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.mel import MelConfig


class VocodeConfig(Section):
    """Which vocoder; iterations, momentum and seed are fast Griffin-Lim's (Perraudin et al. 2013)."""

    vocoder: Literal["griffin_lim", "pulses", "hifigan"] = Field(
        "griffin_lim",
        description="Vocoder: griffin_lim needs no training; nor do pulses, which keep one pitch and give predicted "
        "mels a higher STOI; hifigan needs a checkpoint and the mel that it was trained on (mel.flavor: hifigan)",
    )
    checkpoint: str | None = Field(None, description="Generator checkpoint of HiFi-GAN (g_…), read by hifigan")
    checkpoint_config: str | None = Field(None, description="The config.json that came with the checkpoint")
    iterations: int = Field(32, ge=1, le=100_000, description="Phase iterations of Griffin-Lim")
    momentum: float = Field(0.99, ge=0, lt=1, description="Acceleration of the phase iterations; 0: plain")
    inversion_steps: int = Field(
        40, ge=0, le=100_000, description="Multiplicative updates from the mel filters' pseudo-inverse to the spectrum"
    )
    seed: int = Field(0, ge=0, description="Seed of the first phases of Griffin-Lim")
    pitch_hz: float = Field(120.0, ge=50, le=400, description="Pitch of the vocoder pulses [Hz]")


class ExportAudio(Section):
    """Which sound is written."""

    audio: Literal["auto", "none", "predicted", "all"] = Field(
        "auto",
        description="Sound that is written: predicted, or all (also the true and the vocoded true sound). A voice "
        "identifies a person, so auto writes all for a simulated subject and none for any other",
    )


class ExportMels(Section):
    """Exports of mels for other vocoders."""

    npy: bool = Field(
        False,
        description="Also write target and predicted mels as .npy, (frames, n_mels) and (n_mels, frames)",
    )
    pt: bool = Field(
        False, description="Also write them as .pt, tensors (n_mels, frames) as WaveGlow's inference script takes them"
    )


class ExportConfig(ExportAudio, ExportMels):
    """Exports beside the artifacts."""


class VocodeStage(Section):
    """What the vocode stage reads."""

    vocode: VocodeConfig
    export: ExportAudio
    mel: MelConfig
