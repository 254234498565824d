"""A subject's arrays as training, baselines and prediction take them: on the mel's grid, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipeline.artifacts.windows import Windows
from pipeline.config.mel_grid import MelGrid
from pipeline.config.train import Normalisation
from pipeline.data.subject import SubjectArrays, load_subject
from pipeline.signal.normalisation import normalise_recording


class ReadsSubjects(Protocol):
    """The part of a stage's config that decides how a subject is loaded."""

    @property
    def mel(self) -> MelGrid: ...
    @property
    def causal(self) -> bool: ...
    @property
    def train(self) -> Normalisation: ...


def normalised_subject(
    windows: Windows, aligned: Sequence[Path], mel: Sequence[Path], config: ReadsSubjects
) -> SubjectArrays:
    """The recordings of ``windows``, normalised as ``train.normalisation`` says."""
    return load_subject(
        windows,
        aligned,
        mel,
        config.mel,
        config.causal,
        lambda features, m: normalise_recording(features, config.train.normalisation, m, config.mel.frame_rate_hz),
    )
