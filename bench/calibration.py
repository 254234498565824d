"""How often chance and intervals err where the truth is known: draws without a link, and draws of known r.

    python -m bench.calibration --draws 2000

Without a link, p must fall below .05 and to .01 or below about as often as that; where r is known, 95 % intervals must
hold it.  Prints the two tables of docs/statistics.md; ``--rows`` takes those whose name contains one of the words.
Some minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import lfilter

from pipeline.evaluation.chance import NullBlock, NullFold, p_value, subject_null
from pipeline.evaluation.intervals import LEAST_PIECES, interval, piece_frames, pseudo_values, replicates
from pipeline.evaluation.metrics import piece_starts
from pipeline.evaluation.trial_exchange import Alignment
from pipeline.evaluation.types import Values
from pipeline.signal.correlation import correlation, stretch_moments

RATE_HZ = 22050 / 1024
"""A quarter of the default frame rate: noise of 0.3 s needs no more, and times are in seconds."""
BANDS = 2
SHIFTS = 300
MIN_SHIFT_S = 0.5
Drift = Literal["none", "trend", "walk", "settling", "states"]


def noise(rng: np.random.Generator, frames: int, tau_s: float, bands: int = BANDS) -> Values:
    """Noise of unit variance whose autocorrelation is exp(-t / tau); half of each band's variance is common."""
    memory = float(np.exp(-1 / (tau_s * RATE_HZ)))
    start = rng.standard_normal((1, bands + 1))
    steps = np.sqrt(1 - memory**2) * rng.standard_normal((frames, bands + 1))
    found, _ = lfilter([1], [1, -memory], steps, axis=0, zi=memory * start)
    return np.asarray((found[:, :1] + found[:, 1:]) / np.sqrt(2))


def drift(rng: np.random.Generator, frames: int, kind: Drift) -> Values:
    """What is slow and unrelated, in standard deviations of the noise, (frames, bands)."""
    time_s = np.arange(frames) / RATE_HZ
    course: Values = np.zeros(frames)
    if kind == "trend":
        course += np.linspace(-2, 2, frames)
    elif kind == "walk":
        walk = np.cumsum(rng.standard_normal(frames))
        course += 2 * (walk - walk.mean()) / walk.std()
    elif kind == "settling":
        course += 3 * np.exp(-time_s / 3)
    elif kind == "states":
        course += 3.0 * (np.cumsum(rng.random(frames) < 1 / (20 * RATE_HZ)) % 2)
    return course[:, None] * (0.5 + np.abs(rng.standard_normal(BANDS)))


# -- chance ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regime:
    """Test sound without a link: blocks or trials of ``seconds``, one ``every_s`` of a session.

    ``ends``: trials of 2 to 6 s, silent for the first and last half second, which target and prediction both know.
    ``voice``: trials whose voice sets in after 0.5 to 1.5 s and ends 0.5 s before the trial, which both know; aligned
    there.
    ``fading``: both have a course in each trial, and that of each side shrinks over the trials, at a rate of its own.
    """

    name: str
    seconds: float
    blocks: int = 1
    every_s: float = 0.0
    tau_s: float = 0.3
    kind: Drift = "none"
    folds: int = 1
    ends: bool = False
    voice: bool = False
    fading: bool = False

    def draw(self, rng: np.random.Generator) -> tuple[list[NullFold], Alignment]:
        """Targets and predictions that have nothing to do with each other but what the regime says."""
        spacing = int((self.every_s or self.seconds) * RATE_HZ)
        frames = spacing * self.blocks * self.folds
        sides = [noise(rng, frames, self.tau_s) + drift(rng, frames, self.kind) for _ in "yp"]
        if self.fading:
            trial, within = np.divmod(np.arange(frames), spacing)
            course = 3 * np.sin(np.pi * np.minimum(within / (self.seconds * RATE_HZ), 1)) ** 4
            for side in sides:
                side += (course * np.exp(-rng.uniform(1, 4) * trial / trial.max()))[:, None]
        blocks = [self.block(rng, sides, i, i * spacing) for i in range(self.blocks * self.folds)]
        cut = [blocks[k * self.blocks : (k + 1) * self.blocks] for k in range(self.folds)]
        return [NullFold(own, np.ones(BANDS, bool), RATE_HZ) for own in cut], "voice" if self.voice else "start"

    def block(self, rng: np.random.Generator, sides: Sequence[Values], number: int, start: int) -> NullBlock:
        """One block or trial; those below 12 s are recordings of their own."""
        seconds = rng.uniform(2, 6) if self.ends else self.seconds
        frames = int(seconds * RATE_HZ)
        onset = int(rng.uniform(0.5, 1.5) * RATE_HZ) if self.voice else int(0.5 * RATE_HZ)
        voiced = np.zeros((frames, 1))
        if self.ends or self.voice:
            voiced[onset : frames - int(0.5 * RATE_HZ)] = 3.0
        y, p = (side[start : start + frames] + voiced for side in sides)
        name = f"trial{number}" if self.seconds < 12 else "run"
        return NullBlock(y, p, name, "session", onset=onset, offset=frames - int(0.5 * RATE_HZ))


