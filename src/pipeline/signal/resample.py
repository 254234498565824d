"""Sound or any other signal at another rate, block by block in constant memory.

In: blocks ``(samples,)`` or ``(samples, channels)``, int16, int32 or float. Out: the same shapes in
float32, integers divided by their full scale. soxr's filter has linear phase and its delay is taken
out: sample ``i`` of the output is the signal at ``i / rate_out_hz``, like the input's at ``i / rate_in_hz``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import soxr

# The definition of filter support in this project: until the impulse response stays below 1e-3 of its peak.
_SUPPORT_LEVEL = 1e-3


def resample_blocks(
    blocks: Iterable[np.ndarray], rate_in_hz: float, rate_out_hz: float, quality: str = "HQ"
) -> Iterator[np.ndarray]:
    """The signal at ``rate_out_hz``, bitwise the same however it is cut into blocks.

    The rates are any positive numbers: a clock that drifts by ``d`` ppm has rate ``rate * (1 + 1e-6 * d)``.

    Args:
        blocks: consecutive pieces of the signal, each with at least one sample.
        rate_in_hz: rate of ``blocks``.
        rate_out_hz: rate wanted.
        quality: soxr's name for the quality: ``HQ`` has its stop band at -125 dB, ``VHQ`` at -175 dB.

    Yields:
        Consecutive pieces of the output, :func:`resampled_length` samples in all.
    """
    if not (rate_in_hz > 0 and rate_out_hz > 0):
        raise ValueError(f"rates must be positive, not {rate_in_hz} and {rate_out_hz}")
    if rate_in_hz == rate_out_hz:
        yield from map(as_float32, blocks)
        return
    stream: soxr.ResampleStream | None = None
    last = np.empty(0, np.float32)
    for block in blocks:
        if stream is None:
            channels = 1 if block.ndim == 1 else block.shape[1]
            stream = soxr.ResampleStream(rate_in_hz, rate_out_hz, channels, dtype="float32", quality=quality)
            last = np.empty((0, *block.shape[1:]), np.float32)
        out = stream.resample_chunk(as_float32(block))
        if len(out):
            yield out
    if stream is not None:
        yield stream.resample_chunk(last, last=True)


def resampled_length(n_samples: int, rate_in_hz: float, rate_out_hz: float) -> int:
    """Samples that :func:`resample_blocks` makes of ``n_samples`` (soxr's own rounding, to the sample)."""
    return int(n_samples / (rate_in_hz / rate_out_hz) + 0.5)


def as_float32(samples: np.ndarray) -> np.ndarray:
    """Samples in float32, integers divided by their full scale (32768 for int16)."""
    if samples.dtype.kind == "i":
        return samples * np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize))
    return np.ascontiguousarray(samples, np.float32)


@lru_cache(maxsize=16)
def resampler_support_s(rate_in_hz: float, rate_out_hz: float, quality: str = "HQ") -> float:
    """How far before and after a moment the resampled signal depends on the input [s].

    Measured: the time from its peak after which the response to an impulse stays below 1e-3 of the peak,
    over several positions of the impulse between the output's samples. 0 for equal rates.
    """
    if rate_in_hz == rate_out_hz:
        return 0.0
    slow_hz = min(rate_in_hz, rate_out_hz)
    half_s = 400 / slow_hz
    longest = 0.0
    for position in range(8):
        at = round(half_s * rate_in_hz) + position
        impulse = np.zeros(2 * at + 1, np.float32)
        impulse[at] = 1.0
        response = np.abs(np.concatenate(list(resample_blocks([impulse], rate_in_hz, rate_out_hz, quality))))
        lasting = np.flatnonzero(response > _SUPPORT_LEVEL * response.max())
        times_s = lasting / rate_out_hz - at / rate_in_hz
        longest = max(longest, float(np.abs(times_s).max()))
    return longest
