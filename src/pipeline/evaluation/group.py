"""Tests over subjects: exact one-sided sign-flip and Wilcoxon signed-rank tests on one value per subject.

Folds and seeds of a subject are averaged first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.types import Values

LEAST_SUBJECTS = 7
"""2⁷ sign patterns: the smallest p is 1/128, below 0.01."""
MOST_EXACT = 16
RANDOM_FLIPS = 100_000


@dataclass(frozen=True)
class GroupTest:
    """One-sided tests of a mean above 0; ``smallest_p`` is the smallest p that is possible with ``n`` subjects.

    With fewer than 7 subjects there is no p, and ``reason`` says so.
    """

    n: int
    mean: float
    sign_flip_p: float | None
    wilcoxon_p: float | None
    smallest_p: float
    exact: bool
    reason: str | None


def group_test(differences: Sequence[float]) -> GroupTest:
    """Test whether the differences, one per subject, are above 0.

    The Wilcoxon test is the sign-flip test of the signed ranks (mean ranks for ties, zeros ranked without a
    sign).  ``scipy.stats.wilcoxon`` of its own accord would drop zeros, and is not exact where there are ties.
    """
    values = np.array(differences, dtype=np.float64)
    n, exact = len(values), len(values) <= MOST_EXACT
    smallest_p = max(1.0 / 2.0**n, 0.0 if exact else 1 / RANDOM_FLIPS)
    if n < LEAST_SUBJECTS:
        reason = f"not testable ({n} subject{'s' * (n != 1)}; {LEAST_SUBJECTS} needed)"
        return GroupTest(n, float(values.mean()), None, None, smallest_p, exact, reason)
    from scipy.stats import rankdata  # takes most of a second: only where there is a group

    signed_ranks = np.sign(values) * rankdata(np.abs(values))
    p = one_sided_p(values), one_sided_p(signed_ranks)
    return GroupTest(n, float(values.mean()), *p, smallest_p, exact, None)


def one_sided_p(values: Values) -> float:
    """Share of sign patterns whose sum is at least as large: of all 2ⁿ, or of random ones beyond 16 values."""
    from scipy.stats import permutation_test

    found = permutation_test(
        (values,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        alternative="greater",
        n_resamples=2**MOST_EXACT if len(values) <= MOST_EXACT else RANDOM_FLIPS - 1,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
