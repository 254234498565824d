"""``given``: input that already is a feature.

Where the times are its own it passes as it is.  Slower input is interpolated linearly (causal: held), faster
input averaged with triangle weights (causal: over the past frame period).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.config.features import FASTEST_GIVEN_RATIO, GivenConfig
from pipeline.errors import InputError, Problem
from pipeline.signal.blocks import Reader
from pipeline.signal.features.base import Blocks, FeatureKind, Sampling, Stream
from pipeline.signal.framing import FrameStream, Framing, past_mean_frames, triangle_frames

_FRAMES_AT_ONCE = 16384


class Given(FeatureKind[GivenConfig], section=GivenConfig):
    """In the unit of the input."""

    def __init__(self, keys: GivenConfig, sampling: Sampling) -> None:
        super().__init__(keys, sampling)
        fastest_hz = FASTEST_GIVEN_RATIO * sampling.frame_rate_hz
        if sampling.rate_hz > fastest_hz:
            got = f"given with a recording at {sampling.rate_hz:g} Hz"
            expected = f"a feature at most {FASTEST_GIVEN_RATIO:g} × as fast as the mel, at most {fastest_hz:.1f} Hz"
            fix = "Set align.features: [{kind: band_envelope}] (or signal), or lower the rate of the input"
            raise InputError(Problem("config", "align.features", got, expected, fix))

    def support_s(self, causal: bool) -> tuple[float, float]:
        return self._framing(causal).support_s

    def blocks(self, read: Reader, n_samples: int, frame_times_s: np.ndarray, causal: bool, threads: int) -> Blocks:
        framing = self._framing(causal)
        for start in range(0, len(frame_times_s), _FRAMES_AT_ONCE):
            times_s = frame_times_s[start : start + _FRAMES_AT_ONCE]
            first_samples = framing.first_samples(times_s[[0, -1]])
            first = max(0, int(first_samples[0]))
            stop = min(n_samples, int(first_samples[1]) + framing.taps)
            samples = np.asarray(read(first, stop), np.float32)
            yield start, framing.matrix(times_s, first, len(samples)) @ samples

    def stream(self, times_s: Callable[[int, int], np.ndarray]) -> Stream:
        return FrameStream(self._framing(causal=True), times_s)

    def _framing(self, causal: bool) -> Framing:
        rate_hz, feature_rate_hz = self.sampling.rate_hz, self.sampling.feature_rate_hz
        if causal:
            return past_mean_frames(rate_hz, 1 / feature_rate_hz)
        return triangle_frames(rate_hz, feature_rate_hz)
