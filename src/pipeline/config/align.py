"""Keys of the align stage: neural features on the clock of the sound."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.feature_kind import FeatureKind
from pipeline.config.mel_grid import MelGrid

# Strict pydantic refuses a list for a tuple, and lists are all that YAML and TOML have.
Band = Annotated[tuple[float, float], Field(strict=False)]


class ChannelsConfig(Section):
    """Which channels enter, and the rule that finds bad ones among them."""

    include: tuple[str, ...] = Field((), strict=False, description="Channels or regions to use; empty: all [names]")
    exclude: tuple[str, ...] = Field((), strict=False, description="Channels or regions to leave out [names]")
    use_status: bool = Field(True, description="Leave out channels whose status in the channel table is bad")
    find_bad: bool = Field(True, description="Also find flat, noisy and non-finite channels by rule")
    flat_ratio: float = Field(
        1e-4, ge=0, lt=1, description="Flat: variance below this part of the median channel's [ratio]"
    )
    noisy_z: float = Field(
        5.0, gt=0, description="Noisy: log variance this many robust standard deviations above the median [1]"
    )


class ClockConfig(Section):
    """The estimate of lag and residual drift between brain and sound; reported, never applied."""

    max_lag_s: float = Field(1.0, gt=0, description="Largest neural-audio lag that is looked for [s]")
    segment_s: float = Field(30.0, gt=0, description="Length of the pieces whose lags show the residual drift [s]")


class AlignConfig(FeatureKind):
    """How raw neural signals become features."""

    bands: tuple[Band, ...] = Field(
        ((70.0, 170.0),),
        strict=False,
        min_length=1,
        description="Bands whose envelopes are stacked, each [low, high] [Hz]",
    )
    feature_rate_hz: float = Field(100.0, gt=0, description="Feature frames per second [Hz]")
    frame_length_s: float = Field(0.05, gt=0, description="Time that one envelope frame averages over [s]")
    filter_order: int = Field(
        4, ge=1, le=10, description="Order of the Butterworth prototype of band-pass and notches [1]"
    )
    line_noise_hz: float = Field(
        50.0, ge=0, description="Mains frequency, notched with its harmonics; 0: no notch [Hz]"
    )
    notch_width_hz: float = Field(4.0, gt=0, description="Width of each notch between its -3 dB points [Hz]")
    log_envelope: bool = Field(False, description="Take the natural logarithm of the envelope")
    raw_low_hz: float = Field(1.0, ge=0.1, description="Lower edge of what features: raw keeps [Hz]")
    raw_high_hz: float = Field(
        0.0, ge=0, description="Upper edge of what features: raw keeps; 0: 0.4 of feature_rate_hz [Hz]"
    )
    reference: Literal["none", "car", "shaft", "bipolar", "laplacian"] = Field(
        "none", description="Re-referencing of good channels before filtering"
    )
    channels: ChannelsConfig = Field(ChannelsConfig(), description="Choice of channels")
    clock: ClockConfig = Field(ClockConfig(), description="Estimate of lag and residual drift")
    margin_s: float = Field(
        5.0, ge=0, description="Neural features kept before the start and after the end of the sound [s]"
    )

    @property
    def raw_band_hz(self) -> tuple[float, float]:
        """What ``features: raw`` keeps [Hz]."""
        return self.raw_low_hz, self.raw_high_hz or 0.4 * self.feature_rate_hz

    @model_validator(mode="after")
    def _check(self) -> Self:
        for low_hz, high_hz in self.bands:
            if not 0 < low_hz < high_hz:
                raise ValueError(f"align.bands holds [{low_hz:g}, {high_hz:g}], not 0 < low < high")
        if len(set(self.bands)) < len(self.bands):
            raise ValueError("align.bands holds a band twice")
        if 0 < self.line_noise_hz <= self.notch_width_hz:
            raise ValueError(
                f"align.notch_width_hz = {self.notch_width_hz:g} is not below line_noise_hz = {self.line_noise_hz:g}"
            )
        low_hz, high_hz = self.raw_band_hz
        if self.features == "raw" and not low_hz < high_hz < self.feature_rate_hz / 2:
            raise ValueError(
                f"align.raw_low_hz = {low_hz:g}, raw_high_hz = {high_hz:g} and feature_rate_hz = "
                f"{self.feature_rate_hz:g} do not satisfy low < high < feature_rate_hz / 2"
            )
        return self


class AlignStage(Section):
    """What the align stage reads."""

    align: AlignConfig
    causal: bool
    mel: MelGrid
