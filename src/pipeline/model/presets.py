"""Presets: sizes of the network and strength of its regularisation, as one plain record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.config.model import ModelConfig, Preset
from pipeline.config.train import TrainConfig

SHORT_S, LONG_S = 60.0, 900.0  # auto: below, tiny is a candidate; above, large


@dataclass(frozen=True)
class Architecture:
    """All that decides the shapes and the forward pass of :class:`~pipeline.model.seq2seq.Seq2Seq`."""

    n_channels: int
    n_bands: int
    length_frames: int
    context_frames: int
    oversampling: int = 1
    n_subjects: int = 1
    causal: bool = False
    encoder_width: int = 128
    encoder_hidden: int = 64
    decoder_hidden: int = 128
    heads: int = 4
    reduction_factor: int = 4
    encoder_kernel: int = 9
    encoder_dropout: float = 0.2
    decoder_dropout: float = 0.1
    attention_bias: bool = True
    linear_skip: bool = True
    postnet: bool = False
    band_filters: int = 4
    clip_input: float = 5.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the model file."""
        return asdict(self)


@dataclass(frozen=True)
class Recipe:
    """How a preset is trained."""

    max_steps: int
    weight_decay: float
    input_noise: float
    channel_drop: float
    mixup: float = 0.0


_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"encoder_width": 32, "encoder_hidden": 32, "decoder_hidden": 48, "encoder_kernel": 15,
             "encoder_dropout": 0.4, "decoder_dropout": 0.3},
    "strong": {"encoder_dropout": 0.4, "decoder_dropout": 0.3},
    "medium": {"encoder_dropout": 0.2, "decoder_dropout": 0.1},
    "large": {"encoder_width": 256, "encoder_hidden": 128, "decoder_hidden": 256,
              "encoder_dropout": 0.2, "decoder_dropout": 0.2},
}  # fmt: skip
_RECIPES = {
    "tiny": Recipe(max_steps=240, weight_decay=0.1, input_noise=0.7, channel_drop=0.3, mixup=0.7),
    "strong": Recipe(max_steps=240, weight_decay=0.1, input_noise=0.7, channel_drop=0.3),
    "medium": Recipe(max_steps=320, weight_decay=0.01, input_noise=0.2, channel_drop=0.1),
    "large": Recipe(max_steps=1200, weight_decay=0.05, input_noise=0.4, channel_drop=0.2),
}


def candidates(preset: Preset, train_s: float) -> list[str]:
    """The presets to train: the one that was named, or auto's two for so much training data [s]."""
    if preset != "auto":
        return [preset]
    if train_s < SHORT_S:
        return ["tiny", "strong"]
    return ["strong", "medium"] if train_s < LONG_S else ["medium", "large"]


def resolve(preset: str, base: Architecture, model: ModelConfig, train: TrainConfig) -> tuple[Architecture, Recipe]:
    """The preset's architecture and recipe, single keys of the config overruling it.

    ``base`` carries what the data decides (channels, bands, window, subjects, causal).
    """
    named = ("encoder_width", "encoder_hidden", "decoder_hidden", "heads")
    architecture = replace(
        base,
        **_SIZES[preset],
        reduction_factor=model.reduction_factor,
        attention_bias=model.attention_bias,
        linear_skip=model.linear_skip,
        postnet=model.postnet,
        band_filters=model.band_filters,
        clip_input=train.clip_input,
    )
    architecture = replace(architecture, **_given(model, named))
    recipe = replace(_RECIPES[preset], **_given(train, ("max_steps", "weight_decay", "input_noise", "channel_drop")))
    return architecture, recipe


def _given(section: ModelConfig | TrainConfig, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(section, name) for name in names if getattr(section, name) is not None}
