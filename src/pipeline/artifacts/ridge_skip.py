"""The group ``skip`` of ``baselines/{subject}/fold{k}.h5``: the ridge that networks correct.

``skip/weights`` (lag, channel, mel), ``skip/lag`` (lag,) [mel frames], ``skip/intercept`` (mel,) [nats],
``skip/mean`` and ``skip/scale`` (channel,), all float32 but the lags; ``skip/floor`` (channel,) where the logarithm
of amplitudes or of raw features' power is taken; ``skip/penalty`` (2,), float64, of the plain fit and of that with the
prior;
``skip/mel/{recording}`` (time, mel) [nats], its cross-fitted prediction of the
training frames.  The root attribute ``skip_digest`` is the content of the group, which training depends on; the
rest of the file is for the evaluation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artifacts.core import opened
from pipeline.artifacts.paths import SKIP
from pipeline.artifacts.predictions import BASELINES

Arrays = dict[str, tuple[np.ndarray, tuple[str, ...]]]


@dataclass(frozen=True)
class RidgeSkip:
    """A subject's ridge, and its cross-fitted mel of each recording, by name."""

    weights: np.ndarray
    lags: np.ndarray
    intercept: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    floor: np.ndarray | None
    penalties: np.ndarray
    mel: Mapping[str, np.ndarray]

    def arrays(self) -> Arrays:
        """What the artifact holds, by path, with the labels of the axes."""
        mel = {f"{SKIP}/mel/{name}": (values, ("time", "mel")) for name, values in self.mel.items()}
        floor = {} if self.floor is None else {f"{SKIP}/floor": (self.floor, ("channel",))}
        return {
            f"{SKIP}/weights": (self.weights, ("lag", "channel", "mel")),
            f"{SKIP}/lag": (self.lags, ("lag",)),
            f"{SKIP}/intercept": (self.intercept, ("mel",)),
            f"{SKIP}/mean": (self.mean, ("channel",)),
            f"{SKIP}/scale": (self.scale, ("channel",)),
            f"{SKIP}/penalty": (self.penalties, ("fit",)),
            **floor,
            **mel,
        }

    def digest(self) -> str:
        """sha256 over names, types, shapes and values."""
        whole = hashlib.sha256()
        for name, (values, _) in sorted(self.arrays().items()):
            whole.update(f"{name} {values.dtype} {values.shape}".encode())
            whole.update(np.ascontiguousarray(values).data)
        return whole.hexdigest()


def read_ridge_skip(path: Path, recordings: Sequence[str]) -> RidgeSkip:
    """The skip back, with the mel of ``recordings``."""
    with opened(path, BASELINES) as artifact:
        return RidgeSkip(
            weights=artifact.read(f"{SKIP}/weights"),
            lags=artifact.read(f"{SKIP}/lag"),
            intercept=artifact.read(f"{SKIP}/intercept"),
            mean=artifact.read(f"{SKIP}/mean"),
            scale=artifact.read(f"{SKIP}/scale"),
            penalties=artifact.read(f"{SKIP}/penalty"),
            floor=artifact.read(f"{SKIP}/floor") if f"{SKIP}/floor" in artifact.file else None,
            mel={name: artifact.read(f"{SKIP}/mel/{name}") for name in recordings},
        )


def read_choice(path: Path) -> tuple[bool, float, float]:
    """What cross-validation chose: whether the logarithm is taken, and the penalties of either fit."""
    with opened(path, BASELINES) as artifact:
        plain, with_prior = artifact.read(f"{SKIP}/penalty").tolist()
        return f"{SKIP}/floor" in artifact.file, float(plain), float(with_prior)
