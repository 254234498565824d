"""The training job: artifacts in, a released model in the run's folder out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pipeline.artifacts.sidecar import write_sidecar
from pipeline.artifacts.windows import Windows, read_windows
from pipeline.config.train import TrainStage
from pipeline.config.variants import NULL, PAST_ONLY_SOUND
from pipeline.data.batches import TrainingData
from pipeline.data.loading import normalised_subject
from pipeline.data.subject import SubjectArrays, circularly_shifted
from pipeline.errors import EXIT_INTERRUPTED, EXIT_NON_FINITE_LOSS, EXIT_OUT_OF_MEMORY, StageFailureError
from pipeline.model.device import device_of
from pipeline.model.model_file import model_digest, save_model
from pipeline.provenance.runs import METRICS, MODEL, SIDECAR
from pipeline.stage import Stage
from pipeline.training.lightning_module import NonFiniteLossError
from pipeline.training.model_training import Accelerator, FitOutcome, train_model
from pipeline.training.workers import Worker


def train_fold(
    stage: Stage[TrainStage], run: Path, fold: int, inputs: Sequence[tuple[Path, str]], workers: Sequence[Worker] = ()
) -> str:
    """Train and write ``model.ckpt`` and ``metrics.csv`` into ``run``; returns what came out in a line.

    On a CPU networks are trained in ``workers`` too, on a GPU one after the other.
    Raises :class:`StageFailureError` with its exit code when training was interrupted
    (call again to resume), when the loss is not finite, or when memory ran out.
    """
    subjects = _subjects(stage)
    beside = workers if device_of(stage.options["accelerator"]) == "cpu" else ()
    if beside:
        stage.log.info("train: %d networks at a time", 1 + len(beside))
    outcome = _fit(stage, _training_data(subjects, fold, stage), run, beside)
    if not outcome.finished or outcome.model is None:
        raise StageFailureError("training was interrupted; start again to resume it", EXIT_INTERRUPTED)
    meta = _meta(stage, subjects, fold, outcome)
    save_model(run / MODEL, outcome.model, meta)
    files, model = [run / MODEL, run / METRICS], model_digest(outcome.model)
    write_sidecar(run / SIDECAR, "train", files, stage.provenance(inputs), model, **meta)
    return f"{outcome.preset}, {outcome.epochs} epochs, validation r {outcome.val_r:.3f}"


SubjectData = tuple[Windows, SubjectArrays]


def _subjects(stage: Stage[TrainStage]) -> list[SubjectData]:
    """Windows and arrays of each subject that is trained on; more than one in a pooled model."""
    subjects = []
    aligned, mel = list(stage.files["aligned"]), list(stage.files["mel"])
    for path in stage.files["windows"]:
        windows = read_windows(path)
        n = len(windows.recordings)
        subjects.append((windows, normalised_subject(windows, aligned[:n], mel[:n], stage.config)))
        del aligned[:n], mel[:n]
    return subjects


def _training_data(subjects: Sequence[SubjectData], fold: int, stage: Stage[TrainStage]) -> TrainingData:
    config, variant = stage.config, stage.options["variant"]
    features: list[np.ndarray] = []
    subject: list[int] = []
    windows: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    for i, (index, arrays) in enumerate(subjects):
        for role, found in windows.items():
            found.append(index.of(fold, role) + np.array([len(features), 0]))
        features += _cut_link(index, arrays, fold, stage) if variant.startswith(NULL) else arrays.features
        subject += [i] * len(arrays.features)
    return TrainingData(
        features=features,
        mel=[mel for _, arrays in subjects for mel in arrays.mel],
        subject=subject,
        train=np.concatenate(windows["train"]),
        val=np.concatenate(windows["validation"]),
        length=config.window.length_frames,
        context=config.window.context_frames,
        rows_per_frame=subjects[0][1].rows_per_frame,
        frame_rate_hz=config.mel.frame_rate_hz,
        names=[name for index, _ in subjects for name in index.recordings],
    )


def _cut_link(index: Windows, arrays: SubjectArrays, fold: int, stage: Stage[TrainStage]) -> list[np.ndarray]:
    """Features for a null: circularly shifted within the blocks that train and validate."""
    number = int(stage.options["variant"].removeprefix(NULL))
    rng = np.random.default_rng([stage.config.train.seed, number, fold])
    blocks = [*index.blocks_of(fold, "train"), *index.blocks_of(fold, "validation")]
    spans = [(b.recording, b.start, b.stop) for b in blocks]
    return circularly_shifted(arrays.features, spans, stage.config.window.context_frames, arrays.rows_per_frame, rng)


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


def _meta(stage: Stage[TrainStage], subjects: Sequence[SubjectData], fold: int, outcome: FitOutcome) -> dict[str, Any]:
    """What a model has to know of itself to be used elsewhere."""
    first = subjects[0][0]
    return {
        "subjects": [index.subject for index, _ in subjects],
        "fold": fold,
        "variant": stage.options["variant"],
        "recordings": [name for index, _ in subjects for name in index.recordings],
        "simulated": any(bool(index.attributes["simulated"]) for index, _ in subjects),
        "feature_names": {index.subject: list(arrays.feature_names) for index, arrays in subjects},
        "hop_frames": int(first.attributes["hop_frames"]),
        "config": stage.config.model_dump(mode="json"),
        "preset": outcome.preset,
        "epochs": outcome.epochs,
        "best_val_loss": outcome.best_val_loss,
        "val_r": outcome.val_r,
        "ensemble_weights": dict(outcome.ensemble_weights),
    }
