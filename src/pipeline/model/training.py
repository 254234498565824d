"""One training run, from arrays to the released model: start, resume, finish.

A run owns a folder.  Each preset that it tries has a folder there with ``last.ckpt``
(and its predecessor) to resume from, ``best.ckpt`` (the averaged weights of the best
epoch), ``metrics.csv`` (one row per epoch) and TensorBoard's event files; the run's own
``metrics.csv`` holds the rows of all presets.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment

from pipeline.config.model import ModelConfig
from pipeline.config.train import TrainConfig
from pipeline.model.checkpoint import AtomicCheckpointIO, newest_valid_checkpoint, read_checkpoint
from pipeline.model.event_file import EventFile
from pipeline.model.inference import predict_continuous
from pipeline.model.lightning_module import DecoderTraining
from pipeline.model.model_file import load_model, save_model, write_atomically
from pipeline.model.presets import Architecture, candidates, resolve
from pipeline.model.ridge import Ridge, cross_fitted, fit_ridge, frame_features
from pipeline.model.seq2seq import Seq2Seq

Array = NDArray[np.float32]
Span = tuple[int, int, int]
Accelerator = Literal["auto", "cpu", "gpu"]
CROSS_FOLDS = 5
SKIP_PENALTIES = (1e1, 1e2, 3e2, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6)


class Source(Protocol):
    """What a run needs of its data; :class:`pipeline.data.batches.TrainingData` has it."""

    features: Sequence[Array]
    mel: Sequence[Array]
    subject: Sequence[int]
    length: int
    context: int
    oversampling: int
    names: Sequence[str]

    @property
    def n_channels(self) -> int: ...
    @property
    def n_subjects(self) -> int: ...
    def spans(self, role: str) -> list[Span]: ...
    def seconds(self, role: str) -> float: ...
    def loaders(
        self, batch_size: int, steps_per_epoch: int, seed: int, device: torch.device, estimate: Sequence[Array] = ()
    ) -> LightningDataModule: ...


@dataclass(frozen=True)
class FitOutcome:
    """How a run ended.  ``finished`` is false where it was interrupted: resume it, release nothing.

    ``best_val_loss`` and ``val_r`` are the network's own, free-running, of its best epoch;
    ``mix`` the weights of network and linear skip in the released ``model``; ``rows`` the metrics per epoch.
    """

    finished: bool
    preset: str
    epochs: int
    best_epoch: int
    best_val_loss: float
    val_r: float
    rows: list[dict[str, float | str]]
    model: Seq2Seq | None = None
    mix: tuple[float, float] = (1.0, 0.0)


class RunKeeper(Callback):
    """At each epoch's end: metrics row, best model, checkpoint, early stop.  Its state is part of the checkpoint."""

    def __init__(self, run_dir: Path, patience: int, on_epoch: Callable[[dict[str, float]], None] | None) -> None:
        self.run_dir, self.patience, self.on_epoch = run_dir, patience, on_epoch
        self.rows: list[dict[str, float]] = []
        self.events: EventFile | None = None

    @property
    def best(self) -> dict[str, float]:
        """The row of the smallest validation loss."""
        return min(self.rows, key=lambda row: row["val_loss"])

    @property
    def exhausted(self) -> bool:
        """No better epoch for ``patience`` epochs."""
        return bool(self.rows) and self.rows[-1]["epoch"] - self.best["epoch"] >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        row = {"epoch": len(self.rows), "step": trainer.global_step, **pl_module.epoch_metrics()}
        self.rows.append(row)
        if self.best is row:
            save_model(self.run_dir / "best.ckpt", pl_module.average, {"epoch": row["epoch"], "val_r": row["val_r"]})
        write_metrics(self.run_dir / "metrics.csv", self.rows)
        trainer.save_checkpoint(self.run_dir / "last.ckpt")
        self._show(row, pl_module)
        if self.on_epoch:
            self.on_epoch(row)
        if self.exhausted:
            trainer.should_stop = True

    def _show(self, row: dict[str, float], pl_module: Any) -> None:
        """To TensorBoard: the row, and every second epoch one validation window."""
        if self.events is None:
            self.events = EventFile(self.run_dir, int(row["epoch"]))
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


