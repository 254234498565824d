"""Normalisation of one recording's features by its own statistics; numpy only.

``train`` leaves features as they are: the model and the ridge standardise them by the
training frames.  ``recording_unlabelled`` uses every row of the recording, test rows
included, but no sound.  ``causal_running`` uses the rows up to each row alone, and can
follow slow drift of the gain in real time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

RUNNING_S = 30.0  # time constant of the running statistics
SETTLE_S = 5.0  # rows before this time are normalised by the first rows' statistics as they come


def normalise_recording(features: Array, mode: str, rows_per_frame: int, frame_rate_hz: float) -> Array:
    """Features (row, channel) with zero mean and unit scale per channel, by ``mode``; same shape."""
    if mode == "train":
        return features
    if mode == "recording_unlabelled":
        mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        return ((features - mean) / np.where(std > 0, std, 1.0)).astype(np.float32)
    if mode == "causal_running":
        return _running(features, rows_per_frame, frame_rate_hz)
    raise ValueError(f"unknown normalisation {mode!r}")


def _running(features: Array, rows_per_frame: int, frame_rate_hz: float) -> Array:
    frames = features.reshape(-1, rows_per_frame, features.shape[1])
    return Running(features.shape[1], frame_rate_hz).push(frames).reshape(features.shape)


class Running:
    """Exponentially forgetting mean and variance; early rows average all rows so far.

    Works frame by frame on frame sums, so one Python step per mel frame.
    """

    def __init__(self, n_channels: int, frame_rate_hz: float) -> None:
        self.keep = 1.0 - 1.0 / (RUNNING_S * frame_rate_hz)
        self.settled = int(SETTLE_S * frame_rate_hz)
        self.mean, self.square, self.weight = np.zeros(n_channels), np.zeros(n_channels), 0.0
        self.n_frames = 0

    def push(self, frames: Array) -> Array:
        """The next frames (frame, row of the frame, channel), normalised."""
        sums = frames.mean(axis=1, dtype=np.float64)
        squares = np.square(frames, dtype=np.float64).mean(axis=1)
        out = np.empty_like(frames)
        for t in range(len(frames)):
            self.weight = self.keep * self.weight + 1.0
            self.mean += (sums[t] - self.mean) / self.weight
            self.square += (squares[t] - self.square) / self.weight
            std = np.sqrt(np.maximum(self.square - np.square(self.mean), 1e-12 * self.square + 1e-30))
            out[t] = (frames[t] - self.mean) / std
        settling = max(0, self.settled - self.n_frames)
        out[:settling] = np.clip(out[:settling], -3, 3)
        self.n_frames += len(frames)
        return out
