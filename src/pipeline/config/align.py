"""Keys of the align stage: neural features on the clock of the sound."""

from __future__ import annotations

from collections import Counter
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.features import BandEnvelopeConfig, Feature
from pipeline.config.mel_grid import MelGrid


class ChannelChoice(Section):
    """Which channels enter, by name, region and status."""

    include: tuple[str, ...] = Field((), strict=False, description="Channels or regions to use; empty: all [names]")
    exclude: tuple[str, ...] = Field((), strict=False, description="Channels or regions to leave out [names]")
    use_status: bool = Field(True, description="Leave out channels whose status in the channel table is bad")


class ChannelsConfig(ChannelChoice):
    """The choice, and the rule that finds bad channels among them."""

    find_bad: bool = Field(True, description="Also find flat, noisy and non-finite channels by rule")
    flat_ratio: float = Field(
        1e-4, ge=0, lt=1, description="Flat: variance below this part of the median channel's [ratio]"
    )
    noisy_z: float = Field(
        5.0, gt=0, description="Noisy: log variance this many robust standard deviations above the median [1]"
    )


class ClockConfig(Section):
    """The estimate of lag and residual drift between brain and sound; reported, never applied."""

    max_lag_s: float = Field(1.0, gt=0, le=60, description="Largest neural-audio lag that is looked for [s]")
    segment_s: float = Field(
        30.0, gt=0, le=86_400, description="Length of the pieces whose lags show the residual drift [s]"
    )


class AlignConfig(Section):
    """How raw neural signals become features."""

    features: tuple[Feature, ...] = Field(
        (BandEnvelopeConfig(),),
        strict=False,
        description="Neural features, stacked; each entry has a kind and its keys, which config/README.md lists",
    )
    feature_rate_hz: float = Field(100.0, gt=0, le=100_000, description="Feature frames per second [Hz]")
    line_noise_hz: float = Field(
        50.0, ge=0, le=1000, description="Mains frequency, notched with its harmonics; 0: no notch [Hz]"
    )
    notch_width_hz: float = Field(4.0, gt=0, le=1000, description="Width of each notch between its -3 dB points [Hz]")
    reference: Literal["none", "car", "shaft", "bipolar", "laplacian"] = Field(
        "none", description="Re-referencing of good channels before filtering"
    )
    channels: ChannelsConfig = Field(ChannelsConfig(), description="Choice of channels")
    clock: ClockConfig = Field(ClockConfig(), description="Estimate of lag and residual drift")
    margin_s: float = Field(
        5.0, ge=0, le=86_400, description="Neural features kept before the start and after the end of the sound [s]"
    )

    @property
    def input_is_raw(self) -> bool:
        """Whether the neural data are signals as recorded, and not features."""
        return all(feature.of_signals for feature in self.features)

    @model_validator(mode="after")
    def _notches_are_apart(self) -> Self:
        if 0 < self.line_noise_hz <= self.notch_width_hz:
            raise ValueError(
                f"align.notch_width_hz = {self.notch_width_hz:g} is not below line_noise_hz = {self.line_noise_hz:g}"
            )
        return self

    @model_validator(mode="after")
    def _features_fit(self) -> Self:
        """Each to the feature rate, and all of them to each other."""
        if not self.features:
            raise ValueError("align.features is empty: name at least one kind")
        for i, feature in enumerate(self.features):
            if reason := feature.why_not(self.feature_rate_hz):
                raise ValueError(f"align.features.{i} ({feature.kind}): {reason}")
            if feature.alone_because and len(self.features) > 1:
                raise ValueError(f"align.features: {feature.kind} stands alone, since {feature.alone_because}")
        twice = [label for label, n in Counter(x for f in self.features for x in f.labels).items() if n > 1]
        if twice:
            raise ValueError(f"align.features holds {twice[0]} twice")
        return self


class AlignStage(Section):
    """What the align stage reads."""

    align: AlignConfig
    causal: bool
    mel: MelGrid