def train_model(
    data: Source,
    model: ModelConfig,
    train: TrainConfig,
    run_dir: Path,
    causal: bool = False,
    hop: int = 24,
    accelerator: Accelerator = "auto",
    on_epoch: Callable[[dict[str, float | str]], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> FitOutcome:
    """Train the preset, or auto's candidates, and mix the winner with its linear skip on validation.

    Resumes what ``run_dir`` holds.  ``on_epoch`` gets each metrics row, ``on_step`` (steps
    done, steps at most).  Raises :class:`~pipeline.model.lightning_module.NonFiniteLossError`.
    """
    outcomes: list[FitOutcome] = []
    linear = fit_linear(data, causal, train.clip_input) if model.linear_skip else None
    for preset in candidates(model.preset, data.seconds("train")):
        report = partial(_report, preset, on_epoch)
        outcome = train_one(data, preset, model, train, run_dir / preset, linear, causal, accelerator, report, on_step)
        outcomes.append(outcome)
        if not outcome.finished:
            return outcome
        write_metrics(run_dir / "metrics.csv", [row for o in outcomes for row in o.rows])
    best = min(outcomes, key=lambda outcome: outcome.best_val_loss)
    assert best.model is not None
    if best.model.skip is not None:
        mix_on_validation(best.model, data, hop)
    rows = [row for outcome in outcomes for row in outcome.rows]
    first, second = best.model.mix.tolist()
    return replace(best, rows=rows, mix=(first, second))


def _report(preset: str, on_epoch: Callable[[dict[str, float | str]], None] | None, row: dict[str, float]) -> None:
    if on_epoch:
        on_epoch({"preset": preset, **row})


def fit_linear(data: Source, causal: bool, clip: float) -> tuple[list[Ridge], list[Array]]:
    """A ridge per subject, as wide as the context, and its cross-fitted estimate of the training frames.

    The network learns from the latter: what the ridge says of frames that it was fitted
    on is better than what it will say of new ones.
    """
    lags = (data.context, 0 if causal else data.context)
    ridges, estimates = [], [np.zeros_like(mel) for mel in data.mel]
    for s in range(data.n_subjects):
        own = [r for r, subject in enumerate(data.subject) if subject == s]
        frames, mel = [frame_features(data.features[r], data.oversampling) for r in own], [data.mel[r] for r in own]
        train, val = ([(own.index(r), i, j) for r, i, j in data.spans(role) if r in own] for role in ("train", "val"))
        ridge = fit_ridge(frames, mel, train, val or train, lags, SKIP_PENALTIES, clip, per_band=False)
        for r, estimate in zip(own, cross_fitted(frames, mel, train, ridge, CROSS_FOLDS), strict=True):
            estimates[r] = estimate
        ridges.append(ridge)
    return ridges, estimates


def set_linear_skip(network: Seq2Seq, ridges: Sequence[Ridge]) -> None:
    """Put each subject's ridge into the network's skip, in its normalised mel."""
    assert network.skip is not None
    scale, mean = network.mel_scale, network.mel_mean
    for subject, ridge in enumerate(ridges):
        network.skip.set(
            subject, torch.from_numpy(ridge.weights) / scale, torch.from_numpy(ridge.lags),
            (torch.from_numpy(ridge.intercept) - mean) / scale,
            torch.from_numpy(ridge.feature_mean), torch.from_numpy(ridge.feature_scale),
        )  # fmt: skip


def mix_on_validation(network: Seq2Seq, data: Source, hop: int) -> None:
    """Set the weights of decoder and skip: least squares on the validation block, none negative."""
    sides: list[Array] = []
    for mix in ((1.0, 0.0), (0.0, 1.0)):
        network.mix.copy_(torch.tensor(mix))
        sides.append(_predict_spans(network, data, hop))
    truth = np.concatenate([data.mel[r][a:b] for r, a, b in data.spans("val")])
    live = truth.std(axis=0) > 1e-3
    mean, scale = network.mel_mean.numpy(), network.mel_scale.numpy()
    decoder, skip, target = (((x - mean) / scale)[:, live].ravel().astype(np.float64) for x in (*sides, truth))
    network.mix.copy_(torch.tensor(_two_weights(decoder, skip, target)))


def _predict_spans(network: Seq2Seq, data: Source, hop: int) -> Array:
    parts = [
        predict_continuous(network, data.features[r], a, b, hop, subject=data.subject[r]).mel
        for r, a, b in data.spans("val")
    ]
    return np.concatenate(parts)


def _two_weights(a: NDArray[np.float64], b: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Non-negative least squares of y on a and b."""
    aa, bb, ab, ay, by = float(a @ a), float(b @ b), float(a @ b), float(a @ y), float(b @ y)
    det = aa * bb - ab * ab
    if det > 1e-9 * aa * bb:
        both = ((bb * ay - ab * by) / det, (aa * by - ab * ay) / det)
        if min(both) >= 0:
            return both
    alone = [(max(ay, 0.0) / aa if aa else 0.0, 0.0), (0.0, max(by, 0.0) / bb if bb else 0.0)]
    gains = [max(ay, 0.0) ** 2 / aa if aa else 0.0, max(by, 0.0) ** 2 / bb if bb else 0.0]
    return alone[0] if gains[0] >= gains[1] else alone[1]


def build_model(data: Source, preset: str, model: ModelConfig, train: TrainConfig, causal: bool) -> Seq2Seq:
    """The untrained network for ``data``, its normalisation fitted on training frames, seeded by the config."""
    base = Architecture(
        n_channels=data.n_channels, n_bands=data.mel[0].shape[1], length_frames=data.length,
        context_frames=data.context, oversampling=data.oversampling, n_subjects=data.n_subjects, causal=causal,
    )  # fmt: skip
    architecture, _ = resolve(preset, base, model, train)
    torch.manual_seed(train.seed)
    network = Seq2Seq(architecture)
    m, spans = data.oversampling, data.spans("train")
    rows = [
        np.concatenate([data.features[r][a * m : b * m] for r, a, b in spans if data.subject[r] == s])
        for s in range(data.n_subjects)
    ]
    mel = np.concatenate([data.mel[r][a:b] for r, a, b in spans])
    network.fit_normalisation([torch.from_numpy(x) for x in rows], torch.from_numpy(mel))
    return network


def train_one(
    data: Source,
    preset: str,
    model: ModelConfig,
    train: TrainConfig,
    run_dir: Path,
    linear: tuple[list[Ridge], list[Array]] | None = None,
    causal: bool = False,
    accelerator: Accelerator = "auto",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> FitOutcome:
    """Train one preset in ``run_dir``, resuming what is there."""
    run_dir.mkdir(parents=True, exist_ok=True)
    network = build_model(data, preset, model, train, causal)
    if linear is not None:
        set_linear_skip(network, linear[0])
    _, recipe = resolve(preset, network.a, model, train)
    module = DecoderTraining(network, recipe, train, data.names or [str(i) for i in range(len(data.mel))])
    keeper = RunKeeper(run_dir, train.patience, on_epoch)
    steps = min(train.steps_per_epoch, recipe.max_steps)
    epochs = -(-recipe.max_steps // steps)
    checkpoint = newest_valid_checkpoint(run_dir / "last.ckpt")
    if checkpoint is not None:
        keeper.load_state_dict(_keeper_state(checkpoint))
    done = len(keeper.rows) >= epochs or keeper.exhausted
    if not done:
        trainer = _trainer(run_dir, train, epochs, accelerator, [keeper, StepReport(on_step, epochs * steps)])
        loaders = data.loaders(train.batch_size, steps, train.seed, trainer.strategy.root_device, linear[1] if linear else ())
        trainer.fit(module, datamodule=loaders, ckpt_path=checkpoint, weights_only=True)
        done = len(keeper.rows) >= epochs or keeper.exhausted
    return _outcome(run_dir, preset, keeper, done)


def _outcome(run_dir: Path, preset: str, keeper: RunKeeper, done: bool) -> FitOutcome:
    if not keeper.rows:
        return FitOutcome(False, preset, 0, -1, float("inf"), 0.0, [])
    best = keeper.best
    network = load_model(run_dir / "best.ckpt")[0] if done else None
    rows: list[dict[str, float | str]] = [{"preset": preset, **row} for row in keeper.rows]
    return FitOutcome(done, preset, len(rows), int(best["epoch"]), best["val_loss"], best["val_r"], rows, network)


def _keeper_state(checkpoint: Path) -> dict[str, Any]:
    state = read_checkpoint(checkpoint)["callbacks"]
    return dict(state[RunKeeper.__qualname__])


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
