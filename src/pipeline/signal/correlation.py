"""Pearson's r over time, band by band, from *moments*.

Moments are, per band, the weighted sums ``[n, y, p, y², p², yp]`` of target y and prediction p over some
frames.  They add, so the r of a fold, of its bootstrap resamples and of its circular shifts all come from
sums of the same small arrays.  A band whose target or prediction is constant has no r.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

MIN_STD = 1e-5
"""A series that varies less is constant: far below float32 noise of a mel [nats], far above round-off."""


def correlation_per_band(predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> Values:
    """Pearson r over time of each band of two (frame, band); NaN where either side is constant."""
    centre = truth.mean(axis=0, dtype=np.float64)
    return correlation(moments_of(truth - centre, predicted - centre))


def moments_of(target: Values, prediction: Values) -> Values:
    """Moments over all frames of two (frame, band), (band, 6).

    Both should have the target's mean taken off, so that the sums of squares keep their digits.
    """
    return np.stack([term.sum(axis=0) for term in _terms(target, prediction)], axis=-1)


def stretch_moments(target: Values, prediction: Values, weight: Values, starts: NDArray[np.intp]) -> Values:
    """Moments of each stretch of frames, (stretch, band, 6); stretch i is starts[i]:starts[i+1].

    As :func:`moments_of`; ``weight`` (frame,) counts frames, usually 0 or 1.
    """
    terms = _terms(target, prediction, weight[:, None])
    return np.stack([np.add.reduceat(term, starts, axis=0) for term in terms], axis=-1)


def correlation(moments: Values) -> Values:
    """Pearson r from moments (…, 6) -> (…); NaN where target or prediction is constant."""
    n, y, p, yy, pp, yp = np.moveaxis(moments, -1, 0)
    n = np.maximum(n, 1)
    y, p = y / n, p / n
    var_y, var_p = yy / n - y * y, pp / n - p * p
    defined = (var_y > MIN_STD**2) & (var_p > MIN_STD**2)
    r = np.full(n.shape, np.nan)
    np.divide(yp / n - y * p, np.sqrt(np.where(defined, var_y * var_p, 1)), out=r, where=defined)
    return np.clip(r, -1, 1)


def _terms(y: Values, p: Values, w: Values | float = 1.0) -> Iterator[Values]:
    """What moments sum, one term after the other: a term is as large as the mel."""
    yield np.broadcast_to(w, y.shape)
    yield w * y
    yield w * p
    yield w * y * y
    yield w * p * p
    yield w * y * p