REGIMES = (
    Regime("36 s, τ 0.3 s", 36),
    Regime("36 s, τ 4 s", 36, tau_s=4),
    Regime("36 s, trend", 36, kind="trend"),
    Regime("36 s, random walk", 36, kind="walk"),
    Regime("36 s, settling over 8 s", 36, kind="settling"),
    Regime("180 s, states of 20 s", 180, kind="states"),
    Regime("five blocks of 12 s", 12, 5, 15),
    Regime("five folds of 36 s", 36, folds=5),
    Regime("five folds of 36 s, trend", 36, folds=5, kind="trend"),
    Regime("five folds of 36 s, random walk", 36, folds=5, kind="walk"),
    Regime("ten trials of 2.5 s", 2.5, 10, 6),
    Regime("50 trials of 4 s", 4, 50, 6),
    Regime("50 trials of 4 s, trend", 4, 50, 6, kind="trend"),
    Regime("50 trials of 4 s, random walk", 4, 50, 6, kind="walk"),
    Regime("50 trials of 4 s, settling over 8 s", 4, 50, 6, kind="settling"),
    Regime("50 trials of 4 s, states of 20 s", 4, 50, 6, kind="states"),
    Regime("50 trials of 4 s, the course of each side fades", 4, 50, 6, fading=True),
    Regime("50 trials of 4 s without a gap, random walk", 4, 50, kind="walk"),
    Regime("50 trials of 4 s in five folds, random walk", 4, 10, 6, kind="walk", folds=5),
    Regime("50 trials of 2 to 6 s, silent ends known", 6, 50, 6, ends=True),
    Regime("50 trials of 4 s, the voice's onset and offset known", 4, 50, 6, voice=True),
)


def chance_draw(regime: Regime, seed: int) -> tuple[float, int, str]:
    """p, independent shifts or exchanges, and the method."""
    rng = np.random.default_rng([seed, 1])
    folds, alignment = regime.draw(rng)
    null = subject_null(folds, SHIFTS, MIN_SHIFT_S, rng, alignment)
    return p_value(null.values), null.independent, null.method


def chance_row(regime: Regime, draws: int) -> list[str]:
    """Method, independent shifts or exchanges, and how often p is below .05 and at most .01."""
    found = [chance_draw(regime, seed) for seed in range(draws)]
    p, independent = np.array([own[0] for own in found]), np.median([own[1] for own in found])
    shares = [np.mean(p < 0.05), np.mean(p <= 0.01), p.mean()]
    return [regime.name, found[0][2], f"{independent:.0f}", str(draws), *(f"{share:.3f}" for share in shares)]


