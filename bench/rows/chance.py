"""Chance level of 1000 circular shifts, 80 bands, 10 minutes: one FFT against a loop of ``np.corrcoef``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run

TITLE = "chance level, 1000 circular shifts × 80 bands × 10 min"
FRAMES, BANDS, SHIFTS = 51680, 80, 1000
#: The loop does a twentieth of the shifts and its time counts twenty times.
SHARE = 20


def prepare(work: Path) -> None:
    rng = np.random.default_rng(0)
    target = rng.standard_normal((FRAMES, BANDS))
    np.save(work / "target.npy", target)
    np.save(work / "predicted.npy", 0.5 * target + rng.standard_normal((FRAMES, BANDS)))
    np.save(work / "shifts.npy", rng.integers(100, FRAMES - 100, SHIFTS))


def _arrays(work: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    target, predicted, shifts = (np.load(work / f"{name}.npy") for name in ("target", "predicted", "shifts"))
    return target, predicted, shifts


def ours(work: Path) -> Run:
    from pipeline.evaluation.shifts import circular_shift_null

    target, predicted, shifts = _arrays(work)
    weights = [[np.ones(FRAMES)]]
    return lambda: circular_shift_null([target], [[predicted]], weights, shifts[:, None])[0, 0]


def loop(work: Path) -> Run:
    target, predicted, shifts = _arrays(work)

    def run() -> np.ndarray:
        r = np.empty((SHIFTS // SHARE, BANDS))
        for k, shift in enumerate(shifts[: len(r)]):
            shifted = np.roll(predicted, shift, axis=0)
            for band in range(BANDS):
                r[k, band] = np.corrcoef(target[:, band], shifted[:, band])[0, 1]
        return r

    return run


def judge(m: Measured) -> list[Figure]:
    theirs = m.output("np.corrcoef, a twentieth")
    error = np.abs(m.output("ours")[: len(theirs)] - theirs).max()
    return [
        Figure("times faster than the loop", SHARE * m.faster("ours", "np.corrcoef, a twentieth"), ">=", 100.0),
        Figure("largest difference of r", float(error), "<=", 1e-12),
    ]


CONTENDERS = (Contender("ours", ours), Contender("np.corrcoef, a twentieth", loop))
