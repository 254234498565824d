"""The training job: artifacts in, one trained network in the run's folder out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median_high
from typing import Any, cast

import torch

from pipeline.artifacts.core import Provenance, header
from pipeline.artifacts.paths import fold_of
from pipeline.artifacts.ridge_skip import RidgeSkip, read_ridge_skips
from pipeline.artifacts.sidecar import read_sidecar, write_sidecar
from pipeline.config.model import NetworkConfig, Preset
from pipeline.config.train import TrainStage
from pipeline.config.variants import FINAL, PAST_ONLY_SOUND, Fold
from pipeline.data.groups import WHOLE, Group
from pipeline.data.loading import SubjectData, inner_fold_of, read_subjects, session_groups, training_data
from pipeline.data.training_data import TrainingData
from pipeline.errors import EXIT_INTERRUPTED, EXIT_NON_FINITE_LOSS, EXIT_OUT_OF_MEMORY, StageFailureError
from pipeline.model.device import device_of
from pipeline.model.ensemble import Ensemble
from pipeline.model.model_file import model_digest, save_model
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import NetworkRole, preset_for
from pipeline.provenance.runs import METRICS, NETWORK, NETWORK_SIDECAR
from pipeline.stage import Stage
from pipeline.training.card import held_cards
from pipeline.training.fitting import Accelerator, Row, best_row
from pipeline.training.initial import Initial, refuse_other_mel, refuse_seen, seen_in_training, start_from
from pipeline.training.lightning_module import NonFiniteLossError
from pipeline.training.network import NetworkOutcome, train_network


def train_in(stage: Stage[TrainStage], run: Path, provenance: Provenance) -> str:
    """Train and write ``network.ckpt`` and ``metrics.csv`` into ``run``; returns what came out in a line.

    Raises :class:`StageFailureError` with its exit code when training was interrupted
    (call again to resume), when the loss is not finite, or when memory ran out.
    """
    role, options = NetworkRole.named(stage.options["network"]), stage.options
    subjects = list(read_subjects(stage.files["windows"], stage.files["aligned"], stage.files["mel"], stage.config))
    fold = fold_of(options["fold"])
    initial = _initial(stage, subjects, fold)
    inner_fold = inner_fold_of(subjects[0][0], fold, role.index)
    by_session = stage.config.train.scale_by == "session"
    data = training_data(subjects, fold, options["variant"], stage.config, inner_fold, by_session)
    skips = (
        read_ridge_skips(stage.files["ridge"], [index.recordings for index, _ in subjects], inner_fold)
        if role.ridge_skip
        else []
    )
    if fold == FINAL:
        settings = Settings.of(stage.files["folds"])
    else:  # networks of one model have one preset, which goes by the first one's data
        first = training_data(subjects, fold, options["variant"], stage.config) if inner_fold else data
        settings = Settings(_preset(stage.config.model, first.seconds("train"), initial))
    start = None
    if initial is not None:
        start = partial(start_from, initial=initial, role=role, channels=_channels(subjects, by_session))
    outcome = _fit(stage, data, role, skips, run, settings, start)
    if outcome.network is None:
        raise StageFailureError("training was interrupted; start again to resume it", EXIT_INTERRUPTED)
    model, meta = Ensemble.of([outcome.network]), _meta(stage, subjects, outcome, initial)
    save_model(run / NETWORK, model, meta)
    files = [run / NETWORK, run / METRICS]
    write_sidecar(run / NETWORK_SIDECAR, "train", files, provenance, model_digest(model), **meta)
    scored = "on everything" if fold == FINAL else f"validation r {meta['val_r']:.3f}"
    return f"{outcome.preset}, {meta['epochs']} epochs, {scored}"


def _initial(stage: Stage[TrainStage], subjects: Sequence[SubjectData], fold: Fold) -> Initial | None:
    """The model to start from.  Raises :class:`InputError` where it has seen what is tested, or has another mel."""
    if not stage.files["init"]:
        return None
    initial = Initial.read(stage.file("init"))
    refuse_other_mel(initial, _mel_settings(stage))
    refuse_seen(initial, subjects, fold)
    return initial


def _channels(subjects: Sequence[SubjectData], by_session: bool) -> list[tuple[Group, Sequence[str]]]:
    """Subject, session and feature names of all that has an input layer; the session of a subject that has one."""
    names = {index.subject: arrays.feature_names for index, arrays in subjects}
    single = {index.subject: index.session_names[0] for index, _ in subjects if len(index.session_names) == 1}
    groups = session_groups(subjects, by_session)
    return [((subject, session or single.get(subject, WHOLE)), names[subject]) for subject, session in groups]


def _mel_settings(stage: Stage[TrainStage]) -> dict[str, Any]:
    """All that the mel was computed with, of which training itself reads the grid alone."""
    return dict(json.loads(header(stage.files["mel"][0])["config_json"])["mel"])


def _preset(model: NetworkConfig, train_s: float, initial: Initial | None) -> Preset:
    """What auto comes to: by the amount of data, or the preset of the model that training starts from."""
    return initial.meta["preset"] if initial is not None and model.preset == "auto" else preset_for(model, train_s)


@dataclass(frozen=True)
class Settings:
    """Preset and, where the folds' networks of its name tell the final model's, optimiser steps."""

    preset: Preset
    steps: int | None = None

    @classmethod
    def of(cls, sidecars: Sequence[Path]) -> Settings:
        """The most frequent preset, and the median of the steps to the best epoch, the later of the middle two."""
        folds = [read_sidecar(path) for path in sidecars]
        ((preset, _),) = Counter(fold["preset"] for fold in folds).most_common(1)
        return cls(preset, median_high(fold["best_step"] for fold in folds if fold["preset"] == preset))


def _fit(
    stage: Stage[TrainStage], data: TrainingData, role: NetworkRole, skips: Sequence[RidgeSkip], run: Path,
    settings: Settings, start: Callable[[Seq2Seq], None] | None,
) -> NetworkOutcome:  # fmt: skip
    config = stage.config
    model = config.model.model_copy(update={"preset": settings.preset})
    torch.set_num_threads(config.train.cpu_threads)
    try:
        with _card(stage) as card, stage.counter("steps") as count:
            return train_network(
                data,
                role,
                model,
                config.train,
                run,
                skips,
                causal=config.causal or stage.options["variant"] == PAST_ONLY_SOUND,
                accelerator=cast(Accelerator, stage.options["accelerator"] or "auto"),
                card=card,
                max_steps=settings.steps,
                start=start,
                on_epoch=lambda row: stage.log.info("%s", _epoch_line(role.name, row)),
                on_step=count,
            )
    except NonFiniteLossError as error:
        raise StageFailureError(str(error), EXIT_NON_FINITE_LOSS) from error
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        message = (
            f"out of memory with train.batch_size {config.train.batch_size} and windows of "
            f"{config.window.length_s:g} s; lower one of them"
        )
        raise StageFailureError(message, EXIT_OUT_OF_MEMORY) from error


@contextmanager
def _card(stage: Stage[TrainStage]) -> Iterator[int | None]:
    """The one GPU to train on, held meanwhile; None on a CPU, and where several devices share each batch."""
    if device_of(stage.options["accelerator"]) == "cpu":
        yield None
        return
    devices = stage.config.train.devices
    cards = [str(torch.cuda.get_device_properties(place).uuid) for place in range(torch.cuda.device_count())]
    with held_cards(cards, devices, stage.log) as places:
        yield places[0] if devices == 1 else None


def _is_out_of_memory(error: Exception) -> bool:
    """On a GPU torch has a type for it, on the CPU only words."""
    is_named = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
    return is_named or "DefaultCPUAllocator" in str(error)


def _epoch_line(network: str, row: Row) -> str:
    shown = [f"{name} {value:.4f}" for name, value in row.items() if name.startswith(("train_", "val_"))]
    return f"train: {network} epoch {row['epoch']}: " + ", ".join(shown)


def _meta(
    stage: Stage[TrainStage], subjects: Sequence[SubjectData], outcome: NetworkOutcome, initial: Initial | None
) -> dict[str, Any]:
    """What a network has to know of itself to be used elsewhere; scores where it was validated."""
    first, best, fold = subjects[0][0], best_row(outcome.rows), fold_of(stage.options["fold"])
    scores = {"best_val_loss": best["val_loss"], "val_r": best["val_r"]} if "val_loss" in best else {}
    return {
        "network": stage.options["network"],
        "subjects": [index.subject for index, _ in subjects],
        "groups": session_groups(subjects, stage.config.train.scale_by == "session"),
        "fold": fold,
        "variant": stage.options["variant"],
        "recordings": [name for index, _ in subjects for name in index.recordings],
        "simulated": any(bool(index.attributes["simulated"]) for index, _ in subjects),
        "feature_names": {index.subject: list(arrays.feature_names) for index, arrays in subjects},
        "feature_rate_hz": {index.subject: arrays.feature_rate_hz for index, arrays in subjects},
        "hop_frames": int(first.attributes["hop_frames"]),
        "config": stage.config.model_dump(mode="json"),
        "mel": _mel_settings(stage),
        "seen": seen_in_training(subjects, fold, initial),
        "init_from": None if initial is None else initial.summary(subjects, fold),
        "preset": outcome.preset,
        "epochs": len(outcome.rows),
        "best_step": int(best["step"]),
        **scores,
    }
