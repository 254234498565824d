"""``band_envelope``: the mean amplitude of bands around (causal: up to) each frame's time, e.g. high gamma."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.config.features import BandEnvelopeConfig
from pipeline.signal.bands import Passband
from pipeline.signal.blocks import Reader
from pipeline.signal.features.base import Blocks, Stream
from pipeline.signal.features.filtered import FilteredFeature
from pipeline.signal.framing import Framing

_LOG_FLOOR = np.float32(1e-12)


class BandEnvelope(FilteredFeature[BandEnvelopeConfig], section=BandEnvelopeConfig):
    """In the unit of the signal, or its natural logarithm."""

    envelope: ClassVar[bool] = True

    def units(self, of_signal: str) -> str:
        return f"ln({of_signal})" if self.keys.log else of_signal

    def blocks(self, read: Reader, n_samples: int, frame_times_s: np.ndarray, causal: bool, threads: int) -> Blocks:
        for start, frames in super().blocks(read, n_samples, frame_times_s, causal, threads):
            yield start, _log(frames) if self.keys.log else frames

    def stream(self, times_s: Callable[[int, int], np.ndarray]) -> Stream:
        frames = super().stream(times_s)
        return _LogStream(frames) if self.keys.log else frames

    def _passbands(self) -> list[Passband]:
        return [self._passband(low_hz, high_hz, self.keys.filter_order) for low_hz, high_hz in self.keys.bands]

    def _framing(self, causal: bool) -> Framing:
        return self._mean(self.keys.frame_length_s, causal)


@dataclass(frozen=True)
class _LogStream:
    """The logarithm of the frames of another stream."""

    frames: Stream

    def push(self, samples: np.ndarray) -> np.ndarray:
        return _log(self.frames.push(samples))


def _log(frames: np.ndarray) -> np.ndarray:
    """The natural logarithm, in place."""
    return np.log(np.maximum(frames, _LOG_FLOOR, out=frames), out=frames)
