"""The weights of an ensemble, from the validation block.  No Lightning in here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from pipeline.data.training_data import TrainingData
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous
from pipeline.signal.correlation import correlation_per_band
from pipeline.signal.mel_statistics import active_bands

Array = NDArray[np.float32]

SPEECH_WEIGHT = 2.0
PRIOR_SHARE = 1 / 3  # of the ensemble's weights
PRIOR_SKIP = 0.5  # the ridge skip's part of it
SUM_RANGE = (0.1, 1.25)


def weigh_on_validation(ensemble: Ensemble, data: TrainingData, hop: int) -> tuple[float, float]:
    """Set the ensemble's weights: of each network and, last, of the ridge skip.

    Returns its loss (mean square, normalised mel) and r, free-running and stitched over the validation block.
    """
    n, first = len(ensemble.weights), ensemble.networks[0]
    mean, scale = first.mel_mean.numpy(), first.mel_scale.numpy()
    truth = np.concatenate([data.mel[r][a:b] for r, a, b in data.spans("val")])
    active = active_bands(truth)
    has_skip = any(network.skip is not None for network in ensemble.networks)
    parts = []
    for k in range(n if has_skip else n - 1):
        ensemble.weights.copy_(torch.eye(n)[k])
        parts.append(((_predict_validation(ensemble, data, hop) - mean) / scale)[:, active])
    target = ((truth - mean) / scale)[:, active]
    found = _weights(parts, target, truth.mean(axis=1) > data.speech_level_nats, _prior(len(parts), has_skip))
    ensemble.weights.zero_()
    ensemble.weights[: len(found)] = torch.from_numpy(found)
    weighted = np.tensordot(found, np.stack(parts), axes=1)
    r = correlation_per_band(weighted, target)
    return float(np.square(weighted - target).mean()), float(np.nanmean(r)) if np.isfinite(r).any() else 0.0


def _prior(n_parts: int, has_skip: bool) -> NDArray[np.float64]:
    """Shares without a look at validation: half for the skip, the rest for the networks alike."""
    n_networks = n_parts - has_skip
    skip = PRIOR_SKIP * has_skip
    return np.asarray([(1.0 - skip) / n_networks] * n_networks + [skip] * has_skip)


def _weights(
    parts: Sequence[Array], target: Array, speech: NDArray[np.bool_], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights of the ``parts`` (frame, band): non-negative least squares, drawn to ``prior`` shares of the same sum.

    Drawn, because a minute of validation cannot tell weights apart sharply.  Speech frames
    count once more, about their own mean: the contrast with silence would drown what is said.
    The sum stays in :data:`SUM_RANGE`: a constant prediction has no correlation, and what
    shrinks to the mean because it knows nothing must not be blown up.
    """

    def column(x: Array) -> NDArray[np.float64]:
        speech_part = x[speech] - x[speech].mean(axis=0) if speech.any() else x[:0]
        return np.concatenate([x.ravel(), SPEECH_WEIGHT * speech_part.ravel()]).astype(np.float64)

    fitted, _ = nnls(np.stack([column(part) for part in parts], axis=1), column(target))
    total = float(np.clip(fitted.sum(), *SUM_RANGE))
    share = fitted / fitted.sum() if fitted.any() else prior
    return np.asarray(total * ((1 - PRIOR_SHARE) * share + PRIOR_SHARE * prior))


def _predict_validation(ensemble: Ensemble, data: TrainingData, hop: int) -> Array:
    parts = [
        predict_continuous(ensemble, data.features[r], a, b, hop, subject=data.subject[r]).mel
        for r, a, b in data.spans("val")
    ]
    return np.concatenate(parts)
