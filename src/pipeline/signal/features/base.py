"""What a kind of neural feature has to give: names, units, support in time, and blocks of frames.

A feature is made for recordings at one rate from a reader of ``(samples, channels)`` float32, re-referenced and
finite, and the frames' times on the neural clock.  It gives ``len(labels)`` columns for each channel: all
channels of the first label, then of the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from pipeline import plugins
from pipeline.config.features import FeatureSection
from pipeline.errors import InputError, Problem
from pipeline.signal.blocks import Reader

Blocks = Iterator[tuple[int, np.ndarray]]
Keys = TypeVar("Keys", bound=FeatureSection)


@dataclass(frozen=True)
class Sampling:
    """Rates of the recording, of the features and of the mel's frames, and the mains notches of the whole stage."""

    rate_hz: float
    feature_rate_hz: float
    frame_rate_hz: float
    line_noise_hz: float
    notch_width_hz: float


class Stream(Protocol):
    """Causal frames ``(frames, labels * channels)`` as samples ``(samples, channels)`` come in."""

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The frames that these samples complete."""
        ...


class FeatureKind(ABC, Generic[Keys]):
    """One entry of ``align.features`` for recordings at one rate.

    A subclass names the section of its keys, ``class Mine(FeatureKind[MineConfig], section=MineConfig)``, and is
    found by it, or by its own name where it is a plug-in.  Its constructor raises :class:`InputError` where it cannot
    be made at that rate.
    """

    _of_section: ClassVar[dict[type[FeatureSection], type[FeatureKind[Any]]]] = {}
    #: Whether values below zero are as large as those above: a signal, not an amplitude.
    signed: ClassVar[bool] = False
    #: The keys of an entry.
    section: ClassVar[type[FeatureSection] | None] = None

    def __init_subclass__(cls, section: type[FeatureSection] | None = None) -> None:
        super().__init_subclass__()
        if section is not None:
            cls.section = section
            FeatureKind._of_section[section] = cls

    def __init__(self, keys: Keys, sampling: Sampling) -> None:
        self.keys, self.sampling = keys, sampling

    @staticmethod
    def of(keys: FeatureSection, sampling: Sampling) -> FeatureKind[Any]:
        """The feature that an entry of the config asks for."""
        if not plugins.is_reference(keys.kind):
            return FeatureKind._of_section[type(keys)](keys, sampling)
        kind = plugins.load(keys.kind)
        if not issubclass(kind, FeatureKind):
            fix = "Derive it from pipeline.signal.features.base.FeatureKind"
            raise InputError(Problem("plug-in", keys.kind, f"a class {kind.__name__}", "a FeatureKind", fix))
        return kind(keys, sampling)

    @property
    def labels(self) -> tuple[str, ...]:
        """A text for each column that a channel gives."""
        return self.keys.labels

    def units(self, of_signal: str) -> str:
        """Unit of the feature of a signal in this unit."""
        return of_signal

    @abstractmethod
    def support_s(self, causal: bool) -> tuple[float, float]:
        """How far a frame depends on samples before and after its time: ``(past_s, future_s)``.

        The time until the frame's response to an impulse (through filters and frame mean) stays below 1e-3
        of its peak.  Causal: nothing after it.
        """

    @abstractmethod
    def blocks(self, read: Reader, n_samples: int, frame_times_s: np.ndarray, causal: bool, threads: int) -> Blocks:
        """``(start, block)``: rows ``start`` onwards, ``(frames, labels * channels)`` float32.

        Causal: no sample after a frame's time is read.  ``threads`` may share the work; the result is the same
        to the bit.
        """

    def stream(self, times_s: Callable[[int, int], np.ndarray]) -> Stream:
        """The causal frames at these times (:class:`~pipeline.signal.framing.FrameStream`), for live use.

        Raises :class:`InputError` where the kind has none.
        """
        fix = f"Write {type(self).__name__}.stream, or train on kinds that have it"
        raise InputError(Problem("align.features", "kind", str(self.keys.kind), "a feature that can be streamed", fix))
