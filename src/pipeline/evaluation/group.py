"""Inference over people: exact sign-flip and Wilcoxon signed-rank tests on one value per subject.

Folds and seeds are averaged first; they are not people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from pipeline.evaluation.types import Values

MOST_EXACT = 16
RANDOM_FLIPS = 100_000


@dataclass(frozen=True)
class GroupTest:
    """Two-sided tests of mean 0; ``smallest_p`` is what ``n`` subjects can reach at best."""

    n: int
    mean: float
    sign_flip_p: float
    wilcoxon_p: float
    smallest_p: float
    exact: bool


def signs(n: int) -> Values:
    """All 2ⁿ sign patterns (rows), or 100 000 random ones beyond 16 subjects."""
    if n <= MOST_EXACT:
        return np.array(list(product((1.0, -1.0), repeat=n)))
    drawn = np.random.default_rng(0).choice((-1.0, 1.0), size=(RANDOM_FLIPS, n))
    drawn[0] = 1
    return drawn


def group_test(differences: Sequence[float]) -> GroupTest:
    """Test one difference per subject against 0.

    The Wilcoxon test is the sign-flip test of the signed ranks (mean ranks for ties).
    """
    values = np.array(differences, dtype=np.float64)
    flips = signs(len(values))
    order = np.abs(values)
    ranks = (order[:, None] > order).sum(axis=1) + 0.5 * ((order[:, None] == order).sum(axis=1) + 1)

    def two_sided(x: Values) -> float:
        sums = np.abs(flips @ x)
        return float(np.mean(sums >= sums[0] * (1 - 1e-12)))  # equal sums in another order of terms

    return GroupTest(
        n=len(values),
        mean=float(values.mean()),
        sign_flip_p=two_sided(values),
        wilcoxon_p=two_sided(np.sign(values) * ranks),
        smallest_p=max(2.0 / 2.0 ** len(values), 1 / len(flips)),
        exact=len(values) <= MOST_EXACT,
    )
