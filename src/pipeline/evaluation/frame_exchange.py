"""The shifts and exchanges of a null (:mod:`pipeline.evaluation.chance`) as frames: which predicted frame meets which.

For scores that are no sums of moments: the area under the curve of voice activity, errors of pitch and voicing.
Frames are numbered through all test blocks of a subject, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config.evaluate import ChanceConfig
from pipeline.evaluation import shifts, trial_exchange
from pipeline.evaluation.chance import Null, Trials, can_shift, groups_of

Frames = NDArray[np.intp]


@dataclass(frozen=True)
class FrameExchange:
    """The draws of a ``null`` that could be made, from the blocks that it took."""

    trials: Trials
    null: Null
    rate_hz: float
    config: ChanceConfig
    seed: tuple[int, ...]

    @property
    def blocks(self) -> list[Frames]:
        """The numbers of the frames that count, block by block; those too short to shift do not."""
        lengths = [len(block.target) for _, block in self.trials]
        numbered = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
        if self.null.method == "exchange":
            return numbered
        least = 2 * self._least
        blocks = zip(numbered, self.trials, strict=True)
        return [own for own, (_, b) in blocks if can_shift(b, self.rate_hz) and len(own) >= least]

    @property
    def _least(self) -> int:
        return int(np.ceil(self.config.min_shift_s * self.rate_hz))

    def draws(self) -> Iterator[Frames]:
        """The predicted frame that each counted frame of the target meets: its own, then those of each draw."""
        rng, count = np.random.default_rng(self.seed), len(self.null.values) - 1
        yield np.concatenate(self.blocks)
        yield from (self._shifted if self.null.method == "shift" else self._exchanged)(count, rng)

    def _shifted(self, count: int, rng: np.random.Generator) -> Iterator[Frames]:
        blocks = self.blocks
        for drawn in shifts.draw_shifts([len(own) for own in blocks], self._least, count, rng)[1:]:
            yield np.concatenate([np.roll(own, shift) for own, shift in zip(blocks, drawn, strict=True)])

    def _exchanged(self, count: int, rng: np.random.Generator) -> Iterator[Frames]:
        groups = groups_of(self.trials)
        orders, seed = trial_exchange.draw_orders(groups, count, rng), int(rng.integers(2**32))
        own = self.blocks
        laid = [_laid_out([own[i] for i in group], np.random.default_rng(seed)) for group in groups]
        place = np.empty(len(own), np.intp)
        for group in groups:
            place[group] = np.arange(len(group))
        for order in orders[1:]:
            met = np.empty(sum(map(len, own)), np.intp)
            for group, (own_frames, going_on) in zip(groups, laid, strict=True):
                there = own_frames >= 0
                met[own_frames[there]] = going_on[place[order[group]]][there]
            yield met


def _laid_out(own: Sequence[Frames], rng: np.random.Generator) -> tuple[Frames, Frames]:
    """Frames of trials laid onto each other at both ends, (trial, place): -1 behind an end; and gone on with others."""
    laid = trial_exchange.laid_out([frames[:, None].astype(np.float64) for frames in own], [(0, len(f)) for f in own])
    frames = np.where(np.isfinite(laid), laid, -1)[..., 0].astype(np.intp)
    return frames, trial_exchange.gone_on(laid, rng)[..., 0].astype(np.intp)
