"""STOI and ESTOI (Taal et al. 2011, Jensen & Taal 2016) of whole stitched test sound, by pystoi."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.evaluation.types import Sound

MIN_S = 1.0
RATE_HZ = 10_000
"""The rate that STOI is defined at; resampling once here is much faster than in each pystoi call."""


def stitched(sounds: list[Sound], kind: str) -> NDArray[np.float32] | None:
    """One waveform of all blocks, each cut to the shortest of its sounds; ``None`` where one is missing."""
    parts = []
    for sound in sounds:
        wave, true = getattr(sound, kind), sound.true
        if wave is None or true is None:
            return None
        made = [w for w in (true, sound.vocoded_true, sound.predicted) if w is not None]
        parts.append(wave[: min(map(len, made))])
    return np.concatenate(parts) if parts else None


def intelligibility(true: NDArray[np.float32], other: NDArray[np.float32], rate_hz: int) -> tuple[float, float] | str:
    """(STOI, ESTOI) in about 0 … 1, or why there is none.

    pystoi returns 1e-5 instead of failing when fewer than 30 frames survive its silence
    removal, so that value is never passed on.
    """
    if len(true) < MIN_S * rate_hz:
        return f"{len(true) / rate_hz:.2f} s of sound, {MIN_S:g} s needed"
    if not (np.any(true) and np.any(other)):
        return "the sound is zero throughout"
    from pystoi import stoi  # scipy.signal behind it takes most of a second: only where there is sound

    pair = [soxr.resample(wave, rate_hz, RATE_HZ) for wave in (true, other)]
    with warnings.catch_warnings(), repeatable_noise():
        warnings.simplefilter("ignore", RuntimeWarning)
        scores = [float(stoi(*pair, RATE_HZ, extended=extended)) for extended in (False, True)]
    if min(scores) == 1e-5 or not np.isfinite(scores).all():
        return "fewer than 30 frames of sound survive pystoi's silence removal"
    return scores[0], scores[1]


@contextmanager
def repeatable_noise() -> Iterator[None]:
    """Fix numpy's global noise, which pystoi adds (1e-16) before it normalises, and put it back after."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
