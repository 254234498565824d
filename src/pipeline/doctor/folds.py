"""Windows and minutes of each role in every fold: the window index, computed from headers and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.artifacts.windows import Windows
from pipeline.config.window import WindowStage
from pipeline.data.splits import ROLES
from pipeline.data.windowing import window_index
from pipeline.doctor.recordings import Examined
from pipeline.errors import InputError, Problem
from pipeline.signal.mel import n_frames


@dataclass(frozen=True)
class RoleCount:
    """Windows and minutes of one role in one fold of a subject."""

    windows: int
    minutes: float


@dataclass(frozen=True)
class SubjectFolds:
    """A subject's folds: counts by fold and role, and the index that they come from."""

    subject: str
    counts: dict[int, dict[str, RoleCount]]
    windows: Windows


def subject_folds(
    subject: str, recordings: Sequence[Examined], config: WindowStage, folds: Sequence[int]
) -> SubjectFolds | list[Problem]:
    """What the stage window will make of a subject's recordings, or what keeps it from that."""
    infos = [info for found in recordings for info in found.infos if info.has_audio]
    try:
        windows = window_index(infos, [n_frames(info.n_audio, config.mel) for info in infos], config)
    except InputError as error:
        return error.problems
    return SubjectFolds(subject, {fold: _counts(windows, fold, config) for fold in folds}, windows)


def _counts(windows: Windows, fold: int, config: WindowStage) -> dict[str, RoleCount]:
    return {
        role: RoleCount(
            len(windows.of(fold, role)),
            sum(b.stop - b.start for b in windows.blocks_of(fold, role)) / config.mel.frame_rate_hz / 60,
        )
        for role in ROLES
    }
