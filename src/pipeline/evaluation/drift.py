"""Slow drift: what a running mean of 4 s follows, taken off targets and predictions before they meet a null.

Two unrelated signals that both drift (a trend, a settling amplifier, tiredness) are correlated, and neither a
shift nor an exchange of trials breaks what both do once.  Series are (frames, n_mels) in nats.
"""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.types import Values

RUNNING_MEAN_S = 4.0
SHORT_S = 8.0
"""Below this length a straight line is the drift: a running mean would follow the speech."""


def without_drift(series: Values, frame_rate_hz: float) -> Values:
    """``series`` less its running mean of 4 s, or less its line of best fit where it is shorter than 8 s.

    Within 2 s of either end the drift is the line of best fit of the outermost 4 s, as in a Savitzky-Golay
    filter of degree 1 (``scipy.signal.savgol_filter``, mode ``interp``): a mean of one side alone would leave
    half a second's worth of a trend at each end.
    """
    frames, half = len(series), round(RUNNING_MEAN_S * frame_rate_hz / 2)
    window = 2 * half + 1
    if is_short(frames, frame_rate_hz):
        return np.asarray(series - line(series))
    sums = np.cumsum(np.concatenate([np.zeros_like(series[:1]), series]), axis=0)
    slow = np.empty_like(series)
    slow[half : frames - half] = (sums[window:] - sums[:-window]) / window
    slow[:half] = line(series[:window])[:half]
    slow[frames - half :] = line(series[-window:])[window - half :]
    return np.asarray(series - slow)


def line(series: Values) -> Values:
    """The straight line of best fit of each column over time."""
    time = np.arange(len(series)) - (len(series) - 1) / 2
    slope = time @ series / max(float(time @ time), 0.5)  # 0.5 of two frames, 0 of one
    return np.asarray(series.mean(axis=0) + time[:, None] * slope)


def lines_of(frames: int, frame_rate_hz: float) -> Values:
    """Mean and slope as orthonormal columns, (frames, 2), for series whose drift is a line; zeros for longer ones."""
    if not is_short(frames, frame_rate_hz):
        return np.zeros((frames, 2))
    found = np.stack([np.ones(frames), np.arange(frames) - (frames - 1) / 2], axis=1)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=0), 0.5))


def is_short(frames: int, frame_rate_hz: float) -> bool:
    """Whether a series is too short for a running mean."""
    return frames < SHORT_S * frame_rate_hz
