"""Reading a long recording a block at a time, with its ends continued where a filter needs more.

A :data:`Reader` gives the samples ``start`` to ``stop`` of a recording, ``(samples,)`` or
``(samples, channels)``; an HDF5 dataset, a memory map or an array is made one by
:func:`array_reader`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

Reader = Callable[[int, int], np.ndarray]


def array_reader(array: Any) -> Reader:
    """A reader of anything that slices like an array (ndarray, memory map, h5py dataset)."""
    return lambda start, stop: np.asarray(array[start:stop])


def joined_reader(parts: Sequence[tuple[Reader, int]]) -> Reader:
    """A reader of several stretches, each with its length, laid end to end."""
    if len(parts) == 1:
        return parts[0][0]
    ends = list(accumulate((n for _, n in parts), initial=0))

    def read(start: int, stop: int) -> np.ndarray:
        first = max(0, bisect_right(ends, start) - 1)
        pieces = []
        for (reader, n), offset in zip(parts[first:], ends[first:], strict=False):
            if offset >= stop:
                break
            pieces.append(reader(max(0, start - offset), min(n, stop - offset)))
        return np.concatenate(pieces)

    return read


def read_mirrored(read: Reader, start: int, stop: int, n_samples: int) -> np.ndarray:
    """Samples ``start`` to ``stop``; outside the recording, mirrored at its first and last sample.

    As ``numpy.pad(mode="reflect")``, also where more is wanted than the recording holds.
    """
    if start >= 0 and stop <= n_samples:
        return read(start, stop)
    index = _fold(np.arange(start, stop), n_samples)[0]
    first = int(index.min())
    return read(first, int(index.max()) + 1)[index - first]


def read_continued(read: Reader, start: int, stop: int, n_samples: int) -> np.ndarray:
    """Samples ``start`` to ``stop``; outside the recording, turned by 180° about its end samples.

    As ``scipy.signal.sosfiltfilt`` pads: value and slope go on, so a filter sees no step.
    """
    if start >= 0 and stop <= n_samples:
        return read(start, stop)
    index, flipped, period = _fold(np.arange(start, stop), n_samples)
    first = int(index.min())
    inside = read(first, int(index.max()) + 1)[index - first].astype(np.float32, copy=False)
    ends = read(0, 1)[0].astype(np.float32), read(n_samples - 1, n_samples)[0].astype(np.float32)
    shape = (-1,) + (1,) * (inside.ndim - 1)
    flipped, period = flipped.reshape(shape), period.reshape(shape).astype(np.float32)
    return np.where(flipped, 2 * ends[1] - inside, inside) + 2 * period * (ends[1] - ends[0])


def _fold(index: np.ndarray, n_samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices folded into the recording, whether each runs backwards, and its period's number."""
    cycle = max(2 * (n_samples - 1), 1)
    period, rest = np.divmod(index, cycle)
    flipped = rest > n_samples - 1
    return np.where(flipped, cycle - rest, rest), flipped, period
