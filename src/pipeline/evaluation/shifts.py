"""Circular shifts: predictions against the targets of other moments of the same test block.

Within every test block the prediction is circularly shifted by a shift of the block's own; the moments (see
:mod:`pipeline.signal.correlation`) of all blocks are summed, and r is taken over time.  All shifts of a block
come from one circular cross-correlation by FFT.  Shuffling single frames instead would break the
autocorrelation and give a chance level far too low.

Shifts by less than the autocorrelation's length give nearly the same r, so not frames but independent shifts
are counted: no more are drawn than there are.

Instead of a loop of ``np.corrcoef``: 120 times as fast, equal to 1e-15 (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.evaluation.types import Mask, Values
from pipeline.signal.correlation import correlation

AUTOCORRELATION_LIMIT = 0.1
BANDS_AT_ONCE = 8
"""Bands that are shifted at once: bounds memory on long blocks."""
Blocks = Sequence[Values]
Spectrum = NDArray[np.complex128]


def autocorrelation_frames(blocks: Blocks, active: Mask) -> int:
    """First lag [frames] at which the autocorrelation, its mean over active bands, falls below 0.1.

    The autocorrelation of a band is the sum over blocks of the biased estimate, each block less its mean; bands
    that are constant do not count.  Never below 1; the longest block's length where it stays above.
    """
    longest = max(len(block) for block in blocks)
    size = scipy.fft.next_fast_len(2 * longest, real=True)
    found = np.zeros((longest, np.count_nonzero(active)))
    for block in blocks:
        own = block[:, active] - block[:, active].mean(axis=0)
        found += scipy.fft.irfft(np.abs(scipy.fft.rfft(own, size, axis=0)) ** 2, size, axis=0)[:longest]
    power = found[0]
    varies = power > np.finfo(np.float64).eps * max(float(power.max(initial=0)), 1.0)
    if not varies.any():
        return longest
    below = np.flatnonzero((found[:, varies] / power[varies]).mean(axis=1) < AUTOCORRELATION_LIMIT)
    return int(below[0]) if below.size else longest


def draw_shifts(lengths: Sequence[int], min_shift: int, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Shifts [frames] of each block, (1 + count, blocks); row 0 is no shift.

    Each shift of a block is at least ``min_shift`` either way round and drawn without replacement; a block
    that has fewer than ``count`` begins anew when all were drawn.  Raises ``ValueError`` where a block has none.
    """
    shifts = np.zeros((1 + count, len(lengths)), dtype=np.intp)
    for column, length in enumerate(lengths):
        valid = np.arange(min_shift, length - min_shift + 1)
        if not valid.size:
            raise ValueError(f"a block of {length} frames has no shift of at least {min_shift}")
        rounds = max(1, -(-count // len(valid)))
        shifts[1:, column] = np.concatenate([rng.permutation(valid) for _ in range(rounds)])[:count]
    return shifts


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
    target: Blocks, predictions: Sequence[Blocks], weights: Sequence[Blocks], shifts: NDArray[np.intp]
) -> Values:
    """r of every prediction, weight, shift and band, pooled over the blocks.

    ``target`` and each of ``predictions`` are blocks of (frames, n_mels), each of ``weights`` blocks
    of (frames,); ``shifts`` (1 + shifts, blocks) are as of :func:`draw_shifts`.  Returns
    (predictions, weights, 1 + shifts, n_mels).
    """
    n_mels = target[0].shape[1]
    shape = (len(predictions), len(weights), n_mels, len(shifts), 6)
    r = np.empty(shape[:-1])
    for first in range(0, n_mels, BANDS_AT_ONCE):
        bands = slice(first, first + BANDS_AT_ONCE)
        total = sum(
            shifted_moments(
                target[i].T[bands],
                [prediction[i].T[bands] for prediction in predictions],
                [weight[i] for weight in weights],
                shifts[:, i],
            )
            for i in range(len(target))
        )
        r[:, :, bands] = correlation(np.asarray(total))
    return r.swapaxes(2, 3)
