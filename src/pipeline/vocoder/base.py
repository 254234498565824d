"""The interface of a vocoder: a mel in, a waveform out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Vocoder(Protocol):
    """Turns a log-mel of shape (frames, n_mels), natural log, into sound at ``sample_rate_hz``."""

    sample_rate_hz: int

    def __call__(self, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Waveform (samples,), about ``frames * hop_length`` long, deterministic."""
        ...


class StreamingVocoder(Protocol):
    """Turns log-mel frames into sound as they come, the same sound however they are cut.

    ``reads`` are the frames, past and to come, that a stretch of sound is made from.
    """

    sample_rate_hz: int
    reads: int

    def push(self, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """The samples that the frames (frame, n_mels) make final."""
        ...

    def finish(self) -> NDArray[np.float32]:
        """The samples that still wait; the next frame begins another sound."""
        ...

    def reset(self) -> None:
        """Forget the sound so far, and begin another."""
        ...
