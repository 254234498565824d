"""Inputs that several rows share: sound and brain signal with the statistics of real ones, from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def sound(seconds: float, rate_hz: int) -> np.ndarray:
    """Noise with a syllabic envelope, ``(samples,)`` int16."""
    rng = np.random.default_rng(0)
    n = round(seconds * rate_hz)
    out = np.empty(n, np.int16)
    for a in range(0, n, 1 << 22):
        time_s = np.arange(a, min(a + (1 << 22), n)) / rate_hz
        envelope = 0.5 - 0.5 * np.cos(2 * np.pi * 3.0 * time_s)
        out[a : a + len(time_s)] = 4000 * envelope * rng.standard_normal(len(time_s))
    return out


def save_brain(path: Path, seconds: float, rate_hz: float, channels: int) -> None:
    """A random walk with mains hum on noise, ``(samples, channels)`` float32 in µV, written block by block."""
    rng = np.random.default_rng(1)
    n, level = round(seconds * rate_hz), np.zeros(channels)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n, channels))
    for a in range(0, n, 1 << 16):
        steps = rng.standard_normal((min(1 << 16, n - a), channels), np.float32)
        walk = level + np.cumsum(steps, axis=0)
        level = 0.99 * walk[-1]
        hum = 10 * np.sin(2 * np.pi * 50.0 * np.arange(a, a + len(steps)) / rate_hz)[:, None]
        out[a : a + len(steps)] = walk + 5 * steps + hum
    out.flush()


def npy_reader(path: Path) -> tuple[Callable[[int, int], np.ndarray], int]:
    """Reads rows of a ``.npy``, and their number; not mapped, since mapped pages count as memory."""
    header = np.load(path, mmap_mode="r")
    n, shape, dtype = len(header), header.shape[1:], header.dtype
    row_items = int(np.prod(shape))
    begin = path.stat().st_size - header.nbytes

    def read(start: int, stop: int) -> np.ndarray:
        offset = begin + start * row_items * dtype.itemsize
        return np.fromfile(path, dtype, (stop - start) * row_items, offset=offset).reshape(-1, *shape)

    return read, n
