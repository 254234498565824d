"""r of each mel band from eval.json: mean over folds, then over subjects."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.metrics import mean_of_known
from pipeline.evaluation.scores import title
from pipeline.evaluation.types import MODEL, Document, Values

COMPARED = (MODEL, "ridge", "mean_template", "envelope")


WITHOUT_DRIFT = "Model, without slow drift"


def band_curves(document: Document, metric: str) -> dict[str, Values]:
    """``metric`` of each band (n_mels,) by the prediction's title, for the model and what it is compared with.

    With ``pearson_r`` comes the model's without slow drift, which is what chance is drawn for.
    """
    found = {title(name): band_mean(document, name, metric) for name in COMPARED if name in document["summary"]}
    if metric == "pearson_r" and (bands := document["summary"]["chance"]["bands"]):
        found[WITHOUT_DRIFT] = np.array(bands["pearson_r_without_drift"], dtype=np.float64)
    return {name: curve for name, curve in found.items() if curve is not None}


def band_mean(document: Document, name: str, metric: str) -> Values | None:
    """Mean over subjects of the mean over folds of a per-band list; ``None`` where no fold has it."""
    subjects = []
    for own in document["subjects"].values():
        found = [f["scores"].get(name, {}).get("per_band", {}).get(metric) for f in own["folds"]]
        if rows := [np.array(row, dtype=np.float64) for row in found if row]:
            subjects.append(mean_of_known(rows, axis=0))
    return mean_of_known(subjects, axis=0) if subjects else None


def chance_of_bands(document: Document, size: int) -> Values:
    """95th percentile of each band's null, which is averaged over subjects (n_mels,); NaN where there was no test."""
    bands = document["summary"]["chance"]["bands"]
    return np.array(bands["p95"], dtype=np.float64) if bands else np.full(size, np.nan)


def never_scored(document: Document) -> list[int]:
    """Bands that every fold left out."""
    left_out = [set(f["bands_left_out"]) for s in document["subjects"].values() for f in s["folds"]]
    return sorted(set.intersection(*left_out)) if left_out else []
