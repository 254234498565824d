"""Tests over subjects: exact sign-flip and Wilcoxon signed-rank tests on one value per subject.

Folds and seeds of a subject are averaged first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.types import Values

MOST_EXACT = 16
RANDOM_FLIPS = 100_000


@dataclass(frozen=True)
class GroupTest:
    """Two-sided tests of mean 0; ``smallest_p`` is the smallest p that is possible with ``n`` subjects."""

    n: int
    mean: float
    sign_flip_p: float
    wilcoxon_p: float
    smallest_p: float
    exact: bool


def group_test(differences: Sequence[float]) -> GroupTest:
    """Test one difference per subject against 0.

    The Wilcoxon test is the sign-flip test of the signed ranks (mean ranks for ties, zeros ranked without a
    sign).  ``scipy.stats.wilcoxon`` of its own accord would drop zeros, and is not exact where there are ties.
    """
    values = np.array(differences, dtype=np.float64)
    n, exact = len(values), len(values) <= MOST_EXACT
    sign_flip_p = wilcoxon_p = 1.0
    if n > 1:
        from scipy.stats import rankdata  # takes most of a second: only where there is a group

        sign_flip_p, wilcoxon_p = two_sided_p(values), two_sided_p(np.sign(values) * rankdata(np.abs(values)))
    return GroupTest(
        n=n,
        mean=float(values.mean()),
        sign_flip_p=sign_flip_p,
        wilcoxon_p=wilcoxon_p,
        smallest_p=max(2.0 / 2.0**n, 0.0 if exact else 1 / RANDOM_FLIPS),
        exact=exact,
    )


def two_sided_p(values: Values) -> float:
    """Share of sign patterns whose sum is at least as far from 0: of all 2ⁿ, or of random ones beyond 16 values."""
    from scipy.stats import permutation_test

    found = permutation_test(
        (values,),
        lambda flipped, axis: np.abs(flipped.sum(axis=axis)),
        permutation_type="samples",
        vectorized=True,
        alternative="greater",
        n_resamples=2**MOST_EXACT if len(values) <= MOST_EXACT else RANDOM_FLIPS - 1,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
