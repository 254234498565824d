"""A raw signal's power in each mel frame: what linear models see of it.

    log(mean of d^2 over the frame's m - 1 differences d of neighbouring rows + floor)   [nats]

m rows make one frame.  Differences let fast activity count against the slow 1/f background.
They stay within a frame, so that a frame's power follows from its own rows, whether they come
in a window or in a whole recording.  The floor of a channel is a fixed share of its mean power
over the training frames: a stretch without signal lies that far below, in whatever unit the
channel is.  :func:`pipeline.model.network.frame_power` is the same for tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Span = tuple[int, int, int]

FLOOR_SHARE = 1e-6  # of a channel's mean power
SMALLEST_FLOOR = 1e-30  # of a flat channel


def frame_power(rows: Array, m: int, floor: Array) -> Array:
    """Log power (frame, channel) [nats] of rows (frame * m, channel); ``floor`` (channel,) is in units of power."""
    return np.log(_power(rows, m) + floor)


def power_floor(features: Sequence[Array], spans: Sequence[Span], m: int) -> Array:
    """Floor (channel,) by the frames of ``spans`` (recording, start, stop) of features (frame * m, channel)."""
    total = sum(_power(features[r][a * m : b * m], m).sum(axis=0, dtype=np.float64) for r, a, b in spans)
    mean = np.asarray(total) / sum(b - a for _, a, b in spans)
    return np.maximum(FLOOR_SHARE * mean, SMALLEST_FLOOR).astype(np.float32)


def log_amplitude(rows: Array, floor: Array) -> Array:
    """Logarithm (frame, channel) of amplitudes (frame, channel), none below ``floor`` (channel,)."""
    return np.log(np.maximum(rows, floor))


def amplitude_floor(features: Sequence[Array], spans: Sequence[Span], m: int = 1) -> Array:
    """Floor (channel,) of amplitudes (frame, channel): the same share of the mean as that of a power."""
    total = sum(features[r][a:b].sum(axis=0, dtype=np.float64) for r, a, b in spans)
    mean = np.asarray(total) / sum(b - a for _, a, b in spans)
    return np.maximum(np.sqrt(FLOOR_SHARE) * mean, SMALLEST_FLOOR).astype(np.float32)


def _power(rows: Array, m: int) -> Array:
    change = np.diff(rows.reshape(-1, m, rows.shape[1]), axis=1)
    return np.asarray(np.square(change).mean(axis=1))


def edge_rows(rows: NDArray[np.int64], first: int, stop: int, m: int) -> NDArray[np.int64]:
    """Indices of rows with those beyond first … stop (excluded) replaced by rows of the frame at the edge.

    Its m rows repeat, backwards and forwards in turn: each frame out there has the power of
    the edge frame, and no step lies between two frames.  For m = 1 the edge row repeats.
    """
    before, after = first + _to_and_fro(first - 1 - rows, m), stop - 1 - _to_and_fro(rows - stop, m)
    return np.where(rows < first, before, np.where(rows >= stop, after, rows))


def _to_and_fro(n: NDArray[np.int64], m: int) -> NDArray[np.int64]:
    """0 … m - 1, m - 1 … 0, 0 … for n = 0, 1, …."""
    phase = n % (2 * m)
    return np.minimum(phase, 2 * m - 1 - phase)
