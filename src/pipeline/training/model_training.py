"""One training run, from arrays to the released model: an ensemble of networks and their ridge skip.

A run owns a folder.  Each network has a folder there (see
:mod:`pipeline.training.fitting`); the run's own ``metrics.csv`` holds the rows of all.
Started again, a run resumes where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from scipy.optimize import nnls

from pipeline.baselines.ridge import Ridge, correlation_per_band, cross_fitted, fit_ridge, frame_features
from pipeline.config.model import ModelConfig
from pipeline.config.train import TrainConfig
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import ACTIVE_STD_NATS, Architecture, NetworkRole, network_roles, resolve
from pipeline.training.fitting import (
    Accelerator,
    Fit,
    Fitted,
    LabelledRow,
    OnStep,
    Report,
    fit_network,
    fit_several,
    labelled,
    write_metrics,
)
from pipeline.training.lightning_module import DecoderTraining
from pipeline.training.workers import Worker, wait_for

Array = NDArray[np.float32]
Span = tuple[int, int, int]

CROSS_FOLDS = 5
SPEECH_WEIGHT = 2.0
PRIOR_SHARE = 2 / 3  # of the ensemble's weights
PRIOR_SKIP = 0.5  # the ridge skip's part of it
SUM_RANGE = (0.1, 1.25)
SEED_STEP = 1_000_003
SKIP_COLUMNS = 3072  # of the skip's lagged matrix: cross-fitting holds a Gram matrix per fold
SKIP_PENALTIES = (1e1, 1e2, 3e2, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6)


class Source(Protocol):
    """What a run needs of its data; :class:`pipeline.data.batches.TrainingData` has it."""

    @property
    def features(self) -> Sequence[Array]: ...
    @property
    def mel(self) -> Sequence[Array]: ...
    @property
    def subject(self) -> Sequence[int]: ...
    @property
    def length(self) -> int: ...
    @property
    def context(self) -> int: ...
    @property
    def rows_per_frame(self) -> int: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def n_channels(self) -> int: ...
    @property
    def n_subjects(self) -> int: ...
    def spans(self, role: str) -> list[Span]: ...
    def seconds(self, role: str) -> float: ...
    def loaders(
        self, batch_size: int, steps_per_epoch: int, seed: int, ridge_mel: Sequence[Array] = ()
    ) -> LightningDataModule: ...


@dataclass(frozen=True)
class FitOutcome:
    """How a run ended.  ``finished`` is false where it was interrupted: resume it, release nothing.

    ``best_val_loss`` (mean square, normalised mel) and ``val_r`` are the released model's,
    free-running and stitched over the validation block, which also set its ``ensemble_weights``: the
    weight of each network and of the ``ridge`` skip.  ``rows`` are the metrics of all epochs.
    """

    finished: bool
    preset: str
    epochs: int
    best_val_loss: float
    val_r: float
    rows: list[LabelledRow]
    ensemble_weights: dict[str, float]
    model: Ensemble | None = None


def run_title(model: ModelConfig, train: TrainConfig) -> str:
    """What sets a run apart, for people: the keys that differ from their defaults."""
    changed = {**model.model_dump(exclude_defaults=True), **train.model_dump(exclude_defaults=True)}
    return ",".join(f"{name}={value}" for name, value in sorted(changed.items()))[:120] or "defaults"


def train_model(
    data: Source,
    model: ModelConfig,
    train: TrainConfig,
    run_dir: Path,
    causal: bool = False,
    hop: int = 24,
    accelerator: Accelerator = "auto",
    on_epoch: Report | None = None,
    on_step: OnStep | None = None,
    workers: Sequence[Worker] = (),
) -> FitOutcome:
    """Train the networks that ``model`` asks for and weigh them on the validation block.

    Where there are ``workers``, networks are trained in them beside this process, with the
    same outcome to the bit.  ``on_epoch`` gets each metrics row, ``on_step`` (steps done,
    steps at most) of a network that is trained in this process.
    Raises :class:`~pipeline.training.lightning_module.NonFiniteLossError`.
    """
    torch.set_num_threads(train.cpu_threads)
    roles = network_roles(model, data.seconds("train"))
    skip_ridge = cache(partial(fit_skip_ridge, data, causal, train.clip_input))

    def fit_of(role: NetworkRole) -> Fit:
        module, loaders = _prepare(data, role, model, train, causal, skip_ridge)
        return Fit(module, loaders, run_dir / role.label, accelerator, run_title(model, train))

    fitted = _train_all(roles, fit_of, workers, on_epoch or (lambda row: None), on_step)
    rows = [labelled(role.label, row) for role, (_, epochs) in fitted.items() for row in epochs]
    networks = [network for network, _ in fitted.values() if network is not None]
    if len(networks) < len(roles):
        return FitOutcome(False, roles[0].preset, len(rows), float("inf"), 0.0, rows, {})
    write_metrics(run_dir / "metrics.csv", rows)
    ensemble = Ensemble.of(networks)
    loss, r = weigh_on_validation(ensemble, data, hop)
    ensemble_weights = dict(zip([*(role.label for role in roles), "ridge"], ensemble.weights.tolist(), strict=True))
    return FitOutcome(True, roles[0].preset, len(rows), loss, r, rows, ensemble_weights, ensemble)


def _train_all(
    roles: Sequence[NetworkRole], fit_of: Callable[[NetworkRole], Fit], workers: Sequence[Worker],
    report: Report, on_step: OnStep | None,
) -> dict[NetworkRole, Fitted]:  # fmt: skip
    """Network and metrics of each role; after an interruption some have none, or are missing.

    The roles are dealt out to this process and the ``workers``.  Those without a linear
    skip are started first, since they need not wait for it.
    """
    n_processes = min(1 + len(workers), len(roles))
    groups = sorted((roles[k::n_processes] for k in range(n_processes)), key=lambda group: -group[0].ridge_skip)
    busy = []
    for worker, group in zip(workers, reversed(groups[1:]), strict=False):
        worker.give(fit_several, ([fit_of(role) for role in group],), report)
        busy.append(worker)

    def watch(done: int, total: int) -> None:
        for worker in busy:
            worker.is_done()  # raises what it ended with
        if on_step:
            on_step(done, total)

    fitted = fit_several(map(fit_of, groups[0]), report, watch)
    known = dict(zip(groups[0], fitted, strict=False))
    if fitted[-1][0] is None or wait_for(busy):
        return known
    return {role: known.get(role) or fit_network(fit_of(role)) for role in roles}


def _prepare(
    data: Source, role: NetworkRole, model: ModelConfig, train: TrainConfig, causal: bool,
    skip_ridge: Callable[[], tuple[list[Ridge], list[Array]]],
) -> tuple[DecoderTraining, Callable[[int], LightningDataModule]]:  # fmt: skip
    """The untrained module of one role, and what makes its batches."""
    own = train.model_copy(update={"seed": train.seed + role.index * SEED_STEP})
    network = build_network(data, role, model, own, causal)
    ridge_mel: Sequence[Array] = ()
    if network.skip is not None:
        ridges, ridge_mel = skip_ridge()
        set_ridge_skip(network, ridges)
    _, recipe = resolve(role, network.a, model, own)
    names = data.names or [str(i) for i in range(len(data.mel))]
    module = DecoderTraining(network, recipe, own, names, _speech_level(data))
    return module, partial(data.loaders, own.batch_size, seed=own.seed, ridge_mel=ridge_mel)


def fit_skip_ridge(data: Source, causal: bool, clip: float) -> tuple[list[Ridge], list[Array]]:
    """A ridge per subject, as wide as the context, and its cross-fitted mel of the training frames.

    The network learns from the latter: what the ridge says of frames that it was fitted
    on is better than what it will say of new ones.
    """
    lags = (data.context, 0 if causal else data.context)
    ridges, ridge_mels = [], [np.zeros_like(mel) for mel in data.mel]
    for s in range(data.n_subjects):
        own = [r for r, subject in enumerate(data.subject) if subject == s]
        train, val = ([(own.index(r), i, j) for r, i, j in data.spans(role) if r in own] for role in ("train", "val"))
        frames, floor = frame_features([data.features[r] for r in own], train, data.rows_per_frame)
        mel = [data.mel[r] for r in own]
        ridge = fit_ridge(
            frames, mel, train, val or train, lags, SKIP_PENALTIES, clip,
            per_band=False, max_columns=SKIP_COLUMNS, by_relevance=True,
        )  # fmt: skip
        ridge = replace(ridge, power_floor=floor)
        for r, ridge_mel in zip(own, cross_fitted(frames, mel, train, ridge, CROSS_FOLDS), strict=True):
            ridge_mels[r] = ridge_mel
        ridges.append(ridge)
    return ridges, ridge_mels


def set_ridge_skip(network: Seq2Seq, ridges: Sequence[Ridge]) -> None:
    """Put each subject's ridge into the network's skip, in its normalised mel."""
    assert network.skip is not None
    scale, mean = network.mel_scale, network.mel_mean
    for subject, ridge in enumerate(ridges):
        network.skip.set(
            subject, torch.from_numpy(ridge.weights) / scale, torch.from_numpy(ridge.lags),
            (torch.from_numpy(ridge.intercept) - mean) / scale,
            torch.from_numpy(ridge.feature_mean), torch.from_numpy(ridge.feature_scale),
            None if ridge.power_floor is None else torch.from_numpy(ridge.power_floor),
        )  # fmt: skip


def weigh_on_validation(ensemble: Ensemble, data: Source, hop: int) -> tuple[float, float]:
    """Set the ensemble's weights; its loss and r, free-running, on the validation block."""
    n, first = len(ensemble.weights), ensemble.networks[0]
    mean, scale = first.mel_mean.numpy(), first.mel_scale.numpy()
    truth = np.concatenate([data.mel[r][a:b] for r, a, b in data.spans("val")])
    active = truth.std(axis=0) > ACTIVE_STD_NATS
    has_skip = any(network.skip is not None for network in ensemble.networks)
    parts = []
    for k in range(n if has_skip else n - 1):
        ensemble.weights.copy_(torch.eye(n)[k])
        parts.append(((_predict_validation(ensemble, data, hop) - mean) / scale)[:, active])
    target = ((truth - mean) / scale)[:, active]
    found = _weights(parts, target, truth.mean(axis=1) > _speech_level(data), _prior(len(parts), has_skip))
    ensemble.weights.zero_()
    ensemble.weights[: len(found)] = torch.from_numpy(found)
    weighted = np.tensordot(found, np.stack(parts), axes=1)
    r = correlation_per_band(weighted, target)
    return float(np.square(weighted - target).mean()), float(np.nanmean(r)) if np.isfinite(r).any() else 0.0


