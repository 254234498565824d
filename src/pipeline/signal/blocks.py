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


def read_only(array: np.ndarray) -> np.ndarray:
    """The same values, which a reader cannot change."""
    view = array.view()
    view.flags.writeable = False
    return view


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
    return _with_ends(read, start, stop, n_samples, lambda values, *_: values)


def read_continued(read: Reader, start: int, stop: int, n_samples: int) -> np.ndarray:
    """Samples ``start`` to ``stop``; outside the recording, turned by 180° about its end samples.

    As ``scipy.signal.sosfiltfilt`` pads: value and slope go on, so a filter sees no step.
    """
    if start >= 0 and stop <= n_samples:
        return read(start, stop)
    ends = read(0, 1)[0].astype(np.float32), read(n_samples - 1, n_samples)[0].astype(np.float32)

    def turned(values: np.ndarray, flipped: np.ndarray, period: np.ndarray) -> np.ndarray:
        shape = (-1,) + (1,) * (values.ndim - 1)
        flipped, period = flipped.reshape(shape), period.reshape(shape).astype(np.float32)
        return np.where(flipped, 2 * ends[1] - values, values) + 2 * period * (ends[1] - ends[0])

    def floats(first: int, last: int) -> np.ndarray:
        return read(first, last).astype(np.float32, copy=False)

    return _with_ends(floats, start, stop, n_samples, turned)


def _with_ends(read: Reader, start: int, stop: int, n_samples: int, outside: Callable[..., np.ndarray]) -> np.ndarray:
    """Samples ``start`` to ``stop``, of one read; ``outside`` makes those beyond the recording's ends.

    It gets the samples that they mirror, whether each runs backwards, and its period's number.
    """
    first, last = min(max(start, 0), stop), max(min(stop, n_samples), start)
    folded = [_fold(np.arange(*span), n_samples) for span in ((start, first), (last, stop))]
    used = np.concatenate([*(index for index, *_ in folded), [first, last - 1][: 2 * (first < last)]])
    low = int(used.min())
    held = read(low, int(used.max()) + 1)
    before, after = (outside(held[index - low], flipped, period) for index, flipped, period in folded)
    return np.concatenate([before, held[first - low : last - low], after])


def _fold(index: np.ndarray, n_samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices folded into the recording, whether each runs backwards, and its period's number."""
    cycle = max(2 * (n_samples - 1), 1)
    period, rest = np.divmod(index, cycle)
    flipped = rest > n_samples - 1
    return np.where(flipped, cycle - rest, rest), flipped, period
