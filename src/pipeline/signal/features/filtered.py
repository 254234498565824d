"""Features that a filter makes of the signal: its envelope or itself, zero-phase or causal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from pipeline.config.features import FeatureSection
from pipeline.signal.bands import Passband, refuse_above_nyquist
from pipeline.signal.blocks import Reader
from pipeline.signal.features.base import Blocks, FeatureKind, Keys, Sampling, Stream
from pipeline.signal.framing import Framing, mean_frames, past_mean_frames
from pipeline.signal.zero_phase import zero_phase_frames, zero_phase_support_s


class FilteredFeature(FeatureKind[Keys]):
    """A feature of one or several passbands, one column of a channel for each."""

    #: Whether the frames hold the bands' amplitudes, else their values.
    envelope: ClassVar[bool] = False
    #: Whether a frame is a mean over some time, else the value at its time.
    mean: ClassVar[bool] = True

    def __init_subclass__(cls, section: type[FeatureSection] | None = None) -> None:
        super().__init_subclass__(section)
        if "blocks" in vars(cls) and "stream" not in vars(cls):  # what it makes of the frames no stream here does
            cls.stream = FeatureKind.stream  # type: ignore[method-assign]

    def __init__(self, keys: Keys, sampling: Sampling) -> None:
        super().__init__(keys, sampling)
        self.passbands = tuple(self._passbands())
        refuse_above_nyquist(self.passbands)

    @abstractmethod
    def _passbands(self) -> list[Passband]:
        """What the filters let through, one for each label."""

    @abstractmethod
    def _framing(self, causal: bool) -> Framing:
        """How frames are made of filtered samples."""

    def support_s(self, causal: bool) -> tuple[float, float]:
        framing = self._framing(causal)
        if causal:
            from pipeline.signal.causal import causal_support_s

            return causal_support_s(self.passbands, framing, envelope=self.envelope), 0.0
        support_s = zero_phase_support_s(self.passbands, framing, mean=self.mean)
        return support_s, support_s

    def blocks(self, read: Reader, n_samples: int, frame_times_s: np.ndarray, causal: bool, threads: int) -> Blocks:
        framing = self._framing(causal)
        if causal:
            # scipy.signal takes most of a second to import, and only causal filters need it.
            from pipeline.signal.causal import causal_frames

            return causal_frames(read, self.passbands, framing, frame_times_s, envelope=self.envelope)
        return zero_phase_frames(
            read, n_samples, self.passbands, framing, frame_times_s, envelope=self.envelope, threads=threads
        )

    def stream(self, times_s: Callable[[int, int], np.ndarray]) -> Stream:
        from pipeline.signal.causal import CausalFrames

        return CausalFrames(self.passbands, self._framing(causal=True), times_s, envelope=self.envelope)

    def _passband(self, low_hz: float, high_hz: float, order: int, end_hz: float | None = None) -> Passband:
        s = self.sampling
        return Passband(low_hz, high_hz, s.rate_hz, order, s.line_noise_hz, s.notch_width_hz, end_hz)

    def _mean(self, length_s: float, causal: bool) -> Framing:
        """The mean of the samples around a time, causal: up to it."""
        return (past_mean_frames if causal else mean_frames)(self.sampling.rate_hz, length_s)
