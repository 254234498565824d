"""Mel-cepstral distortion along the best path of dynamic time warping, of many pairs at once.

A path goes from both beginnings to both ends in steps of one frame on either side or both, and its sum of the frames'
distortions is the smallest; the distortion is the mean along the path.  All pairs take each step together:
``librosa.sequence.dtw`` does one pair, and is 2 s of import.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.metrics import MCD_DB
from pipeline.evaluation.types import Values

CELLS_AT_ONCE = 4_000_000
"""Pairs of frames that are laid out at once: bounds memory."""


def warped_mcd_db(target: Sequence[Values], prediction: Sequence[Values]) -> Values:
    """MCD [dB] of each pair (pairs,); ``target`` and ``prediction`` are the cepstra (frames, 13) of each."""
    cells = max(map(len, target)) * max(map(len, prediction))
    n_parts = min(len(target), -(-len(target) * cells // CELLS_AT_ONCE))
    parts = np.array_split(np.arange(len(target)), n_parts)
    return MCD_DB * np.concatenate([_means([target[i] for i in part], [prediction[i] for i in part]) for part in parts])


def _means(target: Sequence[Values], prediction: Sequence[Values]) -> Values:
    """Mean distance along the best path of each pair of (frames, columns), one anti-diagonal after the other."""
    ends = np.array([list(map(len, side)) for side in (target, prediction)]) - 1
    y, p = (_padded(side) for side in (target, prediction))
    n_y, n_p = y.shape[1], p.shape[1]
    squares = (y**2).sum(axis=2)[:, :, None] + (p**2).sum(axis=2)[:, None] - 2 * y @ p.transpose(0, 2, 1)
    distance = np.sqrt(np.maximum(squares, 0), dtype=np.float32).reshape(len(y), -1).T.copy()
    found = np.empty(len(y))
    # Sum and length of the best path into each frame of y on the last two anti-diagonals; row 0 is before the first.
    before, last = np.full((2, 2, n_y + 1, len(y)), np.inf, np.float32)
    before[:, 0] = 0
    for d in range(n_y + n_p - 1):
        low, high = max(0, d - n_p + 1), min(d, n_y - 1) + 1
        cells = slice(d + low * (n_p - 1), d + (high - 1) * (n_p - 1) + 1, n_p - 1 or 1)
        best = before[:, low:high]
        for other in (last[:, low:high], last[:, low + 1 : high + 1]):
            best = np.where(other[0] < best[0], other, best)
        own = np.full_like(last, np.inf)
        np.add(best[0], distance[cells], out=own[0, low + 1 : high + 1])
        np.add(best[1], 1, out=own[1, low + 1 : high + 1])
        at = np.flatnonzero(ends.sum(axis=0) == d)
        total, steps = own[:, ends[0][at] + 1, at]
        found[at] = total / steps
        before, last = last, own
    return found


def _padded(series: Sequence[Values]) -> Values:
    """Series of unequal length, zero behind their ends, (series, longest, columns)."""
    out = np.zeros((len(series), max(map(len, series)), series[0].shape[1]))
    for row, own in zip(out, series, strict=True):
        row[: len(own)] = own
    return out
