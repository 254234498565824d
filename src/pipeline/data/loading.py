"""What ridge, networks and ensemble read of their subjects: arrays, and the windows that train and validate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.artifacts.windows import Windows, read_windows
from pipeline.config.train import SubjectSettings
from pipeline.config.variants import NULL
from pipeline.data.subject import SubjectArrays, circularly_shifted, load_subject
from pipeline.data.training_data import TrainingData

#: Of the circular shifts of a null, which ridge, networks and ensemble draw alike.
NULL_SEED = 0

SubjectData = tuple[Windows, SubjectArrays]


def read_subjects(
    windows: Sequence[Path], aligned: Sequence[Path], mel: Sequence[Path], config: SubjectSettings
) -> Iterator[SubjectData]:
    """Windows and arrays of each subject; ``aligned`` and ``mel`` are those of all, one subject after the other."""
    first = 0
    for path in windows:
        index = read_windows(path)
        own = slice(first, first + len(index.session_names))
        yield index, load_subject(index, aligned[own], mel[own], config)
        first = own.stop


def training_data(subjects: Sequence[SubjectData], fold: int, variant: str, config: SubjectSettings) -> TrainingData:
    """What a fold's networks may see of one subject or, in a pooled model, of several."""
    features: list[np.ndarray] = []
    subject: list[int] = []
    windows: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    for i, (index, arrays) in enumerate(subjects):
        for role, found in windows.items():
            found.append(index.of(fold, role) + np.array([len(features), 0]))
        features += variant_features(index, arrays, fold, variant, config.mel.frames(config.window.context_s))
        subject += [i] * len(arrays.features)
    return TrainingData(
        features=features,
        mel=[mel for _, arrays in subjects for mel in arrays.mel],
        subject=subject,
        train=np.concatenate(windows["train"]),
        val=np.concatenate(windows["validation"]),
        length=config.mel.frames(config.window.length_s),
        context=config.mel.frames(config.window.context_s),
        rows_per_frame=subjects[0][1].rows_per_frame,
        frame_rate_hz=config.mel.frame_rate_hz,
        names=[name for index, _ in subjects for name in index.recordings],
        stops=[int(stop) for index, _ in subjects for stop in index.usable[:, 1]],
    )


def variant_features(index: Windows, arrays: SubjectArrays, fold: int, variant: str, context: int) -> list[np.ndarray]:
    """A subject's features; for a null, circularly shifted within the blocks that train and validate."""
    if not variant.startswith(NULL):
        return arrays.features
    rng = np.random.default_rng([NULL_SEED, int(variant.removeprefix(NULL)), fold])
    blocks = [*index.blocks_of(fold, "train"), *index.blocks_of(fold, "validation")]
    spans = [(b.recording, b.start, b.stop) for b in blocks]
    return circularly_shifted(arrays.features, spans, context, arrays.rows_per_frame, rng)
