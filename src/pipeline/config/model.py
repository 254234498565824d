"""The ``model`` section: which networks, and how large."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from pipeline import plugins
from pipeline.config.base import Section, as_value_error

Preset = Literal["auto", "tiny", "strong", "medium", "long", "large"]


class NetworkKind(Section):
    """Which network it is: read by every stage that computes with one."""

    network: str | None = Field(
        None,
        pattern=f"^{plugins.PATTERN}$",
        description="Network of an installed plug-in, package.module:Class; null: this project's own",
    )

    @field_validator("network")
    @classmethod
    def _is_installed(cls, network: str | None) -> str | None:
        if network is not None:
            with as_value_error():
                plugins.find(network)
        return network


class NetworkConfig(NetworkKind):
    """A preset, and keys that overrule single values of it (null: the preset's value).

    ``tiny`` is for less than a minute of data, ``medium`` for minutes, ``strong`` for minutes with more
    regularisation, ``long`` for two minutes and more (``medium``, trained longer), ``large`` for tens of minutes.
    ``auto`` goes by the amount of data.
    """

    preset: Preset = Field("auto", description="Size and regularisation of the network, or auto")
    encoder_width: int | None = Field(None, ge=4, le=2048, description="Filters of the convolutions; null: preset")
    encoder_hidden: int | None = Field(
        None, ge=4, le=2048, description="GRU units of the encoder, each direction; null: preset"
    )
    decoder_hidden: int | None = Field(None, ge=4, le=2048, description="GRU units of the decoder; null: preset")
    heads: int | None = Field(None, ge=1, le=16, description="Attention heads; null: preset")
    reduction_factor: int = Field(4, ge=1, le=16, description="Mel frames that one decoder step emits [frames]")
    feedback: bool = Field(
        True, description="The decoder reads the frame that it emitted last (autoregression); false: to compare"
    )
    attention_bias: bool = Field(
        True,
        description="Learned bias of the attention towards equal times; without it the decoder ignores the brain",
    )
    attention_width_s: float = Field(
        0.05, gt=0, le=60, description="Standard deviation of that bias before training, at least a mel frame [s]"
    )
    attention_offset_s: float = Field(
        0.05,
        ge=0,
        le=60,
        description="Before training the heads look from so long before a sound frame to so long after it "
        "(causal: until it) [s]",
    )
    postnet: bool = Field(False, description="Convolutions over the whole predicted window")
    band_filters: int = Field(
        4, ge=1, le=32, description="Learned band-pass filters per channel; for features faster than the mel only"
    )


class EnsembleConfig(NetworkKind):
    """Which networks a model is made of; the job of one network does not see how many."""

    ridge_skip: bool = Field(True, description="Let every second network, the first included, correct a ridge")
    networks: int | None = Field(
        None, ge=1, le=16, description="Networks whose mean is the output; null: 2 for auto, else 1"
    )


class ModelConfig(EnsembleConfig, NetworkConfig):
    """The whole section.

    ``auto`` trains two networks, a named preset one.
    """

    @property
    def n_networks(self) -> int:
        """How many networks one model is made of."""
        return self.networks or (2 if self.preset == "auto" else 1)
