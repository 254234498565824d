"""Sound from 10 s of mel: the project's Griffin-Lim against librosa's inversion of the mel and Griffin-Lim."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run
from bench.rows.signals import sound

TITLE = "mel → sound, 10 s, 32 iterations"
RATE_HZ = 22050


def prepare(work: Path) -> None:
    np.save(work / "mel.npy", _mel(sound(10, RATE_HZ)))


def _mel(samples: np.ndarray) -> np.ndarray:
    from pipeline.config.mel import MelConfig
    from pipeline.signal.mel import log_mel

    return log_mel(samples, RATE_HZ, MelConfig())


def ours(work: Path) -> Run:
    from pipeline.config.mel import MelConfig
    from pipeline.config.vocode import VocodeConfig
    from pipeline.signal.mel import mel_filter_bank
    from pipeline.vocoder.griffin_lim import GriffinLim

    mel, config = np.load(work / "mel.npy"), MelConfig()
    return lambda: GriffinLim(mel_filter_bank(config), config, VocodeConfig())(mel)


def with_librosa(work: Path) -> Run:
    import librosa

    mel = np.exp(np.load(work / "mel.npy")).T
    return lambda: librosa.feature.inverse.mel_to_audio(
        mel, sr=RATE_HZ, n_fft=1024, hop_length=256, power=1.0, n_iter=32, fmax=8000
    )


def judge(m: Measured) -> list[Figure]:
    """How far the mel of the sound lies from the mel that it was made from [nats], both ways."""
    mel = np.load(m.work / "mel.npy")
    figures = [Figure("times faster than librosa", m.faster("ours", "librosa"), ">=", 1.0)]
    for name in ("ours", "librosa"):
        again = _mel(m.output(name).astype(np.float32))
        n = min(len(mel), len(again))
        figures.append(Figure(f"mean distance of the mel, {name} [nats]", float(np.abs(mel[:n] - again[:n]).mean())))
    return figures


CONTENDERS = (Contender("ours", ours), Contender("librosa", with_librosa))
