"""Keys of the mel stage: how the log-mel spectrogram is computed on its grid."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.mel_grid import MelFraming

# Slaney's scale (Auditory Toolbox): linear below 1000 Hz, logarithmic above.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


class MelConfig(MelFraming):
    """The mel as Tacotron 2, WaveGlow and HiFi-GAN define it, by default."""

    win_length: int = Field(1024, ge=16, le=65_536, description="Length of the periodic Hann window [samples]")
    n_mels: int = Field(80, ge=1, le=1024, description="Number of mel bands")
    fmin_hz: float = Field(0.0, ge=0, le=192_000, description="Lower edge of the lowest band [Hz]")
    fmax_hz: float = Field(8000.0, gt=0, le=192_000, description="Upper edge of the highest band [Hz]")
    log_floor: float = Field(1e-5, gt=0, description="Smallest magnitude: the mel is ln(max(x, floor)) [magnitude]")

    @property
    def padding(self) -> int:
        """Samples of the first frame that lie before the sound's start, filled by mirroring."""
        return self.n_fft // 2 if self.flavor == "tacotron2" else (self.n_fft - self.hop_length) // 2

    def band_edges_hz(self) -> list[float]:
        """The ``n_mels + 2`` corner frequencies of the triangles, evenly spaced in Slaney mel [Hz]."""
        low, high = _hz_to_mel(self.fmin_hz), _hz_to_mel(self.fmax_hz)
        steps = self.n_mels + 1
        return [_mel_to_hz(low + (high - low) * i / steps) for i in range(steps + 1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse(self.n_fft % 2 == 1, f"mel.n_fft = {self.n_fft} must be even")
        _refuse(self.win_length > self.n_fft, f"mel.win_length = {self.win_length} exceeds n_fft = {self.n_fft}")
        _refuse(
            self.hop_length > self.win_length,
            f"mel.hop_length = {self.hop_length} exceeds win_length = {self.win_length}: samples would be skipped",
        )
        _refuse(
            self.flavor == "hifigan" and self.hop_length % 2 == 1,
            f"mel.hop_length = {self.hop_length} must be even for flavor hifigan (frames are centred on half hops)",
        )
        nyquist_hz = self.sample_rate_hz / 2
        _refuse(
            self.fmax_hz > nyquist_hz,
            f"mel.fmax_hz = {self.fmax_hz:g} exceeds half of mel.sample_rate_hz = {nyquist_hz:g}",
        )
        _refuse(
            self.fmin_hz >= self.fmax_hz,
            f"mel.fmin_hz = {self.fmin_hz:g} is not below fmax_hz = {self.fmax_hz:g}",
        )
        empty = self._empty_band()
        _refuse(
            empty is not None,
            f"mel.n_mels = {self.n_mels} is too many: band {empty} holds no bin of n_fft = {self.n_fft}",
        )
        return self

    def _empty_band(self) -> int | None:
        """The first band whose triangle holds no bin of the Fourier transform."""
        edges = self.band_edges_hz()
        bin_hz = self.sample_rate_hz / self.n_fft
        for band in range(self.n_mels):
            first_inside = math.floor(edges[band] / bin_hz) + 1
            if first_inside * bin_hz >= edges[band + 2]:
                return band
        return None


class MelStage(Section):
    """What the mel stage reads."""

    mel: MelConfig


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise ValueError(message)


def _hz_to_mel(frequency_hz: float) -> float:
    if frequency_hz < _BREAK_HZ:
        return frequency_hz / _LINEAR_HZ_PER_MEL
    return _BREAK_MEL + math.log(frequency_hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mel: float) -> float:
    if mel < _BREAK_MEL:
        return mel * _LINEAR_HZ_PER_MEL
    return _BREAK_HZ * math.exp(_LOG_STEP * (mel - _BREAK_MEL))
