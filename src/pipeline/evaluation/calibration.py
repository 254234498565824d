"""A gain and an offset per band, fitted on out-of-fold predictions, so that errors compare like with like.

A network is trained to the smallest error, others shrink or are loud by design: MSE and MCD then say as much of the
scale of a prediction as of what it knows.  After a line per band, fitted for everyone alike on frames that are no test
frames, they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.artifacts.predictions import REFERENCE, PredictedFold
from pipeline.evaluation.types import Mel, Values
from pipeline.signal.correlation import MIN_STD

Block = Mapping[str, Mel]


@dataclass(frozen=True)
class Calibration:
    """``gain`` and ``offset`` [nats] of each band, (n_mels,)."""

    gain: Values
    offset: Values

    @classmethod
    def fitted(cls, target: Mel, prediction: Mel) -> Calibration:
        """Least squares over frames; a band without variation gets the target's mean."""
        y, p = (side.astype(np.float64) for side in (target, prediction))
        varies = p.std(axis=0) > MIN_STD
        covariance = ((y - y.mean(axis=0)) * (p - p.mean(axis=0))).mean(axis=0)
        gain = np.where(varies, covariance / np.where(varies, p.var(axis=0), 1), 0)
        return cls(gain, y.mean(axis=0) - gain * p.mean(axis=0))

    def __call__(self, prediction: Mel) -> Mel:
        """The prediction (frames, n_mels) after gain and offset."""
        return np.asarray(self.gain * prediction + self.offset, np.float32)


def out_of_fold(parts: Sequence[PredictedFold]) -> list[Block]:
    """Target and out-of-fold predictions of a fold's blocks by name: the one place that says which these are.

    Today the validation blocks, predicted by what was fitted on the training frames.  ``parts`` are the predictions and
    the baselines of a fold; blocks that one of them lacks are left out.
    """
    places = [{(b.recording, b.start, len(b.time_s)): b.series for b in part.out_of_fold} for part in parts]
    shared = [place for place in places[0] if all(place in own for own in places)]
    return [
        {name: mel for own in places for name, mel in own[place].items() if not name.startswith(REFERENCE)}
        for place in shared
    ]


def calibration_of(blocks: Sequence[Block], name: str) -> Calibration | None:
    """The calibration of a prediction; ``None`` where it has no out-of-fold prediction."""
    if not blocks or not all(name in block for block in blocks):
        return None
    return Calibration.fitted(*(np.concatenate([block[side] for block in blocks]) for side in ("target", name)))
