"""Weigh the networks of a model against the ridge, on frames that they did not see; write the released model.

Each network is weighed on the validation block of its inner fold, with the ridge of that inner fold's training frames,
and released with the refit on all frames.  An
ensemble of the same networks, data, config and code is found again and published without importing torch.  The final
model has no validation block: its weights are the means of the folds', and its sidecar has their scores.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.aligned import aligned_trials
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.files import write_text
from pipeline.artifacts.paths import DIGEST_CHARACTERS, fold_of
from pipeline.artifacts.ridge_skip import read_ridge_skip, read_ridge_skips
from pipeline.artifacts.sidecar import read_sidecar, refuse_damaged, sidecar_contents, write_sidecar
from pipeline.config.ensemble import EnsembleStage
from pipeline.config.variants import FINAL
from pipeline.data.front_end import FrontEnd
from pipeline.data.groups import model_groups, owners_of
from pipeline.data.loading import inner_fold_of, read_subjects, training_data
from pipeline.errors import Problem, raise_if_any
from pipeline.provenance.runs import (
    METRICS,
    MODEL,
    NETWORK_SIDECAR,
    SIDECAR,
    data_contents,
    find_or_make,
    skip_contents,
)
from pipeline.stage import Stage

if TYPE_CHECKING:
    from pipeline.model.ensemble import Ensemble

#: What networks of one model have in common.
SHARED = (
    "subjects", "groups", "fold", "variant", "recordings", "simulated", "feature_names", "feature_rate_hz",
    "hop_frames", "config", "preset", "mel", "seen", "init_from",
)  # fmt: skip


def ensemble(stage: Stage[EnsembleStage]) -> str:
    networks = [path.with_name(NETWORK_SIDECAR) for path in stage.files["networks"]]
    inputs = [*data_contents(stage.files), *skip_contents(stage.files["ridge"])]
    inputs += sidecar_contents([*networks, *stage.files["folds"], *stage.files["scores"]])
    provenance = stage.provenance(inputs)
    job = [fold_of(stage.options["fold"]), stage.options["variant"]]
    return find_or_make(stage.files["output"], provenance, job, lambda run: _make(stage, run, provenance))


def _make(stage: Stage[EnsembleStage], run: Path, provenance: Provenance) -> str:
    """Write the model and the metrics of all its networks into ``run``."""
    from pipeline.model.ensemble import Ensemble
    from pipeline.model.model_file import load_model, model_digest, save_model

    for path in stage.files["networks"]:
        refuse_damaged(path.with_name(NETWORK_SIDECAR))
    loaded = [load_model(path) for path in stage.files["networks"]]
    metas = [meta for _, meta in loaded]
    _refuse_foreign(stage, metas)
    whole = Ensemble.of([network for model, _ in loaded for network in model.networks])
    is_final = stage.options["fold"] == FINAL
    by_session = metas[0]["config"]["train"]["scale_by"] == "session"
    scores = _take_weights(stage, whole, metas) if is_final else _weigh(stage, whole, by_session)
    _take_refits(whole, stage.files["ridge"], owners_of(model_groups(metas[0])))
    meta = _meta(stage, metas, whole.weights.tolist()) | scores | {"front_ends": _front_ends(stage, metas[0])}
    write_text(run / METRICS, _metrics(stage.files["networks"]))
    save_model(run / MODEL, whole, meta)
    files, folds = [run / MODEL, run / METRICS], {"folds": _folds(stage, meta["subjects"])} if is_final else {}
    write_sidecar(run / SIDECAR, "ensemble", files, provenance, model_digest(whole), **meta, **folds)
    outcome = "weights of the folds" if is_final else f"validation r {scores['val_r']:.3f}"
    return f"{len(loaded)} network(s), {outcome}, model {model_digest(whole)[:DIGEST_CHARACTERS]}"


def _weigh(stage: Stage[EnsembleStage], whole: Ensemble, by_session: bool) -> dict[str, float]:
    """Set the ensemble's weights on the validation blocks; returns its scores there."""
    import torch

    from pipeline.training.weighing import HeldOut, weigh_on_held_out

    subjects = list(read_subjects(stage.files["windows"], stage.files["aligned"], stage.files["mel"], stage.config))
    fold, recordings = fold_of(stage.options["fold"]), [index.recordings for index, _ in subjects]
    torch.set_num_threads(stage.config.train.cpu_threads)
    held_out, level = [], 0.0
    for k, network in enumerate(whole.networks):
        inner_fold = inner_fold_of(subjects[0][0], fold, k)
        data = training_data(subjects, fold, stage.options["variant"], stage.config, inner_fold, by_session)
        ridge_mel: dict[str, Any] = {}
        for skip in read_ridge_skips(stage.files["ridge"], recordings, inner_fold) if stage.files["ridge"] else []:
            ridge_mel |= skip.mel
        held_out.append(HeldOut.of(network, data, ridge_mel, hop=max(1, data.length // 4)))
        level += data.speech_level_nats / len(whole.networks)
    loss, r = weigh_on_held_out(whole, held_out, level)
    return {"best_val_loss": loss, "val_r": r}


def _take_refits(whole: Ensemble, ridges: Sequence[Path], owners: Sequence[int]) -> None:
    """Let networks correct the ridge that was fitted on validation frames too: nothing is judged there any more.

    ``ridges`` are the subjects'; ``owners`` says whose each of a network's is.
    """
    refits = [read_ridge_skip(path, []).refit for path in ridges]
    for network in whole.networks:
        if network.skip is not None:
            network.correct([refits[subject] for subject in owners])


def _take_weights(stage: Stage[EnsembleStage], whole: Ensemble, metas: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Set each weight to the mean of the folds'; there are no scores."""
    import torch

    folds = [read_sidecar(path)["ensemble_weights"] for path in stage.files["folds"]]
    whole.weights.copy_(torch.tensor([fmean(fold[name] for fold in folds) for name in _parts(metas)]))
    return {}


def _folds(stage: Stage[EnsembleStage], subjects: Sequence[str]) -> dict[str, Any]:
    """Names of the folds' models, and what they scored on average: for the final model, which cannot be scored."""
    scores = stage.file("scores")
    refuse_damaged(scores)
    document = json.loads(scores.with_name("eval.json").read_text(encoding="utf-8"))
    means = {subject: document["subjects"][subject]["mean"] for subject in subjects}
    return {
        "models": [read_sidecar(path)["content_digest"] for path in stage.files["folds"]],
        "scores": {subject: {name: mean[name] for name in ("model", "ridge")} for subject, mean in means.items()},
        "level": document["claims"]["level"],
    }


def _refuse_foreign(stage: Stage[EnsembleStage], metas: Sequence[dict[str, Any]]) -> None:
    """Raise :class:`InputError` for a network of another model."""
    expected = {key: metas[0][key] for key in SHARED}
    expected |= {"fold": fold_of(stage.options["fold"]), "variant": stage.options["variant"]}
    fix = "Rerun the stage train"
    raise_if_any(
        Problem(str(path), name, str(got)[:80], str(wanted)[:80], fix)
        for path, meta in zip(stage.files["networks"], metas, strict=True)
        for key in SHARED
        for name, got, wanted in _differences(key, meta[key], expected[key])
    )


def _differences(name: str, got: Any, expected: Any) -> Iterator[tuple[str, Any, Any]]:
    """What differs, down to the single keys of a section: name, and both values."""
    if isinstance(got, dict) and isinstance(expected, dict):
        for key in sorted({*got, *expected}):
            yield from _differences(f"{name}.{key}", got.get(key), expected.get(key))
    elif got != expected:
        yield name, got, expected


def _parts(metas: Sequence[dict[str, Any]]) -> list[str]:
    """What has a weight: the networks, and the ridge."""
    return [*(meta["network"] for meta in metas), "ridge"]


def _meta(stage: Stage[EnsembleStage], metas: Sequence[dict[str, Any]], weights: Sequence[float]) -> dict[str, Any]:
    """What a model has to know of itself to be used elsewhere."""
    shared = {key: metas[0][key] for key in SHARED}
    own = stage.config.model.model_dump(mode="json")
    return shared | {
        "config": shared["config"] | {"model": shared["config"]["model"] | own},
        "epochs": sum(meta["epochs"] for meta in metas),
        "ensemble_weights": dict(zip(_parts(metas), weights, strict=True)),
    }


def _front_ends(stage: Stage[EnsembleStage], meta: dict[str, Any]) -> dict[str, Any]:
    """From raw channels to the networks' input, by subject: for recordings that no run knows."""
    first: dict[str, Path] = {}
    for path in stage.files["aligned"]:
        first.setdefault(aligned_trials(path)[0].subject, path)
    names = meta["feature_names"]
    return {subject: FrontEnd.of_session(first[subject], names[subject]).as_json() for subject in meta["subjects"]}


def _metrics(networks: Sequence[Path]) -> str:
    """The epochs of all networks in one table, each row with its network's name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for i, path in enumerate(networks):
        with path.with_name(METRICS).open(encoding="utf-8", newline="") as handle:
            header, *rows = csv.reader(handle)
        if i == 0:
            writer.writerow(["network", *header])
        writer.writerows([path.parent.name, *row] for row in rows)
    return text.getvalue()
