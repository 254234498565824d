"""Draw the pictures of docs/gallery.md from a finished run: ``python tools/gallery.py``, in its folder.

They are those of the report, by the same functions; the page says of which run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from pipeline.artifacts import paths
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.config.evaluate import EvaluateConfig, EvaluateStage
from pipeline.evaluation.inputs import Scope, read_inputs
from pipeline.evaluation.types import Document, FoldPredictions
from pipeline.report import view_chance, view_model, view_scores, view_sound
from pipeline.report.extras import ReportExtras, read_extras
from pipeline.report.view import Picture

OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "gallery"


def pictures(
    document: Document, folds: Sequence[FoldPredictions], extras: ReportExtras, config: EvaluateConfig
) -> dict[str, Picture]:
    """The first picture of each part of the report, by the name of its file.

    Raises :class:`SystemExit` where the run is not simulated, or has no such picture.
    """
    if not document["claims"]["simulated"]:
        raise SystemExit("The pictures of the docs are of simulated data; this run is of recordings.")
    examples = view_sound.examples(folds, config, extras.band_hz, share=False).examples
    importance = view_model.importance(document, extras.contacts)
    found = {
        "spectrograms": [example.shown.picture for example in examples if example.shown],
        "bands": view_scores.bands(document, extras.band_hz).pictures,
        "scores": view_scores.scores(document).pictures,
        "null": view_chance.histograms(document),
        "attention": view_model.attention(document, extras).pictures,
        "contacts": importance.contacts,
        "importance": importance.pictures,
        "learning_curve": [p for p in [view_model.learning_curves(extras, "val_loss")] if p],
        "validation_r": [p for p in [view_model.learning_curves(extras, "val_r")] if p],
    }
    if lacking := [name for name, own in found.items() if not own]:
        raise SystemExit(f"This run has no picture of: {', '.join(lacking)}. Run gallery.yaml of docs/gallery.md.")
    return {name: own[0] for name, own in found.items()}


def main() -> None:
    """Write each picture as the file that its data URI holds."""
    config = EvaluateStage.from_json(read_sidecar(paths.EVALUATION_SIDECAR)["config_json"])
    document = json.loads((paths.RESULTS / "eval.json").read_text(encoding="utf-8"))
    inputs = read_inputs(Scope.of_last_run(), config)
    drawn = pictures(document, inputs.folds, read_extras(inputs, config), config.evaluate)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn.items():
        (OUT / f"{name}.svg").write_text(unquote(picture.uri.partition(",")[2]))


if __name__ == "__main__":
    main()
