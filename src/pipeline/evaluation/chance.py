"""What scores would be without a link: rotations and mismatched recordings.

Rotation null: within every test block the prediction is rotated (circularly) by a
random shift of the block's own, longer than the target's autocorrelation; the moments
(see :mod:`pipeline.evaluation.metrics`) of all blocks of a fold are summed, r is taken
over time and averaged over bands.  All rotations of a block come from one circular
cross-correlation by FFT.  Shuffling single frames instead would break the
autocorrelation and put chance far too low.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import correlation, mean_over_bands
from pipeline.evaluation.types import Mask, Values

MIN_VALID_SHIFTS = 100
AUTOCORRELATION_LIMIT = 0.1
Blocks = Sequence[Values]


@dataclass(frozen=True)
class Rotations:
    """Shifts of one fold: ``shifts`` (1 + rotations, used blocks) in frames; row 0 is no shift.

    ``reason`` says why the fold cannot be tested, if so.
    """

    used: tuple[int, ...]
    shifts: NDArray[np.intp]
    valid: int
    min_shift: int
    reason: str | None


def p_value(values: Values) -> float:
    """(1 + #{null ≥ observed}) / (R + 1) with the observed value first; never 0."""
    return float(np.count_nonzero(values >= values[0]) / values.size)


def autocorrelation_frames(target: Blocks, live: Mask) -> int:
    """First lag [frames] at which the live bands' mean autocorrelation falls below 0.1."""
    longest = max(len(block) for block in target)
    total = np.zeros(longest)
    for block in target:
        centred = block[:, live] - block[:, live].mean(axis=0)
        spectrum = np.fft.rfft(centred, 2 * longest, axis=0)
        total += np.fft.irfft((np.abs(spectrum) ** 2).sum(axis=1))[:longest]
    below = np.flatnonzero(total < AUTOCORRELATION_LIMIT * total[0])
    return int(below[0]) if below.size else longest


def draw_rotations(lengths: Sequence[int], min_shift: int, count: int, rng: np.random.Generator) -> Rotations:
    """``count`` random shifts per block, each at least ``min_shift`` from no shift at all.

    A block shorter than two shifts cannot be rotated and is left out of the test; fewer
    than 100 valid shifts over all blocks give a ``reason`` instead of a test.
    """
    used = tuple(i for i, n in enumerate(lengths) if n >= 2 * min_shift)
    valid = sum(lengths[i] - 2 * min_shift + 1 for i in used)
    reason = None
    if valid < MIN_VALID_SHIFTS:
        reason = f"{valid} valid shifts of at least {min_shift} frames, {MIN_VALID_SHIFTS} needed"
    shifts = np.zeros((1 + count, len(used)), dtype=np.intp)
    for column, i in enumerate(used):
        shifts[1:, column] = rng.integers(min_shift, lengths[i] - min_shift + 1, size=count)
    return Rotations(used, shifts, valid, min_shift, reason)


def rotated_moments(target: Values, prediction: Values, weight: Values) -> Values:
    """Moments of one block for every circular shift of the prediction, (frames, n_mels, 6).

    Row s pairs target frame t with prediction frame t − s (modulo the block).  A
    fractional or zero ``weight`` (frames,) belongs to the target's frames.
    """
    frames = len(target)
    w = weight[:, None]
    spectra = [np.fft.rfft(x, axis=0) for x in (w, w * target, prediction, prediction**2)]
    sums_w, sums_y, of_p, of_pp = spectra

    def shifted(fixed: NDArray[np.complex128], moving: NDArray[np.complex128]) -> Values:
        return np.asarray(np.fft.irfft(fixed * moving.conj(), frames, axis=0))

    moments = np.empty((*target.shape, 6))
    moments[..., 0] = weight.sum()
    moments[..., 1] = (w * target).sum(axis=0)
    moments[..., 3] = (w * target**2).sum(axis=0)
    if np.all(weight == 1):
        moments[..., 2], moments[..., 4] = prediction.sum(axis=0), (prediction**2).sum(axis=0)
    else:
        moments[..., 2], moments[..., 4] = shifted(sums_w, of_p), shifted(sums_w, of_pp)
    moments[..., 5] = shifted(sums_y, of_p)
    return moments


def rotation_null(target: Blocks, prediction: Blocks, weight: Sequence[Values], rotations: Rotations) -> Values:
    """r of every rotation and band, (1 + rotations, n_mels), pooled over the fold's used blocks.

    Row 0 is the r of the unrotated prediction on the same blocks.
    """
    total = np.zeros((len(rotations.shifts), target[0].shape[1], 6))
    for column, i in enumerate(rotations.used):
        total += rotated_moments(target[i], prediction[i], weight[i])[rotations.shifts[:, column]]
    return correlation(total)


def mismatch_moments(target: Blocks, prediction: Blocks) -> Values:
    """Moments of each pair of blocks, (blocks, blocks, n_mels, 6)."""
    count = len(target)
    moments = np.zeros((count, count, target[0].shape[1], 6))
    for i, p in enumerate(prediction):
        for j, y in enumerate(target):
            n = min(len(p), len(y))
            a, b = y[:n], p[:n]
            columns = (a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0))
            moments[i, j, :, 0] = n
            moments[i, j, :, 1:] = np.stack(columns, axis=-1)
    return moments


def mismatch_null(
    moments: Values, folds: NDArray[np.intp], live: Mask, count: int, rng: np.random.Generator
) -> Values | str:
    """Mean r over folds, observed first, then with targets dealt out anew ``count`` times; or a reason.

    ``moments`` (blocks, blocks, n_mels, 6) are of every prediction block against every target block,
    ``folds`` (blocks,) says which blocks are pooled.  Targets are dealt out by random
    permutations of all blocks; to forbid a block its own target would make p too small.
    """
    blocks = len(folds)
    distinct = math.factorial(blocks)
    if distinct < MIN_VALID_SHIFTS:
        return f"{distinct} ways to exchange {blocks} blocks, {MIN_VALID_SHIFTS} needed"
    orders = rng.permuted(np.tile(np.arange(blocks), (count + 1, 1)), axis=1)
    orders[0] = np.arange(blocks)
    r = []
    for k in np.unique(folds):
        members = np.flatnonzero(folds == k)
        pooled = sum(moments[i, orders[:, i]] for i in members)
        r.append(mean_over_bands(correlation(np.asarray(pooled)), live))
    return np.asarray(np.mean(r, axis=0))
