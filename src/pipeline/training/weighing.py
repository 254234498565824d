"""The weights of an ensemble, from the parts of the data that its networks did not see.  No Lightning in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from pipeline.data.training_data import TrainingData
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous
from pipeline.model.network import Seq2Seq
from pipeline.signal.correlation import correlation_per_band
from pipeline.signal.mel_statistics import active_or_all

Array = NDArray[np.float32]

SPEECH_WEIGHT = 4.0
SUM_RANGE = (0.1, 1.25)


@dataclass(frozen=True)
class HeldOut:
    """Frames that a network and its ridge did not see, (frame, band) [nats]; ``ridge`` None where there is no skip.

    ``subject`` (frame,) is the number of each frame's subject or session in the model.
    """

    network: Array
    ridge: Array | None
    truth: Array
    subject: NDArray[np.int64]

    @classmethod
    def of(cls, network: Seq2Seq, data: TrainingData, ridge_mel: Mapping[str, Array], hop: int) -> HeldOut:
        """The validation frames of a network's inner fold; ``ridge_mel`` by recording, empty where there is no skip."""
        spans = data.spans("val")
        found = [
            predict_continuous(network, data.features[r], a, b, hop, subject=data.subject[r]).mel for r, a, b in spans
        ]
        ridge = [ridge_mel[data.names[r]][a:b] for r, a, b in spans] if ridge_mel else None
        truth = np.concatenate([data.mel[r][a:b] for r, a, b in spans])
        subject = np.concatenate([np.full(b - a, data.subject[r]) for r, a, b in spans])
        return cls(np.concatenate(found), None if ridge is None else np.concatenate(ridge), truth, subject)


def weigh_on_held_out(ensemble: Ensemble, held_out: Sequence[HeldOut], speech_level_nats: float) -> tuple[float, float]:
    """Set the ensemble's weights: each network's, all alike, and last the ridge skip's.

    ``held_out`` has a part for each network.  Returns loss (mean square, normalised mel) and r of the
    weighted means of one network and its ridge over all parts.
    """
    first = ensemble.networks[0]
    subject = torch.from_numpy(np.concatenate([part.subject for part in held_out]))
    mean, scale = (x.numpy().reshape(-1, first.a.n_bands) for x in first.mel_scaling(subject))
    truth = np.concatenate([part.truth for part in held_out])
    active = active_or_all(truth)
    sides = [[part.network for part in held_out], [part.ridge for part in held_out if part.ridge is not None]]
    parts = [((np.concatenate(side) - mean) / scale)[:, active] for side in sides if side]
    target = ((truth - mean) / scale)[:, active]
    n = len(ensemble.networks)
    found = _weights(parts, target, truth.mean(axis=1) > speech_level_nats, n)
    ridge = found[1] if len(found) > 1 else 0.0
    ensemble.weights.copy_(torch.tensor([*[found[0] / n] * n, ridge]))
    weighted = np.tensordot(found, np.stack(parts), axes=1)
    r = correlation_per_band(weighted, target)
    return float(np.square(weighted - target).mean()), float(np.nanmean(r)) if np.isfinite(r).any() else 0.0


def _weights(parts: Sequence[Array], target: Array, speech: NDArray[np.bool_], n_networks: int) -> NDArray[np.float64]:
    """Weights of one network and, where there is one, its ridge, (frame, band) each.

    Their shares are those of non-negative least squares in which speech frames count once more, about their own mean:
    the contrast with silence would drown what is said.  A share is of one network, and the model's is the mean of
    ``n_networks`` whose errors differ, so theirs counts as often.  The sum is that of least squares on all frames, in
    :data:`SUM_RANGE`: a constant prediction has no correlation, and what shrinks to the mean because it knows nothing
    must not be blown up.
    """

    def column(x: Array) -> NDArray[np.float64]:
        speech_part = x[speech] - x[speech].mean(axis=0) if speech.any() else x[:0]
        return np.concatenate([x.ravel(), SPEECH_WEIGHT * speech_part.ravel()]).astype(np.float64)

    fitted, _ = nnls(np.stack([column(part) for part in parts], axis=1), column(target))
    fitted = fitted if fitted.any() else np.ones(len(parts))
    fitted[0] *= n_networks
    share = fitted / fitted.sum()
    mean = np.tensordot(share, np.stack(parts), axes=1)
    total = (mean * target).sum() / max(float(np.square(mean).sum()), 1e-12)
    return np.asarray(np.clip(total, *SUM_RANGE) * share)
