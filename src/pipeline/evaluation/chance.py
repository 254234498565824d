"""Chance level of one subject: r without slow drift, against predictions that meet other sound.

The folds of a subject are one test.  Slow drift comes off targets and predictions first
(:mod:`pipeline.evaluation.drift`).  Then either predictions are shifted within their test blocks
(:mod:`pipeline.evaluation.shifts`), or, where a test set has ten trials or more or its blocks are short, whole trials
exchange their partners within the session (:mod:`pipeline.evaluation.exchange`).  The p is no smaller than the number
of independent shifts or exchanges allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipeline.evaluation import exchange, shifts
from pipeline.evaluation.drift import SHORT_S, joined_without_drift
from pipeline.evaluation.exchange import Alignment
from pipeline.evaluation.metrics import mean_over_bands
from pipeline.evaluation.types import Mask, Values

ALPHA = 0.01
"""At which the level of a claim is decided."""
LEAST = 99
"""Independent shifts or exchanges that a p of :data:`ALPHA` needs."""
MOST_TRIALS_TO_SHIFT = 9
SHORTEST_TO_SHIFT_S = 12.0
FEWEST_TRIALS = 5
"""Trials of one session that can exchange partners in 100 ways or more."""
LONGEST_GAP_S = 1.0
ROUND_OFF = 1e-6


@dataclass(frozen=True)
class NullBlock:
    """A test block or trial: target and prediction (frames, n_mels) float64, both less the target's mean spectrum.

    ``start_s`` is where it starts on the session's clock, where that is known; ``weight`` (frames,) says which
    target frames count (default: all); ``onset`` is the frame in which the voice sets in.
    """

    target: Values
    prediction: Values
    recording: str
    session: str
    start_s: float | None = None
    weight: Values | None = None
    onset: int | None = None


@dataclass(frozen=True)
class NullFold:
    """The test blocks of one fold, and which of its bands are active (n_mels,)."""

    blocks: Sequence[NullBlock]
    active: Mask
    frame_rate_hz: float


@dataclass(frozen=True)
class Null:
    """Mean r over active bands without slow drift, (1 + R,): the observed one, then one per shift or exchange.

    ``independent`` counts the shifts or exchanges that are independent of each other; R is no larger.  Where they
    are too few for a p of :data:`ALPHA`, ``p_value`` is ``None``, ``reason`` says why and ``minutes_needed`` how much
    test sound would do.  ``bands`` (1 + R, n_mels) is r of each band, NaN where none.
    """

    values: Values
    independent: int
    method: Literal["shift", "exchange"]
    p_value: float | None
    reason: str | None
    minutes_needed: float | None
    bands: Values


def p_value(values: Values) -> float:
    """(1 + #{null ≥ observed}) / (R + 1) with the observed value first; never 0.

    Values that differ by round-off alone count as equal.
    """
    return float(np.count_nonzero(values >= values[0] - ROUND_OFF) / values.size)


def subject_null(
    folds: Sequence[NullFold],
    count: int,
    min_shift_s: float,
    rng: np.random.Generator,
    alignment: Alignment = "start",
) -> Null:
    """The null of one prediction of one subject, its folds pooled.

    At most ``count`` shifts or exchanges are drawn.  No shift is below ``min_shift_s``.  ``alignment`` says from where
    exchanged trials are laid onto each other; for ``voice``, trials without an ``onset`` are left out.  Predictions
    of equal shape get the same draws from generators in equal states.
    """
    rate_hz, active = folds[0].frame_rate_hz, np.all([fold.active for fold in folds], axis=0)
    trials = free_of_drift(folds)
    if exchanges(trials, rate_hz):
        return exchange_test(trials, active, rate_hz, count, rng, alignment)
    return shift_test(trials, active, rate_hz, count, min_shift_s, rng)


Trials = Sequence[tuple[int, NullBlock]]
"""Blocks with the number of their fold."""


def exchanges(trials: Trials, rate_hz: float) -> bool:
    """Whether trials exchange partners: ten recordings or more, or most of the test sound in blocks below 12 s."""
    long = sum(len(b.target) for _, b in trials if len(b.target) >= SHORTEST_TO_SHIFT_S * rate_hz)
    short = sum(len(b.target) for _, b in trials) - long
    return len({b.recording for _, b in trials}) > MOST_TRIALS_TO_SHIFT or short > long


def free_of_drift(folds: Sequence[NullFold]) -> Trials:
    """All blocks, slow drift taken off each stretch of :func:`stretches`."""
    rate_hz, found = folds[0].frame_rate_hz, []
    numbered = [(number, block) for number, fold in enumerate(folds) for block in fold.blocks]
    for stretch in stretches(numbered, rate_hz):
        sides = [joined_without_drift([getattr(b, side) for _, b in stretch], rate_hz) for side in SIDES]
        found += [(k, replace(b, target=y, prediction=p)) for (k, b), y, p in zip(stretch, *sides, strict=True)]
    return found


def stretches(trials: Trials, rate_hz: float) -> list[list[tuple[int, NullBlock]]]:
    """Short trials that follow each other in their session belong together; every other block is one of its own.

    Across a longer gap a running mean would turn the step between two trials into a slope at the ends of both.
    """

    def follows(before: NullBlock, block: NullBlock) -> bool:
        if before.session != block.session or before.start_s is None or block.start_s is None:
            return False
        gap_s = block.start_s - before.start_s - len(before.target) / rate_hz
        return abs(gap_s) <= LONGEST_GAP_S and max(len(before.target), len(block.target)) < SHORT_S * rate_hz

    found: list[list[tuple[int, NullBlock]]] = []
    for number, block in sorted(trials, key=lambda t: (t[1].session, t[1].start_s is None, t[1].start_s or 0.0)):
        if found and follows(found[-1][-1][1], block):
            found[-1].append((number, block))
        else:
            found.append([(number, block)])
    return found


SIDES = ("target", "prediction")


def weight_of(block: NullBlock) -> Values:
    """Which target frames count, (frames,)."""
    return np.ones(len(block.target)) if block.weight is None else block.weight


def shift_test(
    trials: Trials, active: Mask, rate_hz: float, count: int, min_shift_s: float, rng: np.random.Generator
) -> Null:
    """Circular shifts within the blocks of 12 s or more."""
    blocks = [b for _, b in trials if len(b.target) >= SHORTEST_TO_SHIFT_S * rate_hz]
    target, prediction = ([getattr(b, side) for b in blocks] for side in SIDES)
    frames = sum(map(len, target))
    step = max(shifts.autocorrelation_frames(side, active) for side in (target, prediction))
    independent = frames // step
    minutes_needed = LEAST * step / rate_hz / 60
    reason = None
    if independent < LEAST:
        reason = f"{independent} independent shifts (one in {step / rate_hz:.2f} s of test sound), {LEAST} needed"
    least = int(np.ceil(min_shift_s * rate_hz))
    drawn = shifts.draw_shifts([len(y) for y in target], least, min(count, independent), rng)
    r = shifts.circular_shift_null(target, [prediction], [[weight_of(b) for b in blocks]], drawn)[0, 0]
    return null_of(r, active, independent, "shift", reason, minutes_needed)


def exchange_test(
    trials: Trials, active: Mask, rate_hz: float, count: int, rng: np.random.Generator, alignment: Alignment
) -> Null:
    """Trials exchange partners within session and fold; across folds where too few lie in each."""
    if alignment == "voice":
        trials = [(k, b) for k, b in trials if b.onset is not None]
    if not trials:
        return no_null("no trial with an onset of the voice", "exchange", len(active))
    groups = grouped([(k, b.session) for k, b in trials])
    if exchange.distinct_orders(groups) <= LEAST:
        groups = grouped([b.session for _, b in trials])
    distinct, reason = exchange.distinct_orders(groups), None
    if distinct <= LEAST:
        reason = f"{distinct} ways to exchange {len(trials)} trials within their sessions, {LEAST + 1} needed"
    orders = exchange.draw_orders(groups, min(count, distinct - 1), rng)
    onsets = [b.onset for _, b in trials if b.onset is not None] if alignment == "voice" else None
    target, prediction = ([getattr(b, side) for _, b in trials] for side in SIDES)
    r = exchange.exchange_null(target, prediction, [weight_of(b) for _, b in trials], onsets, groups, orders)
    minutes_needed = FEWEST_TRIALS * float(np.mean([len(y) for y in target])) / rate_hz / 60
    return null_of(r, active, min(distinct - 1, count), "exchange", reason, minutes_needed)


def grouped(keys: Sequence[object]) -> list[np.ndarray]:
    """Places of equal keys, in the order in which keys appear."""
    return [np.array([i for i, own in enumerate(keys) if own == key]) for key in dict.fromkeys(keys)]


def null_of(
    r: Values,
    active: Mask,
    independent: int,
    method: Literal["shift", "exchange"],
    reason: str | None,
    minutes_needed: float,
) -> Null:
    """The null from r of each draw and band, (1 + R, n_mels)."""
    values = mean_over_bands(r, active)
    bands = np.where(active, r, np.nan)
    if not np.isfinite(values).all():
        return replace(no_null("r is undefined: target or prediction is constant", method, len(active)), bands=bands)
    if reason:
        return Null(values, independent, method, None, reason, minutes_needed, bands)
    return Null(values, independent, method, p_value(values), None, None, bands)


def no_null(reason: str, method: Literal["shift", "exchange"], n_mels: int) -> Null:
    """A null without any r."""
    return Null(np.array([np.nan]), 0, method, None, reason, None, np.full((1, n_mels), np.nan))
