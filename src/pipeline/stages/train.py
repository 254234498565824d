"""Train one network of a subject's model on one fold, or find it trained already.

A finished run of the same content, config and code is published without importing
torch; an unfinished one is resumed.  The final model's network is trained on everything, as long as the folds'
networks of its name were.  Where ``train.init_from`` names a model, its file's content is part of the run's address.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.paths import fold_of
from pipeline.artifacts.sidecar import sidecar_contents
from pipeline.config.train import TrainStage, initial_name
from pipeline.provenance.runs import data_contents, find_or_make, skip_contents
from pipeline.stage import Stage


def train(stage: Stage[TrainStage]) -> str:
    folds = sidecar_contents(stage.files["folds"])
    initial = map(file_sha256, stage.files["init"])
    inputs: list[tuple[Path | str, str]] = [*data_contents(stage.files), *skip_contents(stage.files["ridge"]), *folds]
    provenance = stage.provenance([*inputs, *((initial_name(sha256), sha256) for sha256 in initial)])
    job = [fold_of(stage.options["fold"]), stage.options["variant"], stage.options["network"]]

    def make(run: Path) -> str:
        from pipeline.training.job import train_in

        return train_in(stage, run, provenance)

    return find_or_make(stage.files["output"], provenance, job, make)