def _prior(n_parts: int, has_skip: bool) -> NDArray[np.float64]:
    """Shares without a look at validation: half for the skip, the rest for the networks alike."""
    n_networks = n_parts - has_skip
    skip = PRIOR_SKIP * has_skip
    return np.asarray([(1.0 - skip) / n_networks] * n_networks + [skip] * has_skip)


def _weights(
    parts: Sequence[Array], target: Array, speech: NDArray[np.bool_], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights of the ``parts`` (frame, band): non-negative least squares, drawn to ``prior`` shares of the same sum.

    Drawn, because a minute of validation cannot tell weights apart sharply.  Speech frames
    count once more, about their own mean: the contrast with silence would drown what is speech_part.
    The sum stays in :data:`SUM_RANGE`: a constant prediction has no correlation, and what
    shrinks to the mean because it knows nothing must not be blown up.
    """

    def column(x: Array) -> NDArray[np.float64]:
        speech_part = x[speech] - x[speech].mean(axis=0) if speech.any() else x[:0]
        return np.concatenate([x.ravel(), SPEECH_WEIGHT * speech_part.ravel()]).astype(np.float64)

    fitted, _ = nnls(np.stack([column(part) for part in parts], axis=1), column(target))
    total = float(np.clip(fitted.sum(), *SUM_RANGE))
    share = fitted / fitted.sum() if fitted.any() else prior
    return np.asarray(total * ((1 - PRIOR_SHARE) * share + PRIOR_SHARE * prior))


def _speech_level(data: Source) -> float:
    """Mean log-mel above which a frame is speech: midway between the 10th and 90th percentile of training frames."""
    loudness = np.concatenate([data.mel[r][a:b].mean(axis=1) for r, a, b in data.spans("train")])
    return float(np.percentile(loudness, [10, 90]).mean())


def _predict_validation(ensemble: Ensemble, data: Source, hop: int) -> Array:
    parts = [
        predict_continuous(ensemble, data.features[r], a, b, hop, subject=data.subject[r]).mel
        for r, a, b in data.spans("val")
    ]
    return np.concatenate(parts)


def build_network(data: Source, role: NetworkRole, model: ModelConfig, train: TrainConfig, causal: bool) -> Seq2Seq:
    """The untrained network for ``data``, its normalisation fitted on training frames, seeded by the config."""
    base = Architecture(
        n_channels=data.n_channels, n_bands=data.mel[0].shape[1], length_frames=data.length,
        context_frames=data.context, rows_per_frame=data.rows_per_frame, n_subjects=data.n_subjects, causal=causal,
    )  # fmt: skip
    architecture, _ = resolve(role, base, model, train)
    torch.manual_seed(train.seed)
    network = Seq2Seq(architecture)
    m, spans = data.rows_per_frame, data.spans("train")
    rows = [
        np.concatenate([data.features[r][a * m : b * m] for r, a, b in spans if data.subject[r] == s])
        for s in range(data.n_subjects)
    ]
    mel = np.concatenate([data.mel[r][a:b] for r, a, b in spans])
    network.fit_normalisation([torch.from_numpy(x) for x in rows], torch.from_numpy(mel))
    return network
