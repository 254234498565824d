"""Chance level of one subject: r without slow drift, against predictions that meet other sound.

The folds of a subject are one test.  Slow drift comes off targets and predictions first
(:mod:`pipeline.evaluation.drift`).  Then either predictions are shifted within their test blocks
(:mod:`pipeline.evaluation.shifts`), or, where a test set has ten trials or more or its blocks are short, whole trials
exchange their partners among neighbours of a session (:mod:`pipeline.evaluation.trial_exchange`).  The p is no smaller
than the number of independent shifts or exchanges allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipeline.evaluation import shifts, trial_exchange
from pipeline.evaluation.drift import lines_of, without_drift
from pipeline.evaluation.metrics import mean_over_bands
from pipeline.evaluation.trial_exchange import Alignment
from pipeline.evaluation.types import Mask, Values

ALPHA = 0.01
"""At which the level of a claim is decided."""
LEAST = 99
"""Independent shifts or exchanges that a p of :data:`ALPHA` needs."""
MOST_TRIALS_TO_SHIFT = 9
SHORTEST_TO_SHIFT_S = 12.0
BETTER_EXCHANGED_S = 24.0
"""Shifts within five blocks of 12 s give P(p < .05) of .076, exchanges of them .05 (docs/statistics.md)."""
FEWEST_TRIALS = 5
"""Trials of one session that can exchange partners in 100 ways or more.

