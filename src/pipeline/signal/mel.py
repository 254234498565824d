"""Log-mel spectrogram of sound, to the letter as Tacotron 2/WaveGlow or HiFi-GAN define it.

In: sound ``(samples,)``, int16 or float in [-1, 1], at ``MelConfig.sample_rate_hz``.
Out: ``(frames, n_mels)`` float32 in nats, ``ln(max(bank @ |rfft(window * sound)|, floor))``.

Sound is processed 64 frames at a time, so memory does not grow with its length, and the result is
the same to the bit however many frames (a multiple of 64) are read at once.

Instead of ``librosa.feature.melspectrogram`` and a logarithm: 2.8 times as fast in a seventh of the memory
(docs/benchmarks.md has this and the other figures of its kind).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy import fft

from pipeline.config.mel import MelConfig
from pipeline.errors import InputError, Problem
from pipeline.signal.blocks import Reader, array_reader, read_mirrored
from pipeline.signal.mel_frames import n_frames

# One block's windowed frames and spectrum (64 x 1024 float32 each) stay in a core's cache.
_FRAMES_AT_ONCE = 64
# Resampling overshoots 1 a little; far above it, floats hold integers that were never scaled.
_LARGEST_AMPLITUDE = 16.0


def log_mel(audio: np.ndarray, sample_rate_hz: float, config: MelConfig) -> np.ndarray:
    """The log-mel spectrogram of a whole sound.

    Args:
        audio: ``(samples,)`` int16 (divided by 32768), int32 or float in [-1, 1]; memory maps welcome.
        sample_rate_hz: its rate; must be the config's.
        config: definition of the mel.

    Returns:
        ``(n_frames, n_mels)`` float32 in nats; frame ``t`` is at ``frame_times_s(...)[t]``.

    Raises:
        InputError: wrong rate or shape, no sound, NaN or infinity, or floats far outside [-1, 1].
    """
    if sample_rate_hz != config.sample_rate_hz:
        raise _problem(
            "rate",
            f"{sample_rate_hz:g} Hz",
            f"{config.sample_rate_hz} Hz (mel.sample_rate_hz)",
            "resample the sound first (pipeline.signal.resample)",
        )
    if np.ndim(audio) != 1:
        raise _problem("shape", f"{np.shape(audio)}", "(samples,)", "pass one channel of the sound")
    out = np.empty((n_frames(len(audio), config), config.n_mels), np.float32)
    start = 0
    for block in log_mel_blocks(array_reader(audio), len(audio), config):
        out[start : start + len(block)] = block
        start += len(block)
    return out


def log_mel_blocks(
    read: Reader, n_samples: int, config: MelConfig, frames_per_block: int = 1024
) -> Iterator[np.ndarray]:
    """The log-mel spectrogram a block of frames at a time, from sound that is read in blocks.

    Args:
        read: gives ``(samples,)`` of the sound; is asked for about ``frames_per_block`` hops at once.
        n_samples: length of the sound.
        config: definition of the mel.
        frames_per_block: frames in each block but the last, a multiple of 64.

    Yields:
        ``(frames, n_mels)`` float32 in nats, bitwise the same rows for every ``frames_per_block``.

    Raises:
        InputError: as :func:`log_mel`.
    """
    if frames_per_block < 1 or frames_per_block % _FRAMES_AT_ONCE:
        raise ValueError(f"frames_per_block = {frames_per_block} is not a multiple of {_FRAMES_AT_ONCE}")
    total = n_frames(n_samples, config)
    if total == 0:
        raise _problem(
            "length",
            f"{n_samples} samples",
            f"at least one frame of {config.hop_length}",
            "leave this sound out",
        )
    hop = config.hop_length
    for first in range(0, total, frames_per_block):
        count = min(frames_per_block, total - first)
        start = first * hop - config.padding
        samples = read_mirrored(read, start, start + (count - 1) * hop + config.n_fft, n_samples)
        yield _framed_log_mel(samples, count, config)


def mel_filter_bank(config: MelConfig) -> np.ndarray:
    """Triangles on Slaney's mel scale, each of unit area: ``(n_mels, n_fft // 2 + 1)`` float64.

    Equals ``librosa.filters.mel`` with its defaults (``htk=False, norm="slaney"``).
    """
    edges_hz = np.array(config.band_edges_hz())[:, None]
    bins_hz = np.arange(config.n_fft // 2 + 1) * (config.sample_rate_hz / config.n_fft)
    rising = (bins_hz - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges_hz[2:] - edges_hz[:-2]))


def _framed_log_mel(samples: np.ndarray, count: int, config: MelConfig) -> np.ndarray:
    """Log-mel ``(count, n_mels)`` of padded samples, frame ``t`` starting at sample ``t * hop_length``."""
    scale = _scale(samples)
    window, bank, first_bin, last_bin = _tables(config)
    # A scale is a power of two: it may go into the window without changing a bit of the result.
    window = window * np.float32(scale)
    strided = np.lib.stride_tricks.sliding_window_view(samples, config.n_fft)[:: config.hop_length]
    out = np.empty((count, config.n_mels), np.float32)
    buffer = np.empty((_FRAMES_AT_ONCE, config.n_fft), np.float32)
    magnitude = np.empty((_FRAMES_AT_ONCE, last_bin - first_bin), np.float32)
    for a in range(0, count, _FRAMES_AT_ONCE):
        b = min(a + _FRAMES_AT_ONCE, count)
        windowed = np.multiply(strided[a:b], window, out=buffer[: b - a], casting="same_kind")
        spectrum = fft.rfft(windowed, axis=1)[:, first_bin:last_bin]
        np.matmul(np.abs(spectrum, out=magnitude[: b - a]), bank, out=out[a:b])
    np.maximum(out, np.float32(config.log_floor), out=out)
    return np.log(out, out=out)


def _scale(samples: np.ndarray) -> float:
    """What the samples are to be multiplied by, after checking that they are sound."""
    if samples.dtype.kind == "i" and samples.dtype.itemsize in (2, 4):
        return 2.0 ** (1 - 8 * samples.dtype.itemsize)
    if samples.dtype.kind != "f":
        raise _problem("dtype", str(samples.dtype), "int16, int32 or float", "convert the sound")
    peak = max(float(samples.max()), -float(samples.min()))
    if not np.isfinite(peak):
        raise _problem("samples", "NaN or infinity", "finite numbers", "repair or leave out this sound")
    if peak > _LARGEST_AMPLITUDE:
        raise _problem("samples", f"amplitude {peak:g}", "floats in [-1, 1]", "divide integers by their full scale")
    return 1.0


@lru_cache(maxsize=4)
def _tables(config: MelConfig) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Window ``(n_fft,)``, filter bank ``(bins, n_mels)`` and the range of bins that carry weight."""
    phase = 2 * np.pi * np.arange(config.win_length) / config.win_length
    window = np.zeros(config.n_fft, np.float32)
    left = (config.n_fft - config.win_length) // 2
    window[left : left + config.win_length] = 0.5 - 0.5 * np.cos(phase)
    bank = mel_filter_bank(config)
    used = np.flatnonzero(bank.any(axis=0))
    first_bin, last_bin = int(used[0]), int(used[-1]) + 1
    return window, np.ascontiguousarray(bank[:, first_bin:last_bin].T, np.float32), first_bin, last_bin


def _problem(field: str, got: str, expected: str, fix: str) -> InputError:
    return InputError(Problem("audio", field, got, expected, fix))
