"""Slow drift: what a running mean of 4 s follows, taken off targets and predictions before they meet a null.

Two unrelated signals that both drift (a trend, a settling amplifier, tiredness) are correlated, and neither a
shift nor an exchange of trials breaks what both do once.  Series are (frames, n_mels) in nats.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    if frames < max(SHORT_S * frame_rate_hz, window):
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
    slope = time @ series / max(float(time @ time), 1.0)
    return np.asarray(series.mean(axis=0) + time[:, None] * slope)


def joined_without_drift(trials: Sequence[Values], frame_rate_hz: float) -> list[Values]:
    """:func:`without_drift` of trials that follow each other in time, as one series; returned one by one."""
    joined = without_drift(np.concatenate(trials), frame_rate_hz)
    return np.split(joined, np.cumsum([len(trial) for trial in trials])[:-1])
