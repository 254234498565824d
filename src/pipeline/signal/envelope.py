"""Neural features: band amplitude envelopes, the band-limited signal, or features as they came.

In: a reader of ``(samples, channels)`` float32, re-referenced and finite, and the frames' times on the
neural clock. Out: blocks ``(frames, channels * bands)`` float32, band by band (all channels of the first
band, then of the next), in the unit of the input (its logarithm for ``log_envelope``).

Not causal, the chain of Verwoert et al. 2022 (detrend, Butterworth band-pass and notches forwards and
backwards, analytic signal, magnitude, mean) is one real multiplier on the positive frequencies followed
by a mean, and is computed as such by overlap-save; a detrend changes nothing that the band-pass lets
through. Causal filters live in :mod:`pipeline.signal.causal`. Memory does not grow with the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import numpy as np
from scipy import fft, sparse

from pipeline.config.align import AlignConfig
from pipeline.errors import InputError, Problem
from pipeline.signal.bands import SUPPORT_LEVEL, BandHz, framed, kept_bands_hz, settled_after, zero_phase_response
from pipeline.signal.blocks import Reader, read_continued
from pipeline.signal.framing import (
    Framing,
    interpolated_frames,
    mean_frames,
    past_mean_frames,
    triangle_frames,
)

# Blocks are cut where the response has fallen to this part of its peak, far below the filter support's.
_BORDER_LEVEL = 3e-6
# Input of features: none is at most this fast; anything faster is a signal.
_FASTEST_FEATURE_HZ = 200.0
# 16384 samples of 16 channels: long against the filters' ringing, short enough for a core's cache.
_SHORTEST_BLOCK = 16384
_CHANNELS_AT_ONCE = 16
_LOG_FLOOR = np.float32(1e-12)


def extract_features(
    read: Reader,
    n_samples: int,
    rate_hz: float,
    config: AlignConfig,
    frame_times_s: np.ndarray,
    causal: bool,
    threads: int = 1,
) -> Iterator[tuple[int, np.ndarray]]:
    """The configured feature at the wanted times.

    ``features: envelope`` is the mean amplitude of each band around (causal: up to) each time; ``raw`` the
    notched signal between ``raw_low_hz`` and ``raw_high_hz`` at exactly that time (causal: one sample
    earlier); ``none`` the input itself where the times are its own, else interpolated linearly (causal:
    held), or averaged with triangle weights (causal: over the past frame period) where it is faster.

    Args:
        read: gives ``(samples, channels)`` of the recording, finite.
        n_samples: its length.
        rate_hz: its rate.
        config: which feature, bands, notches, frame length, logarithm.
        frame_times_s: increasing times on the neural clock, within the recording; what a filter wants
            beyond the recording's ends is continued from inside it.
        causal: filter forwards only and average over past samples only.
        threads: that share the channels of zero-phase filters; the result is the same to the bit.

    Yields:
        ``(start, block)``: rows ``start`` onwards, ``(frames, bands * channels)`` float32.

    Raises:
        InputError: a band does not fit the rate, or (later, as blocks are made) a channel is not finite.
        ValueError: times that do not increase or lie outside the recording.
    """
    _check_times(frame_times_s, n_samples, rate_hz)
    if config.features == "none":
        blocks = _passed(read, n_samples, _passing(rate_hz, config, causal), frame_times_s)
    else:
        kept_bands_hz(config, rate_hz)
        if causal:
            blocks = _causal(read, n_samples, rate_hz, config, frame_times_s)
        else:
            blocks = _zero_phase(read, n_samples, rate_hz, config, frame_times_s, threads)
    return ((start, _finish(block, config)) for start, block in blocks)


def filter_support_s(config: AlignConfig, rate_hz: float, causal: bool) -> tuple[float, float]:
    """How far a feature's frame depends on samples before and after its time: ``(past_s, future_s)``.

    The time until the frame's response to an impulse (through filters and frame mean) stays below 1e-3
    of its peak.
    """
    if config.features == "none":
        return _passing(rate_hz, config, causal).support_s
    if causal:
        from pipeline.signal.causal import causal_support_s

        return causal_support_s(config, rate_hz), 0.0
    framing = _framing(config, rate_hz)
    if config.features == "raw":
        support_s = framing.support_s[0] + _ringing_samples(config, rate_hz, SUPPORT_LEVEL) / rate_hz
    else:
        # The frame's response is symmetric; summed up to its end it lies half a frame late.
        settled = _ringing_samples(config, rate_hz, SUPPORT_LEVEL, framing.taps)
        support_s = (settled - framing.taps // 2 + 1) / rate_hz
    return support_s, support_s


def feature_names(channels: Sequence[str], config: AlignConfig) -> list[str]:
    """Names of a block's columns: the channels', with the band where there are several."""
    if config.features != "envelope" or len(config.bands) == 1:
        return list(channels)
    return [f"{channel} {low_hz:g}-{high_hz:g} Hz" for low_hz, high_hz in config.bands for channel in channels]


def _check_times(frame_times_s: np.ndarray, n_samples: int, rate_hz: float) -> None:
    """Refuse times that do not increase or lie outside the recording (by more than rounding)."""
    end_s = (n_samples - 1) / rate_hz
    if n_samples < 2:
        raise ValueError(f"a recording of {n_samples} samples has no features")
    if len(frame_times_s) and (frame_times_s[0] < -1e-6 or frame_times_s[-1] > end_s + 1e-6):
        raise ValueError(
            f"frame times {frame_times_s[0]:.6f}...{frame_times_s[-1]:.6f} s reach outside the recording, "
            f"0...{end_s:.6f} s"
        )
    if np.any(np.diff(frame_times_s) <= 0):
        raise ValueError("frame times do not increase")


def _finish(frames: np.ndarray, config: AlignConfig) -> np.ndarray:
    """Frames found finite, with the logarithm taken where it is asked for, in place."""
    if not np.isfinite(frames).all():
        got = f"NaN or infinity in {int((~np.isfinite(frames)).any(axis=0).sum())} channel(s)"
        fix = "repair the recording, or let align.channels.find_bad leave such channels out"
        raise InputError(Problem("recording", "samples", got, "finite numbers", fix))
    if config.features == "envelope" and config.log_envelope:
        np.log(np.maximum(frames, _LOG_FLOOR, out=frames), out=frames)
    return frames


def _passed(
    read: Reader, n_samples: int, framing: Framing, frame_times_s: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Input that already is a feature, put on the frames."""
    for start in range(0, len(frame_times_s), _SHORTEST_BLOCK):
        times_s = frame_times_s[start : start + _SHORTEST_BLOCK]
        first_samples = framing.first_samples(times_s[[0, -1]])
        first = max(0, int(first_samples[0]))
        stop = min(n_samples, int(first_samples[1]) + framing.taps)
        samples = np.asarray(read(first, stop), np.float32)
        yield start, framing.matrix(times_s, first, len(samples)) @ samples


