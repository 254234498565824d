"""One network's training: start or resume in a folder, validate and save each epoch, end.

The folder holds ``last.ckpt`` and its predecessor to resume from, ``best.ckpt`` (the
averaged weights of the best epoch), ``metrics.csv`` (one row per epoch) and TensorBoard's event files.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException

from pipeline.config.train import TrainConfig
from pipeline.errors import InputError
from pipeline.model.checkpoint import AtomicCheckpointIO, newest_valid_checkpoint, read_checkpoint
from pipeline.model.committee import Committee
from pipeline.model.event_file import EventFile
from pipeline.model.lightning_module import DecoderTraining
from pipeline.model.model_file import load_model, save_model, write_atomically
from pipeline.model.seq2seq import Seq2Seq

Accelerator = Literal["auto", "cpu", "gpu"]
Row = dict[str, float]


class RunKeeper(Callback):
    """At each epoch's end: metrics row, best model, checkpoint, early stop.  Its state is part of the checkpoint."""

    def __init__(self, run_dir: Path, title: str, patience: int, on_epoch: Callable[[Row], None] | None) -> None:
        self.run_dir, self.title, self.patience, self.on_epoch = run_dir, title, patience, on_epoch
        self.rows: list[Row] = []
        self.events: EventFile | None = None

    @property
    def best(self) -> Row:
        """The row of the smallest validation loss."""
        return min(self.rows, key=lambda row: row["val_loss"])

    @property
    def exhausted(self) -> bool:
        """No better epoch for ``patience`` epochs."""
        return bool(self.rows) and self.rows[-1]["epoch"] - self.best["epoch"] >= self.patience

    def ended(self, epochs: int) -> bool:
        """Training is done: all epochs, or stopped early."""
        return len(self.rows) >= epochs or self.exhausted

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        row = {"epoch": len(self.rows), "step": trainer.global_step, **pl_module.epoch_metrics()}
        self.rows.append(row)
        if self.best is row:
            save_model(self.run_dir / "best.ckpt", Committee.of([pl_module.average]), {"epoch": row["epoch"]})
        write_metrics(self.run_dir / "metrics.csv", self.rows)
        trainer.save_checkpoint(self.run_dir / "last.ckpt")
        self._show(row, pl_module)
        if self.on_epoch:
            self.on_epoch(row)
        if self.exhausted:
            trainer.should_stop = True

    def _show(self, row: Row, pl_module: Any) -> None:
        """To TensorBoard: the row, and every second epoch one validation window."""
        if self.events is None:
            # TensorBoard names a run after its folder.
            self.events = EventFile(self.run_dir / self.title, int(row["epoch"]))
        self.events.scalars(int(row["step"]), {k: v for k, v in row.items() if k not in ("epoch", "step")})
        if row["epoch"] % 2 == 0:
            self.events.images(int(row["step"]), pl_module.pictures)


class StepReport(Callback):
    """Tells the caller about every step, for a progress bar."""

    def __init__(self, on_step: Callable[[int, int], None] | None, n_steps: int) -> None:
        self.on_step, self.n_steps = on_step, n_steps

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if self.on_step:
            self.on_step(trainer.global_step, self.n_steps)


def write_metrics(path: Path, rows: Sequence[Mapping[str, float | str]]) -> None:
    """One line per epoch; numbers in the shortest form that reads back equal."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def fit_network(
    module: DecoderTraining,
    loaders: Callable[[int, torch.device], LightningDataModule],
    run_dir: Path,
    accelerator: Accelerator = "auto",
    on_epoch: Callable[[Row], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    title: str = "",
) -> tuple[Seq2Seq | None, list[Row]]:
    """Train ``module`` in ``run_dir``, resuming what is there: the best averaged network and the epochs' rows.

    ``loaders`` makes the batches, given the steps per epoch and the device; ``title`` names
    the run to people who compare it with others in TensorBoard.  The network
    is None where training was interrupted.  Raises :class:`~pipeline.model.lightning_module.NonFiniteLossError`.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    train = module.config
    steps = min(train.steps_per_epoch, module.recipe.max_steps)
    epochs = module.recipe.max_steps // steps
    keeper = RunKeeper(run_dir, title, train.patience, on_epoch)
    checkpoint = newest_valid_checkpoint(run_dir / "last.ckpt") if _is_whole(run_dir / "best.ckpt") else None
    if checkpoint is not None:
        keeper.load_state_dict(read_checkpoint(checkpoint)["callbacks"][RunKeeper.__qualname__])
    if not keeper.ended(epochs):
        trainer = _trainer(run_dir, train, epochs, accelerator, [keeper, StepReport(on_step, epochs * steps)])
        data = loaders(steps, trainer.strategy.root_device)
        with suppress(SIGTERMException, SystemExit):  # Lightning's answers to SIGTERM and Ctrl-C
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    best = load_model(run_dir / "best.ckpt")[0].networks[0] if keeper.ended(epochs) else None
    return best, keeper.rows


def _is_whole(model: Path) -> bool:
    """Without the best epoch's network a run cannot be resumed: it may have no better epoch any more."""
    with suppress(InputError, FileNotFoundError):
        return load_model(model) is not None
    return False


def _trainer(
    run_dir: Path, train: TrainConfig, epochs: int, accelerator: Accelerator, callbacks: list[Callback]
) -> Trainer:
    """A trainer that writes nothing of its own accord and leaves job control to the caller."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning.*")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    precision = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[train.precision]
    torch.set_num_threads(train.cpu_threads)
    return Trainer(
        accelerator=accelerator, devices=1, precision=precision, max_epochs=epochs,  # type: ignore[arg-type]
        callbacks=callbacks, plugins=[AtomicCheckpointIO(), LightningEnvironment()], default_root_dir=run_dir,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, gradient_clip_val=train.grad_clip, deterministic=train.deterministic,
        use_distributed_sampler=False,
    )  # fmt: skip
