"""Presets: sizes of the network and strength of its regularisation, as one plain record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from pipeline.config.model import ModelConfig, NetworkConfig, Preset
from pipeline.config.train import TrainConfig

#: auto: tiny below the first, then medium, from the second on long, from the third on large [s of training data].
SHORT_S, LONG_S, LARGE_S = 60.0, 120.0, 900.0
CORRECTOR, FREE = "corrector", "free"
SKIP_STEPS = 2 / 3  # of a preset's steps, for a network that corrects the ridge skip


@dataclass(frozen=True)
class Architecture:
    """All that decides the shapes and the forward pass of :class:`~pipeline.model.network.Seq2Seq`, or of a plug-in."""

    n_channels: int
    n_bands: int
    length_frames: int
    context_frames: int
    rows_per_frame: int = 1
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
    attention_width_frames: int = 4
    attention_offset_frames: int = 4
    feedback: bool = True
    ridge_skip: bool = True
    postnet: bool = False
    band_filters: int = 4
    clip_input: float = 5.0
    network: str = ""  # of a plug-in, package.module:Class

    @property
    def n_columns(self) -> int:
        """Columns of the encoder's input: of the features and, behind them, of the ridge's mel."""
        of_features = self.n_channels * (self.band_filters if self.rows_per_frame > 1 else 1)
        return of_features + self.n_bands * self.ridge_skip

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the model file; without ``network`` where it is this project's."""
        return {name: value for name, value in asdict(self).items() if name != "network" or value}


@dataclass(frozen=True)
class Recipe:
    """How a preset is trained; its ``max_steps`` become whole epochs in :func:`resolve`."""

    max_steps: int
    weight_decay: float
    input_noise: float
    channel_drop: float
    mixup: float = 0.0
    speech_weight: float = 1.0


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
    "strong": Recipe(max_steps=240, weight_decay=0.1, input_noise=0.2, channel_drop=0.1),
    "medium": Recipe(max_steps=320, weight_decay=0.01, input_noise=0.2, channel_drop=0.1),
    "large": Recipe(max_steps=1200, weight_decay=0.05, input_noise=0.4, channel_drop=0.2),
}
_SIZES["long"], _RECIPES["long"] = _SIZES["medium"], replace(_RECIPES["medium"], max_steps=800)


@dataclass(frozen=True)
class NetworkRole:
    """One network of an ensemble: its number, and whether it corrects the ridge skip."""

    index: int
    ridge_skip: bool

    @property
    def name(self) -> str:
        """Name of its folder and of its rows in the metrics."""
        return f"{self.index}-{CORRECTOR if self.ridge_skip else FREE}"

    @classmethod
    def named(cls, name: str) -> Self:
        """The role back from its name."""
        index, role = name.split("-")
        return cls(int(index), role == CORRECTOR)


def network_roles(model: ModelConfig) -> list[NetworkRole]:
    """The networks to train: they take turns in correcting the ridge skip and doing without."""
    return [NetworkRole(k, model.ridge_skip and k % 2 == 0) for k in range(model.n_networks)]


def preset_for(model: NetworkConfig, train_s: float) -> Preset:
    """The preset to train with; auto goes by the amount of training data [s]."""
    if model.preset != "auto":
        return model.preset
    if train_s < SHORT_S:
        return "tiny"
    return "medium" if train_s < LONG_S else "long" if train_s < LARGE_S else "large"


def resolve(
    role: NetworkRole, preset: Preset, base: Architecture, model: NetworkConfig, train: TrainConfig
) -> tuple[Architecture, Recipe]:
    """The role's architecture and recipe: its preset's, overruled by every key of the config that has their name.

    ``base`` carries what the data decides (channels, bands, window, subjects, causal).
    """
    sizes = {**_SIZES[preset], **_set_keys(model, Architecture), **_set_keys(train, Architecture)}
    steps = _whole_epochs(_RECIPES[preset].max_steps, role, train)
    recipe = replace(_RECIPES[preset], **{**_set_keys(train, Recipe), "max_steps": steps})
    return replace(base, **{**sizes, "ridge_skip": role.ridge_skip}), recipe


def _whole_epochs(preset_steps: int, role: NetworkRole, train: TrainConfig) -> int:
    """Steps of whole epochs, at whose end the learning rate has fallen; fewer than an epoch's make one short epoch.

    A network that corrects the ridge skip starts from the ridge: two thirds of the preset's steps, to the nearest
    epoch.  ``max_steps`` is a limit: it is rounded down.
    """
    steps = preset_steps * SKIP_STEPS if role.ridge_skip else preset_steps
    epochs = (train.max_steps or steps) / train.steps_per_epoch
    if epochs < 1:
        return train.max_steps or round(steps)
    return train.steps_per_epoch * (int(epochs) if train.max_steps else round(epochs))


def _set_keys(section: NetworkConfig | TrainConfig, record: type[Architecture | Recipe]) -> dict[str, Any]:
    """The keys of a section that are fields of the record, but for those that leave the value to the preset."""
    names = {field.name for field in fields(record)}
    return {name: value for name, value in section if name in names and value is not None}


def run_title(preset: str, model: NetworkConfig, train: TrainConfig) -> str:
    """What a run is called for people: its preset, and the keys that differ from their defaults."""
    own = {name: getattr(model, name) for name in NetworkConfig.model_fields if name != "preset"}
    usual = {name: field.default for name, field in NetworkConfig.model_fields.items()}
    changed = {name: value for name, value in own.items() if value != usual[name]}
    changed |= train.model_dump(exclude_defaults=True)
    text = ",".join([preset, *(f"{name}={value}" for name, value in sorted(changed.items()))])
    return text.replace("/", "_")[:120]
