"""One network's training: start or resume in a folder, validate and save each epoch, end.

On SIGTERM it saves a checkpoint after the present step, and continues from that step when started again.

Without validation windows no epoch is validated and the last one is the best.

The folder holds ``last.ckpt`` and its predecessor to resume from, ``best.ckpt`` (the
averaged weights of the best epoch), ``metrics.csv`` (one row per epoch) and TensorBoard's event files.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException

from pipeline.artifacts.event_file import EventFile, folder_for
from pipeline.config.train import TrainConfig
from pipeline.errors import InputError
from pipeline.model.ensemble import Ensemble
from pipeline.model.model_file import load_model, save_model, write_atomically
from pipeline.model.network import Seq2Seq
from pipeline.training.checkpoint import AtomicCheckpointIO, newest_valid_checkpoint, read_checkpoint
from pipeline.training.lightning_module import DecoderTraining
from pipeline.training.workers import run_in_processes

Accelerator = Literal["auto", "cpu", "gpu"]
Row = dict[str, float]
OnStep = Callable[[int, int], None]
Fitted = tuple[Seq2Seq | None, list[Row]]


class RunKeeper(Callback):
    """At each epoch's end: metrics row, best model, checkpoint, early stop.  Its state is part of the checkpoint."""

    def __init__(self, run_dir: Path, title: str, patience: int, on_epoch: Callable[[Row], None] | None) -> None:
        self.run_dir, self.title, self.patience, self.on_epoch = run_dir, title, patience, on_epoch
        self.rows: list[Row] = []
        self.events: EventFile | None = None
        self.stop_requested = False

    @property
    def best(self) -> Row:
        """The row of the smallest validation loss; without validation the last."""
        return best_row(self.rows)

    @property
    def exhausted(self) -> bool:
        """No better epoch for ``patience`` epochs."""
        return bool(self.rows) and self.rows[-1]["epoch"] - self.best["epoch"] >= self.patience

    def ended(self, epochs: int) -> bool:
        """Training is done: all epochs, or stopped early."""
        return len(self.rows) >= epochs or self.exhausted

    @property
    def run(self) -> str:
        """The run's name, which tells its content."""
        return f"{self.run_dir.parent.name}/{self.run_dir.name}"

    def wrote(self, checkpoint: dict[str, Any]) -> bool:
        """Whether a checkpoint is of this run, and not put here from another."""
        own: dict[str, Any] = checkpoint.get("callbacks", {}).get(RunKeeper.__qualname__, {})
        return own.get("run") == self.run

    def state_dict(self) -> dict[str, Any]:
        return {"run": self.run, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state_dict["rows"]]

    def take(self, row: Row) -> None:
        """An epoch that was trained in another process."""
        self.rows.append(row)
        if self.on_epoch:
            self.on_epoch(row)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Take SIGTERM from Lightning, which ends validation in its middle, and processes at different steps."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._request_stop)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        """All processes end together after this step, unless the epoch's validation comes next."""
        if trainer.strategy.reduce_boolean_decision(self.stop_requested, all=False) and not _is_last_step(trainer):
            trainer._signal_connector.received_sigterm = True

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):
            trainer.save_checkpoint(self.run_dir / "last.ckpt")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        row = {"epoch": len(self.rows), "step": trainer.global_step, **pl_module.epoch_metrics()}
        self.rows.append(row)
        if trainer.is_global_zero:
            self._publish(row, pl_module)
        trainer.save_checkpoint(self.run_dir / "last.ckpt")
        if self.exhausted:
            trainer.should_stop = True

    def _publish(self, row: Row, pl_module: Any) -> None:
        if self.best is row:
            save_model(
                self.run_dir / "best.ckpt", Ensemble.of([pl_module.average]), {"run": self.run, "epoch": row["epoch"]}
            )
        write_metrics(self.run_dir / "metrics.csv", self.rows)
        self._show(row, pl_module)
        if self.on_epoch:
            self.on_epoch(row)

    def _show(self, row: Row, pl_module: Any) -> None:
        """To TensorBoard: the row, and every second epoch one validation window."""
        if self.events is None:
            self.events = EventFile(_shown_in(self.run_dir, self.title), int(row["epoch"]), len(self.rows) == 1)
        self.events.scalars(int(row["step"]), {k: v for k, v in row.items() if k not in ("epoch", "step")})
        if row["epoch"] % 2 == 0:
            self.events.images(int(row["step"]), pl_module.pictures)


def _shown_in(run_dir: Path, title: str) -> Path:
    """The folder that TensorBoard names a run after: beside ``runs/``, whose digests tell people nothing."""
    return folder_for(run_dir.parents[1], title, run_dir.name) if run_dir.parent.name == "runs" else run_dir / title


def _is_last_step(trainer: Trainer) -> bool:
    return bool(trainer.fit_loop.epoch_loop.batch_progress.is_last_batch)


def best_row(rows: Sequence[Row]) -> Row:
    """The epoch of the smallest validation loss; without validation the last."""
    return min(rows, key=lambda row: row["val_loss"]) if "val_loss" in rows[-1] else rows[-1]


