"""A subject's arrays in memory: neural features on the mel's time grid, normalised, and the mel.

Rows ``f * m … f * m + m - 1`` of the result belong to mel frame ``f``; ``m`` is 1, or larger
for features that are much faster than the mel (a band-limited signal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artifacts.aligned import aligned_trials, feature_columns, read_features
from pipeline.artifacts.mel import read_mels
from pipeline.artifacts.windows import Windows
from pipeline.config.mel_grid import MelGrid
from pipeline.config.train import SubjectSettings
from pipeline.errors import InputError, Problem
from pipeline.signal.normalisation import normalise_recording

#: Features faster than this many times the mel's frame rate keep their speed.
RAW_RATIO = 1.5
LANCZOS_LOBES = 8


@dataclass(frozen=True)
class SubjectArrays:
    """A subject's recordings in memory.

    ``features[r]`` (frame * rows_per_frame, channel) float32; ``mel[r]`` (frame, band)
    in nats.  ``feature_rate_hz`` is the rate of the features in their artifact.
    """

    recordings: tuple[str, ...]
    rows_per_frame: int
    features: list[np.ndarray]
    mel: list[np.ndarray]
    feature_names: tuple[str, ...]
    feature_rate_hz: float


def rows_per_frame(feature_rate_hz: float, grid: MelGrid) -> int:
    """Feature rows per mel frame."""
    ratio = feature_rate_hz / grid.frame_rate_hz
    return 1 if ratio <= RAW_RATIO else round(ratio)


def interpolation_support_s(feature_rate_hz: float, grid: MelGrid, causal: bool) -> tuple[float, float]:
    """How far before and after its time a row on the mel's grid takes from the features [s]."""
    if causal:
        return 1 / feature_rate_hz, 0.0
    lobes = 1 if rows_per_frame(feature_rate_hz, grid) == 1 else LANCZOS_LOBES
    return lobes / feature_rate_hz, lobes / feature_rate_hz


def on_mel_grid(
    features: np.ndarray, first_feature: int, rate_hz: float, n_frames: int, grid: MelGrid, causal: bool
) -> np.ndarray:
    """Features (time, channel) at ``rate_hz`` as (n_frames * m, channel) on the mel's grid.

    Feature ``i`` lies at ``(first_feature + i) / rate_hz`` on the audio clock.  Between
    features: linear where m is 1, else Lanczos, and the latest one where
    causal.  Outside them the edge is repeated.
    """
    m = rows_per_frame(rate_hz, grid)
    rows_s = grid.first_frame_s + ((np.arange(n_frames * m) + 0.5) / m - 0.5) / grid.frame_rate_hz
    position = rows_s * rate_hz - first_feature
    if causal:
        # A tiny slack keeps a row that coincides with a feature from taking the one before it.
        return features[np.clip(np.floor(position + 1e-6).astype(int), 0, len(features) - 1)]
    kernel = _triangle if m == 1 else _lanczos
    lobes = 1 if m == 1 else LANCZOS_LOBES
    first = np.floor(position).astype(int)
    out = np.zeros((len(rows_s), features.shape[1]), np.float32)
    total = np.zeros(len(rows_s))
    for tap in range(1 - lobes, lobes + 1):
        weight = kernel(position - (first + tap))
        total += weight
        out += weight[:, None].astype(np.float32) * features[np.clip(first + tap, 0, len(features) - 1)]
    return out / total[:, None].astype(np.float32)


def same_channels(names: Sequence[Sequence[str]], recordings: Sequence[str]) -> tuple[str, ...]:
    """The feature names that all sessions of a subject share, in the order of the first.

    Raises :class:`InputError` when they share none.
    """
    shared = [n for n in names[0] if all(n in other for other in names[1:])]
    if not shared:
        raise InputError(
            Problem(
                recordings[0],
                "channels",
                "no channel that all sessions of the subject have",
                "the same channels",
                "Give the sessions of one subject the same channel names",
            )
        )
    return tuple(shared)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < LANCZOS_LOBES, np.sinc(x) * np.sinc(x / LANCZOS_LOBES), 0.0)


def circularly_shifted(
    features: Sequence[np.ndarray],
    spans: Sequence[tuple[int, int, int]],
    context: int,
    m: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Features whose link to the sound is cut: each span's brain signal is circularly shifted in time.

    ``spans`` are (recording, start, stop) in mel frames; the context around a span turns
    with it, so that no window sees an unshifted row.  A shift is at least a quarter
    of the span long, either way.
    """
    turned = [f.copy() for f in features]
    for recording, start, stop in spans:
        rows = slice(max(0, start - context) * m, min(len(features[recording]), (stop + context) * m))
        n = len(features[recording][rows])
        turned[recording][rows] = np.roll(features[recording][rows], int(rng.integers(n // 4, n - n // 4)), axis=0)
    return turned


def load_subject(
    windows: Windows, aligned: Sequence[Path], mel: Sequence[Path], config: SubjectSettings
) -> SubjectArrays:
    """The trials of a subject in the order of ``windows``, normalised as ``train.normalisation`` says.

    ``aligned`` and ``mel`` are the files of its sessions.
    """
    sessions = windows.session_names
    names = same_channels([feature_columns(path) for path in aligned], sessions)
    features, mels = [], []
    for session, feature_path, mel_path in zip(sessions, aligned, mel, strict=True):
        trials = windows.trials_of(session)
        own = [log_mel for log_mel, _ in read_mels(mel_path, trials)]
        lengths = {name: len(log_mel) for name, log_mel in zip(trials, own, strict=True)}
        features += normalised_features(feature_path, names, lengths, config)
        mels += own
    rate_hz = aligned_trials(aligned[-1])[0].feature_rate_hz
    return SubjectArrays(windows.recordings, rows_per_frame(rate_hz, config.mel), features, mels, names, rate_hz)


def normalised_features(
    path: Path, names: Sequence[str], n_frames: Mapping[str, int], config: SubjectSettings
) -> list[np.ndarray]:
    """Columns ``names`` of trials of an aligned session on the mel's grid: each (n_frames * m, channel) float32.

    ``n_frames`` says which trials, and how many frames of each.  They are normalised as if they followed one another.
    """
    columns = feature_columns(path)
    chosen = [columns.index(name) for name in names]
    infos = {info.recording: info for info in aligned_trials(path)}
    gridded, m = [], 1
    for (name, n), values in zip(n_frames.items(), read_features(path, n_frames), strict=True):
        info = infos[name]
        m = rows_per_frame(info.feature_rate_hz, config.mel)
        first, rate_hz = info.first_feature, info.feature_rate_hz
        gridded.append(on_mel_grid(values[:, chosen], first, rate_hz, n, config.mel, config.causal))
    whole = gridded[0] if len(gridded) == 1 else np.concatenate(gridded)
    scaled = normalise_recording(whole, config.train.normalisation, m, config.mel.frame_rate_hz)
    return np.split(np.ascontiguousarray(scaled, np.float32), np.cumsum([len(rows) for rows in gridded])[:-1])
