"""Where a voice sets in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def voice_onset_frame(loudness: NDArray[np.floating], start: int, length: int) -> int:
    """Frame in which the sound of an event sets in; ``loudness`` (frame,) is the mean log-mel.

    Sound starts where the mean log-mel first rises above the middle of its range inside the event, which lasts
    ``length`` frames from ``start`` on: a level of the word's own, so that loud words do not seem to start earlier.
    ``start`` where no frame is inside.
    """
    first = max(start, 0)
    inside = loudness[first : first + max(1, length)]
    return first + int(np.argmax(inside >= (inside.min() + inside.max()) / 2)) if inside.size else start


def voiced_stretches(
    speech: NDArray[np.bool_], frame_rate_hz: float, shortest_s: float = 0.15, pause_s: float = 0.1
) -> list[tuple[int, int]]:
    """Stretches (first, stop) of speech of at least ``shortest_s``; a pause below ``pause_s`` does not end one."""
    steps = np.flatnonzero(np.diff(np.concatenate([[0], speech.astype(np.int8), [0]])))
    found: list[tuple[int, int]] = []
    for first, stop in zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True):
        if found and first - found[-1][1] < pause_s * frame_rate_hz:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((first, stop))
    return [(first, stop) for first, stop in found if stop - first >= shortest_s * frame_rate_hz]
