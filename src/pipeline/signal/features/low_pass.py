"""``low_pass``: the mean of the signal below a cut-off around (causal: up to) each frame's time.

The local motor potential of Schalk et al. 2007 (J. Neural Eng. 4:264), which knows more of slow movements than
any band's amplitude.
"""

from __future__ import annotations

from typing import ClassVar

from pipeline.config.features import LowPassConfig
from pipeline.signal.bands import Passband
from pipeline.signal.features.filtered import FilteredFeature
from pipeline.signal.framing import Framing


class LowPass(FilteredFeature[LowPassConfig], section=LowPassConfig):
    """In the unit of the signal, whose sign and offset it keeps."""

    signed: ClassVar[bool] = True

    def _passbands(self) -> list[Passband]:
        return [self._passband(0.0, self.keys.cutoff_hz, self.keys.filter_order)]

    def _framing(self, causal: bool) -> Framing:
        return self._mean(self.keys.frame_length_s, causal)
