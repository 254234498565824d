"""Is a loss of r more than chance?  The null of the permutation importance of shafts and regions.

Where a group of channels has nothing to do with the sound, the prediction with the group shifted is as good as the one
without: which of the two is better in a piece of test sound is chance.  So the losses of all pieces change their signs
at random, in all groups together, and the largest mean loss of any group is the null: p holds for all groups compared
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.chance import p_value
from pipeline.evaluation.types import Document, Values

LEAST_PIECES = 7
"""2⁷ signs: fewer than 100 make no test."""
DRAWS = 1000


@dataclass(frozen=True)
class ImportanceNull:
    """``p95`` of the largest mean loss, and p of each group; or why there is no test."""

    p95: float | None
    p_value: Mapping[str, float]
    pieces: int
    reason: str | None

    def document(self) -> Document:
        """JSON values."""
        return {"p95": self.p95, "p_value": dict(self.p_value), "pieces": self.pieces, "reason": self.reason}


def importance_null(folds: Sequence[Mapping[str, Values]]) -> ImportanceNull:
    """The null of one subject; ``folds`` hold each group's loss of r in each piece of test sound, (pieces,).

    A group that a fold lacks loses nothing there.
    """
    pieces = [max((len(own) for own in fold.values()), default=0) for fold in folds]
    names = sorted({name for fold in folds for name in fold})
    if sum(pieces) < LEAST_PIECES:
        return ImportanceNull(None, {}, sum(pieces), f"{sum(pieces)} pieces of test sound, {LEAST_PIECES} needed")
    losses = np.array([
        np.concatenate([fold.get(name, np.zeros(size)) for fold, size in zip(folds, pieces, strict=True)])
        for name in names
    ])  # fmt: skip
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (DRAWS, sum(pieces)))
    largest = (signs @ losses.T).max(axis=1) / sum(pieces)
    p = {name: p_value(np.array([own.mean(), *largest])) for name, own in zip(names, losses, strict=True)}
    return ImportanceNull(float(np.percentile(largest, 95)), p, sum(pieces), None)
