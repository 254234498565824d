"""The clocks of brain and sound: ``t_neural = t_audio * (1 + drift_ppm * 1e-6) + offset_s``."""

from __future__ import annotations

import math

import numpy as np


def audio_to_neural_s(t_audio_s: np.ndarray, offset_s: float, drift_ppm: float) -> np.ndarray:
    """Times on the neural clock of times on the audio clock."""
    return np.asarray(t_audio_s) * (1 + drift_ppm * 1e-6) + offset_s


def neural_to_audio_s(t_neural_s: np.ndarray, offset_s: float, drift_ppm: float) -> np.ndarray:
    """Times on the audio clock of times on the neural clock."""
    return (np.asarray(t_neural_s) - offset_s) / (1 + drift_ppm * 1e-6)


def common_frames(
    neural_s: float, audio_length_s: float | None, clock: tuple[float, float], rate_hz: float, margin_s: float
) -> tuple[int, int]:
    """First and last k of the feature times k / rate on the audio clock: where there is brain, near the sound.

    Args:
        neural_s: time of the last neural sample.
        audio_length_s: length of the sound; None without sound.
        clock: offset [s] and drift [ppm].
        rate_hz: feature rate.
        margin_s: how far features may lie outside the sound.
    """
    start_s, stop_s = (float(t) for t in neural_to_audio_s(np.array([0.0, neural_s]), *clock))
    if audio_length_s is not None:
        start_s, stop_s = max(start_s, -margin_s), min(stop_s, audio_length_s + margin_s)
    # The slack keeps a time that rounding put a hair outside the recording out of it.
    return math.ceil(start_s * rate_hz + 1e-6), math.floor(stop_s * rate_hz - 1e-6)
