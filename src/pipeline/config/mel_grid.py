"""The mel's time grid: the keys that stages other than mel read too."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section


def nearest_frames(duration_s: float, frame_rate_hz: float) -> int:
    """:meth:`MelGrid.frames` where the rate alone is known."""
    return round(duration_s * frame_rate_hz)


class MelGrid(Section):
    """Rate and hop of the mel spectrogram, and the vocoder whose framing it has.

    Frame ``t`` of flavor ``tacotron2`` is centred on sample ``hop_length * t`` and a
    recording of ``L`` samples has ``L // hop_length + 1`` frames; of ``hifigan``,
    on ``hop_length * t + hop_length / 2``, with ``L // hop_length`` frames.
    """

    sample_rate_hz: int = Field(
        22050, gt=0, le=384_000, description="Rate of the audio that the mel is computed from [Hz]"
    )
    hop_length: int = Field(256, gt=0, le=65_536, description="Distance of neighbouring mel frames [samples]")
    flavor: Literal["tacotron2", "hifigan"] = Field(
        "tacotron2", description="Framing and padding of the mel: as in Tacotron 2 and WaveGlow, or as in HiFi-GAN"
    )

    def frames(self, duration_s: float) -> int:
        """``duration_s`` in whole mel frames, the nearest number: how seconds of the config become frames."""
        return nearest_frames(duration_s, self.frame_rate_hz)

    @property
    def frame_rate_hz(self) -> float:
        """Mel frames per second."""
        return self.sample_rate_hz / self.hop_length

    @property
    def first_frame_s(self) -> float:
        """Time of the centre of frame 0 on the audio clock [s]."""
        return 0.0 if self.flavor == "tacotron2" else 0.5 * self.hop_length / self.sample_rate_hz


class MelFraming(MelGrid):
    """The grid, and the length of sound behind one frame."""

    n_fft: int = Field(1024, ge=16, le=65_536, description="Length of the Fourier transform, even [samples]")
