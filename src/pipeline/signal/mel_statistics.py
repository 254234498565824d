"""What a mel holds: which of its frames are speech, where words begin, and which of its bands vary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.config.active_bands import ACTIVE_STD_NATS


def speech_threshold(training_mel: NDArray[np.floating]) -> float:
    """Mean log-mel above which a frame is speech [nats]; ``training_mel`` is (frame, band).

    The midpoint of the 10th and 90th percentile of the training frames' mean log-mel.
    """
    low, high = np.percentile(training_mel.mean(axis=1), (10, 90))
    return float(low + high) / 2


def sound_onsets(
    mel: NDArray[np.floating], starts: NDArray[np.integer], lengths: NDArray[np.integer]
) -> NDArray[np.intp]:
    """First frame of the sound of each event, (event,); ``mel`` is (frame, band), ``starts`` and ``lengths`` in frames.

    Sound starts where the mean log-mel first rises above the middle of its range inside the event: a level of the
    word's own, so that loud words do not seem to start earlier.
    """
    loudness, onsets = mel.mean(axis=1), np.asarray(starts, dtype=np.intp).copy()
    for k, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        first = max(int(start), 0)
        inside = loudness[first : first + max(1, int(length))]
        if inside.size:
            onsets[k] = first + np.argmax(inside >= (inside.min() + inside.max()) / 2)
    return onsets


def active_bands(mel: NDArray[np.floating], min_std_nats: float = ACTIVE_STD_NATS) -> NDArray[np.bool_]:
    """(band,) true where the mel (frame, band) varies by at least ``min_std_nats`` over time."""
    return np.asarray(mel.std(axis=0, dtype=np.float64) >= min_std_nats)
