"""Zero-phase filters and frames of a recording, by overlap-save.

In: a reader of ``(samples, channels)`` float32, re-referenced and finite, and the frames' times on the
neural clock. Out: blocks ``(frames, bands * channels)`` float32, band by band (all channels of the first
band, then of the next), in the unit of the input.

The chain of Verwoert et al. 2022 (detrend, Butterworth band-pass and notches forwards and backwards,
analytic signal, magnitude, mean) is one real multiplier on the positive frequencies followed by a mean, and
is computed as such; a detrend changes nothing that the band-pass lets through, and a low-pass passes a line
as it is. Causal filters live in :mod:`pipeline.signal.causal`. Memory does not grow with the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import numpy as np
from scipy import fft, sparse

from pipeline.signal.bands import SUPPORT_LEVEL, Passband, framed, settled_after
from pipeline.signal.blocks import Reader, read_continued
from pipeline.signal.framing import Framing

# Blocks are cut where the response has fallen to this part of its peak, far below the filter support's.
_BORDER_LEVEL = 3e-6
# 16384 samples of 16 channels: long against the filters' ringing, short enough for a core's cache.
_SHORTEST_BLOCK = 16384
_CHANNELS_AT_ONCE = 16


def zero_phase_frames(
    read: Reader,
    n_samples: int,
    passbands: tuple[Passband, ...],
    framing: Framing,
    frame_times_s: np.ndarray,
    *,
    envelope: bool,
    threads: int = 1,
) -> Iterator[tuple[int, np.ndarray]]:
    """Frames of each band's envelope, else of its signal, at the wanted times.

    Filter a block with a halo on both sides, keep the frames inside. ``threads`` share the channels; the
    result is the same to the bit.

    Yields:
        ``(start, block)``: rows ``start`` onwards, ``(frames, bands * channels)`` float32.
    """
    first_samples = framing.first_samples(frame_times_s)
    halo = _ringing_samples(passbands, _BORDER_LEVEL)
    size = _block_size(halo, first_samples, framing.taps)
    multipliers = [_multiplier(band, size, envelope) for band in passbands]
    start = 0
    with ThreadPoolExecutor(threads) as pool:
        # A trial of some seconds takes less time than the start of a thread.
        each = map if threads == 1 else pool.map
        while start < len(frame_times_s):
            origin = int(first_samples[start]) - halo
            stop = int(np.searchsorted(first_samples, origin + size - halo - framing.taps, side="right"))
            samples = np.asarray(read_continued(read, origin, origin + size, n_samples), np.float32)
            matrix = framing.matrix(frame_times_s[start:stop], origin + halo, size - 2 * halo)
            groups = np.array_split(samples, range(_CHANNELS_AT_ONCE, samples.shape[1], _CHANNELS_AT_ONCE), axis=1)
            frames = partial(
                _group_frames, passbands=passbands, multipliers=multipliers, halo=halo, matrix=matrix, envelope=envelope
            )
            parts = np.concatenate(list(each(frames, groups)), axis=2)
            yield start, parts.reshape(stop - start, -1)
            start = stop


def zero_phase_support_s(passbands: tuple[Passband, ...], framing: Framing, *, mean: bool) -> float:
    """How far a frame depends on samples before its time, and as far after it [s].

    The time until the frame's response to an impulse (through filters and frame ``mean``, else
    interpolation) stays below 1e-3 of its peak.
    """
    rate_hz = framing.rate_hz
    if not mean:
        return framing.support_s[0] + _ringing_samples(passbands, SUPPORT_LEVEL) / rate_hz
    # The frame's response is symmetric; summed up to its end it lies half a frame late.
    settled = _ringing_samples(passbands, SUPPORT_LEVEL, framing.taps)
    return (settled - framing.taps // 2 + 1) / rate_hz


def _group_frames(
    samples: np.ndarray,
    passbands: Sequence[Passband],
    multipliers: Sequence[np.ndarray],
    halo: int,
    matrix: sparse.csr_array,
    envelope: bool,
) -> np.ndarray:
    """Frames ``(frames, bands, channels)`` of a block of ``(samples, channels)``."""
    levelled = _levelled(samples)
    inside = slice(halo, len(samples) - halo)
    frames = []
    for passband, multiplier in zip(passbands, multipliers, strict=True):
        filtered = _filtered(levelled, multiplier, envelope)
        if passband.low_hz == 0:
            filtered += samples - levelled
        frames.append(matrix @ filtered[inside])
    return np.stack(frames, axis=1)


def _levelled(samples: np.ndarray) -> np.ndarray:
    """The block without the line from its first to its last sample.

    The band-pass takes out a line anyway; left in, it would cost float32 its precision and the circular
    transform would see a step from the block's end to its start.
    """
    rise = np.linspace(0, 1, len(samples), dtype=np.float32)[:, None]
    levelled = samples - samples[0]
    levelled -= rise * levelled[-1]
    return levelled


def _filtered(samples: np.ndarray, multiplier: np.ndarray, envelope: bool) -> np.ndarray:
    """The band's envelope, else its signal, ``(size, channels)`` float32 like ``samples``."""
    spectrum = fft.rfft(samples, axis=0)
    kept = np.zeros(samples.shape, np.complex64) if envelope else spectrum
    # Real numbers times pairs of real numbers: twice as fast as complex multiplication.
    pairs = kept[: len(spectrum)].view(np.float32)
    np.multiply(spectrum.view(np.float32), multiplier[:, None], out=pairs)
    if envelope:
        return np.abs(fft.ifft(kept, axis=0, overwrite_x=True))
    return fft.irfft(kept, len(samples), axis=0)


@lru_cache(maxsize=16)
def _multiplier(passband: Passband, size: int, envelope: bool) -> np.ndarray:
    """The filters' response at each bin, doubled for the analytic signal, which has no negative frequencies."""
    response = passband.zero_phase_response(fft.rfftfreq(size, 1 / passband.rate_hz))
    return (2 * response if envelope else response).astype(np.float32)


def _block_size(halo: int, first_samples: np.ndarray, taps: int) -> int:
    """Samples in a block: a power of two long against the halo, or less where all frames fit into less."""
    long = max(_SHORTEST_BLOCK, 1 << (4 * halo + taps).bit_length())
    span = int(first_samples[-1] - first_samples[0]) if len(first_samples) else 0
    return min(long, fft.next_fast_len(span + taps + 2 * halo, real=True))


@lru_cache(maxsize=32)
def _ringing_samples(passbands: tuple[Passband, ...], level: float, taps: int = 1) -> int:
    """Samples after an impulse until what ``taps`` samples of the zero-phase filters' response sum to
    stays below ``level`` of its peak."""
    longest = 0
    for passband in passbands:
        size = 1 << int(np.ceil(np.log2(passband.rate_hz * max(16.0, 128.0 / passband.narrowest_hz))))
        response = framed(fft.fftshift(_impulse_response(passband, size)), taps)
        longest = max(longest, settled_after(response, level) - size // 2)
    return longest


def _impulse_response(passband: Passband, size: int) -> np.ndarray:
    """Its magnitude, around sample 0: of a band the envelope, of a low-pass the response itself.

    The analytic signal of a low-pass would decay with 1/t, since its spectrum is cut off at 0 Hz.
    """
    response = passband.zero_phase_response(fft.rfftfreq(size, 1 / passband.rate_hz))
    if passband.low_hz == 0:
        return np.abs(fft.irfft(response, size))
    analytic = np.zeros(size, np.complex128)
    analytic[: size // 2 + 1] = response
    return np.abs(fft.ifft(analytic))
