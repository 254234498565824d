"""Which mel frames a sound has, and when; apart from the mel itself, which takes a quarter of a second to import."""

from __future__ import annotations

import numpy as np

from pipeline.config.mel_grid import MelGrid


def n_frames(n_samples: int, grid: MelGrid) -> int:
    """Number of mel frames of a sound of ``n_samples``."""
    whole = n_samples // grid.hop_length
    return whole + 1 if grid.flavor == "tacotron2" and n_samples > 0 else whole


def frame_times_s(n_frames: int, grid: MelGrid) -> np.ndarray:
    """Times of the centres of the first ``n_frames`` frames on the audio clock, float64 [s]."""
    return grid.first_frame_s + np.arange(n_frames) * (grid.hop_length / grid.sample_rate_hz)
