"""95 % intervals of scores: a bootstrap of pieces of the test sound, as wide as few and dependent pieces ask for.

They cover the choice of test sound of one subject, not the choice of subjects.  The rule is fixed before any score is
known:

* a subject's test sound is cut into at least :data:`LEAST_PIECES` pieces, each as long as that allows but no longer
  than :data:`LONGEST_S`, because scores drift over seconds; with fewer pieces there is no interval;
* what a piece adds to a score is its jackknife pseudo-value (Tukey; Efron & Tibshirani 1993, chapter 11), and their
  mean is resampled;
* replicates are stretched about the score for pieces that resemble their neighbours: by √((1 + ρ) / (1 − ρ)), as of
  an autoregression of order 1, where ρ is the upper limit, by one standard error, of the pieces' correlation with the
  next, and by the quantile of Student's t at the number of independent pieces n (1 − ρ) / (1 + ρ).

``python -m bench.calibration`` counts how often they hold the true score (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.special

from pipeline.evaluation.metrics import piece_starts
from pipeline.evaluation.types import Values

LEAST_PIECES = 10
LONGEST_S = 12.0
LEAST_DEFINED = 0.95
TAIL = 0.025
LARGEST_CORRELATION = 0.9


def piece_frames(folds: Sequence[Sequence[int]], frame_rate_hz: float, shortest_s: float) -> int:
    """Length of a piece [frames]: the longest that gives all test blocks of a subject's folds ten pieces.

    ``folds`` holds the lengths of each fold's blocks.  At most 12 s, at least ``shortest_s``, which may be too long
    for ten.
    """
    shortest = int(np.ceil(shortest_s * frame_rate_hz))
    longest = min(int(LONGEST_S * frame_rate_hz), sum(map(sum, folds)) // LEAST_PIECES)

    def pieces(frames: int) -> int:
        return sum(len(piece_starts(list(lengths), frames)) for lengths in folds)

    fitting = (n for n in range(longest, shortest, -1) if pieces(n) >= LEAST_PIECES)
    return next(fitting, shortest)


def pseudo_values(sums: Values, statistic: Callable[[Values], Values]) -> Values:
    """Jackknife pseudo-values of the pieces, (pieces,), whose mean is about ``statistic`` of all of them.

    ``sums`` (pieces, …) add up over pieces; ``statistic`` maps them, (…, …) -> (…).
    """
    whole, pieces = sums.sum(axis=0), len(sums)
    if pieces == 1:
        return np.atleast_1d(statistic(whole))
    return np.asarray(pieces * statistic(whole) - (pieces - 1) * statistic(whole - sums))


def neighbours_correlation(values: Values) -> float:
    """Upper limit, by one standard error, of the correlation of each piece's value with the next; 0 … 0.9.

    The estimate is Marriott & Pope's (1954): what the mean and the short series take from it is put back.
    """
    n, own = len(values), values - values.mean()
    power = float(own @ own)
    found = float(own[1:] @ own[:-1]) / power if power > 0 else 0.0
    corrected = (found + 1 / n) * (1 + 3 / n)
    return float(np.clip(corrected + 1 / np.sqrt(n), 0, LARGEST_CORRELATION))


def independent_pieces(values: Values) -> float:
    """How many independent pieces would tell as much."""
    correlation = neighbours_correlation(values)
    return len(values) * (1 - correlation) / (1 + correlation)


def stretch(values: Values) -> float:
    """How much wider replicates must lie about the score than those of many independent pieces."""
    n, independent = len(values), independent_pieces(values)
    student = scipy.special.stdtrit(max(independent - 1, 1.0), 1 - TAIL) / scipy.special.ndtri(1 - TAIL)
    return float(student * np.sqrt(n / (n - 1) * n / independent))


def replicates(values: Values, score: float, resamples: int, rng: np.random.Generator) -> Values:
    """Bootstrap replicates of a subject's ``score`` from its pieces' pseudo-values, (resamples,).

    NaN where a pseudo-value is.  Generators in equal states draw the same pieces, so differences are paired.
    """
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples)
    return np.asarray(score + stretch(values) * (counts @ (values - values.mean())) / len(values))


def interval(found: Values, least: float = -np.inf, largest: float = np.inf) -> list[float] | None:
    """95 % percentile interval of the replicates that are defined; ``None`` where more than 5 % are not.

    It is clipped to the range of the score.
    """
    defined = found[np.isfinite(found)]
    if len(defined) < LEAST_DEFINED * len(found):
        return None
    return [float(v) for v in np.percentile(defined, (100 * TAIL, 100 * (1 - TAIL))).clip(least, largest)]
