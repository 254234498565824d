"""Draw the pictures of docs/gallery.md from a finished run: ``python tools/gallery.py``, in its folder.

They are those of the report, by the same functions; the page says of which run.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

from PIL import Image

from pipeline.artifacts import paths
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.config.evaluate import EvaluateStage
from pipeline.evaluation.inputs import Scope, read_inputs
from pipeline.report import view_chance, view_model, view_scores, view_sound
from pipeline.report.extras import read_extras
from pipeline.report.view import Picture

COLOURS = 128
OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "gallery"


def pictures() -> dict[str, Picture]:
    """The first picture of each part of the report, by the name of its file."""
    config = EvaluateStage.from_json(read_sidecar(paths.EVALUATION_SIDECAR)["config_json"])
    document = json.loads((paths.RESULTS / "eval.json").read_text(encoding="utf-8"))
    inputs = read_inputs(Scope.of_last_run(), config)
    extras = read_extras(inputs, config)
    shown = view_sound.examples(inputs.folds, config.evaluate, extras.band_hz, share=False).examples[0].shown
    assert shown is not None
    importance = view_model.importance(document, extras.contacts)
    curves = [p for name in ("val_loss", "val_r") if (p := view_model.learning_curves(extras, name))]
    return {
        "spectrograms": shown.picture,
        "bands": view_scores.bands(document, extras.band_hz).pictures[0],
        "scores": view_scores.scores(document).pictures[0],
        "null": view_chance.histograms(document)[0],
        "attention": view_model.attention(document, extras).pictures[0],
        "contacts": importance.contacts[0],
        "importance": importance.pictures[0],
        "learning_curve": curves[0],
        "validation_r": curves[1],
    }


def main() -> None:
    """Write each picture as the file that its data URI holds."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures().items():
        kind, _, text = picture.uri.partition(";base64,")
        content = base64.b64decode(text)
        if kind == "data:image/png":
            Image.open(io.BytesIO(content)).convert("RGB").quantize(COLOURS).save(OUT / f"{name}.png", optimize=True)
        else:
            (OUT / f"{name}.svg").write_bytes(content)


if __name__ == "__main__":
    main()
