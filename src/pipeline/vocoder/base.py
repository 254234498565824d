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