About as many neighbours exchange partners: voice and response that both fade over a session are alike at any distance
else (docs/statistics.md).
"""
ROUND_OFF = 1e-6


@dataclass(frozen=True)
class NullBlock:
    """A test block or trial: target and prediction (frames, n_mels) float64, both less the target's mean spectrum.

    ``onset`` is the frame in which the voice sets in, ``offset`` the first after it has ended.  ``place`` orders the
    blocks of a session by time, over all folds.
    """

    target: Values
    prediction: Values
    recording: str
    session: str
    onset: int | None = None
    offset: int | None = None
    place: tuple[int, int] = (0, 0)


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
    """The null of one prediction of one subject, its folds pooled, over all frames."""
    every = [np.ones(len(block.target)) for fold in folds for block in fold.blocks]
    return subject_nulls(folds, [every], count, min_shift_s, rng, alignment)[0]


def subject_nulls(
    folds: Sequence[NullFold],
    weights: Sequence[Weights],
    count: int,
    min_shift_s: float,
    rng: np.random.Generator,
    alignment: Alignment = "start",
) -> list[Null]:
    """The null of one prediction of one subject, its folds pooled, for each of ``weights``, under the same draws.

    At most ``count`` shifts or exchanges are drawn.  No shift is below ``min_shift_s``.  ``alignment`` says at what
    exchanged trials are laid onto each other (:mod:`pipeline.evaluation.trial_exchange`); for ``voice``, trials without
    an ``onset`` are left out.  Predictions of equal shape get the same draws from generators in equal states.
    """
    rate_hz, active = folds[0].frame_rate_hz, np.all([fold.active for fold in folds], axis=0)
    trials = [(number, block) for number, fold in enumerate(folds) for block in fold.blocks]
    if exchanges(trials, rate_hz):
        return exchange_test(trials, weights, active, rate_hz, count, rng, alignment)
    return shift_test(trials, weights, active, rate_hz, count, min_shift_s, rng)


Weights = Sequence[Values]
"""Of each block, which target frames count, (frames,)."""
Trials = Sequence[tuple[int, NullBlock]]
"""Blocks with the number of their fold."""


def exchanges(trials: Trials, rate_hz: float) -> bool:
    """Whether trials exchange partners: most of the test sound lies in blocks below 12 s.

    Or below 24 s, or in ten recordings or more, where there are ways enough to exchange.
    """
    lengths_s = np.array([(len(b.target) + 1) / rate_hz for _, b in trials])
    if lengths_s[lengths_s < SHORTEST_TO_SHIFT_S].sum() > lengths_s.sum() / 2:
        return True
    many = len({b.recording for _, b in trials}) > MOST_TRIALS_TO_SHIFT
    short = lengths_s[lengths_s < BETTER_EXCHANGED_S].sum() > lengths_s.sum() / 2
    return bool((many or short) and trial_exchange.distinct_orders(groups_of(trials)) > LEAST)


def groups_of(trials: Trials) -> trial_exchange.Groups:
    """Trials that may exchange partners: neighbours of one session and fold.

    Of one session where that leaves too few ways: its folds may have been dealt at random, so they are put in order.
    """
    groups = neighbours([(k, b.session) for k, b in trials])
    if trial_exchange.distinct_orders(groups) > LEAST:
        return groups
    order = np.array(sorted(range(len(trials)), key=lambda i: trials[i][1].place), dtype=np.intp)
    return [order[own] for own in neighbours([trials[i][1].session for i in order])]


def can_shift(block: NullBlock, rate_hz: float) -> bool:
    """Whether a block is long enough for shifts: 12 s, to the frame."""
    return len(block.target) + 1 > SHORTEST_TO_SHIFT_S * rate_hz


SIDES = ("target", "prediction")


def shift_test(
    trials: Trials, weights: Sequence[Weights], active: Mask, rate_hz: float, count: int, min_shift_s: float,
    rng: np.random.Generator,
) -> list[Null]:  # fmt: skip
    """Circular shifts within the blocks of 12 s or more."""
    least = int(np.ceil(min_shift_s * rate_hz))
    chosen = [i for i, (_, b) in enumerate(trials) if can_shift(b, rate_hz) and len(b.target) >= 2 * least]
    if not chosen:
        none = no_null(f"no test block is as long as two shifts of {min_shift_s:g} s", "shift", len(active))
        return [none] * len(weights)
    target, prediction = ([without_drift(getattr(trials[i][1], side), rate_hz) for i in chosen] for side in SIDES)
    frames = sum(map(len, target))
    step = max(shifts.autocorrelation_frames(side, active) for side in (target, prediction))
    independent = frames // step
    minutes_needed = LEAST * step / rate_hz / 60
    reason = None
    if independent < LEAST:
        reason = f"{independent} independent shifts (one in {step / rate_hz:.2f} s of test sound), {LEAST} needed"
    drawn = shifts.draw_shifts([len(y) for y in target], least, min(count, independent), rng)
    found = shifts.circular_shift_null(target, [prediction], [[own[i] for i in chosen] for own in weights], drawn)[0]
    return [null_of(r, active, independent, "shift", reason, minutes_needed) for r in found]


def exchange_test(
    trials: Trials, weights: Sequence[Weights], active: Mask, rate_hz: float, count: int, rng: np.random.Generator,
    alignment: Alignment,
) -> list[Null]:  # fmt: skip
    """Trials exchange partners."""
    chosen = [i for i, (_, b) in enumerate(trials) if alignment != "voice" or b.onset is not None]
    trials, weights = [trials[i] for i in chosen], [[own[i] for i in chosen] for own in weights]
    if not trials:
        return [no_null("no trial with an onset of the voice", "exchange", len(active))] * len(weights)
    groups = groups_of(trials)
    distinct, reason = trial_exchange.distinct_orders(groups), None
    if distinct <= LEAST:
        reason = f"{distinct} ways to exchange {len(trials)} trials within their sessions, {LEAST + 1} needed"
    orders = trial_exchange.draw_orders(groups, min(count, distinct - 1), rng)
    anchors, seed = [anchors_of(b, alignment) for _, b in trials], int(rng.integers(2**32))
    target = [without_drift(b.target, rate_hz) for _, b in trials]
    lines = [lines_of(len(y), rate_hz) for y in target]
    prediction = [
        b.prediction if own.any() else without_drift(b.prediction, rate_hz)
        for (_, b), own in zip(trials, lines, strict=True)
    ]
    minutes_needed = FEWEST_TRIALS * float(np.mean([len(y) for y in target])) / rate_hz / 60
    found = []
    for own in weights:
        r = trial_exchange.exchange_null(target, prediction, own, lines, anchors, groups, orders, seed)
        found.append(null_of(r, active, min(distinct - 1, count), "exchange", reason, minutes_needed))
    return found


def anchors_of(block: NullBlock, alignment: Alignment) -> tuple[int, ...]:
    """The frames at which a trial is laid onto others: its ends, and those of its voice."""
    frames = len(block.target)
    if alignment == "start" or block.onset is None:
        return (0, frames)
    return (0, block.onset, frames if block.offset is None else block.offset, frames)


def grouped(keys: Sequence[object]) -> list[np.ndarray]:
    """Places of equal keys, in the order in which keys appear."""
    return [np.array([i for i, own in enumerate(keys) if own == key]) for key in dict.fromkeys(keys)]


def neighbours(keys: Sequence[object], together: int = FEWEST_TRIALS) -> list[np.ndarray]:
    """Places of equal keys, in groups of about ``together`` that follow one another in the order of ``keys``."""
    return [part for own in grouped(keys) for part in np.array_split(own, max(1, round(len(own) / together)))]


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
