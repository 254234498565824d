"""High-gamma envelopes, 128 channels x 10 min at 1024 Hz, from a float32 file to frames at 100 Hz."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run
from bench.rows.signals import npy_reader, save_brain

TITLE = "high-gamma features, 128 channels × 10 min at 1024 Hz"
RATE_HZ, CHANNELS, FRAME_HZ = 1024, 128, 100.0
HALO_S = 2.5


def prepare(work: Path) -> None:
    for minutes in (10, 60):
        save_brain(work / f"{minutes}.npy", 60 * minutes, RATE_HZ, CHANNELS)


def frame_times_s(n_samples: int) -> np.ndarray:
    """Every 10 ms, a frame's 50 ms inside the recording."""
    return np.arange(3, int((n_samples / RATE_HZ - 0.03) * FRAME_HZ)) / FRAME_HZ


def _blocks(path: Path, causal: bool, threads: int) -> Iterator[tuple[int, np.ndarray]]:
    from pipeline.config.align import AlignConfig
    from pipeline.config.mel_grid import MelGrid
    from pipeline.signal.features.stack import Features

    read, n = npy_reader(path)
    return Features(AlignConfig(), MelGrid(), RATE_HZ).blocks(read, n, frame_times_s(n), causal, threads)


def _features(minutes: int, causal: bool = False, threads: int = 1) -> Callable[[Path], Run]:
    def start(work: Path) -> Run:
        path = work / f"{minutes}.npy"

        def run() -> np.ndarray:
            # An artifact is written block by block; the first channels are enough to judge.
            return np.concatenate([block[:, :8] for _, block in _blocks(path, causal, threads)])

        return run

    return start


def twice(work: Path) -> Run:
    """What two cores of the machine give at best: two processes that have nothing to do with each other."""
    run = _features(10)(work)

    def both() -> None:
        child = os.fork()
        run()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

    return both


def textbook(work: Path) -> Run:
    """Detrend, band-pass and notches forwards and backwards, analytic signal, magnitude, mean of each frame."""
    return lambda: _textbook(np.load(work / "10.npy"))[:, :8].astype(np.float32)


def _textbook(samples: np.ndarray) -> np.ndarray:
    from scipy import signal

    from pipeline.signal.bands import Passband

    x = signal.detrend(samples, axis=0)
    x = signal.sosfiltfilt(signal.butter(4, (70, 170), "bandpass", fs=RATE_HZ, output="sos"), x, axis=0)
    for band in Passband(70.0, 170.0, RATE_HZ, 4, 50.0, 4.0).notches_hz():
        notch = signal.butter(4, band, "bandstop", fs=RATE_HZ, output="sos")
        x = signal.sosfiltfilt(notch, x, axis=0)
    envelope = np.abs(signal.hilbert(x, axis=0))
    taps = round(0.05 * RATE_HZ)
    starts = np.floor(frame_times_s(len(x)) * RATE_HZ + 0.5 - (taps - 1) / 2 + 1e-6).astype(int)
    return np.stack([envelope[a : a + taps].mean(axis=0) for a in starts])


def judge(m: Measured) -> list[Figure]:
    """Errors are relative to the median envelope of the channel, halos at the ends left out."""
    exact = _textbook(np.load(m.work / "10.npy", mmap_mode="r")[:, :8].astype(np.float64))
    inside = slice(round(HALO_S * FRAME_HZ), -round(HALO_S * FRAME_HZ))
    error = (m.output("ours") - exact)[inside] / np.median(exact, axis=0)
    two = m.output("ours, 2 threads")
    return [
        Figure("times faster than the textbook chain", m.faster("ours", "textbook"), ">=", 10.0),
        Figure("2 threads over one, wall", m["ours"].wall / m["ours, 2 threads"].wall, ">=", 1.7),
        Figure("the same by two independent processes", 2 * m["ours"].wall / m["two processes"].wall),
        Figure("difference of 2 threads", float(np.abs(two - m.output("ours")).max()), "<=", 0.0),
        Figure("peak memory, 10 min [MB]", m["ours"].peak_mb, "<=", 400),
        Figure("peak memory, 60 min [MB]", m["ours, 60 min"].peak_mb, "<=", 400),
        Figure("largest error", float(np.abs(error).max()), "<=", 2e-4),
        Figure("rms error", float(np.sqrt(np.mean(error**2))), "<=", 5e-6),
    ]


CONTENDERS = (
    Contender("ours", _features(10)),
    Contender("textbook", textbook),
    Contender("ours, 2 threads", _features(10, threads=2)),
    Contender("two processes", twice),
    Contender("ours, 60 min", _features(60), once=True),
    Contender("ours, causal", _features(10, causal=True), once=True),
)
