"""Frames as weighted sums of the samples around them, at any times.

A frame at time ``t`` sums ``taps`` consecutive samples; where they lie and how they weigh follows from
the distance of each sample from ``t``. So frames need not fall on samples, and a clock that drifts
needs no second resampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Rounding of times must not push a frame that lies on a sample to the sample before.
_ROUNDING = 1e-6
# Half-length and shape of the windowed sinc: flat to 1e-4 up to 0.85 of the input's Nyquist frequency.
_SINC_HALF = 24
_SINC_KAISER_BETA = 8.0


@dataclass(frozen=True)
class Framing:
    """How frames are summed from samples.

    Attributes:
        rate_hz: rate of the samples.
        taps: samples in each frame.
        shift: the first sample of a frame at sample position ``p`` is ``floor(p + shift)``.
        kernel: weights from distances ``(frames, taps)`` of samples from their frame, in samples;
            each frame's weights are scaled to sum to 1.
    """

    rate_hz: float
    taps: int
    shift: float
    kernel: Callable[[np.ndarray], np.ndarray]

    def first_samples(self, times_s: np.ndarray) -> np.ndarray:
        """Index of the first sample of each frame, int64; may be negative."""
        return np.floor(times_s * self.rate_hz + (self.shift + _ROUNDING)).astype(np.int64)

    def matrix(self, times_s: np.ndarray, start: int, n_samples: int) -> sparse.csr_array:
        """``(frames, n_samples)`` float32 that makes the frames from samples ``start`` onwards.

        A tap that falls outside those samples takes the nearest of them.
        """
        samples = self.first_samples(times_s)[:, None] + np.arange(self.taps)
        weights = self.kernel(samples - times_s[:, None] * self.rate_hz)
        weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        columns = np.clip(samples - start, 0, n_samples - 1).astype(np.int32)
        pointers = np.arange(len(times_s) + 1, dtype=np.int32) * self.taps
        return sparse.csr_array((weights.ravel(), columns.ravel(), pointers), shape=(len(times_s), n_samples))

    @property
    def support_s(self) -> tuple[float, float]:
        """How far the samples of a frame extend before and after its time [s]."""
        return max(0.0, 1.0 - self.shift) / self.rate_hz, max(0.0, self.shift + self.taps - 1) / self.rate_hz


class FrameStream:
    """Frames of samples that come in piece by piece: each as soon as its last sample is there.

    ``times_s(start, stop)`` gives the times of these frames [s], fewer where there are no more.
    """

    _AT_ONCE = 64

    def __init__(self, framing: Framing, times_s: Callable[[int, int], np.ndarray]) -> None:
        self.framing, self.times_s = framing, times_s
        self.tail: np.ndarray | None = None
        self.n_samples = self.n_frames = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The frames ``(frames, columns)`` float32 that ``samples`` ``(samples, columns)`` float32 complete."""
        known = samples if self.tail is None else np.concatenate([self.tail, samples])
        self.n_samples += len(samples)
        times_s = self._complete()
        self.n_frames += len(times_s)
        self.tail = known[-self.framing.taps :]
        return self.framing.matrix(times_s, self.n_samples - len(known), len(known)) @ known

    def _complete(self) -> np.ndarray:
        """Times of the next frames whose last sample is there."""
        stop = self.n_frames + self._AT_ONCE
        while True:
            times_s = self.times_s(self.n_frames, stop)
            last = self.framing.first_samples(times_s) + self.framing.taps - 1
            n = int(np.searchsorted(last, self.n_samples, side="left"))
            if n < len(times_s) or len(times_s) < stop - self.n_frames:
                return times_s[:n]
            stop += len(times_s)


def mean_frames(rate_hz: float, length_s: float) -> Framing:
    """The mean over ``length_s`` centred on the frame's time."""
    taps = max(1, round(length_s * rate_hz))
    return Framing(rate_hz, taps, 0.5 - (taps - 1) / 2, np.ones_like)


def past_mean_frames(rate_hz: float, length_s: float) -> Framing:
    """The mean over the last ``length_s`` up to the frame's time."""
    taps = max(1, round(length_s * rate_hz))
    return Framing(rate_hz, taps, 1.0 - taps, np.ones_like)


def interpolated_frames(rate_hz: float) -> Framing:
    """Values of a band-limited signal at the frames' times, by a Kaiser-windowed sinc."""
    return Framing(rate_hz, 2 * _SINC_HALF, 1.0 - _SINC_HALF, _windowed_sinc)


def past_interpolated_frames(rate_hz: float) -> Framing:
    """Values one sample before the frames' times, linear between samples that are past by then."""
    return Framing(rate_hz, 2, -1.0, lambda distance: np.maximum(0.0, 1.0 - np.abs(distance + 1.0)))


def triangle_frames(rate_hz: float, frame_rate_hz: float) -> Framing:
    """Linear interpolation; from samples faster than the frames, their triangle-weighted mean."""
    half = max(1.0, rate_hz / frame_rate_hz)
    taps = math.ceil(2 * half)
    return Framing(rate_hz, taps, 1.0 - half, lambda distance: np.maximum(0.0, 1.0 - np.abs(distance) / half))


def _windowed_sinc(distance: np.ndarray) -> np.ndarray:
    inside = np.clip(1.0 - (distance / _SINC_HALF) ** 2, 0.0, None)
    return np.sinc(distance) * np.i0(_SINC_KAISER_BETA * np.sqrt(inside))