def _causal(
    read: Reader, n_samples: int, rate_hz: float, config: AlignConfig, frame_times_s: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    # scipy.signal takes most of a second to import, and only causal filters need it.
    from pipeline.signal.causal import causal_features

    return causal_features(read, n_samples, rate_hz, config, frame_times_s)


def _zero_phase(
    read: Reader, n_samples: int, rate_hz: float, config: AlignConfig, frame_times_s: np.ndarray, threads: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Overlap-save: filter a block with a halo on both sides, keep the frames inside."""
    bands = kept_bands_hz(config, rate_hz)
    framing = _framing(config, rate_hz)
    first_samples = framing.first_samples(frame_times_s)
    halo = _ringing_samples(config, rate_hz, _BORDER_LEVEL)
    size = _block_size(halo, first_samples, framing.taps)
    multipliers = [_multiplier(band, rate_hz, config, size) for band in bands]
    start = 0
    with ThreadPoolExecutor(threads) as pool:
        while start < len(frame_times_s):
            origin = int(first_samples[start]) - halo
            stop = int(np.searchsorted(first_samples, origin + size - halo - framing.taps, side="right"))
            samples = np.asarray(read_continued(read, origin, origin + size, n_samples), np.float32)
            matrix = framing.matrix(frame_times_s[start:stop], origin + halo, size - 2 * halo)
            groups = np.array_split(samples, range(_CHANNELS_AT_ONCE, samples.shape[1], _CHANNELS_AT_ONCE), axis=1)
            frames = partial(_group_frames, multipliers=multipliers, halo=halo, matrix=matrix, config=config)
            parts = np.concatenate(list(pool.map(frames, groups)), axis=2)
            yield start, parts.reshape(stop - start, -1)
            start = stop


def _group_frames(
    samples: np.ndarray, multipliers: list[np.ndarray], halo: int, matrix: sparse.csr_array, config: AlignConfig
) -> np.ndarray:
    """Frames ``(frames, bands, channels)`` of a block of ``(samples, channels)``."""
    levelled = _levelled(samples)
    inside = slice(halo, len(samples) - halo)
    return np.stack([matrix @ _band_signal(levelled, m, config)[inside] for m in multipliers], axis=1)


def _levelled(samples: np.ndarray) -> np.ndarray:
    """The block without the line from its first to its last sample.

    The band-pass takes out a line anyway; left in, it would cost float32 its precision and the circular
    transform would see a step from the block's end to its start.
    """
    rise = np.linspace(0, 1, len(samples), dtype=np.float32)[:, None]
    levelled = samples - samples[0]
    levelled -= rise * levelled[-1]
    return levelled


def _band_signal(samples: np.ndarray, multiplier: np.ndarray, config: AlignConfig) -> np.ndarray:
    """The band's envelope (for ``features: raw`` its signal), ``(size, channels)`` float32 like ``samples``."""
    spectrum = fft.rfft(samples, axis=0)
    raw = config.features == "raw"
    kept = spectrum if raw else np.zeros(samples.shape, np.complex64)
    # Real numbers times pairs of real numbers: twice as fast as complex multiplication.
    pairs = kept[: len(spectrum)].view(np.float32)
    np.multiply(spectrum.view(np.float32), multiplier[:, None], out=pairs)
    if raw:
        return fft.irfft(kept, len(samples), axis=0)
    return np.abs(fft.ifft(kept, axis=0, overwrite_x=True))


def _multiplier(band: BandHz, rate_hz: float, config: AlignConfig, size: int) -> np.ndarray:
    """The filters' response at each bin, doubled for the analytic signal, which has no negative frequencies."""
    response = zero_phase_response(fft.rfftfreq(size, 1 / rate_hz), band, rate_hz, config)
    return (response if config.features == "raw" else 2 * response).astype(np.float32)


def _block_size(halo: int, first_samples: np.ndarray, taps: int) -> int:
    """Samples in a block: a power of two long against the halo, or less where all frames fit into less."""
    long = max(_SHORTEST_BLOCK, 1 << (4 * halo + taps).bit_length())
    span = int(first_samples[-1] - first_samples[0]) if len(first_samples) else 0
    return min(long, fft.next_fast_len(span + taps + 2 * halo, real=True))


@lru_cache(maxsize=32)
def _ringing_samples(config: AlignConfig, rate_hz: float, level: float, taps: int = 1) -> int:
    """Samples after an impulse until what ``taps`` samples of the zero-phase filters' response sum to
    stays below ``level`` of its peak."""
    longest = 0
    for band in kept_bands_hz(config, rate_hz):
        narrowest_hz = min(band[0], band[1] - band[0], config.notch_width_hz)
        size = 1 << int(np.ceil(np.log2(rate_hz * max(16.0, 128.0 / narrowest_hz))))
        analytic = np.zeros(size, np.complex128)
        analytic[: size // 2 + 1] = zero_phase_response(fft.rfftfreq(size, 1 / rate_hz), band, rate_hz, config)
        response = framed(fft.fftshift(np.abs(fft.ifft(analytic))), taps)
        longest = max(longest, settled_after(response, level) - size // 2)
    return longest


def _framing(config: AlignConfig, rate_hz: float) -> Framing:
    if config.features == "none":
        return _passing(rate_hz, config, causal=False)
    if config.features == "raw":
        return interpolated_frames(rate_hz)
    return mean_frames(rate_hz, config.frame_length_s)


def _passing(rate_hz: float, config: AlignConfig, causal: bool) -> Framing:
    if rate_hz > _FASTEST_FEATURE_HZ:
        raise InputError(
            Problem(
                "config",
                "align.features",
                f"none with a recording at {rate_hz:g} Hz",
                f"input that already is a feature, at most {_FASTEST_FEATURE_HZ:g} Hz",
                "set align.features: envelope (or raw)",
            )
        )
    if causal:
        return past_mean_frames(rate_hz, 1 / config.feature_rate_hz)
    return triangle_frames(rate_hz, config.feature_rate_hz)