class StepReport(Callback):
    """Reports every step to the caller, for a progress bar."""

    def __init__(self, on_step: OnStep | None, n_steps: int) -> None:
        self.on_step, self.n_steps = on_step, n_steps

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if self.on_step:
            self.on_step(trainer.global_step, self.n_steps)


def write_metrics(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """One line per epoch; numbers in the shortest form that reads back equal."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


@dataclass(frozen=True)
class Fit:
    """A network to train: its untrained module, what makes its batches (given the steps per epoch), where and how.

    ``max_steps`` ends training before the recipe's last step, its schedule unchanged; None: where the recipe ends.
    ``title`` names the run to people who compare it with others in TensorBoard; ``card`` is the place of the one
    GPU to take, None where any will do.
    """

    module: DecoderTraining
    loaders: Callable[[int], LightningDataModule]
    run_dir: Path
    accelerator: Accelerator = "auto"
    title: str = ""
    card: int | None = None
    max_steps: int | None = None


def fit_network(
    fit: Fit,
    on_epoch: Callable[[Row], None] | None = None,
    on_step: OnStep | None = None,
) -> Fitted:
    """Train in the folder of ``fit``, resuming what is there: the best averaged network and the epochs' rows.

    The network is None where training was interrupted.  Raises
    :class:`~pipeline.training.lightning_module.NonFiniteLossError`.
    """
    fit.run_dir.mkdir(parents=True, exist_ok=True)
    train = fit.module.config
    steps = min(train.steps_per_epoch, fit.module.recipe.max_steps)
    epochs = min(fit.module.recipe.max_steps, fit.max_steps or fit.module.recipe.max_steps) // steps
    keeper = RunKeeper(fit.run_dir, fit.title, train.patience, on_epoch)
    _recall(keeper)
    stop_requested = False
    if not keeper.ended(epochs) and train.devices == 1:
        report = StepReport(on_step, epochs * steps)
        _fit(fit.module, fit.loaders(steps), keeper, report, epochs, fit.accelerator, fit.card)
        stop_requested = keeper.stop_requested
    elif not keeper.ended(epochs):
        there = (RunKeeper(fit.run_dir, fit.title, train.patience, None), StepReport(None, epochs * steps))
        arguments = (fit.module, fit.loaders(steps), *there, epochs, fit.accelerator)
        stop_requested = run_in_processes(_fit_part, arguments, train.devices, keeper.take)
    best = load_model(fit.run_dir / "best.ckpt")[0].networks[0] if keeper.ended(epochs) and not stop_requested else None
    return best, keeper.rows


def _fit(
    module: DecoderTraining, data: LightningDataModule, keeper: RunKeeper, report: StepReport, epochs: int,
    accelerator: Accelerator, card: int | None = None,
) -> None:  # fmt: skip
    """Train until all is done or the process is asked to end; of several processes, the part of this one."""
    trainer = _trainer(keeper.run_dir, module.config, epochs, accelerator, card, [keeper, report])
    with suppress(SIGTERMException, SystemExit):  # Lightning's answers to SIGTERM and Ctrl-C
        trainer.fit(module, datamodule=data, ckpt_path=_recall(keeper), weights_only=True)
    module.trainer = None  # which holds the data


def _fit_part(
    module: DecoderTraining, data: LightningDataModule, keeper: RunKeeper, report: StepReport, epochs: int,
    accelerator: Accelerator, tell: Callable[[Row], None],
) -> None:  # fmt: skip
    """As :func:`_fit`, one process of several; ``tell`` gets the epochs' rows from rank 0."""
    keeper.on_epoch = tell
    try:
        _fit(module, data, keeper, report, epochs, accelerator)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _recall(keeper: RunKeeper) -> Path | None:
    """The checkpoint to go on from; ``keeper`` gets the epochs that it knows."""
    checkpoint = newest_valid_checkpoint(keeper.run_dir / "last.ckpt", keeper.wrote)
    if checkpoint is None:
        return None
    state = read_checkpoint(checkpoint)["callbacks"][RunKeeper.__qualname__]
    if state["rows"] and not _has_best(keeper):
        return None
    keeper.load_state_dict(state)
    return checkpoint


def _has_best(keeper: RunKeeper) -> bool:
    """Without the best epoch's network a run cannot be resumed: it may have no better epoch any more."""
    with suppress(InputError, FileNotFoundError):
        return load_model(keeper.run_dir / "best.ckpt")[1].get("run") == keeper.run
    return False


def _trainer(
    run_dir: Path,
    train: TrainConfig,
    epochs: int,
    accelerator: Accelerator,
    card: int | None,
    callbacks: list[Callback],
) -> Trainer:
    """A trainer that writes nothing of its own accord and leaves job control to the caller."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\..*")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    precision = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[train.precision]
    torch.set_num_threads(train.cpu_threads)
    return Trainer(
        accelerator=accelerator, devices=train.devices if card is None else [card], precision=precision,  # type: ignore[arg-type]
        strategy="ddp_find_unused_parameters_true" if train.devices > 1 else "auto", max_epochs=epochs,
        callbacks=callbacks, plugins=[AtomicCheckpointIO(), LightningEnvironment()], default_root_dir=run_dir,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, gradient_clip_val=train.grad_clip, deterministic=train.deterministic,
        use_distributed_sampler=False,
    )  # fmt: skip
