"""What a mel holds: which of its frames are speech, where words begin, and which of its bands vary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.config.active_bands import ACTIVE_STD_NATS
from pipeline.signal.voice import voice_onset_frame


def speech_threshold(training_mel: NDArray[np.floating]) -> float:
    """Mean log-mel above which a frame is speech [nats]; ``training_mel`` is (frame, band).

    The midpoint of the 10th and 90th percentile of the training frames' mean log-mel.
    """
    low, high = np.percentile(training_mel.mean(axis=1), (10, 90))
    return float(low + high) / 2


def sound_onsets(
    mel: NDArray[np.floating], starts: NDArray[np.integer], lengths: NDArray[np.integer]
) -> NDArray[np.intp]:
    """First frame of the sound of each event, (event,); ``mel`` (frame, band), ``starts`` and ``lengths`` in frames."""
    loudness = mel.mean(axis=1)
    pairs = zip(starts, lengths, strict=True)
    return np.array([voice_onset_frame(loudness, int(start), int(length)) for start, length in pairs], np.intp)


def active_bands(mel: NDArray[np.floating], min_std_nats: float = ACTIVE_STD_NATS) -> NDArray[np.bool_]:
    """(band,) true where the mel (frame, band) varies by at least ``min_std_nats`` over time."""
    return np.asarray(mel.std(axis=0, dtype=np.float64) >= min_std_nats)


def active_or_all(mel: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(band,) the active bands of a mel (frame, band), or all where none is, as in silence."""
    active = active_bands(mel)
    return active if active.any() else ~active
