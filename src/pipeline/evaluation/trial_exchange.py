"""Exchange of trials: predictions against the targets of other trials of the same session.

Trials are short, and all alike in that speech stands in their middle: a shift inside a trial would put the silence
of its ends onto the speech, and whoever knows no more than where a trial begins would be above chance.  So whole
trials exchange their partners, laid onto each other at *anchors*:

``start``: start and end of the trial, because both are known to whoever reads it whole;
``voice``: onset and offset of the voice too, so that its time is no part of what is tested.

Between two anchors the first half runs on from the one, the second half back from the other.  Where the prediction of
a shorter trial ends, that of another trial that reaches further goes on, drawn at random, so that all target frames
always count and no course of silence and speech is cut short.
Mean and slope of short trials are taken off a prediction when it has met its target: taken off before, they would tell
how long the voice lasts.  Before, only what they are beside the mean trial is.

r of an exchanged order is a sum of the pairs' moments (:mod:`pipeline.signal.correlation`), which for all pairs are a
few matrix products.  Trials are (frames, n_mels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import mean_of_known
from pipeline.evaluation.types import Values
from pipeline.signal.correlation import correlation

Alignment = Literal["start", "voice"]
Anchors = Sequence[Sequence[int]]
"""Of each trial the frames, rising from 0 to its length, at which trials are laid onto each other; equally many."""
Groups = Sequence[NDArray[np.intp]]
BANDS_AT_ONCE = 8
"""Bands that are laid out at once: bounds memory on many trials."""


def distinct_orders(groups: Groups) -> int:
    """How many ways there are for the trials of each group to exchange partners, the present one among them."""
    return math.prod(math.factorial(len(group)) for group in groups)


def draw_orders(groups: Groups, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(1 + count, trials) different orders, within ``groups``; row 0 exchanges nothing.

    ``count`` must be below :func:`distinct_orders`.  Each group is the numbers of trials that may change places.
    """
    trials = sum(map(len, groups))
    orders = {np.arange(trials).tobytes(): None}
    while len(orders) <= count:
        drawn = np.tile(np.arange(trials), (count, 1))
        for group in groups:
            drawn[:, group] = rng.permuted(drawn[:, group], axis=1)
        orders |= dict.fromkeys(map(bytes, drawn))
    return np.array([np.frombuffer(order, dtype=np.intp) for order in list(orders)[: 1 + count]])


def exchange_null(
    target: Sequence[Values],
    prediction: Sequence[Values],
    weight: Sequence[Values],
    lines: Sequence[Values],
    anchors: Anchors,
    groups: Groups,
    orders: NDArray[np.intp],
    seed: int,
) -> Values:
    """r of each order and band, pooled over the trials, (orders, n_mels); NaN where undefined.

    ``weight`` (frames,) of each trial stays with its target, as do ``lines`` (:func:`pair_moments`).
    """
    n_mels = target[0].shape[1]
    r = np.empty((len(orders), n_mels))
    for first in range(0, n_mels, BANDS_AT_ONCE):
        bands = slice(first, first + BANDS_AT_ONCE)
        total = np.zeros((len(orders), r[:, bands].shape[1], 6))
        for group in groups:
            y, p = ([series[i][:, bands] for i in group] for series in (target, prediction))
            w, line = ([values[i] for i in group] for values in (weight, lines))
            moments = pair_moments(y, p, w, line, [anchors[i] for i in group], np.random.default_rng(seed))
            place = np.empty(orders.shape[1], dtype=np.intp)
            place[group] = np.arange(len(group))
            for row, i in zip(moments, group, strict=True):
                total += row[place[orders[:, i]]]
        r[:, bands] = correlation(total)
    return r


def pair_moments(
    target: Sequence[Values],
    prediction: Sequence[Values],
    weight: Sequence[Values],
    lines: Sequence[Values],
    anchors: Anchors,
    rng: np.random.Generator,
) -> Values:
    """Moments of each trial's target with each trial's prediction, (target, prediction, n_mels, 6).

    What the orthonormal ``lines`` (frames, 2) of a trial explain has been taken off its target, and is taken off each
    prediction that meets it.
    """
    y, w, line = (np.nan_to_num(laid_out(own, anchors)) for own in (target, [v[:, None] for v in weight], lines))
    p = laid_out(prediction, anchors)
    p = gone_on(p - line @ (line.transpose(0, 2, 1) @ np.nan_to_num(p - mean_of_known(p, axis=0))), rng)
    found = np.empty((len(target), len(target), y.shape[2], 6))
    for column, fixed in ((0, w), (1, w * y), (3, w * y * y)):
        found[..., column] = fixed.sum(axis=1)[:, None]
    for column, fixed, moving in ((2, w, p), (4, w, p * p), (5, w * y, p)):
        found[..., column] = products(fixed, moving)
    sides = [line[..., k : k + 1] for k in range(2)]
    slopes = [products(own, p) for own in sides]
    for own, slope in zip(sides, slopes, strict=True):
        found[..., 2] -= slope * (w * own).sum(axis=1)[:, None]
        found[..., 5] -= slope * (w * y * own).sum(axis=1)[:, None]
        found[..., 4] -= 2 * slope * products(w * own, p)
        for other, its_slope in zip(sides, slopes, strict=True):
            found[..., 4] += slope * its_slope * (w * own * other).sum(axis=1)[:, None]
    return found


def products(fixed: Values, moving: Values) -> Values:
    """Sums over frames of each trial of (trials, frames, columns) with each of another, (fixed, moving, columns)."""
    return np.asarray((fixed.transpose(2, 0, 1) @ moving.transpose(2, 1, 0)).transpose(1, 2, 0))


def laid_out(trials: Sequence[Values], anchors: Anchors) -> Values:
    """(trials, frames, columns): trials share a place where they are laid onto each other; NaN where one has ended."""
    parts: list[list[Values]] = []
    for first, last in zip(range(len(anchors[0])), range(1, len(anchors[0])), strict=False):
        pairs = [
            (x[own[first] : own[last]], (own[last] - own[first] + 1) // 2)
            for x, own in zip(trials, anchors, strict=True)
        ]
        parts += [[x[:half] for x, half in pairs], [x[half:][::-1] for x, half in pairs]]
    return np.concatenate([padded(part) for part in parts], axis=1)


def padded(series: Sequence[Values]) -> Values:
    """Series of unequal length, NaN behind their ends, (series, longest, columns)."""
    out = np.full((len(series), max(map(len, series)), series[0].shape[1]), np.nan)
    for row, own in zip(out, series, strict=True):
        row[: len(own)] = own
    return out


def gone_on(trials: Values, rng: np.random.Generator) -> Values:
    """(trials, frames, columns) without NaN: each goes on as others, drawn at random, that reach further."""
    known = np.isfinite(trials[..., 0])
    found = trials.copy()
    for row, own in zip(found, known, strict=True):
        missing = ~own
        while missing.any():
            there = np.flatnonzero(known[:, np.argmax(missing)])
            other = rng.choice(there)
            taken = missing & known[other]
            row[taken] = trials[other, taken]
            missing &= ~taken
    return found
