"""Free-running predictions of a fold's test blocks, beside the target.

The validation blocks are predicted, too, with the ridge of the training frames: nothing that the prediction rests on
was fitted on them, though networks were stopped and weighed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.artifacts.aligned import aligned_trials
from pipeline.artifacts.core import content_digest
from pipeline.artifacts.files import atomic_path
from pipeline.artifacts.mel import band_centres_hz
from pipeline.artifacts.predictions import PREDICTIONS, PredictedBlock, PredictedFold, write_predicted
from pipeline.artifacts.ridge_skip import read_ridge_skip
from pipeline.artifacts.sidecar import refuse_damaged
from pipeline.artifacts.windows import BlockRow, Windows, read_windows
from pipeline.config.predict import PredictStage
from pipeline.config.variants import FULL, NULL
from pipeline.data.groups import group_index, model_groups, owners_of
from pipeline.data.loading import inner_fold_of
from pipeline.data.subject import SubjectArrays, load_subject
from pipeline.errors import Problem, raise_if_any
from pipeline.evaluation.importance import channel_groups, contacts_of, permutation_importance, why_not
from pipeline.model.device import device_of
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import Model, Prediction, diagonality, latency_frames, predict_continuous
from pipeline.model.model_file import load_model, model_digest, serialise, write_atomically
from pipeline.provenance.runs import skip_contents
from pipeline.stage import Stage

Extras = dict[str, tuple[np.ndarray, tuple[str, ...]]]


def predict(stage: Stage[PredictStage]) -> str:
    config, fold = stage.config, _fold(stage)
    windows = read_windows(stage.file("windows"))
    rate_hz = config.mel.frame_rate_hz
    arrays = load_subject(windows, stage.files["aligned"], stage.files["mel"], config)
    refuse_damaged(stage.file("model").with_suffix(".json"))
    model, meta = load_model(stage.file("model"))
    _refuse_foreign(stage, meta, windows.subject, arrays.feature_names)
    model = model.to(device_of(stage.options["accelerator"]))
    hop = config.mel.frames(config.window.hop_s)
    groups = [group_index(model_groups(meta), windows.subject, session) for session in windows.sessions]
    extras: Extras = {}

    def predicted(block: BlockRow) -> PredictedBlock:
        r, start, stop = block.recording, block.start, block.stop
        kept = 0 if extras else config.predict.attention_windows
        predict = partial(predict_continuous, model, arrays.features[r], start, stop, hop, subject=groups[r])
        free, forced = predict(n_attention=kept), predict(target=arrays.mel[r])
        if kept:
            extras.update(_attention(free, model))
        times_s = config.mel.first_frame_s + np.arange(start, stop) / rate_hz
        series = {"target": arrays.mel[r][start:stop], "model": free.mel, "model_teacher_forced": forced.mel}
        return PredictedBlock(windows.recordings[r], start, times_s, series)

    latency = latency_frames(model)
    attributes = {
        "subject": windows.subject,
        "fold": fold,
        "simulated": bool(windows.attributes["simulated"]),
        "causal": config.causal,
        "normalisation": config.train.normalisation,
        "preset": meta["preset"],
        "seed": meta["config"]["train"]["seed"],
        "model_digest": model_digest(model),
        "algorithmic_latency_ms": None if latency is None else 1e3 * max(latency) / rate_hz,
    }
    tests = windows.blocks_of(fold, "test")
    blocks = [predicted(b) for b in stage.progress(tests, "blocks")]
    if config.predict.importance and meta["variant"] == FULL:
        spans = [(b.recording, b.start, b.stop) for b in tests]
        found, reasons = _importance(stage, model, arrays, spans, groups)
        extras |= found
        attributes |= reasons
    extras["band_hz"] = (band_centres_hz(stage.files["mel"][0]), ("mel",))
    # Of a null, what the ridge made of shifted signals and networks of unshifted ones would not be one model.
    is_null = meta["variant"].startswith(NULL)
    out_of_fold = [] if is_null else _out_of_fold(stage, model, windows, arrays, meta, groups)
    result = PredictedFold(blocks, attributes, extras, out_of_fold)
    inputs = [*stage.files["windows"], *stage.files["mel"], *stage.files["aligned"]]
    digests = [
        *((p, content_digest(p)) for p in inputs),
        *skip_contents(stage.files["ridge"]),
        (stage.file("model").with_suffix(".json"), attributes["model_digest"]),
    ]
    output = stage.file("output")
    write_predicted(output, PREDICTIONS, result, stage.provenance(digests))
    write_mels(result, output.with_suffix(""), npy=config.export.npy, pt=config.export.pt)
    return f"{sum(len(b.time_s) for b in result.blocks)} frames in {len(result.blocks)} block(s) → {output}"


def _out_of_fold(
    stage: Stage[PredictStage], model: Ensemble, windows: Windows, arrays: SubjectArrays, meta: dict[str, Any],
    groups: Sequence[int],
) -> list[PredictedBlock]:  # fmt: skip
    """The model on the validation blocks: its networks that had not seen them stand for all, as has their ridge.

    They get the ridge of the training frames before, and keep it.  ``groups`` are the numbers of the recordings'
    sessions in the model.
    """
    config, fold, found = stage.config, _fold(stage), []
    subject = meta["subjects"].index(windows.subject)
    blocks = windows.blocks_of(fold, "validation")
    names = sorted({windows.recordings[block.recording] for block in blocks})
    skips = [read_ridge_skip(path, names if i == subject else []) for i, path in enumerate(stage.files["ridge"])]
    blind = [n for k, n in enumerate(model.networks) if inner_fold_of(windows, fold, k) == 0]
    for network in blind:
        if network.skip is not None:
            network.correct([skips[owner].fitted for owner in owners_of(model_groups(meta))])
    hop = config.mel.frames(config.window.hop_s)
    weights = model.weights.cpu().numpy()
    for block in blocks:
        r, start, stop = block.recording, block.start, block.stop
        name, group = windows.recordings[r], groups[r]
        mean, _ = blind[0].mel_scaling(torch.tensor([group], device=blind[0].mel_mean.device))
        centre = mean.cpu().numpy().reshape(-1)
        own = [predict_continuous(n, arrays.features[r], start, stop, hop, subject=group).mel for n in blind]
        mel = centre + weights[:-1].sum() * (np.mean(own, axis=0) - centre)
        if skips:
            mel = mel + weights[-1] * (skips[subject].mel[name][start:stop] - centre)
        times_s = config.mel.first_frame_s + np.arange(start, stop) / config.mel.frame_rate_hz
        series = {"target": arrays.mel[r][start:stop], "model": mel.astype(np.float32)}
        found.append(PredictedBlock(name, start, times_s, series))
    return found


def _fold(stage: Stage[PredictStage]) -> int:
    """The number of the fold: the final model has nothing to be tested on."""
    return int(stage.options["fold"].removeprefix("fold"))


def _refuse_foreign(stage: Stage[PredictStage], meta: dict[str, Any], subject: str, channels: Sequence[str]) -> None:
    """Raise :class:`InputError` for the model of another subject, fold, montage or config."""
    config = stage.config.model_dump(mode="json")
    trained, sections = meta["config"], ("mel", "window")
    expected = {f"{s}.{k}": config[s].get(k) for s in sections for k in trained[s]} | {"causal": config["causal"]}
    found = {f"{s}.{k}": v for s in sections for k, v in trained[s].items()} | {"causal": trained["causal"]}
    expected |= {"fold": _fold(stage), "channels": list(channels)}
    found |= {"fold": meta["fold"], "channels": meta["feature_names"].get(subject)}
    file, fix = str(stage.file("model")), "Name the model that this config trained, or rerun the stage train"
    raise_if_any(
        Problem(file, key, str(found[key])[:80], str(expected[key])[:80], fix)
        for key in expected
        if found[key] != expected[key]
    )


def _attention(prediction: Prediction, model: Model) -> Extras:
    """Attention of the kept windows, with the frames of its axes and how diagonal each head is."""
    axes = model.attention_axes
    return {
        "attention/weights": (prediction.attention, ("window", "head", "output", "encoder")),
        "attention/start_frame": (prediction.attention_starts, ("window",)),
        "attention/diagonality": (diagonality(prediction.attention, model), ("head",)),
        "attention/output_frame": (axes.group_frames.cpu().numpy(), ("output",)),
        "attention/encoder_frame": (axes.position_frames.cpu().numpy(), ("encoder",)),
    }


def _importance(
    stage: Stage[PredictStage], model: Model, arrays: SubjectArrays, spans: list[tuple[int, int, int]],
    subjects: Sequence[int],
) -> tuple[Extras, dict[str, str]]:  # fmt: skip
    """Names and losses of r by shaft and by region; attributes that say why one is left out.

    ``subjects`` are the numbers of the recordings' sessions in the model.
    """
    extras: Extras = {}
    reasons = {}
    info = aligned_trials(stage.files["aligned"][0])[0]
    groups_of = channel_groups(arrays.feature_names, info)
    if contacts := contacts_of(arrays.feature_names, info):
        extras["contacts/position"] = (contacts.position, ("contact", "axis"))
        for kind in groups_of:
            extras[f"contacts/{kind}"] = (np.char.encode(getattr(contacts, kind), "utf-8"), ("contact",))
    for kind, groups in groups_of.items():
        if reason := why_not(groups):
            reasons[f"importance_{kind}_reason"] = reason
            continue
        n, seed = stage.config.predict.importance_shifts, [_fold(stage)]
        rate_hz = stage.config.mel.frame_rate_hz
        own = [subjects[r] for r, _, _ in spans]
        found = permutation_importance(model, arrays, spans, groups, n, subjects=own, seed=seed, frame_rate_hz=rate_hz)
        extras[f"importance/{kind}_name"] = (np.char.encode(found.names, "utf-8"), ("group",))
        extras[f"importance/{kind}_drop"] = (found.drop, ("group", "shift"))
        extras[f"importance/{kind}_piece_drop"] = (found.piece_drop, ("group", "piece"))
    return extras, reasons


def write_mels(fold: PredictedFold, folder: Path, *, npy: bool = False, pt: bool = False) -> None:
    """Target and predicted mels of each block, as ``{recording}_{start}_{series}``, float32 in nats.

    ``npy``: ``.npy`` (frames, n_mels), and ``for_vocoders/…_T.npy`` (n_mels, frames) as HiFi-GAN's script takes
    them, apart since it takes whatever lies in its folder.  ``pt``: ``for_vocoders/….pt``, tensors
    (n_mels, frames) as WaveGlow's takes them.
    """
    turned_folder = folder / "for_vocoders"
    for block in fold.blocks:
        for name in {"target", "model"} & set(block.series):
            file = f"{block.recording}_{block.start}_{name}"
            values = np.ascontiguousarray(block.series[name], np.float32)
            turned = np.ascontiguousarray(values.T)
            if npy:
                _save(folder / f"{file}.npy", values)
                _save(turned_folder / f"{file}_T.npy", turned)
            if pt:
                write_atomically(turned_folder / f"{file}.pt", serialise(torch.from_numpy(turned)))


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)
