"""Log-mel of 10 minutes of sound, from an int16 ``.npy``, in process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run
from bench.rows.signals import npy_reader, sound

TITLE = "mel of 10 min, from an int16 `.npy`"
RATE_HZ, SECONDS = 22050, 600
FLOOR = 1e-5


def prepare(work: Path) -> None:
    np.save(work / "sound.npy", sound(SECONDS, RATE_HZ))


def ours(work: Path) -> Run:
    from pipeline.config.mel import MelConfig
    from pipeline.signal.mel import log_mel_blocks
    from pipeline.signal.mel_frames import n_frames

    def run() -> np.ndarray:
        config = MelConfig()
        read, n = npy_reader(work / "sound.npy")
        mel, filled = np.empty((n_frames(n, config), config.n_mels), np.float32), 0
        for block in log_mel_blocks(read, n, config):
            mel[filled : filled + len(block)] = block
            filled += len(block)
        return mel

    return run


def with_librosa(work: Path) -> Run:
    import librosa

    def run() -> np.ndarray:
        samples = np.load(work / "sound.npy").astype(np.float32) / 32768
        mel = librosa.feature.melspectrogram(
            y=samples, sr=RATE_HZ, n_fft=1024, hop_length=256, power=1.0, n_mels=80, fmax=8000, pad_mode="reflect"
        )
        return np.asarray(np.log(np.maximum(mel, FLOOR)).T)

    return run


def bare_fft(work: Path) -> Run:
    from scipy import fft

    def run() -> None:
        samples = np.load(work / "sound.npy").astype(np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 512, "reflect"), 1024)[::256]
        for a in range(0, len(frames), 64):
            fft.rfft(frames[a : a + 64], axis=1)

    return run


def reference(samples: np.ndarray) -> np.ndarray:
    """The mel in float64 by the definition, before the logarithm: ``(frames, 80)``."""
    from pipeline.config.mel import MelConfig
    from pipeline.signal.mel import mel_filter_bank

    padded = np.pad(samples / 32768.0, 512, "reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    bank = mel_filter_bank(MelConfig()).T
    return np.concatenate(
        [np.abs(np.fft.rfft(frames[a : a + 4096] * window)) @ bank for a in range(0, len(frames), 4096)]
    )


def judge(m: Measured) -> list[Figure]:
    """Errors are absolute; the log's where the reference lies above the floor."""
    exact, got = reference(np.load(m.work / "sound.npy")), m.output("ours").astype(np.float64)
    exact = np.maximum(exact, FLOOR)
    return [
        Figure("times faster than librosa", m.faster("ours", "librosa"), ">=", 2.2),
        Figure("peak memory [MB]", m["ours"].peak_mb, "<=", 100),
        Figure("largest linear error", float(np.abs(np.exp(got) - exact).max()), "<=", 2e-6),
        Figure("largest log error [nats]", float(np.abs(got - np.log(exact)).max()), "<=", 5e-5),
        Figure("bare FFT's share of its time", m["bare FFT"].cpu / m["ours"].cpu, ">=", 0.5),
    ]


CONTENDERS = (Contender("ours", ours), Contender("librosa", with_librosa), Contender("bare FFT", bare_fft))
