"""What ridge, networks and ensemble read of their subjects: arrays, and the windows that train and validate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.artifacts.windows import ROLE_CODES, BlockRow, Windows, read_windows
from pipeline.config.train import SubjectSettings
from pipeline.config.variants import FINAL, FULL, NULL, Fold
from pipeline.data.groups import Group, group_index, groups_of, owners_of
from pipeline.data.intervals import merge_windows
from pipeline.data.splits import Block, Timeline, windows_in
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


def inner_fold_of(index: Windows, fold: Fold, network: int) -> int:
    """Networks take turns in the inner folds; the final model has none."""
    return 0 if fold == FINAL else network % len(index.inner_folds)


def training_data(
    subjects: Sequence[SubjectData], fold: Fold, variant: str, config: SubjectSettings, inner_fold: int = 0,
    by_session: bool = False,
) -> TrainingData:  # fmt: skip
    """What networks of an inner fold may see of one subject or, in a pooled model, of several; the final model's see
    all.  ``by_session`` tells the sessions of a subject apart."""
    groups = session_groups(subjects, by_session)
    if fold == FINAL:
        if variant != FULL:
            raise ValueError(f"the variant {variant} has no final model")
        subjects = [(everything(index), arrays) for index, arrays in subjects]
    subjects = [(index.inner_folds[inner_fold], arrays) for index, arrays in subjects]
    features: list[np.ndarray] = []
    subject: list[int] = []
    windows: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    for index, arrays in subjects:
        for role, found in windows.items():
            found.append(index.of(fold, role) + np.array([len(features), 0]))
        features += variant_features(index, arrays, fold, variant, config.mel.frames(config.window.context_s))
        subject += [group_index(groups, index.subject, session) for session in index.sessions]
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
        owners=owners_of(groups),
    )


def session_groups(subjects: Sequence[SubjectData], by_session: bool) -> list[Group]:
    """What has an index of its own in the training data: subjects, or their sessions."""
    return groups_of({index.subject: index.session_names for index, _ in subjects}, by_session)


def everything(index: Windows) -> Windows:
    """The index of the final model: a single fold, in which all usable frames train and none is held out.

    Windows that come near a bad interval are left out, as from the training of each fold.
    """
    length, hop, context = (int(index.attributes[f"{name}_frames"]) for name in ("length", "hop", "context"))
    bad: dict[int, list[tuple[int, int]]] = {}
    for row in index.bad:
        bad.setdefault(row.recording, []).append((row.start, row.stop))
    timelines = [
        Timeline(name, session, int(start), int(stop), bad=tuple(bad.get(i, ())))
        for i, (name, session, (start, stop)) in enumerate(
            zip(index.recordings, index.sessions, index.usable, strict=True)
        )
    ]
    blocks = [Block(i, "train", timeline.start, timeline.stop) for i, timeline in enumerate(timelines)]
    found = windows_in(blocks, timelines, length, hop, context)
    seen = merge_windows(found, length, [timeline.stop for timeline in timelines])
    return replace(
        index,
        folds=(FINAL,),
        starts=np.array(found, np.int64).reshape(-1, 2),
        roles=np.full((len(found), 1), ROLE_CODES["train"], np.uint8),
        blocks=tuple(BlockRow(FINAL, "train", *span) for span in seen),
        spans=(),
        further=(),
    )


def variant_features(index: Windows, arrays: SubjectArrays, fold: Fold, variant: str, context: int) -> list[np.ndarray]:
    """A subject's features; for a null, circularly shifted within the blocks that train and validate."""
    if not variant.startswith(NULL):
        return arrays.features
    rng = np.random.default_rng([NULL_SEED, int(variant.removeprefix(NULL)), int(fold)])
    blocks = [*index.blocks_of(fold, "train"), *index.blocks_of(fold, "validation")]
    spans = [(b.recording, b.start, b.stop) for b in blocks]
    return circularly_shifted(arrays.features, spans, context, arrays.rows_per_frame, rng)
