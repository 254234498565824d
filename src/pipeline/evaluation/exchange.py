"""Exchange of trials: predictions against the targets of other trials of the same session.

Trials are short, and all alike in that speech stands in their middle: a shift inside a trial would put the silence
of its ends onto the speech, and whoever knows no more than where a trial begins would be above chance.  So whole
trials exchange their partners.  Pairs are laid onto each other from an *anchor* on, either way, as far as both reach:

``start``: the first halves from the trials' starts on, the second halves from their ends back, because the end of a
trial is known to whoever reads it whole;
``voice``: from the onset of the voice on and back, so that its time is no part of what is tested.

r of an exchanged order is a sum of the pairs' moments (:mod:`pipeline.signal.correlation`), which for all pairs are a
few matrix products.  Trials are (frames, n_mels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.types import Values
from pipeline.signal.correlation import correlation

Alignment = Literal["start", "voice"]
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
    onsets: Sequence[int] | None,
    groups: Groups,
    orders: NDArray[np.intp],
) -> Values:
    """r of each order and band, pooled over the trials, (orders, n_mels); NaN where undefined.

    ``weight`` (frames,) of each trial stays with its target; ``onsets`` are the frames that pairs are laid onto each
    other from; ``None``: from start and end.
    """
    n_mels = target[0].shape[1]
    r = np.empty((len(orders), n_mels))
    for first in range(0, n_mels, BANDS_AT_ONCE):
        bands = slice(first, first + BANDS_AT_ONCE)
        total = np.zeros((len(orders), r[:, bands].shape[1], 6))
        for group in groups:
            y, p = ([series[i][:, bands] for i in group] for series in (target, prediction))
            cuts = None if onsets is None else [onsets[i] for i in group]
            moments = pair_moments(y, p, [weight[i] for i in group], cuts)
            place = np.empty(orders.shape[1], dtype=np.intp)
            place[group] = np.arange(len(group))
            for row, i in zip(moments, group, strict=True):
                total += row[place[orders[:, i]]]
        r[:, bands] = correlation(total)
    return r


def pair_moments(
    target: Sequence[Values], prediction: Sequence[Values], weight: Sequence[Values], onsets: Sequence[int] | None
) -> Values:
    """Moments of each trial's target with each trial's prediction, (target, prediction, n_mels, 6)."""
    there = laid_out([np.ones((len(y), 1)) for y in target], onsets)
    y, p = laid_out(target, onsets), laid_out(prediction, onsets)
    w = laid_out([own[:, None] for own in weight], onsets)
    found = np.empty((len(target), len(target), y.shape[2], 6))
    pairs = ((w, there), (w * y, there), (w, p), (w * y * y, there), (w, p * p), (w * y, p))
    for column, (fixed, moving) in enumerate(pairs):
        product = fixed.transpose(2, 0, 1) @ moving.transpose(2, 1, 0)
        found[..., column] = product.transpose(1, 2, 0)
    return found


def laid_out(trials: Sequence[Values], onsets: Sequence[int] | None) -> Values:
    """(trials, frames, columns), so that trials share a place where they are laid onto each other, else 0.

    One half runs on from the anchor, the other back: see the head of this module.
    """
    if onsets is None:
        halves = [(x[: (len(x) + 1) // 2], x[(len(x) + 1) // 2 :][::-1]) for x in trials]
    else:
        halves = [(x[onset:], x[:onset][::-1]) for x, onset in zip(trials, onsets, strict=True)]
    longest = [max(len(pair[side]) for pair in halves) for side in (0, 1)]
    out = np.zeros((len(trials), sum(longest), trials[0].shape[1]))
    for row, (on, back) in zip(out, halves, strict=True):
        row[: len(on)] = on
        row[longest[0] : longest[0] + len(back)] = back
    return out
