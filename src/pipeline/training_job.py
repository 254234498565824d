"""The training job: artifacts in, a released model in the run's folder out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from pipeline.artifacts.sidecar import write_sidecar
from pipeline.artifacts.windows import Windows, read_windows
from pipeline.config.train import TrainStage
from pipeline.data.batches import TrainingData
from pipeline.data.subject import SubjectArrays, load_subject
from pipeline.errors import EXIT_INTERRUPTED, EXIT_NON_FINITE_LOSS, EXIT_OUT_OF_MEMORY, StageFailureError
from pipeline.model.lightning_module import NonFiniteLossError
from pipeline.model.model_file import model_digest, save_model
from pipeline.model.normalisation import normalise_recording
from pipeline.model.training import Accelerator, FitOutcome, train_model
from pipeline.runs import METRICS, MODEL, NOTE
from pipeline.stage import Stage


def train_fold(stage: Stage[TrainStage], run: Path, fold: int, inputs: Sequence[tuple[Path, str]]) -> str:
    """Train and write ``model.ckpt`` and ``metrics.csv`` into ``run``; returns what came out in a line.

    Raises :class:`StageFailureError` with its exit code when training was interrupted
    (call again to resume), when the loss is not finite, or when memory ran out.
    """
    config = stage.config
    windows = read_windows(stage.file("windows"))
    normalise = partial(normalise_recording, mode=config.train.normalisation, frame_rate_hz=config.mel.frame_rate_hz)
    arrays = load_subject(
        windows,
        stage.files["aligned"],
        stage.files["mel"],
        config.mel,
        config.causal,
        lambda features, m: normalise(features, oversampling=m),
    )
    outcome = _fit(stage, _training_data(windows, arrays, fold, config), windows, run)
    if not outcome.finished or outcome.model is None:
        raise StageFailureError("training was interrupted; start again to resume it", EXIT_INTERRUPTED)
    meta = _meta(stage, windows, arrays, fold, outcome)
    save_model(run / MODEL, outcome.model, meta)
    files, model = [run / MODEL, run / METRICS], model_digest(outcome.model)
    write_sidecar(run / NOTE, "train", files, stage.provenance(inputs), model, **meta)
    return f"{outcome.preset}, {outcome.epochs} epochs, validation r {outcome.val_r:.3f}"


def _training_data(windows: Windows, arrays: SubjectArrays, fold: int, config: TrainStage) -> TrainingData:
    return TrainingData(
        features=arrays.features,
        mel=arrays.mel,
        subject=[0] * len(arrays.features),
        train=windows.of(fold, "train"),
        val=windows.of(fold, "validation"),
        length=config.window.length_frames,
        context=config.window.context_frames,
        oversampling=arrays.oversampling,
        frame_rate_hz=config.mel.frame_rate_hz,
        names=list(windows.recordings),
    )


def _fit(stage: Stage[TrainStage], data: TrainingData, windows: Windows, run: Path) -> FitOutcome:
    config = stage.config
    torch.set_num_threads(config.train.cpu_threads)
    try:
        return train_model(
            data,
            config.model,
            config.train,
            run,
            causal=config.causal,
            hop=int(windows.facts["hop_frames"]),
            accelerator=cast(Accelerator, stage.options["accelerator"] or "auto"),
            on_epoch=lambda row: stage.log.info("%s", _epoch_line(row)),
            on_step=_progress_bar() if sys.stderr.isatty() else None,
        )
    except NonFiniteLossError as error:
        raise StageFailureError(str(error), EXIT_NON_FINITE_LOSS) from error
    except torch.cuda.OutOfMemoryError as error:
        message = (
            f"out of GPU memory with train.batch_size {config.train.batch_size} and windows of "
            f"{config.window.length_frames} frames; lower one of them"
        )
        raise StageFailureError(message, EXIT_OUT_OF_MEMORY) from error


def _epoch_line(row: dict[str, Any]) -> str:
    shown = [f"{name} {value:.4f}" for name, value in row.items() if name.startswith(("train_", "val_"))]
    return f"train: {row.get('preset', '')} epoch {row['epoch']}: " + ", ".join(shown)


def _progress_bar() -> Any:
    def show(done: int, total: int) -> None:
        filled = round(30 * done / max(1, total))
        end = "\n" if done >= total else ""
        print(f"\rtraining [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}", end=end, file=sys.stderr, flush=True)

    return show


def _meta(
    stage: Stage[TrainStage],
    windows: Windows,
    arrays: SubjectArrays,
    fold: int,
    outcome: FitOutcome,
) -> dict[str, Any]:
    """What a model has to know of itself to be used elsewhere."""
    return {
        "subject": windows.subject,
        "fold": fold,
        "recordings": list(windows.recordings),
        "simulated": bool(windows.facts["simulated"]),
        "feature_names": list(arrays.feature_names),
        "hop_frames": int(windows.facts["hop_frames"]),
        "config": stage.config.model_dump(mode="json"),
        "preset": outcome.preset,
        "epochs": outcome.epochs,
        "best_val_loss": outcome.best_val_loss,
        "val_r": outcome.val_r,
        "mix": list(outcome.mix),
    }
