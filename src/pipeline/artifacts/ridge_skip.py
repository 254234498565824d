"""The group ``skip`` of ``baselines/{subject}/fold{k}.h5``: the ridge that networks correct.

``skip/weights`` (lag, channel, mel), ``skip/lag`` (lag,) [mel frames], ``skip/intercept`` (mel,) [nats],
``skip/mean`` and ``skip/scale`` (channel,), all float32 but the lags, of the training frames; ``skip/floor`` (channel,)
where the logarithm of amplitudes or of raw features' power is taken.  ``skip/refit/…``: the same, fitted on validation
frames too, for the released model.  ``skip/penalty`` (2,), float64, of the plain fit and of that with the prior;
``skip/mel/{recording}`` (time, mel) [nats], predictions by ridges that had not seen the frame: of the training frames
cross-fitted, of the validation frames by the ridge itself.  ``skip/inner{k}/…``: ridge and mel of the k-th inner fold
but the first, which all this is of.  The root attribute
``skip_digest`` is the content of the group, which training depends on; the rest of the file is for the evaluation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artifacts.core import Artifact, opened
from pipeline.artifacts.paths import SKIP
from pipeline.artifacts.predictions import BASELINES

REFIT = f"{SKIP}/refit"
Arrays = dict[str, tuple[np.ndarray, tuple[str, ...]]]


@dataclass(frozen=True)
class LinearMap:
    """A ridge as a network takes it over."""

    weights: np.ndarray
    lags: np.ndarray
    intercept: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    floor: np.ndarray | None

    def arrays(self, group: str) -> Arrays:
        """What the artifact holds, by path, with the labels of the axes."""
        found = {
            f"{group}/weights": (self.weights, ("lag", "channel", "mel")),
            f"{group}/lag": (self.lags, ("lag",)),
            f"{group}/intercept": (self.intercept, ("mel",)),
            f"{group}/mean": (self.mean, ("channel",)),
            f"{group}/scale": (self.scale, ("channel",)),
        }
        return found if self.floor is None else found | {f"{group}/floor": (self.floor, ("channel",))}

    @classmethod
    def read(cls, artifact: Artifact, group: str) -> LinearMap:
        """The map back."""
        weights, lags, intercept, mean, scale = (
            artifact.read(f"{group}/{name}") for name in ("weights", "lag", "intercept", "mean", "scale")
        )
        floor = artifact.read(f"{group}/floor") if f"{group}/floor" in artifact.file else None
        return cls(weights, lags, intercept, mean, scale, floor)


@dataclass(frozen=True)
class RidgeSkip:
    """A subject's ridge of an inner fold's training frames, its refit on all, and its mel of each recording, by name.

    The mel is of training and validation frames, each by a ridge that had not seen it.
    """

    fitted: LinearMap
    refit: LinearMap
    penalties: np.ndarray
    mel: Mapping[str, np.ndarray]

    def arrays(self, group: str) -> Arrays:
        """What differs between inner folds, as the artifact holds it: by path, with the labels of the axes."""
        mel: Arrays = {f"{group}/mel/{name}": (values, ("time", "mel")) for name, values in self.mel.items()}
        return {**self.fitted.arrays(group), **mel}


def skip_arrays(inner_folds: Sequence[RidgeSkip]) -> Arrays:
    """What the artifact holds, by path, with the labels of the axes."""
    first = inner_folds[0]
    found: Arrays = {**first.refit.arrays(REFIT), f"{SKIP}/penalty": (first.penalties, ("fit",))}
    for k, skip in enumerate(inner_folds):
        found |= skip.arrays(_group(k))
    return found


def skip_digest(arrays: Arrays) -> str:
    """sha256 over names, types, shapes and values."""
    whole = hashlib.sha256()
    for name, (values, _) in sorted(arrays.items()):
        whole.update(f"{name} {values.dtype} {values.shape}".encode())
        whole.update(np.ascontiguousarray(values).data)
    return whole.hexdigest()


def _group(inner_fold: int) -> str:
    return f"{SKIP}/inner{inner_fold}" if inner_fold else SKIP


def read_ridge_skip(path: Path, recordings: Sequence[str], inner_fold: int = 0) -> RidgeSkip:
    """The skip back, with the mel of ``recordings``."""
    group = _group(inner_fold)
    with opened(path, BASELINES) as artifact:
        return RidgeSkip(
            fitted=LinearMap.read(artifact, group),
            refit=LinearMap.read(artifact, REFIT),
            penalties=artifact.read(f"{SKIP}/penalty"),
            mel={name: artifact.read(f"{group}/mel/{name}") for name in recordings},
        )


def read_ridge_skips(paths: Sequence[Path], recordings: Sequence[Sequence[str]], inner_fold: int) -> list[RidgeSkip]:
    """The skip of each subject, with the mel of its recordings."""
    return [read_ridge_skip(path, own, inner_fold) for path, own in zip(paths, recordings, strict=True)]


def read_choice(path: Path) -> tuple[bool, float, float]:
    """What cross-validation chose: whether the logarithm is taken, and the penalties of either fit."""
    with opened(path, BASELINES) as artifact:
        plain, with_prior = artifact.read(f"{SKIP}/penalty").tolist()
        return f"{SKIP}/floor" in artifact.file, float(plain), float(with_prior)
