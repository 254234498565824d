"""Cost of a run: memory of its largest job, disk and computing time, each with the method of the estimate.

Sizes follow from the arrays that the stages write.  Time and memory are scaled from measurements on one core of
a Zen 3 machine (float32, torch 2.13, no GPU, 2026-11): they give the order of magnitude only.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config.root import Config
from pipeline.doctor.folds import SubjectFolds
from pipeline.doctor.recordings import Examined
from pipeline.model.presets import Architecture, network_roles, preset_for, resolve

#: Seconds of one training step of 16 windows of 96 frames with 64 columns, and what 64 columns more add.
STEP_S = dict.fromkeys(("strong", "medium", "long"), (0.065, 0.004)) | {"tiny": (0.052, 0.004), "large": (0.172, 0.008)}
#: Megabytes that a trained network of 32 channels leaves: checkpoints to resume from, its weights there, published and
#: in the model.
NETWORK_MB = {"tiny": 8, "strong": 27, "medium": 27, "long": 27, "large": 82}
#: Seconds of the other stages: for each recording, each fold, and each minute and channel of sound.
RECORDING_S, FOLD_S, CHANNEL_MINUTE_S, TEST_MINUTE_S = 12.0, 40.0, 0.03, 10.0
#: Bytes of a process with torch and Lightning; copies of a subject's features and mel that it holds.
PROCESS_BYTES, COPIES = 700_000_000, 4
#: Spectrograms of the test blocks: target, model, teacher-forced, ridge and the other baselines.
STORED_MELS = 8
#: Time of :func:`_probe_s` on the reference machine.
REFERENCE_PROBE_S = 0.0020


@dataclass(frozen=True)
class Cost:
    """Bytes and seconds, with a phrase that says where each comes from."""

    memory_bytes: float
    memory_from: str
    disk_bytes: float
    disk_from: str
    core_s: float
    time_from: str


def cost(config: Config, recordings: Sequence[Examined], subjects: Sequence[SubjectFolds]) -> Cost:
    """What a run over these recordings takes, from nothing."""
    memory = _memory_bytes(config, recordings)
    raw, stored, networks_mb = _disk_bytes(config, recordings), _fold_bytes(config, subjects), 0.0
    steps, train_s = 0, 0.0
    for preset, n_steps, columns in _trainings(config, recordings, subjects):
        base, more = STEP_S[preset]
        size = config.train.batch_size / 16 * config.mel.frames(config.window.length_s) / 96
        steps += n_steps
        train_s += n_steps * size * (base + more * (columns - 64) / 64)
        networks_mb += NETWORK_MB[preset]
    slower = _probe_s() / REFERENCE_PROBE_S
    rest_s = _other_s(config, recordings, subjects)
    return Cost(
        memory,
        f"torch {PROCESS_BYTES / 1e9:.1f} GB and {COPIES} copies of the features and mel that one job trains on",
        raw + stored + networks_mb * 1e6,
        f"{raw / 1e9:.2f} GB of recordings, aligned and mel; {stored / 1e9:.2f} GB of predictions; "
        f"{networks_mb / 1e3:.2f} GB of models",
        slower * (train_s + rest_s),
        f"at most {steps} training steps, {slower * train_s / 60:.1f} min, and {slower * rest_s / 60:.1f} min of other "
        f"stages; measured on a Zen 3 core, this one takes {slower:.1f} times as long",
    )


def _probe_s() -> float:
    """Processor seconds of a fixed piece of arithmetic on one core, the best of several."""
    values = np.linspace(0, 1, 1 << 22, dtype=np.float32)
    out, best = np.empty_like(values), np.inf
    for _ in range(9):
        start = time.process_time()
        np.exp(values, out=out)
        best = min(best, time.process_time() - start)
    return float(best)


def _memory_bytes(config: Config, recordings: Sequence[Examined]) -> float:
    """Of the job that trains on most."""
    by_subject: dict[str, float] = {}
    for found in recordings:
        of = "all" if config.train.pool == "subjects" else found.row.subject
        for info in found.infos:
            if info.has_audio:
                frames = info.n_audio / config.mel.hop_length
                rows = max(frames, info.n_features)
                by_subject[of] = by_subject.get(of, 0) + 4 * (rows * found.n_columns + frames * config.mel.n_mels)
    return PROCESS_BYTES + COPIES * max(by_subject.values(), default=0)


def _disk_bytes(config: Config, recordings: Sequence[Examined]) -> float:
    """Of the artifacts of each session."""
    total = 0.0
    for found in recordings:
        total += 4 * found.n_samples * found.n_channels + 4 * found.n_sound
        for info in found.infos:
            total += 4 * info.n_features * (found.n_columns + 2) + 4 * info.n_audio
            total += 4 * info.n_audio / config.mel.hop_length * config.mel.n_mels
    return total


def _fold_bytes(config: Config, subjects: Sequence[SubjectFolds]) -> float:
    """Of the predictions, and of the sound where it is made (three kinds, 16 bits)."""
    test_s = 60 * sum(roles["test"].minutes for one in subjects for roles in one.counts.values())
    mel = 4 * config.mel.n_mels * config.mel.frame_rate_hz * test_s
    sound = 3 * 2 * config.mel.sample_rate_hz * test_s if config.writes_sound else 0.0
    return mel * (STORED_MELS + len(config.variants)) + sound


def _trainings(
    config: Config, recordings: Sequence[Examined], subjects: Sequence[SubjectFolds]
) -> list[tuple[str, int, int]]:
    """Preset, steps at most and feature columns of every network that is trained."""
    columns = {found.row.subject: found.n_columns for found in recordings if found.n_columns}
    found: list[tuple[str, int, int]] = []
    pooled = config.train.pool == "subjects"
    models = [[60 * one.counts[fold]["train"].minutes for one in subjects] for fold in config.folds]
    models *= 1 + len(config.variants)
    if config.makes_final:
        models.append([float((one.windows.usable @ [-1, 1]).sum()) / config.mel.frame_rate_hz for one in subjects])
    for seconds in models:
        jobs = [(sum(seconds), max(columns.values()))] if pooled else []
        jobs = jobs or [(s, columns[one.subject]) for s, one in zip(seconds, subjects, strict=True)]
        for train_s, width in jobs:
            length, context = (config.mel.frames(s) for s in (config.window.length_s, config.window.context_s))
            base = Architecture(width, config.mel.n_mels, length, context)
            preset = preset_for(config.model, train_s)
            for role in network_roles(config.model):
                recipe = resolve(role, preset, base, config.model, config.train)[1]
                found.append((preset, recipe.max_steps, width))
    return found


def _other_s(config: Config, recordings: Sequence[Examined], subjects: Sequence[SubjectFolds]) -> float:
    channel_minutes = sum(f.n_channels * f.n_samples / f.row.eeg_rate_hz / 60 for f in recordings)
    test_minutes = sum(roles["test"].minutes for one in subjects for roles in one.counts.values())
    n_folds = len(subjects) * (len(config.folds) * (1 + len(config.variants)) + config.makes_final)
    per_fold = FOLD_S * n_folds + TEST_MINUTE_S * test_minutes * (1 + len(config.variants))
    return RECORDING_S * len(recordings) + CHANNEL_MINUTE_S * channel_minutes + per_fold
