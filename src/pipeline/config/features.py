"""The kinds of neural features: each entry of ``align.features`` is one of these sections.

A new kind is a plug-in (:mod:`pipeline.plugins`), whose class brings the section of its keys; one of this project is a
section here, named in :data:`BuiltIn`, and a class of its own in ``signal/features/``.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from pipeline import plugins
from pipeline.config.base import Section, as_value_error
from pipeline.errors import InputError, Problem

#: Input that already is a feature is at most so many times as fast as the mel's frames; anything faster is a signal.
FASTEST_GIVEN_RATIO = 4.0

# Strict pydantic refuses a list for a tuple, and lists are all that YAML and TOML have.
Band = Annotated[tuple[float, float], Field(strict=False)]


class FeatureSection(Section):
    """What all kinds share.  ``kind`` tells them apart in the config."""

    #: Why this kind is not stacked with others; empty where it is.
    alone_because: ClassVar[str] = ""
    #: Whether it is made of signals as recorded.
    of_signals: ClassVar[bool] = True

    kind: str

    @property
    def labels(self) -> tuple[str, ...]:
        """A text for each column that a channel gives, which tells it from the others."""
        return (self.kind.rpartition(":")[2],)

    def why_not(self, feature_rate_hz: float) -> str:
        """Why the feature cannot be sampled at this rate; empty where it can."""
        return ""


class BandEnvelopeConfig(FeatureSection):
    """The mean amplitude of bands of the signal."""

    kind: Literal["band_envelope"] = Field("band_envelope", description="Mean amplitude of bands of the signal")
    bands: tuple[Band, ...] = Field(
        ((70.0, 170.0),), strict=False, min_length=1, description="Bands, each [low, high] [Hz]"
    )
    frame_length_s: float = Field(0.05, gt=0, le=10, description="Time that one frame averages over [s]")
    filter_order: int = Field(
        4, ge=1, le=10, description="Order of the Butterworth prototype of band-pass and notches [1]"
    )
    log: bool = Field(False, description="Take the natural logarithm of the mean amplitude")

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{low_hz:g}-{high_hz:g} Hz" for low_hz, high_hz in self.bands)

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        for low_hz, high_hz in self.bands:
            if not 0 < low_hz < high_hz:
                raise ValueError(f"bands holds [{low_hz:g}, {high_hz:g}], not 0 < low < high")
        return self


class LowPassConfig(FeatureSection):
    """The local motor potential: the slow signal itself."""

    kind: Literal["low_pass"] = Field(
        "low_pass", description="The signal below a cut-off, its sign kept (local motor potential)"
    )
    cutoff_hz: float = Field(5.0, ge=0.001, le=1000, description="What is faster is taken out [Hz]")
    frame_length_s: float = Field(0.05, gt=0, le=10, description="Time that one frame averages over [s]")
    filter_order: int = Field(
        4, ge=1, le=10, description="Order of the Butterworth prototype of low-pass and notches [1]"
    )

    @property
    def labels(self) -> tuple[str, ...]:
        return (f"0-{self.cutoff_hz:g} Hz",)

    def why_not(self, feature_rate_hz: float) -> str:
        if self.cutoff_hz < feature_rate_hz / 2:
            return ""
        return f"cutoff_hz = {self.cutoff_hz:g} is not below feature_rate_hz / 2 = {feature_rate_hz / 2:g}"


class SignalConfig(FeatureSection):
    """The band-limited signal itself, for networks that filter it themselves."""

    alone_because: ClassVar[str] = "the network takes its rows for a signal and filters them itself"

    kind: Literal["signal"] = Field("signal", description="The band-limited signal; stands alone")
    low_hz: float = Field(1.0, ge=0.1, le=50_000, description="Lower edge of what is kept [Hz]")
    high_hz: float | None = Field(
        None, gt=0, le=50_000, description="Upper edge of what is kept; null: 0.4 of align.feature_rate_hz [Hz]"
    )
    filter_order: int = Field(
        4, ge=1, le=10, description="Order of the Butterworth prototype of band-pass and notches [1]"
    )

    def band_hz(self, feature_rate_hz: float) -> tuple[float, float]:
        """What is kept at this feature rate [Hz]."""
        return self.low_hz, 0.4 * feature_rate_hz if self.high_hz is None else self.high_hz

    def why_not(self, feature_rate_hz: float) -> str:
        low_hz, high_hz = self.band_hz(feature_rate_hz)
        if low_hz < high_hz < feature_rate_hz / 2:
            return ""
        return (
            f"low_hz = {low_hz:g}, high_hz = {high_hz:g} and feature_rate_hz = {feature_rate_hz:g} do not satisfy "
            "low < high < feature_rate_hz / 2"
        )


class GivenConfig(FeatureSection):
    """Input that already is a feature."""

    alone_because: ClassVar[str] = "of input that already is a feature no other can be made"
    of_signals: ClassVar[bool] = False

    kind: Literal["given"] = Field(
        "given",
        description="Input that already is a feature, averaged or interpolated to align.feature_rate_hz; stands alone",
    )


BuiltIn = Annotated[BandEnvelopeConfig | LowPassConfig | SignalConfig | GivenConfig, Field(discriminator="kind")]
#: The section of each built-in kind.
FEATURE_SECTIONS: dict[Any, type[FeatureSection]] = {
    section.model_fields["kind"].default: section for section in get_args(get_args(BuiltIn)[0])
}


def feature_section(kind: object) -> type[FeatureSection] | None:
    """The section of a kind's keys; of a plug-in that of its class, which is imported.

    Raises :class:`InputError` where there is no such plug-in, or it is no feature.
    """
    if not plugins.is_reference(kind):
        return FEATURE_SECTIONS.get(kind)
    section = getattr(plugins.load(str(kind)), "section", None)
    if not (isinstance(section, type) and issubclass(section, FeatureSection)):
        name = str(kind).rpartition(":")[2]
        fix = f"Write class {name}(FeatureKind[Keys], section=Keys), Keys being a FeatureSection"
        raise InputError(Problem("plug-in", str(kind), "a class without a section of keys", "a kind of feature", fix))
    return section


class PluginEntry(BaseModel):
    """An entry of a plug-in, for the JSON schema: which keys it has its class alone knows."""

    model_config = ConfigDict(extra="allow")
    kind: str = Field(pattern=f"^{plugins.PATTERN}$", description="package.module:Class of an installed plug-in")


def _of_plugin(value: Any, built_in: ValidatorFunctionWrapHandler) -> FeatureSection:
    """The entry of a plug-in, checked by its own section; any other is left to ``built_in``."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if not plugins.is_reference(kind):
        return built_in(value)
    with as_value_error():
        section = feature_section(kind)
    assert section is not None
    try:
        entry = section.model_validate(value)
    except ValidationError as error:
        raise ValidationError.from_exception_data(error.title, [_at(kind, item) for item in error.errors()]) from None
    labels = entry.labels
    if not (isinstance(labels, tuple) and labels and all(isinstance(label, str) for label in labels)):
        raise ValueError(f"{kind} has labels {labels!r:.80}, not a text for each column that a channel gives")
    entry.canonical_json()  # a ValueError where a key is nothing that a config can hold
    return entry


def _at(kind: Any, item: Any) -> InitErrorDetails:
    """A problem with a plug-in's key, below its kind."""
    error = PydanticCustomError(item["type"], item["msg"], item.get("ctx"))
    return {"type": error, "loc": (kind, *item["loc"]), "input": item["input"]}


Feature = Annotated[SerializeAsAny[BuiltIn], WrapValidator(_of_plugin, json_schema_input_type=BuiltIn | PluginEntry)]
