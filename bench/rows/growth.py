"""How the cost grows with length, channels and subjects: the exponent of a power law through CPU times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run
from bench.rows.noop import lay_out, nothing_to_do
from bench.rows.signals import sound

TITLE = "growth with length, channels and subjects"
FACTORS = (1, 2, 4, 8)
SUBJECTS = (1, 10, 100)
MINUTES, CHANNELS = 5.0, 16


def prepare(work: Path) -> None:
    for n in SUBJECTS:
        jobs = lay_out(work / f"{n} subjects", n, folds=1)
        (work / f"{n} subjects" / "jobs").write_text(str(jobs))


def features(minutes: float, channels: int) -> Run:
    from pipeline.config.align import AlignConfig
    from pipeline.config.mel_grid import MelGrid
    from pipeline.signal.features.stack import Features

    block = np.random.default_rng(0).standard_normal((1 << 17, channels), np.float32)
    n = round(minutes * 60 * 1024)
    times_s = np.arange(3, int((n / 1024 - 0.03) * 100)) / 100.0

    def read(start: int, stop: int) -> np.ndarray:
        return block.take(np.arange(start, stop), axis=0, mode="wrap")

    def run() -> None:
        for _ in Features(AlignConfig(), MelGrid(), 1024.0).blocks(read, n, times_s, causal=False):
            pass

    return run


def mel(minutes: float, _: int) -> Run:
    from pipeline.config.mel import MelConfig
    from pipeline.signal.mel import log_mel

    samples = sound(60 * minutes, 22050)
    return lambda: log_mel(samples, 22050, MelConfig())


def predicted(minutes: float, channels: int) -> Run:
    import torch

    from bench.subject import architecture
    from pipeline.model.inference import predict_continuous
    from pipeline.model.network import Seq2Seq

    torch.manual_seed(0)
    frames = round(minutes * 60 * 22050 / 256)
    rows = np.random.default_rng(0).standard_normal((frames, channels), np.float32)
    model = Seq2Seq(architecture(channels))
    return lambda: predict_continuous(model, rows, 0, frames, 24)


def ridge(minutes: float, channels: int) -> Run:
    from pipeline.baselines.ridge import lag_grid, moments_of_spans, solve

    frames = round(minutes * 60 * 22050 / 256)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((frames, channels), np.float32), rng.standard_normal((frames, 80), np.float32)
    lags = lag_grid(26, 26, channels)
    return lambda: solve(moments_of_spans([x], [y], [(0, 26, frames - 26)], lags), [100.0])


WORK: dict[str, Callable[[float, int], Run]] = {
    "features": features,
    "mel": mel,
    "prediction": predicted,
    "ridge": ridge,
}
BY_LENGTH = ("features", "mel", "prediction", "ridge")
BY_CHANNELS = ("features", "prediction", "ridge")


def _sized(name: str, length: int, channels: int) -> Callable[[Path], Run]:
    return lambda work: WORK[name](MINUTES * length, CHANNELS * channels)


def _subjects(n: int) -> Callable[[Path], Run]:
    return lambda work: lambda: nothing_to_do(work / f"{n} subjects")


def _points(m: Measured) -> dict[str, tuple[tuple[int, ...], list[float]]]:
    points = {f"{w}, length": (FACTORS, [m[f"{w}, length × {f}"].cpu for f in FACTORS]) for w in BY_LENGTH}
    points |= {f"{w}, channels": (FACTORS, [m[f"{w}, channels × {f}"].cpu for f in FACTORS]) for w in BY_CHANNELS}
    return points | {"no-op, subjects": (SUBJECTS, [m[f"{n} subjects"].cpu for n in SUBJECTS])}


def series(m: Measured) -> dict[str, list[list[float]]]:
    """Sizes and CPU times of each, for the plot."""
    return {name: [list(map(float, sizes)), times] for name, (sizes, times) in _points(m).items()}


def judge(m: Measured) -> list[Figure]:
    return [
        Figure(f"{name}, exponent", float(np.polyfit(np.log(sizes), np.log(times), 1)[0]), "<=", 1.05)
        for name, (sizes, times) in _points(m).items()
    ]


CONTENDERS = (
    *(Contender(f"{w}, length × {f}", _sized(w, f, 1)) for w in BY_LENGTH for f in FACTORS),
    *(Contender(f"{w}, channels × {f}", _sized(w, 1, f)) for w in BY_CHANNELS for f in FACTORS),
    *(Contender(f"{n} subjects", _subjects(n)) for n in SUBJECTS),
)
