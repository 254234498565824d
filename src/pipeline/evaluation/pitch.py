"""Pitch and voicing of sound by librosa's pYIN (Mauch & Dixon 2014); on request, since librosa takes seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.types import Values

RANGE_HZ = (65.0, 400.0)
"""Voices of adults."""
FRAME_S = 0.0465
CENTS = 1200.0


def pitch_hz(sound: NDArray[np.float32], rate_hz: int, frames: int, frame_rate_hz: float) -> Values:
    """F0 [Hz] of each mel frame, NaN where unvoiced, (frames,)."""
    import librosa

    hop = round(rate_hz / frame_rate_hz)
    length = 2 ** int(np.ceil(np.log2(FRAME_S * rate_hz)))
    low_hz, high_hz = RANGE_HZ
    f0, voiced, _ = librosa.pyin(sound, fmin=low_hz, fmax=high_hz, sr=rate_hz, frame_length=length, hop_length=hop)
    found = np.full(frames, np.nan)
    found[: len(f0)] = np.where(voiced, f0, np.nan)[:frames]
    return found


def pitch_error_cents(true_hz: Values, other_hz: Values) -> float:
    """Root mean square difference over the frames that are voiced in both [cents]; NaN where there are none."""
    both = np.isfinite(true_hz) & np.isfinite(other_hz)
    if not both.any():
        return float("nan")
    return float(np.sqrt(np.mean((CENTS * np.log2(other_hz[both] / true_hz[both])) ** 2)))


def voicing_error(true_hz: Values, other_hz: Values) -> float:
    """Share of frames that are voiced in one and not in the other."""
    return float(np.mean(np.isfinite(true_hz) != np.isfinite(other_hz)))
