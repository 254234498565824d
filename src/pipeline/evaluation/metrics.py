"""Scores of predicted mels: r over time per band, MSE, MAE, MCD; no files, no NaN out.

A fold's r, its pieces and its shifts are sums of the same moments (:mod:`pipeline.signal.correlation`).
Mels are (frames, n_mels) in nats.  Definitions: r is Pearson's over *time* within a
band, averaged over bands; a band whose target or prediction is constant has no r.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.types import Mask, Mel, Values

MCD_ORDER = 13
MCD_DB = 10 * np.sqrt(2) / np.log(10)


def mean_of_known(values: Values | Sequence[Values], axis: int) -> Values:
    """Mean over an axis of the values that are no NaN; NaN where all are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN, and meant to be
        return np.asarray(np.nanmean(np.asarray(values), axis=axis))


def mean_over_bands(r: Values, active: Mask) -> Values:
    """Mean over the active bands that have an r, (…, n_mels) -> (…); NaN where none has."""
    return mean_of_known(r[..., active], axis=-1)


def cepstra(mel: NDArray[np.floating]) -> Values:
    """Mel-cepstra c_1 … c_13 of each frame, (frames, n_mels) -> (frames, 13); c_0, loudness, is left out.

    c_d = (2 / n_mels) Σ_b lnmel_b cos(π d (b + ½) / n_mels).
    """
    n_mels = mel.shape[1]
    order = np.arange(1, MCD_ORDER + 1)
    basis = (2 / n_mels) * np.cos(np.pi * np.outer(np.arange(n_mels) + 0.5, order) / n_mels)
    return np.asarray(mel.astype(np.float64) @ basis)


def mcd_db(target: Mel, prediction: Mel) -> Values:
    """Mel-cepstral distortion of each frame [dB], without time warping: (10 √2 / ln 10) √Σ_d (c_d − ĉ_d)²."""
    difference = cepstra(target) - cepstra(prediction)
    return np.asarray(MCD_DB * np.sqrt((difference**2).sum(axis=1)))


def piece_starts(block_lengths: list[int], piece_frames: int) -> NDArray[np.intp]:
    """First frames of the pieces that an interval rests on; none is shorter than ``piece_frames``.

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
