"""Weigh the networks of a model, and the ridge that they correct, on the validation block; write the released model.

The ridge comes with the networks that correct it, as a part of them.  An ensemble of the same
networks, data, config and code is found again and published without importing torch.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts.core import Provenance
from pipeline.artifacts.files import write_text
from pipeline.artifacts.sidecar import read_sidecar, refuse_damaged, write_sidecar
from pipeline.config.ensemble import EnsembleStage
from pipeline.data.loading import read_subjects, training_data
from pipeline.errors import Problem, raise_if_any
from pipeline.provenance.runs import METRICS, MODEL, NETWORK_SIDECAR, SIDECAR, data_contents, find_or_make
from pipeline.stage import Stage

#: What networks of one model have in common.
SHARED = ("subjects", "fold", "variant", "recordings", "simulated", "feature_names", "hop_frames", "config", "preset")


def ensemble(stage: Stage[EnsembleStage]) -> str:
    sidecars = [path.with_name(NETWORK_SIDECAR) for path in stage.files["networks"]]
    networks = [(path, str(read_sidecar(path)["content_digest"])) for path in sidecars]
    provenance = stage.provenance([*data_contents(stage.files), *networks])
    job = [int(stage.options["fold"]), stage.options["variant"]]
    return find_or_make(stage.files["output"], provenance, job, lambda run: _weigh(stage, run, provenance))


def _weigh(stage: Stage[EnsembleStage], run: Path, provenance: Provenance) -> str:
    """Write the model and the metrics of all its networks into ``run``."""
    import torch

    from pipeline.model.ensemble import Ensemble
    from pipeline.model.model_file import load_model, model_digest, save_model
    from pipeline.training.weighing import weigh_on_validation

    for path in stage.files["networks"]:
        refuse_damaged(path.with_name(NETWORK_SIDECAR))
    loaded = [load_model(path) for path in stage.files["networks"]]
    metas = [meta for _, meta in loaded]
    _refuse_foreign(stage, metas)
    subjects = list(read_subjects(stage.files["windows"], stage.files["aligned"], stage.files["mel"], stage.config))
    data = training_data(subjects, int(stage.options["fold"]), stage.options["variant"], stage.config)
    torch.set_num_threads(stage.config.train.cpu_threads)
    whole = Ensemble.of([network for model, _ in loaded for network in model.networks])
    loss, r = weigh_on_validation(whole, data, hop=max(1, data.length // 4))
    meta = _meta(stage, metas, loss, r, whole.weights.tolist())
    write_text(run / METRICS, _metrics(stage.files["networks"]))
    save_model(run / MODEL, whole, meta)
    files = [run / MODEL, run / METRICS]
    write_sidecar(run / SIDECAR, "ensemble", files, provenance, model_digest(whole), **meta)
    return f"{len(loaded)} network(s), validation r {r:.3f}"


def _refuse_foreign(stage: Stage[EnsembleStage], metas: Sequence[dict[str, Any]]) -> None:
    """Raise :class:`InputError` for a network of another model."""
    expected = {key: metas[0][key] for key in SHARED}
    expected |= {"fold": int(stage.options["fold"]), "variant": stage.options["variant"]}
    fix = "Rerun the stage train"
    raise_if_any(
        Problem(str(path), key, str(meta[key])[:80], str(expected[key])[:80], fix)
        for path, meta in zip(stage.files["networks"], metas, strict=True)
        for key in SHARED
        if meta[key] != expected[key]
    )


def _meta(
    stage: Stage[EnsembleStage], metas: Sequence[dict[str, Any]], loss: float, r: float, weights: Sequence[float]
) -> dict[str, Any]:
    """What a model has to know of itself to be used elsewhere."""
    shared = {key: metas[0][key] for key in SHARED}
    own = stage.config.model.model_dump(mode="json")
    names = [*(meta["network"] for meta in metas), "ridge"]
    return shared | {
        "config": shared["config"] | {"model": shared["config"]["model"] | own},
        "epochs": sum(meta["epochs"] for meta in metas),
        "best_val_loss": loss,
        "val_r": r,
        "ensemble_weights": dict(zip(names, weights, strict=True)),
    }


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
