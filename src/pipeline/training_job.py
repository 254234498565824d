"""The training job: artifacts in, a released model in the run's folder out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pipeline.artifacts.paths import NULL, PAST_ONLY_SOUND
from pipeline.artifacts.sidecar import write_sidecar
from pipeline.artifacts.windows import Windows, read_windows
from pipeline.config.train import TrainStage
from pipeline.data.batches import TrainingData
from pipeline.data.subject import SubjectArrays, rotated
from pipeline.device import device_of
from pipeline.errors import EXIT_INTERRUPTED, EXIT_NON_FINITE_LOSS, EXIT_OUT_OF_MEMORY, StageFailureError
from pipeline.loading import normalised_subject
from pipeline.model.lightning_module import NonFiniteLossError
from pipeline.model.model_file import model_digest, save_model
from pipeline.model.training import Accelerator, FitOutcome, train_model
from pipeline.runs import METRICS, MODEL, NOTE
from pipeline.stage import Stage
from pipeline.workers import Worker


def train_fold(
    stage: Stage[TrainStage], run: Path, fold: int, inputs: Sequence[tuple[Path, str]], workers: Sequence[Worker] = ()
) -> str:
    """Train and write ``model.ckpt`` and ``metrics.csv`` into ``run``; returns what came out in a line.

    On a CPU networks are trained in ``workers`` too, on a GPU one after the other.
    Raises :class:`StageFailureError` with its exit code when training was interrupted
    (call again to resume), when the loss is not finite, or when memory ran out.
    """
    members = _members(stage)
    beside = workers if device_of(stage.options["accelerator"]) == "cpu" else ()
    if beside:
        stage.log.info("train: %d networks at a time", 1 + len(beside))
    outcome = _fit(stage, _training_data(members, fold, stage), run, beside)
    if not outcome.finished or outcome.model is None:
        raise StageFailureError("training was interrupted; start again to resume it", EXIT_INTERRUPTED)
    meta = _meta(stage, members, fold, outcome)
    save_model(run / MODEL, outcome.model, meta)
    files, model = [run / MODEL, run / METRICS], model_digest(outcome.model)
    write_sidecar(run / NOTE, "train", files, stage.provenance(inputs), model, **meta)
    return f"{outcome.preset}, {outcome.epochs} epochs, validation r {outcome.val_r:.3f}"


Member = tuple[Windows, SubjectArrays]


def _members(stage: Stage[TrainStage]) -> list[Member]:
    """Windows and arrays of each subject that is trained on; more than one in a pooled model."""
    members = []
    aligned, mel = list(stage.files["aligned"]), list(stage.files["mel"])
    for path in stage.files["windows"]:
        windows = read_windows(path)
        n = len(windows.recordings)
        members.append((windows, normalised_subject(windows, aligned[:n], mel[:n], stage.config)))
        del aligned[:n], mel[:n]
    return members


def _training_data(members: Sequence[Member], fold: int, stage: Stage[TrainStage]) -> TrainingData:
    config, variant = stage.config, stage.options["variant"]
    features: list[np.ndarray] = []
    subject: list[int] = []
    windows: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    for i, (index, arrays) in enumerate(members):
        for role, found in windows.items():
            found.append(index.of(fold, role) + np.array([len(features), 0]))
        features += _cut_link(index, arrays, fold, stage) if variant.startswith(NULL) else arrays.features
        subject += [i] * len(arrays.features)
    return TrainingData(
        features=features,
        mel=[mel for _, arrays in members for mel in arrays.mel],
        subject=subject,
        train=np.concatenate(windows["train"]),
        val=np.concatenate(windows["validation"]),
        length=config.window.length_frames,
        context=config.window.context_frames,
        oversampling=members[0][1].oversampling,
        frame_rate_hz=config.mel.frame_rate_hz,
        names=[name for index, _ in members for name in index.recordings],
    )


def _cut_link(index: Windows, arrays: SubjectArrays, fold: int, stage: Stage[TrainStage]) -> list[np.ndarray]:
    """Features for a null: rotated within the blocks that train and validate."""
    number = int(stage.options["variant"].removeprefix(NULL))
    rng = np.random.default_rng([stage.config.train.seed, number, fold])
    blocks = [*index.blocks_of(fold, "train"), *index.blocks_of(fold, "validation")]
    spans = [(b.recording, b.start, b.stop) for b in blocks]
    return rotated(arrays.features, spans, stage.config.window.context_frames, arrays.oversampling, rng)


def _fit(stage: Stage[TrainStage], data: TrainingData, run: Path, workers: Sequence[Worker]) -> FitOutcome:
    config = stage.config
    torch.set_num_threads(config.train.cpu_threads)
    try:
        with stage.counter("steps") as count:
            return train_model(
                data,
                config.model,
                config.train,
                run,
                causal=config.causal or stage.options["variant"] == PAST_ONLY_SOUND,
                hop=max(1, config.window.length_frames // 4),
                accelerator=cast(Accelerator, stage.options["accelerator"] or "auto"),
                on_epoch=lambda row: stage.log.info("%s", _epoch_line(row)),
                on_step=count,
                workers=workers,
            )
    except NonFiniteLossError as error:
        raise StageFailureError(str(error), EXIT_NON_FINITE_LOSS) from error
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        message = (
            f"out of memory with train.batch_size {config.train.batch_size} and windows of "
            f"{config.window.length_frames} frames; lower one of them"
        )
        raise StageFailureError(message, EXIT_OUT_OF_MEMORY) from error


def _is_out_of_memory(error: Exception) -> bool:
    """On a GPU torch has a type for it, on the CPU only words."""
    is_named = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
    return is_named or "DefaultCPUAllocator" in str(error)


def _epoch_line(row: dict[str, Any]) -> str:
    shown = [f"{name} {value:.4f}" for name, value in row.items() if name.startswith(("train_", "val_"))]
    return f"train: {row['network']} epoch {row['epoch']}: " + ", ".join(shown)


def _meta(stage: Stage[TrainStage], members: Sequence[Member], fold: int, outcome: FitOutcome) -> dict[str, Any]:
    """What a model has to know of itself to be used elsewhere."""
    first = members[0][0]
    return {
        "subjects": [index.subject for index, _ in members],
        "fold": fold,
        "variant": stage.options["variant"],
        "recordings": [name for index, _ in members for name in index.recordings],
        "simulated": any(bool(index.facts["simulated"]) for index, _ in members),
        "feature_names": {index.subject: list(arrays.feature_names) for index, arrays in members},
        "hop_frames": int(first.facts["hop_frames"]),
        "config": stage.config.model_dump(mode="json"),
        "preset": outcome.preset,
        "epochs": outcome.epochs,
        "best_val_loss": outcome.best_val_loss,
        "val_r": outcome.val_r,
        "mix": dict(outcome.mix),
    }