# -- intervals ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quality:
    """Test sound of known r: the gain of the prediction is constant, or moves with a time constant of ``tau_s``."""

    name: str
    seconds: float
    folds: int = 1
    spread: float = 0.0
    tau_s: float = 15.0

    @property
    def true_r(self) -> float:
        """r of endless test sound: gain 0.7 on average, noise of variance 0.5."""
        return 0.7 / np.sqrt(0.7**2 + self.spread**2 + 0.5)

    def draw(self, rng: np.random.Generator) -> tuple[bool | None, float]:
        """Whether the 95 % interval holds the true r, and its width; ``None`` where there is no interval."""
        frames = int(self.seconds * RATE_HZ)
        size = piece_frames([[frames]] * self.folds, RATE_HZ, 2.0)
        parts = []
        for _ in range(self.folds):
            y = noise(rng, frames, 0.3)
            gain = 0.7 + self.spread * noise(rng, frames, self.tau_s, 1)
            p = gain * y + np.sqrt(0.5) * noise(rng, frames, 0.3)
            moments = stretch_moments(y, p, np.ones(frames), piece_starts([frames], size))
            parts.append((float(mean_r(moments.sum(axis=0))), pseudo_values(moments, mean_r)))
        score = float(np.mean([r for r, _ in parts]))
        values = np.concatenate([r + own - own.mean() for r, own in parts])
        if len(values) < LEAST_PIECES:
            return None, np.nan
        low, high = interval(replicates(values, score, 1000, rng)) or (np.nan, np.nan)
        return bool(low <= self.true_r <= high), high - low


def mean_r(moments: Values) -> Values:
    """r of moments (…, bands, 6), mean over bands."""
    return np.asarray(correlation(moments).mean(axis=-1))


QUALITIES = tuple(
    Quality(f"{length}, {'constant' if not spread else 'drifts over 15 s'}", seconds, folds, spread)
    for spread in (0.0, 0.6)
    for length, seconds, folds in (
        ("10 s", 10, 1), ("24 s", 24, 1), ("36 s", 36, 1), ("60 s", 60, 1), ("120 s", 120, 1),
        ("five folds of 36 s", 36, 5), ("600 s", 600, 1),
    )
)  # fmt: skip


def coverage_row(quality: Quality, draws: int) -> list[str]:
    """Share of draws with an interval, share of those that hold the true r, and median width."""
    found = [quality.draw(np.random.default_rng([seed, 2])) for seed in range(draws)]
    given = [(held, width) for held, width in found if held is not None]
    row = [quality.name, str(draws), f"{len(given) / draws:.3f}"]
    if not given:
        return [*row, "–", "–"]
    return [*row, f"{np.mean([held for held, _ in given]):.3f}", f"{np.median([width for _, width in given]):.2f}"]


# -- tables ---------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Callable[[], list[str]]]) -> None:
    """Print a Markdown table, each row when it is known."""
    print("| " + " | ".join(head) + " |", "|" + "---|" * len(head), sep="\n", flush=True)
    for row in rows:
        print("| " + " | ".join(row()) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="chance and intervals where the truth is known")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--rows", nargs="*", default=[""], help="words, one of which the names of the rows contain")
    options = parser.parse_args()
    regimes = [r for r in REGIMES if any(word in r.name for word in options.rows)]
    qualities = [q for q in QUALITIES if any(word in q.name for word in options.rows)]
    if regimes:
        head = ("without a link", "test", "independent", "draws", "P(p < .05)", "P(p ≤ .01)", "mean p")
        table(head, [lambda r=r: chance_row(r, options.draws) for r in regimes])  # type: ignore[misc]
    if qualities:
        columns = ("test sound, quality", "draws", "with an interval", "holding the true r", "width")
        table(columns, [lambda q=q: coverage_row(q, options.draws) for q in qualities])  # type: ignore[misc]


if __name__ == "__main__":
    main()
