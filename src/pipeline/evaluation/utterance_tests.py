"""Does a prediction fit its own utterance better than its neighbours'?  The tests of the levels beyond timing.

What timing or loudness alone tell is taken off target and prediction alike, by regression over the test utterances
(Freedman & Lane 1983); then predictions change places among neighbours.  A fan, a slow swing of loudness or a change of
speaker is the same for neighbours, or a trend, and stays out; so does what is constant within an utterance.

=================  =============================================  ===================================
test               taken off target and prediction                exchanged
=================  =============================================  ===================================
loudness           voice course and reference, timing, background  predictions, among five neighbours
beyond_loudness    references of loudness and voice, background     predictions, among five neighbours
templates          the same, and block means of timing              predicted words, in the whole fold
templates_strict   all of the above, and the loudness course        predicted words, in the whole fold
envelope           nothing                                          signs of model minus envelope
=================  =============================================  ===================================

For ``beyond_loudness`` a prediction must also keep more of its variance than one of loudness, which knows nothing else,
would (:func:`least_share`).  For the templates the target is the mean *training*
word of the label, so that neither the speaker nor the pitch of this one utterance can help, and bands are decorrelated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.baselines.references import OF_LOUDNESS
from pipeline.evaluation.chance import ROUND_OFF, grouped, neighbours, p_value
from pipeline.evaluation.types import Values
from pipeline.evaluation.utterances import Utterances
from pipeline.signal.correlation import MIN_STD

ENOUGH_FOR_PARABOLA = 30
"""Utterances, less folds, from which on squares of the timing are taken off too."""
SHRINKAGE = 0.3
"""Of the covariance of bands towards independent ones, before it is taken off."""
LEAST_DIRECTION = 1e-10
"""Of a direction of regressors, its square relative to the largest: below it is round-off."""
TOWARDS_TARGET = 0.25
"""How far what a prediction must keep lies from what a reference of loudness keeps to what the target does."""
BANDS_AT_ONCE = 8
Groups = Sequence[NDArray[np.intp]]


@dataclass(frozen=True)
class Exchange:
    """One test: its p, and the observed sum in standard deviations of its null (the effect)."""

    p_value: float
    effect: float


def loudness_test(found: Utterances, count: int, rng: np.random.Generator) -> Exchange:
    """Whether the prediction tells utterances apart beyond what timing and background tell."""
    regressors = [found.references["voice"], *found.floor]
    sides = without([found.target, found.prediction], found, regressors, found.voice_course)
    target, prediction = (without_timing(side, found) for side in sides)
    return exchange_test(
        target, prediction, neighbours(found.place.tolist()), count, rng, removed=dimensions(timing_basis(found))
    )


def beyond_loudness_test(found: Utterances, count: int, rng: np.random.Generator) -> Exchange:
    """The same beyond what loudness, its course within 0.3 s, timing and background tell."""
    target, prediction = without([found.target, found.prediction], found, all_of(found))
    if share_of(prediction, less_means(found.prediction, found.fold)) < least_share(found, target):
        return Exchange(1.0, 0.0)
    return exchange_test(target, prediction, neighbours(found.place.tolist()), count, rng)


def least_share(found: Utterances, left: Values) -> float:
    """Share of its variance that a prediction must keep to be more than one of loudness; ``left`` is of the target.

    What the other references leave of a reference of loudness is where the references do not fit: a prediction without
    noise that knows loudness alone keeps no more than that.  A perfect prediction keeps what is left of the target.
    What is asked lies a quarter of the way between them, in logarithms.
    """
    shares = []
    for name in OF_LOUDNESS:
        others = [values for other, values in found.references.items() if other != name]
        (rest,) = without([found.references[name]], found, [*others, *found.floor])
        shares.append(share_of(rest, less_means(found.references[name], found.fold)))
    return max(shares) ** (1 - TOWARDS_TARGET) * share_of(left, less_means(found.target, found.fold)) ** TOWARDS_TARGET


def share_of(part: Values, whole: Values) -> float:
    """Share of the variance of ``whole`` that ``part`` has, over bands scaled alike."""
    return float((part**2).sum(axis=(0, 1)) @ (1 / np.maximum((whole**2).sum(axis=(0, 1)), MIN_STD)) / part.shape[2])


def content_tests(found: Utterances, count: int, rng: np.random.Generator) -> dict[str, Exchange]:
    """Whether predicted words fit the training templates of their labels, and their words better than the envelope.

    Bands are decorrelated for the templates: else what many neighbouring bands share decides.
    """
    assert found.templates is not None
    sides = found.templates, found.prediction
    plain = without(sides, found, all_of(found))
    courses = np.concatenate([found.voice_course, found.loudness_course], axis=2)
    strict = [without_timing(side, found) for side in without(sides, found, all_of(found), courses)]
    groups, removed = grouped(found.place.tolist()), dimensions(timing_basis(found))
    words, predicted, strict_words, strict_predicted = (decorrelated(side) for side in (*plain, *strict))
    return {
        "templates": exchange_test(words, predicted, groups, count, rng, trend=False),
        "templates_strict": exchange_test(
            strict_words, strict_predicted, groups, count, rng, trend=False, removed=removed
        ),
        "envelope": envelope_test(found, count, rng),
    }


def all_of(found: Utterances) -> list[Values]:
    """What timing, loudness and background tell, as regressors of each band."""
    return [*found.references.values(), *found.floor]


def without(
    sides: Sequence[Values], found: Utterances, regressors: Sequence[Values], courses: Values | None = None
) -> list[Values]:
    """Each side (utterance, frame, band) less its means (:func:`less_means`) and what a regression explains.

    ``regressors`` have a coefficient in each band; the columns of ``courses`` (utterance, frame, column) do too.
    """
    count, frames, bands = sides[0].shape
    several = [[less_means(v, found.fold).reshape(-1, bands) for v in part] for part in (regressors, sides)]
    if courses is not None:
        basis = orthonormal(less_means(courses, found.fold).reshape(count * frames, -1))
        several = [[v - basis @ (basis.T @ v) for v in part] for part in several]
    out = np.empty((len(sides), count * frames, bands))
    for first in range(0, bands, BANDS_AT_ONCE):
        chunk = slice(first, first + BANDS_AT_ONCE)
        own, rest = (np.stack([v[:, chunk].T for v in part], axis=2) for part in several)
        own = orthonormal(own)
        out[:, :, chunk] = (rest - own @ (own.transpose(0, 2, 1) @ rest)).T
    return [side.reshape(count, frames, bands) for side in out]


def without_timing(side: Values, found: Utterances) -> Values:
    """``side`` less what timing, and its squares where utterances are many, explain of each frame and band."""
    basis = timing_basis(found)
    flat = side.reshape(len(side), -1)
    return np.asarray((flat - basis @ (basis.T @ flat)).reshape(side.shape))


def timing_basis(found: Utterances) -> Values:
    """Orthonormal columns (utterance, column): folds, timing, and its squares where utterances are many."""
    folds = (found.fold[:, None] == np.unique(found.fold)).astype(np.float64)
    line = found.timing - found.timing.mean(axis=0)
    line = line / np.maximum(line.std(axis=0), MIN_STD)
    terms = [folds, line] + ([line**2] if len(line) - folds.shape[1] >= ENOUGH_FOR_PARABOLA else [])
    return orthonormal(np.concatenate(terms, axis=1))


def less_means(values: Values, fold: NDArray[np.intp]) -> Values:
    """``values`` less the mean utterance of each fold, and less each utterance's own mean over its frames.

    What is constant within an utterance (its loudness, a speaker's spectrum, a fan, slow noise) is no evidence:
    neighbours that drift together would be distinguished by it.
    """
    out = np.empty_like(values)
    for k in np.unique(fold):
        out[fold == k] = values[fold == k] - values[fold == k].mean(axis=0)
    return np.asarray(out - out.mean(axis=1, keepdims=True))


def orthonormal(columns: Values) -> Values:
    """An orthonormal basis of the columns (…, row, column); those that add nothing are 0."""
    scale = np.sqrt((columns**2).mean(axis=-2, keepdims=True))
    columns = columns / np.where(scale > MIN_STD, scale, np.inf)
    square, directions = np.linalg.eigh(columns.swapaxes(-1, -2) @ columns)
    kept = square > LEAST_DIRECTION * np.maximum(square.max(axis=-1, keepdims=True, initial=0), 1)
    return np.asarray(columns @ (directions * (kept / np.sqrt(np.where(kept, square, 1)))[..., None, :]))


def dimensions(basis: Values) -> int:
    """How many of the columns of a basis are not 0."""
    return int(np.count_nonzero((basis**2).sum(axis=0)))


def exchange_test(
    target: Values, prediction: Values, groups: Groups, count: int, rng: np.random.Generator, *,
    trend: bool = True, removed: int = 0,
) -> Exchange:  # fmt: skip
    """Sum of products of target and prediction, bands scaled alike, against predictions exchanged within ``groups``.

    Each group's mean, and with ``trend`` its straight line over the order, come off first.  Where a regression took
    ``removed`` dimensions off n utterances, both sides lie in what is left and exchanged ones do not, so their sums
    spread by √((n - removed) / n) less than independent ones would: the null is widened by as much.
    """
    y, p = scaled(target), scaled(prediction)
    sums = np.zeros(1 + count)
    for own in groups:
        if len(own) < 2 + trend:
            continue
        still = flat_in_order(len(own), trend)
        products = (still @ y[own]) @ (still @ p[own]).T
        orders = rng.permuted(np.tile(np.arange(len(own)), (1 + count, 1)), axis=1)
        orders[0] = np.arange(len(own))
        sums += products[np.arange(len(own)), orders].sum(axis=1)
    sums[1:] = sums[1:].mean() + (sums[1:] - sums[1:].mean()) * np.sqrt(len(y) / max(len(y) - removed, 1))
    return exchange_of(sums)


def flat_in_order(size: int, trend: bool) -> Values:
    """The matrix (size, size) that takes off the mean, and with ``trend`` the line over the order."""
    terms = [np.ones(size)] + ([np.arange(size) - (size - 1) / 2] if trend else [])
    basis = orthonormal(np.stack(terms, axis=1))
    return np.asarray(np.eye(size) - basis @ basis.T)


def scaled(side: Values) -> Values:
    """(utterance, frame × band), each band with the same spread; a constant band is 0."""
    std = side.std(axis=(0, 1))
    return np.asarray((side / np.where(std > MIN_STD, std, np.inf)).reshape(len(side), -1))


def decorrelated(side: Values) -> Values:
    """``side`` (utterance, frame, band) whitened over bands, by a shrunk covariance of their values in all frames."""
    flat = scaled(side).reshape(-1, side.shape[2])
    covariance = (1 - SHRINKAGE) * flat.T @ flat / len(flat) + SHRINKAGE * np.eye(side.shape[2])
    variance, directions = np.linalg.eigh(covariance)
    return np.asarray((flat @ (directions / np.sqrt(variance)) @ directions.T).reshape(side.shape))


def envelope_test(found: Utterances, count: int, rng: np.random.Generator) -> Exchange:
    """Whether the model fits its utterances better than the predicted envelope does; signs of the differences flip."""
    take: Callable[[Values], Values] = lambda side: scaled(less_means(side, found.fold))  # noqa: E731
    target = take(found.target)
    differences = (target * (take(found.prediction) - take(found.envelope))).sum(axis=1)
    if not np.isfinite(differences).all():
        return Exchange(1.0, 0.0)
    signs = rng.choice((-1.0, 1.0), (1 + count, len(differences)))
    signs[0] = 1
    return exchange_of(signs @ differences)


def exchange_of(sums: Values) -> Exchange:
    """p and effect of observed and exchanged sums, the observed first."""
    scale = float(sums[1:].std())
    if scale <= ROUND_OFF:
        return Exchange(1.0, 0.0)
    sums = sums / scale
    return Exchange(p_value(sums), float(sums[0] - sums[1:].mean()))
