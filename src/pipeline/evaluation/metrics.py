"""Scores of predicted mels: r over time per band, MSE, MAE, MCD; no files, no NaN out.

Everything is computed from *moments*: per band the weighted sums ``[n, y, p, y², p², yp]``
of target y and prediction p over some frames.  Moments add, so a fold's score, its
bootstrap replicates and its shifts are all sums of the same small arrays.
Mels are (frames, n_mels) in nats.  Definitions: r is Pearson's over *time* within a
band, averaged over bands; a band whose target or prediction is constant has no r.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.types import Mask, Mel, Values

MIN_STD_NATS = 1e-5
"""A series that varies less is constant: far below float32 noise of a mel, far above round-off."""
MCD_ORDER = 13


def band_moments(target: Values, prediction: Values, weight: Values, starts: NDArray[np.intp]) -> Values:
    """Moments of each stretch of frames, (stretches, n_mels, 6); stretch i is starts[i]:starts[i+1].

    ``target`` and ``prediction`` (float64) should have the target's mean taken off, so that the
    sums of squares keep their digits.  ``weight`` (frames,) counts frames, usually 0 or 1.
    """
    y, p, w = target, prediction, weight[:, None]
    terms = (np.broadcast_to(w, y.shape), w * y, w * p, w * y * y, w * p * p, w * y * p)
    return np.stack([np.add.reduceat(term, starts, axis=0) for term in terms], axis=-1)


def correlation(moments: Values) -> Values:
    """Pearson r from moments (…, 6) -> (…); NaN where target or prediction is constant."""
    n, y, p, yy, pp, yp = np.moveaxis(moments, -1, 0)
    n = np.maximum(n, 1)
    y, p = y / n, p / n
    var_y, var_p = yy / n - y * y, pp / n - p * p
    defined = (var_y > MIN_STD_NATS**2) & (var_p > MIN_STD_NATS**2)
    r = np.full(n.shape, np.nan)
    np.divide(yp / n - y * p, np.sqrt(np.where(defined, var_y * var_p, 1)), out=r, where=defined)
    return np.clip(r, -1, 1)


def mean_of_known(values: Values | Sequence[Values], axis: int) -> Values:
    """Mean over an axis of the values that are no NaN; NaN where all are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN, and meant to be
        return np.asarray(np.nanmean(np.asarray(values), axis=axis))


def mean_over_bands(r: Values, active: Mask) -> Values:
    """Mean over the active bands that have an r, (…, n_mels) -> (…); NaN where none has."""
    return mean_of_known(r[..., active], axis=-1)


def mcd_db(target: Mel, prediction: Mel) -> Values:
    """Mel-cepstral distortion of each frame [dB], without time warping.

    (10 √2 / ln 10) √Σ_d (c_d − ĉ_d)², d = 1 … 13 (c_0, loudness, is left out), with
    c_d = (2 / n_mels) Σ_b lnmel_b cos(π d (b + ½) / n_mels).
    """
    n_mels = target.shape[1]
    order = np.arange(1, MCD_ORDER + 1)
    basis = (2 / n_mels) * np.cos(np.pi * np.outer(np.arange(n_mels) + 0.5, order) / n_mels)
    difference = (target.astype(np.float64) - prediction.astype(np.float64)) @ basis
    return np.asarray(10 * np.sqrt(2) / np.log(10) * np.sqrt((difference**2).sum(axis=1)))


def bootstrap_counts(pieces: int, resamples: int, rng: np.random.Generator) -> Values:
    """How often each piece is drawn in each resample, (resamples, pieces)."""
    return rng.multinomial(pieces, np.full(pieces, 1 / pieces), size=resamples).astype(np.float64)


def resampled(counts: Values, moments: Values) -> Values:
    """Moments of every bootstrap resample, (resamples, n_mels, 6)."""
    return np.tensordot(counts, moments, axes=(1, 0))


def resampled_mean(counts: Values, of_frame: Values, starts: NDArray[np.intp]) -> Values:
    """Mean over frames of every bootstrap resample, (resamples,); ``starts`` are the pieces' first frames."""
    frames = np.diff([*starts, len(of_frame)])
    return np.asarray(counts @ np.add.reduceat(of_frame, starts) / (counts @ frames))


def piece_starts(block_lengths: list[int], piece_frames: int) -> NDArray[np.intp]:
    """First frames of the pieces that a bootstrap draws; none is shorter than ``piece_frames``.

    Blocks shorter than a piece are taken together with what follows them, the last with what precedes it;
    then each stretch is cut into as many equal pieces as fit.
    """
    stretches: list[int] = []
    for length in block_lengths:
        if stretches and stretches[-1] < piece_frames:
            stretches[-1] += length
        else:
            stretches.append(length)
    if len(stretches) > 1 and stretches[-1] < piece_frames:
        stretches[-2:] = [sum(stretches[-2:])]
    starts, at = [], 0
    for length in stretches:
        pieces = max(1, length // piece_frames)
        starts.append(at + np.arange(pieces) * length // pieces)
        at += length
    return np.concatenate(starts).astype(np.intp)
