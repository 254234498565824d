"""Windows in a span of frames, and the union of overlapping ones; integers only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Span = tuple[int, int, int]
"""Recording number and frames ``start:stop``."""


def window_starts(start: int, stop: int, length: int, hop: int) -> NDArray[np.int64]:
    """First frames of the windows that lie in ``start:stop``, one every ``hop`` frames."""
    return np.arange(start, stop - length + 1, hop, dtype=np.int64)


def covering_starts(start: int, stop: int, length: int, hop: int) -> NDArray[np.int64]:
    """The same, and a last window that ends at ``stop``; a span shorter than a window has one, from its start."""
    last = max(start, stop - length)
    return np.union1d(window_starts(start, stop, length, hop), [last])


def union(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint, rising intervals ``start:stop`` that cover the same; those that touch become one, empty ones go."""
    out: list[tuple[int, int]] = []
    for start, stop in sorted((a, b) for a, b in intervals if b > a):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return out


def merge_windows(windows: ArrayLike, length: int, n_frames: Sequence[int] | None = None) -> list[Span]:
    """Union of windows (window, 2) of recording number and first frame as sorted, disjoint spans.

    With ``n_frames`` they are cut at each recording's end.
    """
    by_recording: dict[int, list[tuple[int, int]]] = {}
    for recording, start in np.asarray(windows, np.int64).reshape(-1, 2).tolist():
        stop = start + length if n_frames is None else min(start + length, n_frames[recording])
        by_recording.setdefault(recording, []).append((start, stop))
    return [(r, start, stop) for r in sorted(by_recording) for start, stop in union(by_recording[r])]
