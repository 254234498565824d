"""The acoustic contamination check."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.config.align import ChannelChoice
from pipeline.config.base import Section


class ContaminationLevel(Section):
    """The significance level of the check over all recordings; read by evaluate."""

    alpha: float = Field(0.01, gt=0, lt=1, description="Corrected P below which a recording is suspect")


class ContaminationCheck(Section):
    """Band of the check on the raw signals of one recording."""

    band_hz: tuple[float, float] = Field(
        (70.0, 170.0),
        strict=False,
        description="Frequencies that are compared; use the feature band, since only what lies there is decoded [Hz]",
    )

    @model_validator(mode="after")
    def _band_rises(self) -> Self:
        low, high = self.band_hz
        if not 0 < low < high:
            raise ValueError(f"band_hz must rise from above 0, got {low:g} to {high:g}")
        return self


class ContaminationConfig(ContaminationCheck, ContaminationLevel):
    """The check and its significance level."""


class NeuralInput(Section):
    """What the check has to know of the neural data."""

    input_is_raw: bool = Field(
        description="Whether they are signals as recorded, and not features", json_schema_extra={"follows": "features"}
    )
    line_noise_hz: float = Field(description="Frequency of the mains, whose harmonics are not compared [Hz]")
    channels: ChannelChoice = Field(description="Channels that enter: what leaked into others decides nothing")


class ContaminationStage(Section):
    """What the contamination stage reads."""

    contamination: ContaminationCheck
    align: NeuralInput
