"""What the neural input is: read by align, and by the contamination check, which needs raw signals."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section


class FeatureKind(Section):
    """How raw neural signals become features, or whether they already are some."""

    features: Literal["envelope", "raw", "none"] = Field(
        "envelope",
        description="Amplitude envelopes of bands, the band-limited signal itself, or input that already is a feature",
    )

    @property
    def input_is_raw(self) -> bool:
        """Whether the neural data are signals as recorded, and not features."""
        return self.features != "none"
