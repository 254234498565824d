"""Train one subject's network on one fold, or find it trained already.

A finished run of the same content, config and code is published without importing
torch; an unfinished one is resumed.
"""

from __future__ import annotations

from contextlib import ExitStack

from pipeline.artifacts import aligned, mel, windows
from pipeline.artifacts.core import content_digest
from pipeline.config.train import TrainStage
from pipeline.provenance.runs import is_finished, owned, publish, run_digest
from pipeline.stage import Stage
from pipeline.training.workers import Worker


def train(stage: Stage[TrainStage]) -> str:
    fold = int(stage.options["fold"])
    kinds = {"windows": windows.SCHEMA, "mel": mel.SCHEMA, "aligned": aligned.SCHEMA}
    digests = [(path, content_digest(path, schema)) for kind, schema in kinds.items() for path in stage.files[kind]]
    job = [fold, stage.options["variant"]]
    name = run_digest((d for _, d in digests), stage.config.canonical_json(), stage.code, job)
    outputs = stage.files["output"]
    run = outputs[0].parent / "runs" / name
    if is_finished(run):
        publish(run, outputs)
        return f"run {name} was trained already → {outputs[0]}"
    with owned(run), ExitStack() as stack:
        workers = [stack.enter_context(Worker(_import_all)) for _ in range(_n_workers(stage))]
        from pipeline.training.job import train_fold

        outcome = train_fold(stage, run, fold, digests, workers)
    publish(run, outputs)
    return f"run {name}: {outcome} → {outputs[0]}"


def _import_all() -> None:
    import pipeline.training.job  # noqa: F401


def _n_workers(stage: Stage[TrainStage]) -> int:
    """Processes that train a network beside this one: as many as the job has cores for."""
    train, n_networks = stage.config.train, stage.config.model.n_networks
    if train.devices > 1 or stage.options["accelerator"] == "gpu":
        return 0
    return max(0, min(n_networks, int(stage.options["threads"] or 1) // train.cpu_threads) - 1)
