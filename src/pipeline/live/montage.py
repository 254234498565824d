"""What a live signal must be for a model: channels, rate, reference and features, as a session was aligned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo, aligned_trials, open_aligned
from pipeline.artifacts.core import Artifact
from pipeline.artifacts.recording import read_tables
from pipeline.config.align import AlignStage
from pipeline.config.mel import MelConfig
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.signal.features.stack import Features
from pipeline.signal.reference import Reference


@dataclass(frozen=True)
class Montage:
    """Channels ``names`` in the order of the samples, at ``rate_hz`` and in ``unit``; and what is made of them.

    ``columns`` are the features that the model reads, of those that ``features`` and ``reference`` give.
    """

    names: tuple[str, ...]
    rate_hz: float
    reference: Reference
    features: Features
    feature_rate_hz: float
    columns: np.ndarray
    unit: str = ""

    @classmethod
    def of_session(cls, aligned: Path, feature_names: Sequence[str], *, may_look_ahead: bool = False) -> Montage:
        """As ``aligned/{session}.h5`` was made, with its bad channels left out.

        Raises :class:`InputError` where it is not causal, unless it may be, or lacks features that the model reads.
        """
        with open_aligned(aligned) as artifact:
            if not may_look_ahead:
                _refuse_lookahead(aligned, artifact)
            config = AlignStage.model_validate_json(str(artifact.attribute("config_json")))
            channels = read_tables(artifact)["channels"]
            rate_hz = float(artifact.attribute("eeg_rate_hz"))
            unit = str(artifact.table("features")["units"][0]).removeprefix("ln(").removesuffix(")")
        names = channels["name"]
        reference = Reference.build(config.align.reference, names, channels["used"], channels.get("group"))
        features = Features(config.align, config.mel, rate_hz)
        made = features.names(reference.names)
        if missing := [name for name in feature_names if name not in made]:
            got, fix = f"no {', '.join(missing[:3])}", "Name a session of the same montage as in training"
            raise InputError(Problem(str(aligned), "channels", got, "all features of the model", fix))
        columns = np.array([made.index(name) for name in feature_names])
        rate = config.align.feature_rate_hz
        return cls(tuple(names), rate_hz, reference, features, rate, columns, unit)

    def order_of(self, names: Sequence[str]) -> np.ndarray:
        """Where each channel of the montage lies among a stream's.

        Raises :class:`InputError` for those that it lacks, or has several times.
        Channels that the reference does not read may be missing; they are -1.
        """
        places = {name: i for i, name in enumerate(names)}
        read = {self.names[i] for i in self.reference.columns.tolist()}
        counts = Counter(names)
        if twice := [name for name in self.names if name in read and counts[name] > 1]:
            got, fix = f"{twice[0]} {counts[twice[0]]} times", "Name each channel of the stream once"
            raise InputError(Problem("stream", "channels", got, "each channel once", fix))
        if missing := [name for name in self.names if name in read and name not in places]:
            got = f"no {', '.join(missing[:5])}" + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            fix = "Name the stream's channels as in training, or train without these"
            raise InputError(Problem("stream", "channels", got, f"the {len(read)} channels of the model", fix))
        return np.array([places.get(name, -1) for name in self.names])


def of_channels(samples: np.ndarray, n: int) -> np.ndarray:
    """Samples (sample, channel).  Raises :class:`InputError` where they are not of so many channels."""
    if samples.ndim != 2 or samples.shape[1] != n:
        got, fix = f"an array of shape {samples.shape}", "Give a column for each channel"
        raise InputError(Problem("stream", "samples", got, f"samples (sample, {n})", fix))
    return samples


def montage_session(meta: Mapping[str, Any], session: str | None) -> AlignedInfo:
    """The aligned session of that name, or the last one that the model was trained on.  Raises :class:`InputError`."""
    if session is not None and paths.aligned(session).is_file():
        found = aligned_trials(paths.aligned(session))[:1]
    else:
        files = sorted(paths.aligned("").parent.glob("*.h5")) if session is None else []
        trials = (info for file in files for info in aligned_trials(file))
        found = [info for info in trials if info.recording in meta["recordings"]]
    subjects = {info.subject for info in found}
    if not found or not subjects <= set(meta["subjects"]) or (session is None and len(subjects) > 1):
        got = "none given" if session is None else session
        expected = f"an aligned session of {', '.join(meta['subjects'])}"
        raise InputError(Problem("--session", "", got, expected, "Name a session of results/aligned"))
    return found[-1]


def refuse_other_mel(mel: MelConfig, meta: Mapping[str, Any]) -> None:
    """Raise :class:`InputError` where a config's mel is not the one that the model predicts."""
    own, now = meta.get("mel") or meta["config"]["mel"], mel.model_dump(mode="json")
    fix = "Give the config that the model was trained with (--config)"
    raise_if_any(
        Problem("config", f"mel.{key}", str(now[key]), f"{value}, as in training", fix)
        for key, value in own.items()
        if now[key] != value
    )


def _refuse_lookahead(path: Path, artifact: Artifact) -> None:
    if not artifact.attribute("causal"):
        fix = "Set causal: true, and train again: features and network then use the past alone"
        raise InputError(Problem(str(path), "causal", "False", "a causal model, which does not look ahead", fix))
