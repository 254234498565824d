"""One network, from arrays to its trained weights.

A run owns a folder (see :mod:`pipeline.training.fitting`).  Started again, it resumes where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline.artifacts.ridge_skip import RidgeSkip
from pipeline.config.mel_grid import nearest_frames
from pipeline.config.model import NetworkConfig
from pipeline.config.train import TrainConfig
from pipeline.data.batches import WindowData
from pipeline.data.training_data import TrainingData
from pipeline.model.network import Seq2Seq, make_network
from pipeline.model.presets import Architecture, NetworkRole, preset_for, resolve, run_title
from pipeline.training.fitting import Accelerator, Fit, OnStep, Row, fit_network
from pipeline.training.lightning_module import DecoderTraining

SEED_STEP = 1_000_003


@dataclass(frozen=True)
class NetworkOutcome:
    """How a run ended: ``network`` is None where it was interrupted (resume it, release nothing).

    ``rows`` are the metrics of its epochs, ``preset`` what it was trained with.
    """

    network: Seq2Seq | None
    preset: str
    rows: list[Row]


def train_network(
    data: TrainingData,
    role: NetworkRole,
    model: NetworkConfig,
    train: TrainConfig,
    run_dir: Path,
    skips: Sequence[RidgeSkip] = (),
    causal: bool = False,
    accelerator: Accelerator = "auto",
    card: int | None = None,
    max_steps: int | None = None,
    start: Callable[[Seq2Seq], None] | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    on_step: OnStep | None = None,
) -> NetworkOutcome:
    """Train one network in ``run_dir``.

    ``skips`` holds each subject's ridge where the role corrects one; ``card`` is the GPU to take, None any.
    ``max_steps`` ends training early, with the schedule of the config; ``start`` gives the untrained network other
    weights than random ones.
    ``on_epoch`` gets each metrics row, ``on_step`` steps done and steps at most.
    Raises :class:`~pipeline.training.lightning_module.NonFiniteLossError`.
    """
    torch.set_num_threads(train.cpu_threads)
    own = train.model_copy(update={"seed": train.seed + role.index * SEED_STEP})
    network = build_network(data, role, model, own, causal, start)
    if role.ridge_skip:
        network.correct([skips[subject].fitted for subject in data.subject_of])
    ridge_mel = {name: mel for skip in skips for name, mel in skip.mel.items()}
    preset = preset_for(model, data.seconds("train"))
    _, recipe = resolve(role, preset, network.a, model, own)
    names = data.names or [str(i) for i in range(len(data.mel))]
    module = DecoderTraining(network, recipe, own, names, data.speech_levels_nats)
    loaders = partial(
        WindowData, data, own.batch_size, seed=own.seed, ridge_mel=[ridge_mel[name] for name in names if ridge_mel]
    )
    fit = Fit(module, loaders, run_dir, accelerator, run_title(preset, model, train), card, max_steps)
    trained, rows = fit_network(fit, on_epoch, on_step)
    return NetworkOutcome(trained, preset, rows)


def build_network(
    data: TrainingData, role: NetworkRole, model: NetworkConfig, train: TrainConfig, causal: bool,
    start: Callable[[Seq2Seq], None] | None = None,
) -> Seq2Seq:  # fmt: skip
    """The untrained network for ``data``, its normalisation fitted on training frames, seeded by the config."""
    base = Architecture(
        n_channels=data.n_channels, n_bands=data.mel[0].shape[1], length_frames=data.length,
        context_frames=data.context, rows_per_frame=data.rows_per_frame, n_subjects=data.n_subjects, causal=causal,
        attention_width_frames=nearest_frames(model.attention_width_s, data.frame_rate_hz),
        attention_offset_frames=nearest_frames(model.attention_offset_s, data.frame_rate_hz),
    )  # fmt: skip
    architecture, _ = resolve(role, preset_for(model, data.seconds("train")), base, model, train)
    torch.manual_seed(train.seed)
    network = make_network(architecture)
    if start is not None:
        start(network)
    m, spans = data.rows_per_frame, [data.training_spans(index) for index in range(data.n_subjects)]
    rows = [np.concatenate([data.features[r][a * m : b * m] for r, a, b in own]) for own in spans]
    mels = [np.concatenate([data.mel[r][a:b] for r, a, b in own]) for own in spans]
    network.fit_normalisation([torch.from_numpy(x) for x in rows], [torch.from_numpy(x) for x in mels])
    return network
