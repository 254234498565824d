"""Train one network of a subject's model on one fold, or find it trained already.

A finished run of the same content, config and code is published without importing
torch; an unfinished one is resumed.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts import aligned, mel, windows
from pipeline.artifacts.core import content_digest, part_digest
from pipeline.artifacts.paths import skip_of
from pipeline.config.train import TrainStage
from pipeline.provenance.runs import is_finished, owned, publish, run_digest
from pipeline.stage import Stage


def train(stage: Stage[TrainStage]) -> str:
    digests = _inputs(stage)
    job = [int(stage.options["fold"]), stage.options["variant"], stage.options["network"]]
    name = run_digest((d for _, d in digests), stage.config.canonical_json(), stage.code, job)
    outputs = stage.files["output"]
    run = outputs[0].parent / "runs" / name
    if is_finished(run):
        publish(run, outputs)
        return f"run {name} was trained already → {outputs[0]}"
    with owned(run):
        from pipeline.training.job import train_in

        outcome = train_in(stage, run, digests)
    publish(run, outputs)
    return f"run {name}: {outcome} → {outputs[0]}"


def _inputs(stage: Stage[TrainStage]) -> list[tuple[Path, str]]:
    """The content that training depends on; of the baselines, the ridge skip alone."""
    kinds = {"windows": windows.SCHEMA, "mel": mel.SCHEMA, "aligned": aligned.SCHEMA}
    data = [(path, content_digest(path, schema)) for kind, schema in kinds.items() for path in stage.files[kind]]
    return data + [(skip, part_digest(skip)) for skip in map(skip_of, stage.files["ridge"])]
