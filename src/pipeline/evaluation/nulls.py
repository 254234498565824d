"""The chance level of every subject and decoder, from the scored folds, and what eval.json says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.config.evaluate import ChanceConfig
from pipeline.evaluation.chance import ALPHA, Null, NullBlock, NullFold, p_value, subject_nulls
from pipeline.evaluation.fold import FoldScores, Prepared, null_summary
from pipeline.evaluation.metrics import mean_of_known
from pipeline.evaluation.types import MODEL, Document, Mask, Values

METRICS = ("pearson_r", "pearson_r_speech")
VOICE_S = 0.05
"""Speech that lasts this long is a voice and no click."""
HISTOGRAM_BINS = 30
TESTS = {
    "shift": "predictions circularly shifted within their test blocks",
    "exchange": "trials exchange their predictions among neighbours of their session",
}
Nulls = Mapping[str, Mapping[str, Mapping[str, Null]]]
"""By subject, decoder and metric."""


def all_nulls(scored: Sequence[FoldScores], config: ChanceConfig, seed: int) -> Nulls:
    """The null of each subject, decoder and metric; all decoders of a subject get draws of one seed."""
    found: dict[str, dict[str, dict[str, Null]]] = {}
    for number, subject in enumerate(sorted({s.fold.subject for s in scored})):
        own = [s.prepared for s in scored if s.fold.subject == subject]
        for name in dict.fromkeys(n for prepared in own for n in prepared.decoders):
            having = [p for p in own if name in p.decoders]
            weights = [[w for p in having for w in p.by_block(p.weights[metric])] for metric in METRICS]
            rng, folds = np.random.default_rng([seed, number, 1]), [null_fold(p, name) for p in having]
            nulls = subject_nulls(folds, weights, config.shifts, config.min_shift_s, rng)
            found.setdefault(subject, {})[name] = dict(zip(METRICS, nulls, strict=True))
    return found


def null_fold(prepared: Prepared, name: str) -> NullFold:
    """One prediction of a fold as a null takes it."""
    sides = [prepared.by_block(prepared.centred(mel)) for mel in (prepared.target, prepared.prediction(name))]
    speech, rate_hz = prepared.by_block(prepared.speech), prepared.fold.frame_rate_hz
    blocks = [
        NullBlock(y, p, b.recording, b.session or b.recording, *voice(s, rate_hz), (b.number, b.start_frame))
        for b, y, p, s in zip(prepared.fold.blocks, *sides, speech, strict=True)
    ]
    return NullFold(blocks, prepared.active, rate_hz)


def voice(speech: Mask, frame_rate_hz: float) -> tuple[int | None, int | None]:
    """The first frame of speech that lasts 50 ms, and the first after the last such; ``None`` where there is none."""
    frames = max(1, round(VOICE_S * frame_rate_hz))
    lasting = np.flatnonzero(np.convolve(speech, np.ones(frames), mode="valid") == frames)
    return (int(lasting[0]), int(lasting[-1]) + frames) if lasting.size else (None, None)


def null_document(null: Null) -> Document:
    """A subject's null in eval.json."""
    return {
        "pearson_r_without_drift": float(null.values[0]),
        "p95": None if null.p_value is None else null_summary(null.values)["p95"],
        "p_value": null.p_value,
        "test": TESTS[null.method],
        "independent": null.independent,
        "minutes_needed": null.minutes_needed,
        "reason": null.reason,
    }


def histogram(values: Values) -> Document | None:
    """How many of a null's draws lie between ``edges``, the observed value, which comes first, left out.

    None where nothing was drawn.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    counts, edges = np.histogram(values[1:], bins=HISTOGRAM_BINS)
    return {"counts": counts, "edges": edges}


def mean_null(nulls: Sequence[Null]) -> tuple[Values, Values]:
    """Mean over subjects, draw by draw, of r (1 + R,) and of each band's (1 + R, n_mels); R is the smallest."""
    size = min(len(null.values) for null in nulls)
    bands = mean_of_known([null.bands[:size] for null in nulls], axis=0)
    return np.mean([null.values[:size] for null in nulls], axis=0), bands


def chance_document(nulls: Nulls, reason: str) -> Document:
    """The model's null over subjects (others under ``by_prediction``); ``reason``: why the model has no r, if so."""
    own = [of_subject[MODEL]["pearson_r"] for of_subject in nulls.values() if MODEL in of_subject]
    tested = [null for null in own if null.p_value is not None]
    untested = [null for null in own if null.p_value is None]
    why = next((null.reason for null in untested), reason) if not tested else None
    found: Document = {
        "test": "; ".join(dict.fromkeys(TESTS[null.method] for null in own)),
        "alpha": ALPHA,
        "independent": min((null.independent for null in tested), default=None),
        "smallest_p": 1 / min(len(null.values) for null in tested) if tested else None,
        "subjects_tested": len(tested),
        "subjects": len(nulls),
        "pearson_r_without_drift": float(np.mean([null.values[0] for null in own])) if own else None,
        "pearson_r_p95": None,
        "p_value": None,
        "reason": None if why is None else f"not testable: {why}",
        "minutes_needed": next((null.minutes_needed for null in untested), None),
        "bands": None,
        "histogram": None,
        "by_prediction": {},
    }
    for name in dict.fromkeys(n for of_subject in nulls.values() for n in of_subject):
        for metric in METRICS:
            of_name = [s[name][metric] for s in nulls.values() if name in s and s[name][metric].p_value is not None]
            if of_name:
                values, _ = mean_null(of_name)
                entry = {"pearson_r_without_drift": float(values[0])} | null_summary(values)
                found["by_prediction"].setdefault(name, {})[metric] = entry
    if tested:
        values, bands = mean_null(tested)
        found |= model_part(found["by_prediction"][MODEL], bands) | {"histogram": histogram(values)}
    return found


def model_part(own: Document, bands: Values) -> Document:
    """The model's figures where readers look for them, and its bands."""
    over_all = own["pearson_r"]
    found: Document = {
        "pearson_r_without_drift": over_all["pearson_r_without_drift"],
        "pearson_r_p95": over_all["p95"],
        "p_value": over_all["p_value"],
    }
    if "pearson_r_speech" in own:
        speech = own["pearson_r_speech"]
        found |= {
            "pearson_r_speech_without_drift": speech["pearson_r_without_drift"],
            "pearson_r_speech_p95": speech["p95"],
            "p_value_speech": speech["p_value"],
        }
    p95 = np.where(np.isfinite(bands).all(axis=0), np.percentile(bands[1:], 95, axis=0), np.nan)
    return found | {"bands": {"pearson_r_without_drift": bands[0], "p95": p95}}


def retrained_document(r: Sequence[float], observed: float | None) -> Document:
    """Scores of models trained on circularly shifted neural data, and p of the true model among them."""
    if not r or observed is None:
        return {"trainings": len(r), "p_value": None, "reason": "not run (chance.retrain)"}
    values: dict[str, Any] = {"pearson_r": list(r), "p_value": p_value(np.array([observed, *r]))}
    return {"trainings": len(r), **values, "reason": None}
