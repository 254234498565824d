"""``signal``: the notched signal of a band at exactly each frame's time (causal: one sample earlier)."""

from __future__ import annotations

from typing import ClassVar

from pipeline.config.features import SignalConfig
from pipeline.signal.bands import Passband
from pipeline.signal.features.filtered import FilteredFeature
from pipeline.signal.framing import Framing, interpolated_frames, past_interpolated_frames


class BandLimitedSignal(FilteredFeature[SignalConfig], section=SignalConfig):
    """In its own unit; nothing is left at half of the feature rate."""

    signed: ClassVar[bool] = True
    mean: ClassVar[bool] = False

    def _passbands(self) -> list[Passband]:
        feature_rate_hz = self.sampling.feature_rate_hz
        low_hz, high_hz = self.keys.band_hz(feature_rate_hz)
        return [self._passband(low_hz, high_hz, self.keys.filter_order, feature_rate_hz / 2)]

    def _framing(self, causal: bool) -> Framing:
        return (past_interpolated_frames if causal else interpolated_frames)(self.sampling.rate_hz)
