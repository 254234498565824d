"""Chance level: scores without a link between prediction and sound.

circular-shift null: within every test block the prediction is circularly shifted by a
random shift of the block's own, longer than the target's autocorrelation; the moments
(see :mod:`pipeline.signal.correlation`) of all blocks of a fold are summed, r is taken
over time and averaged over bands.  All shifts of a block come from one circular
cross-correlation by FFT.  Shuffling single frames instead would break the
autocorrelation and give a chance level far too low.

Instead of a loop of ``np.corrcoef``: 120 times as fast, equal to 1e-15 (docs/benchmarks.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.evaluation.metrics import mean_of_known, mean_over_bands
from pipeline.evaluation.types import Mask, Values
from pipeline.signal.correlation import correlation, moments_of

MIN_VALID_SHIFTS = 100
ROUND_OFF = 1e-6
AUTOCORRELATION_LIMIT = 0.1
BANDS_AT_ONCE = 8
"""Bands that are shifted at once: bounds memory on long blocks."""
Blocks = Sequence[Values]
Spectrum = NDArray[np.complex128]


@dataclass(frozen=True)
class CircularShifts:
    """Shifts of one fold: ``shifts`` (1 + shifts, used blocks) in frames; row 0 is no shift.

    ``reason`` says why the fold cannot be tested, if so.
    """

    used: tuple[int, ...]
    shifts: NDArray[np.intp]
    valid: int
    reason: str | None


def p_value(values: Values) -> float:
    """(1 + #{null ≥ observed}) / (R + 1) with the observed value first; never 0.

    Values that differ by round-off alone count as equal.
    """
    return float(np.count_nonzero(values >= values[0] - ROUND_OFF) / values.size)


def autocorrelation_frames(target: Blocks, active: Mask) -> int:
    """First lag [frames] at which the active bands' mean autocorrelation falls below 0.1."""
    longest = max(len(block) for block in target)
    size = scipy.fft.next_fast_len(2 * longest, real=True)
    power = np.zeros(size // 2 + 1)
    for block in target:
        for band in np.flatnonzero(active):
            power += np.abs(scipy.fft.rfft(block[:, band] - block[:, band].mean(), size)) ** 2
    total = scipy.fft.irfft(power, size)[:longest]
    below = np.flatnonzero(total < AUTOCORRELATION_LIMIT * total[0])
    return int(below[0]) if below.size else longest


def draw_shifts(lengths: Sequence[int], min_shift: int, count: int, rng: np.random.Generator) -> CircularShifts:
    """``count`` random shifts per block, each at least ``min_shift`` from no shift at all.

    A block shorter than twice ``min_shift`` has no valid shift and is left out of the test; fewer
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
    return CircularShifts(used, shifts, valid, reason)


class Correlator:
    """Circular cross-correlation of one block's series at chosen shifts, by zero-padded real FFTs.

    Padding to a length with small factors costs less than a transform of any odd length.
    Series are (…, frames).
    """

    def __init__(self, frames: int, shifts: NDArray[np.intp]) -> None:
        self.frames, self.shifts = frames, shifts
        self.size = scipy.fft.next_fast_len(2 * frames, real=True)

    def spectrum(self, series: Values) -> Spectrum:
        """Transform of a series, to be used in several correlations."""
        return np.asarray(scipy.fft.rfft(series, self.size))

    def __call__(self, fixed: Spectrum, moving: Spectrum) -> Values:
        """Σ_t fixed[t] · moving[t − shift] with ``moving`` wrapped around, (…, shifts)."""
        lags = scipy.fft.irfft(fixed * moving.conj(), self.size)
        return np.asarray(lags[..., self.shifts] + lags[..., self.size - self.frames + self.shifts])


def shifted_moments(
    target: Values, predictions: Sequence[Values], weights: Sequence[Values], shifts: NDArray[np.intp]
) -> Values:
    """Moments of one block for each shift, (predictions, weights, bands, shifts, 6).

    ``target`` and each prediction are (bands, frames), each weight is (frames,) and stays
    with the target's frames; a shift s pairs target frame t with prediction frame t − s,
    modulo the block.
    """
    correlate = Correlator(target.shape[1], shifts)
    out = np.empty((len(predictions), len(weights), len(target), len(shifts), 6))
    for k, weight in enumerate(weights):
        out[:, k, ..., 0] = weight.sum()
        for column, fixed in ((1, weight * target), (3, weight * target**2)):
            out[:, k, ..., column] = fixed.sum(axis=1)[:, None]
    fixed_spectra = [(correlate.spectrum(w), correlate.spectrum(w * target)) for w in weights]
    whole = [bool(np.all(weight == 1)) for weight in weights]
    for row, prediction in zip(out, predictions, strict=True):
        once = correlate.spectrum(prediction)
        squared = once if all(whole) else correlate.spectrum(prediction**2)
        for moments, is_whole, (of_weight, of_target) in zip(row, whole, fixed_spectra, strict=True):
            if is_whole:  # a shift leaves sums over all frames as they are
                moments[..., 2] = prediction.sum(axis=1)[:, None]
                moments[..., 4] = (prediction**2).sum(axis=1)[:, None]
            else:
                moments[..., 2], moments[..., 4] = correlate(of_weight, once), correlate(of_weight, squared)
            moments[..., 5] = correlate(of_target, once)
    return out


def circular_shift_null(
    target: Blocks, predictions: Sequence[Blocks], weights: Sequence[Blocks], drawn: CircularShifts
) -> Values:
    """r of every prediction, weight, shift and band, pooled over the fold's used blocks.

    ``target`` and each of ``predictions`` are blocks of (frames, n_mels), each of ``weights`` blocks
    of (frames,).  Returns (predictions, weights, 1 + shifts, n_mels); shift 0 is none.
    """
    n_mels = target[0].shape[1]
    shape = (len(predictions), len(weights), n_mels, len(drawn.shifts), 6)
    r = np.empty(shape[:-1])
    for first in range(0, n_mels, BANDS_AT_ONCE):
        bands = slice(first, first + BANDS_AT_ONCE)
        total = sum(
            shifted_moments(
                target[i].T[bands],
                [prediction[i].T[bands] for prediction in predictions],
                [weight[i] for weight in weights],
                drawn.shifts[:, column],
            )
            for column, i in enumerate(drawn.used)
        )
        r[:, :, bands] = correlation(np.asarray(total))
    return r.swapaxes(2, 3)


def mismatch_moments(target: Blocks, prediction: Blocks) -> Values:
    """Moments of each pair of blocks, (blocks, blocks, n_mels, 6)."""
    count = len(target)
    found = np.zeros((count, count, target[0].shape[1], 6))
    for i, p in enumerate(prediction):
        for j, y in enumerate(target):
            n = min(len(p), len(y))
            found[i, j] = moments_of(y[:n], p[:n])
    return found


def mismatch_null(
    moments: Values, folds: NDArray[np.intp], active: Mask, count: int, rng: np.random.Generator
) -> Values | str:
    """Mean r over folds, observed first, then for ``count`` random permutations of the targets; or a reason.

    A fold whose r is undefined is left out of a mean.

    ``moments`` (blocks, blocks, n_mels, 6) are of every prediction block against every target block,
    ``folds`` (blocks,) is the fold of each block.  The permutations are over all blocks; excluding
    those that leave a block its own target would make p too small.
    """
    blocks = len(folds)
    distinct = math.factorial(blocks)
    if distinct < MIN_VALID_SHIFTS:
        return f"{distinct} ways to exchange {blocks} blocks, {MIN_VALID_SHIFTS} needed"
    orders = rng.permuted(np.tile(np.arange(blocks), (count + 1, 1)), axis=1)
    orders[0] = np.arange(blocks)
    r = []
    for k in np.unique(folds):
        own = np.flatnonzero(folds == k)
        pooled = sum(moments[i, orders[:, i]] for i in own)
        r.append(mean_over_bands(correlation(np.asarray(pooled)), active))
    means = mean_of_known(r, axis=0)
    if not np.isfinite(means).all():
        return "r is undefined: a prediction or its targets are constant"
    return means
