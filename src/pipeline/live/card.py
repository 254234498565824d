"""The page that goes with an exported model: what it was made from, what it scored, what it must not be used for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths
from pipeline.artifacts.sidecar import read_sidecar, refuse_damaged
from pipeline.provenance.runs import SIDECAR
from pipeline.raw.modality import activity

NO_LICENCE = (
    "Not stated. The weights hold statistics of a person's recordings and voice: whoever answers for the recordings "
    "decides who may use them (`--licence TEXT` writes the decision here)"
)
EVALUATION = paths.RESULTS / "eval.json"


def model_card(
    settings: dict[str, Any], meta: dict[str, Any], split_by: str, scores: list[str], licence: str | None
) -> str:
    """The page, as Markdown; ``settings`` are those of the export, ``meta`` the model's own."""
    made = "SIMULATED data: of no use but to try the software" if meta["simulated"] else "recordings of a person"
    timing = (
        "the past alone (causal)"
        if settings["kind"] == "step"
        else "a window, its future included: never in real time, and never to be called so"
    )
    initial = meta.get("init_from") or {}
    others = sorted({*meta["subjects"], *initial.get("subjects", [])} - {settings["subject"]})
    shared = f"\n- its shared weights were also trained on {len(others)} other subject(s)" if others else ""
    shared += f"\n- training started from model {initial['model'][: paths.DIGEST_CHARACTERS]}" if initial else ""
    return f"""# Model {settings["model"][: paths.DIGEST_CHARACTERS]} of subject {settings["subject"]}

Log-mel spectrogram of speech ({settings["n_bands"]} bands, {settings["frame_rate_hz"]:.2f} frames a second) from
{activity([settings["modality"]])}, by `seeg-to-audio`. It sees {timing}.

## Data

- {made}, subject id `{settings["subject"]}`; {len(meta["recordings"])} trial(s), split by {split_by}
- {len(settings["columns"])} features at {settings["feature_rate_hz"]:g} Hz of {len(settings["channels"])} channels \
at {settings["rate_hz"]:g} Hz: `settings.json`
- trained as fold `{meta["fold"]}`, variant `{meta["variant"]}`, preset `{meta["preset"]}`{shared}

## Scores

{chr(10).join(scores)}

## Limits

- This person, these electrodes, this montage and amplifier. For any other the output means nothing.
- Statistics of the voices and recordings that it was trained on are in the weights: treat them as the data themselves.
- Nothing here was tried at a bedside. Not a medical device.
- The graphs' mel differs from torch's by at most {settings["difference_from_torch"]:.0e} of its standard deviation.

## Licence

{licence or NO_LICENCE}.
The scripts in this folder are BSD-3-Clause, as `seeg-to-audio` is.
"""


def scores_of(model: Path, name: str, subject: str) -> list[str]:
    """What is known of a model's scores: its fold's, or, of a final one, those of the folds that it carries."""
    sidecar = model.with_name(SIDECAR)
    folds = read_sidecar(sidecar).get("folds") if sidecar.is_file() else None
    names = folds["models"] if folds else [name]
    document = _evaluation()
    own = document.get("subjects", {}).get(subject, {})
    if not set(names) & set(own.get("models", [])):
        return _carried(folds, subject) if folds else ["None: no `results/eval.json` scores this model."]
    whose = "The folds' models; this one was trained on everything and cannot be scored" if folds else "Of the folds"
    return [f"{whose}.", "", *_table(own, None if folds else own["models"].index(name)), "", *_claim(document)]


def _evaluation() -> dict[str, Any]:
    if not paths.EVALUATION_SIDECAR.is_file() or not EVALUATION.is_file():
        return {}
    refuse_damaged(paths.EVALUATION_SIDECAR)
    found: dict[str, Any] = json.loads(EVALUATION.read_text(encoding="utf-8"))
    return found


def _table(own: dict[str, Any], this: int | None) -> Iterator[str]:
    """A row for each fold's model and its ridge."""
    yield "| fold | r | r of the ridge | r on speech frames | MCD [dB] |"
    yield "|---|---|---|---|---|"
    for i, fold in enumerate(own["folds"]):
        model, ridge = fold["scores"]["model"], fold["scores"].get("ridge", {})
        values = [model.get("pearson_r"), ridge.get("pearson_r"), model.get("pearson_r_speech"), model.get("mcd_db")]
        mark = " (this model)" if i == this else ""
        yield f"| {fold['fold']}{mark} | " + " | ".join("n/a" if v is None else f"{v:.3f}" for v in values) + " |"


def _claim(document: dict[str, Any]) -> Iterator[str]:
    claims = document["claims"]
    yield f"Supported claim: **{claims['level'] or 'not testable'}** ({claims['level_reason']})."
    yield from (f"- limit: {limit['reason']}" for limit in claims["limits"])


def _carried(folds: dict[str, Any], subject: str) -> list[str]:
    scores = folds["scores"].get(subject, {})
    r = ", ".join(
        f"{name} r {own['pearson_r']:.3f}" for name, own in scores.items() if own.get("pearson_r") is not None
    )
    return [
        f"Of the folds' models, on average: {r or 'none'}; supported claim: **{folds['level'] or 'not testable'}**."
    ]
