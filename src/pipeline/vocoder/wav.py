"""Sound as the bytes of a ``.wav`` file."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray


def clipped_wav(sound: NDArray[np.float32], rate_hz: int) -> bytes:
    """16 bits, clipped; in memory, since libsndfile does not say why it cannot write a file."""
    wav = io.BytesIO()
    soundfile.write(wav, np.clip(sound, -1, 1), rate_hz, subtype="PCM_16", format="WAV")
    return wav.getvalue()
