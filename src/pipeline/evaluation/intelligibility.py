"""STOI (Taal et al. 2011) and ESTOI (Jensen & Taal 2016) of whole stitched test sound.

Both from one spectrogram, many segments of 0.4 s at once: the values of pystoi without its noise of 1e-16, in a quarter
of its time and without the import of ``scipy.signal``.  A band that does not change within a segment counts 0 in ESTOI.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.evaluation.types import Sound, Values

MIN_S = 1.0
RATE_HZ = 10_000
HOP = 128
"""Of frames of two hops [samples]."""
FFT = 512
N_BANDS, LOWEST_HZ = 15, 150.0
"""Third octaves, and the centre of the lowest."""
SILENT_DB = 40.0
"""Below the loudest frame of the true sound, frames are left out."""
SEGMENT = 30
"""Frames that are compared at a time."""
CLIP = 1 + 10 ** (15 / 20)
"""How much more than the true sound a band may have, after both were made equally loud."""
EPS = float(np.finfo(np.float64).eps)
SEGMENTS_AT_ONCE = 128
"""Half a megabyte of each side."""


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
    """(STOI, ESTOI) in about 0 … 1, or why there is none."""
    if len(true) < MIN_S * rate_hz:
        return f"{len(true) / rate_hz:.2f} s of sound, {MIN_S:g} s needed"
    if not (np.any(true) and np.any(other)):
        return "the sound is zero throughout"
    bands = third_octaves(*(soxr.resample(wave, rate_hz, RATE_HZ) for wave in (true, other)))
    if len(bands[0]) < SEGMENT:
        return f"fewer than {SEGMENT} frames of sound are left without silence"
    segments = [sliding_window_view(own, SEGMENT, axis=0) for own in bands]
    parts = range(0, len(segments[0]), SEGMENTS_AT_ONCE)
    sums = [compared(*(own[first : first + SEGMENTS_AT_ONCE] for own in segments)) for first in parts]
    stoi, estoi = np.sum(sums, axis=0) / len(segments[0])
    return float(stoi), float(estoi)


def third_octaves(true: NDArray[np.float32], other: NDArray[np.float32]) -> list[Values]:
    """Magnitude of both sounds in third octaves (frames, 15), without the frames in which the true one is silent."""
    window = np.hanning(2 * HOP + 2)[1:-1]
    frames = [sliding_window_view(wave[:-1], 2 * HOP)[::HOP] * window for wave in (true, other)]
    level_db = 20 * np.log10(np.linalg.norm(frames[0], axis=1) + EPS)
    loud = level_db > level_db.max() - SILENT_DB
    bands = []
    for own in frames:
        halves = np.zeros((np.count_nonzero(loud) + 1, HOP))
        halves[:-1] += own[loud, :HOP]
        halves[1:] += own[loud, HOP:]
        spectrum = np.fft.rfft(np.hstack([halves[:-2], halves[1:-1]]) * window, FFT)
        bands.append(np.sqrt(np.abs(spectrum) ** 2 @ third_octave_bins().T))
    return bands


def third_octave_bins() -> Values:
    """Which bins of the spectrum are in which band, (15, bins); edges are the nearest bins."""
    bins_hz = np.arange(FFT // 2 + 1) * RATE_HZ / FFT
    edges_hz = LOWEST_HZ * 2 ** ((2 * np.arange(N_BANDS)[:, None] + [-1, 1]) / 6)
    low, high = np.abs(bins_hz - edges_hz[..., None]).argmin(axis=2).T
    bins = np.arange(len(bins_hz))
    return ((bins >= low[:, None]) & (bins < high[:, None])).astype(np.float64)


def compared(true: Values, other: Values) -> tuple[float, float]:
    """Sums over segments (segments, bands, frames) of their STOI and of their ESTOI."""
    gain = norms(true, 2) / (norms(other, 2) + EPS)
    clipped = less_mean(np.minimum(other * gain, true * CLIP), 2)
    centred = less_mean(true, 2)
    stoi = (centred / (norms(centred, 2) + EPS) * (clipped / (norms(clipped, 2) + EPS))).sum() / N_BANDS
    sides = [own / np.maximum(norms(own, 2), EPS) for own in (centred, less_mean(other, 2))]
    sides = [less_mean(own, 1) for own in sides]
    estoi = np.prod([own / np.maximum(norms(own, 1), EPS) for own in sides], axis=0).sum() / SEGMENT
    return float(stoi), float(estoi)


def less_mean(values: Values, axis: int) -> Values:
    return np.asarray(values - values.mean(axis=axis, keepdims=True))


def norms(values: Values, axis: int) -> Values:
    return np.sqrt(np.square(values).sum(axis=axis, keepdims=True))
