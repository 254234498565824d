"""Sounds for comparison by ear: equally loud, and cut without clicks.

Loudness is the root mean square outside pauses; pauses are pieces of 50 ms that are more than
30 dB below the loudest piece.  Sounds are (samples,) float32 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
LEVEL_DB = -23.0
"""What everything is brought to [dB of full scale, RMS], where no peak is in the way."""
PEAK = 0.99
PIECE_S = 0.05
PAUSE_DB = -30.0
SILENCE_DB = -80.0
"""Below it there is nothing to hear; a weak decoder's average of all spectra lies near −60 dB and is sound."""
FADE_S = 0.01
WORD_MARGIN_S = 0.1
"""Around a word that is cut out, so that its first and last sound are complete."""


def loudness_db(sound: Wave, rate_hz: int) -> float:
    """RMS outside pauses [dB of full scale]; −inf for digital silence."""
    piece = max(1, min(len(sound), round(PIECE_S * rate_hz)))
    whole = sound[: len(sound) // piece * piece].astype(np.float64).reshape(-1, piece)
    power = np.square(whole).mean(axis=1)
    loudest = float(power.max(initial=0.0))
    if loudest == 0.0:
        return -np.inf
    return float(10 * np.log10(power[power >= loudest * 10 ** (PAUSE_DB / 10)].mean()))


def equally_loud(sounds: Mapping[str, Wave], rate_hz: int) -> dict[str, Wave]:
    """The sounds at one loudness: −23 dB, or as much less as the highest peak among them needs.

    A sound below −80 dB is silence and is not amplified.
    """
    levels = {name: loudness_db(sound, rate_hz) for name, sound in sounds.items()}
    gains = {n: 10 ** ((LEVEL_DB - level) / 20) if level > SILENCE_DB else 1.0 for n, level in levels.items()}
    peak = max((gains[n] * float(np.abs(sound).max(initial=0.0)) for n, sound in sounds.items()), default=0.0)
    common = min(1.0, PEAK / max(peak, PEAK))
    return {n: sound * np.float32(gains[n] * common) for n, sound in sounds.items()}


def excerpt(sound: Wave, rate_hz: int, start_s: float, stop_s: float) -> Wave:
    """The part between two times, as far as there is one, faded in and out over 10 ms."""
    first, stop = (min(len(sound), max(0, round(t * rate_hz))) for t in (start_s, stop_s))
    part = sound[first:stop].astype(np.float32)
    fade = min(round(FADE_S * rate_hz), len(part) // 2)
    ramp = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
    part[:fade] *= ramp
    part[len(part) - fade :] *= ramp[::-1]
    return part
