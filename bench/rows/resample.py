"""48 to 22.05 kHz, block by block, against librosa in one shot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run
from bench.rows.signals import npy_reader, sound

TITLE = "48 → 22.05 kHz, 10 min, streaming from an int16 `.npy`"
FROM_HZ, TO_HZ = 48000, 22050


def prepare(work: Path) -> None:
    np.save(work / "10.npy", sound(600, FROM_HZ))
    np.save(work / "40.npy", sound(2400, FROM_HZ))


def resampled(path: Path, step: int) -> Iterator[np.ndarray]:
    """Blocks of the file at 22.05 kHz."""
    from pipeline.signal.resample import resample_blocks

    read, n = npy_reader(path)
    blocks = (read(start, min(start + step, n)) for start in range(0, n, step))
    return resample_blocks(blocks, FROM_HZ, TO_HZ)


def _streaming(minutes: int) -> Callable[[Path], Run]:
    def start(work: Path) -> Run:
        def run() -> None:
            for _ in resampled(work / f"{minutes}.npy", 1 << 18):
                pass

        return run

    return start


def with_librosa(work: Path) -> Run:
    import librosa

    def run() -> None:
        samples = np.load(work / "10.npy").astype(np.float32) / 32768
        librosa.resample(samples, orig_sr=FROM_HZ, target_sr=TO_HZ)

    return run


def judge(m: Measured) -> list[Figure]:
    import soxr

    blocks = np.concatenate(list(resampled(m.work / "10.npy", 100_003)))
    samples = np.load(m.work / "10.npy") * np.float32(2.0**-15)
    one_shot = soxr.resample(samples, FROM_HZ, TO_HZ, quality="HQ")
    exact = soxr.resample(samples.astype(np.float64), FROM_HZ, TO_HZ, quality="VHQ")
    return [
        Figure("times faster than librosa", m.faster("ours", "librosa"), ">=", 1.0),
        Figure("memory at 40 min over 10 min", m["ours, 40 min"].peak_mb / m["ours"].peak_mb, "<=", 1.05),
        Figure("largest difference from one shot", float(np.abs(blocks - one_shot).max()), "<=", 0.0),
        Figure("rms difference from float64 at very high quality", float(np.sqrt(np.mean((blocks - exact) ** 2)))),
    ]


CONTENDERS = (
    Contender("ours", _streaming(10)),
    Contender("librosa", with_librosa),
    Contender("ours, 40 min", _streaming(40), once=True),
)
