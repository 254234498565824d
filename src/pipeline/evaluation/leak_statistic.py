"""How closely the phase of a recording follows the waveform of a sound, and how closely it would by chance.

A leak is the waveform itself: its phase at each frequency is that of the sound plus a constant, whatever its path does
to it.  Activity that follows the sound's loudness has phases of its own.  So at each frequency the sound's spectrum is
summed against the phase of the brain's, over pieces of half a second, and sums of two pieces are multiplied.  Such
products have mean 0 unless both pieces hold one waveform, or an answer that keeps its course each time the same sound
comes, whatever the amplitudes and the autocorrelation of either signal; neighbours are left out, since their windows
overlap.  They are added up over all of a session, and over blocks alone: clocks of two devices drift apart, and each
trial may have its own.

Under chance a product has the variance E|S_j|² E|S_k|², and the sum of a group of pieces a skew of at most 2, as an
exponential variable.  Frequencies are weighed by the amplitude of the sound over that of the brain; their mean is taken
for a gamma variable of the same mean, variance and skew, whose cube root is nearly normal (Wilson & Hilferty 1931).
What both signals hold all the time, a fan or a screen, shows at shifts of the sound too that no leak can have: that
mean comes off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.evaluation.leak_spectra import FRAME_RATE_HZ, Places, Spectrum, power
from pipeline.evaluation.types import Mask, Values

PIECE = 8
"""Frames of a piece: the windows of two that are no neighbours have no sample in common."""
MAX_LAG_S, UNRELATED_S = 0.5, 2.0
"""Lags that are searched, and the shortest shift that no leak can have."""
UNRELATED = 32
HELD_MEAN, HELD_SIZE = 0.6, 2.0
"""Of products at these shifts: what is above, both signals hold all the time (chance: 0 ± 0.18 and 1 ± 0.25)."""
UNUSUAL = 1.4
"""A channel with so many times the usual spread has its own."""
LOUDEST = 0.99
"""Frames of the sound above this quantile of a frequency count as that: no clap decides alone."""
LEAST_SKEW, MOST_SKEW = 1e-3, 2.0


def limited(sound: Spectrum) -> Spectrum:
    """The sound without its :data:`LOUDEST` peaks, of mean power 1 at each frequency; 0 where there is none."""
    amplitude = np.abs(sound)
    most = np.quantile(amplitude, LOUDEST, axis=0)
    kept = sound * (most / np.maximum(amplitude, np.maximum(most, np.finfo(np.float32).tiny)))
    scale = np.sqrt(power(kept).mean(axis=0))
    return np.asarray(np.divide(kept, scale, out=np.zeros_like(sound), where=scale > 0), np.complex64)


def shifts_of(frames: int) -> tuple[Places, Places]:
    """Shifts of the sound [frames] that a leak can have, and some that none can, spread evenly over the session."""
    reach, apart = int(MAX_LAG_S * FRAME_RATE_HZ), int(UNRELATED_S * FRAME_RATE_HZ)
    unrelated = np.linspace(apart, frames - apart, UNRELATED).round().astype(np.intp)
    return np.arange(-reach, reach + 1), np.unique(unrelated)


@dataclass(frozen=True)
class Products:
    """Sums of products (2, frequency, shift, channel) over the session and over blocks, in standard deviations.

    ``skew`` has that shape too.
    """

    values: Values
    skew: Values

    def at(self, shifts: slice) -> Products:
        return Products(self.values[:, :, shifts], self.skew[:, :, shifts])


class PhaseSums:
    """The sound's spectrum (frame, frequency) against the phase of the brain's, at each shift of the sound."""

    def __init__(self, sound: Spectrum, shifts: Places) -> None:
        self.sound, self.shifts = sound.conj(), shifts
        self.totals: list[Any] = [0.0] * 7

    def add(self, at: Places, brain: Spectrum) -> None:
        """Take a block (frames, channels, frequencies) that lies beside the frames ``at`` of the sound."""
        sums = self._of_pieces(at, brain)
        own = power(sums)
        total, level = sums.sum(axis=0), own.sum(axis=0)
        left_out = level + 2 * (sums[1:] * sums[:-1].conj()).real.sum(axis=0)
        of_variance = (own**2).sum(axis=0) + 2 * (own[1:] * own[:-1]).sum(axis=0)
        variance = np.maximum(level**2 - of_variance, 0)
        found = (total, level, left_out, of_variance, power(total) - left_out, variance, variance**1.5)
        self.totals = [before + new for before, new in zip(self.totals, found, strict=True)]

    def _of_pieces(self, at: Places, brain: Spectrum) -> Spectrum:
        """Sums over the frames of each piece (piece, frequency, shift, channel); the last piece may be shorter."""
        pieces = -(-len(at) // PIECE)
        amplitude, phase = np.abs(brain), np.zeros((pieces * PIECE, *brain.shape[1:]), np.complex64)
        np.divide(brain, amplitude, out=phase[: len(at)], where=amplitude > 0)
        places = np.resize(at, (pieces, 1, PIECE)) + self.shifts[:, None]
        shifted = self.sound[places % len(self.sound)].transpose(0, 3, 1, 2)
        phase = phase.reshape(pieces, PIECE, *brain.shape[1:]).transpose(0, 3, 1, 2)
        return np.asarray(np.ascontiguousarray(shifted) @ np.ascontiguousarray(phase))

    def products(self) -> Products:
        """Of all blocks so far."""
        total, level, left_out, of_variance, in_blocks, variance, cubes = self.totals
        values = np.stack([power(total) - left_out, in_blocks]).astype(np.float64)
        variances = np.stack([np.maximum(level**2 - of_variance, 0), variance]).astype(np.float64)
        skew = 2 * np.stack([np.ones_like(cubes), divided(cubes, variance**1.5)])
        return Products(divided(values, np.sqrt(variances)), skew)


def divided(values: Values, by: Values) -> Values:
    """0 where the divisor is."""
    return np.divide(values, by, out=np.zeros_like(values), where=by > 0)


@dataclass(frozen=True)
class Chance:
    """What products are at shifts that no leak can have.

    ``weights`` (frequency, channel) have a squared sum of 1; ``mean`` and ``size`` (2, frequency, channel) are those of
    one frequency, ``spread`` (2, channel) is that of the weighted sum: above 1, since neighbouring frequencies overlap.
    """

    weights: Values
    mean: Values
    size: Values
    spread: Values

    @classmethod
    def of(cls, unrelated: Products, emphasis: Values, usual: Mask) -> Chance:
        """From the weight (frequency, channel) of each frequency; ``usual`` (channel,): those whose spread is usual."""
        norm = np.broadcast_to(np.sqrt((emphasis**2).sum(axis=0)), emphasis.shape)
        mean, size = unrelated.values.mean(axis=2), np.sqrt((unrelated.values**2).mean(axis=2))
        held = mean > HELD_MEAN
        mean, size = np.where(held, mean, 0), np.where(held | (size > HELD_SIZE), size, 1)
        one = cls(divided(emphasis, norm), mean, size, np.ones((2, emphasis.shape[1])))
        found = np.sqrt((one.sums(unrelated) ** 2).mean(axis=1))
        spread = np.median(found[:, usual], axis=1, keepdims=True)
        return replace(one, spread=np.maximum(np.where(found > UNUSUAL * spread, found, spread), 1))

    def of_channels(self, channels: Places) -> Chance:
        return Chance(*(values[..., channels] for values in vars(self).values()))

    def sums(self, found: Products) -> Values:
        """(2, shift, channel): over all frequencies, in units of ``spread``."""
        above = (found.values - self.mean[:, :, None]) / self.size[:, :, None]
        return np.einsum("fc,tfsc->tsc", self.weights, above) / self.spread[:, None]

    def score(self, found: Products) -> Values:
        """Normal score (2, shift, channel) of these sums; frequencies that vary together add to their skew."""
        skew = np.einsum("fc,tfsc->tsc", self.weights**3, found.skew) * self.spread[:, None] ** 4
        return gamma_score(self.sums(found), 4 / np.clip(skew, LEAST_SKEW, MOST_SKEW) ** 2)


def gamma_score(z: Values, shape: Values) -> Values:
    """Normal score of a gamma variable that is ``z`` standard deviations above its mean (Wilson & Hilferty 1931)."""
    ratio = np.maximum(1 + z / np.sqrt(shape), 0)
    return np.asarray((np.cbrt(ratio) - 1 + 1 / (9 * shape)) * 3 * np.sqrt(shape))
