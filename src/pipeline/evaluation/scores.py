"""From scored folds to eval.json: means over folds, then subjects, with intervals, chance and claims.

Every summary value is the mean over folds (and seeds) of each subject, then over subjects;
bootstrap replicates and null values are averaged in the same way, index by index, before a
percentile or p is taken.  The document is strict JSON: an undefined value is ``null`` with
a reason beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.evaluation.audit import AuditResult
from pipeline.evaluation.contamination import Contamination
from pipeline.evaluation.fold import ALIGNMENTS, FoldScores, interval, null_summary, score_fold
from pipeline.evaluation.group import group_test
from pipeline.evaluation.nulls import Nulls, all_nulls, chance_document, null_document, retrained_document
from pipeline.evaluation.types import (
    BASELINES,
    MODEL,
    OPTIONAL_BASELINES,
    ORACLES,
    RETRAINED_NULL,
    TEACHER_FORCED,
    Document,
    FoldPredictions,
    Values,
)

SCHEMA_VERSION = 2
ALPHA = 0.05
NOT_TESTABLE = "not testable"
NO_LINK = "no link shown"
ABOVE_CHANCE = "above chance, content not tested"
LEVELS = (NO_LINK, ABOVE_CHANCE)
"""Supported claims, the weakest first; where chance is not testable there is none."""
WORD_SWAP_NOTE = (
    "the word swap is a figure and not a claim: simulated brains that know only loudness, timing or the speaker beat it"
)
MIN_PAIRS = 7
"""2⁷ exchanges: fewer than 100 make no test."""
DIGITS = 7
MEANS = (
    "pearson_r", "pearson_r_speech", "pearson_r_without_bad",
    "mse", "mse_speech", "mae", "mcd_db", "mcd_db_speech", "stoi", "estoi",
)  # fmt: skip
DEFINITIONS = {
    "pearson_r": "Pearson's r over time within each mel band, averaged over the bands whose target varies; "
    "then over folds, then over subjects; free-running predictions",
    "pearson_r_speech": "the same over speech frames only",
    "mse": "mean squared error over frames and bands [nats²]",
    "mae": "mean absolute error over frames and bands [nats]",
    "mcd_db": "mel-cepstral distortion, c_d = (2/n_mels) Σ_b lnmel_b cos(πd(b+½)/n_mels), d = 1…13, no DTW [dB]",
    "ci95": "percentile interval of a block bootstrap within the test blocks; it covers the choice of test "
    "sound, not the choice of subjects; a fold of fewer than 5 pieces enters with its value alone",
    "chance": "per subject, folds pooled, after slow drift came off targets and predictions: predictions are "
    "circularly shifted within test blocks of at least 12 s, or, with ten trials or more or shorter blocks, trials "
    "exchange their predictions within the session; p = (1 + #{r* ≥ r}) / (R + 1), where R is at most the number of "
    "independent shifts or exchanges; over subjects, the mean of their nulls",
    "pearson_r_without_drift": "pearson_r of all folds together after a running mean of 4 s (from trials below 8 s "
    "without start_s: mean and slope) came off target and prediction",
    "independent": "test frames over the lag at which the autocorrelation of target and prediction falls below 0.1",
    "words": "predicted words exchanged between test words of alike timing (onset to onset, duration, latency), "
    "after what a parabola in timing explains has been taken off; aligned at the annotated and at the acoustic "
    "onset; rank accuracy on the same words, chance 0.5; " + WORD_SWAP_NOTE,
    "level": f"{NO_LINK}: the circular-shift null is not beaten (p ≥ {ALPHA}); {ABOVE_CHANCE}: it is beaten, so "
    "prediction and sound are related in time, which shows neither that words are decoded nor that speech is what they "
    "share; "
    f"{NOT_TESTABLE} is no level: the circular-shift null cannot be drawn",
    "mean_template": "the mean training word, placed at the true word onsets of the test block, which the model does "
    "not know",
    "true_onset": "of a word: its event's onset; where events are cues (claims.events_are) the first frame within the "
    "event whose mean log-mel is above the middle of its range there. Rank accuracy and mean_template take it",
    "past_only_sound": "a second model whose network takes no brain signal from after a sound frame; its features' "
    "filters are those of the whole run; their future support is part of the audit's spans",
    "oracle": "uses the true sound of the test: an upper bound, not a decoder",
}


@dataclass(frozen=True)
class RunContext:
    """Information on the run that is reported with the scores.

    ``claims``: ``simulated``, ``causal``, ``split_by``, ``split_order``, ``normalisation`` and others.
    ``audits`` by (subject, fold).  ``subjects``: JSON-ready context added to a subject's entry
    (``latency``, ``permutation_importance``, …).
    """

    claims: Mapping[str, Any]
    audits: Mapping[tuple[str, int], AuditResult] = field(default_factory=dict)
    contamination: Sequence[Contamination] = ()
    subjects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def score(
    folds: Sequence[FoldPredictions], evaluate: EvaluateConfig, chance_config: ChanceConfig, context: RunContext
) -> Document:
    """Score everything; returns the content of eval.json (:func:`document_json` writes it as text)."""
    ordered = sorted(folds, key=lambda f: (f.subject, f.fold, f.seed))
    subjects = sorted({f.subject for f in ordered})
    scored = [
        score_fold(f, evaluate, chance_config, [evaluate.seed, subjects.index(f.subject), f.fold, f.seed])
        for f in ordered
    ]
    nulls = all_nulls(scored, chance_config, evaluate.seed)
    summary = summarise(scored, nulls)
    document = {
        "schema_version": SCHEMA_VERSION,
        "summary": summary,
        "claims": dict(context.claims) | claims(summary),
        "audit": audit_document(context.audits),
        "contamination": [c.document() for c in context.contamination],
        "subjects": {s: subject_document(s, scored, nulls, context) for s in subjects},
        "definitions": DEFINITIONS | {"speech_frames": SPEECH[evaluate.speech_frames]},
        "settings": {
            "evaluate": evaluate.model_dump(mode="json"),
            "chance": chance_config.model_dump(mode="json"),
        },
    }
    return strict(document)


SPEECH = {
    "energy": "target frames whose mean log-mel exceeds the midpoint of the 10th and 90th percentile of the "
    "training frames",
    "events": "frames inside an annotated event; where a block has none, or events are cues, by energy",
}


def over_subjects(scored: Sequence[FoldScores], value: Callable[[FoldScores], Any]) -> Any:
    """Mean over each subject's folds, then over subjects, of what ``value`` gives; ``None`` leaves a fold out."""
    means = []
    for subject in sorted({s.fold.subject for s in scored}):
        found = [value(s) for s in scored if s.fold.subject == subject]
        found = [v for v in found if v is not None]
        if found:
            means.append(np.mean(found, axis=0))
    return np.mean(means, axis=0) if means else None


def scored_value(name: str, metric: str) -> Callable[[FoldScores], float | None]:
    """Reader of one score of a fold; ``None`` where undefined."""

    def read(fold: FoldScores) -> float | None:
        value = fold.document["scores"].get(name, {}).get(metric)
        return None if value is None or not np.isfinite(value) else float(value)

    return read


def mean_score(scored: Sequence[FoldScores], name: str, metric: str) -> float | None:
    """One score over folds, then over subjects; ``None`` where no fold has it.

    Without bad frames a fold that has none counts whole, beside those that have some.
    """
    own, whole = scored_value(name, metric), scored_value(name, "pearson_r")
    if metric != "pearson_r_without_bad":
        found: float | None = over_subjects(scored, own)
    elif any(s.prepared.bad.any() for s in scored):
        found = over_subjects(scored, lambda s: own(s) if s.prepared.bad.any() else whole(s))
    else:
        found = None
    return found


def replicated(scored: Sequence[FoldScores], name: str, metric: str) -> Values | None:
    """Bootstrap replicates of a summary value; ``None`` where no fold has them.

    A fold too short to be cut into pieces enters each replicate with the value that it has.
    """
    own = {id(s): s.replicates[name][metric] for s in scored if metric in s.replicates.get(name, {})}
    if not own:
        return None
    size = len(next(iter(own.values())))

    def of_fold(s: FoldScores) -> Values | None:
        value = scored_value(name, metric)(s)
        return None if value is None else own.get(id(s), np.full(size, value))

    found: Values | None = over_subjects(scored, of_fold)
    return found


def role(name: str) -> str:
    """The role of a prediction: model, baseline, reference or oracle."""
    if name == TEACHER_FORCED:
        return "teacher-forced: reads the true mel of the past, not a decoder"
    if name in ORACLES or name == "vocoded_true":
        return "oracle"
    return {MODEL: "model"}.get(name, "baseline" if name in (*BASELINES, *OPTIONAL_BASELINES) else "variant")


def summarise(scored: Sequence[FoldScores], nulls: Nulls) -> Document:
    """The summary part: one entry per prediction, differences, chance, words and the group."""
    present = dict.fromkeys(n for s in scored for n in s.document["scores"] if not n.startswith(RETRAINED_NULL))
    names = list(dict.fromkeys([MODEL, *BASELINES, *present]))
    summary: Document = {name: entry(scored, name) for name in names}
    summary["chance"] = chance_document(nulls, why_missing(scored, MODEL, "pearson_r"))
    summary["chance"]["retrained"] = retrained(scored)
    summary["words"] = words_document(scored)
    baselines = [n for n in names if role(n) in ("baseline", "variant")]
    summary["differences"] = {n: difference(scored, n) for n in baselines}
    summary["group"] = group_document(scored, baselines)
    return summary


def entry(scored: Sequence[FoldScores], name: str) -> Document:
    """One row of the summary table."""
    values: Document = {"role": role(name)}
    reasons = {}
    for metric in MEANS:
        values[metric] = mean_score(scored, name, metric)
        if values[metric] is None:
            reasons[metric] = why_missing(scored, name, metric)
    for metric in ("pearson_r", "pearson_r_speech", "mse", "mae", "mcd_db"):
        replicates = replicated(scored, name, metric)
        values[f"{metric}_ci95"] = None if replicates is None else interval(replicates)
    defined = [s for s in scored if scored_value(name, "pearson_r")(s) is not None]
    values["folds_scored"], values["folds"] = len(defined), len(scored)
    values["reasons"] = reasons
    return values


def why_missing(scored: Sequence[FoldScores], name: str, metric: str) -> str:
    """The first fold's reason for a missing value."""
    for s in scored:
        found = s.document["scores"].get(name, {}).get("reasons", {})
        reason = found.get(metric) or found.get("all") or s.fold.missing.get(name)
        if reason:
            return str(reason)
    if name == "vocoded_true":
        return "a sound, judged by STOI and ESTOI alone"
    if metric in ("stoi", "estoi"):
        has_sound = any("stoi" in s.document["scores"].get(MODEL, {}) for s in scored)
        return "sound is made of the model's prediction only" if has_sound else "no sound was made (export.audio)"
    if any(name in s.document["scores"] for s in scored):
        return "no annotated bad frames" if metric == "pearson_r_without_bad" else "no such frames"
    return "not computed"


def difference(scored: Sequence[FoldScores], name: str) -> Document:
    """Model minus ``name`` with paired bootstrap intervals, and a sentence with the result."""
    found: Document = {}
    for metric in ("pearson_r", "pearson_r_speech", "mse"):
        both = [s for s in scored if all(scored_value(n, metric)(s) is not None for n in (MODEL, name))]
        pair = [over_subjects(both, scored_value(n, metric)) for n in (MODEL, name)]
        replicates = [replicated(both, n, metric) for n in (MODEL, name)]
        found[metric] = {
            "difference": None if pair[0] is None else pair[0] - pair[1],
            "ci95": None if replicates[0] is None or replicates[1] is None else interval(replicates[0] - replicates[1]),
            "folds": len(both),
        }
    found["sentence"] = sentence(found, name, why_missing(scored, name, "pearson_r"))
    return found


TITLES = {
    "model": "Model", "ridge": "Ridge regression", "mean_template": "Mean template (true onsets)",
    "mean_spectrum": "Mean spectrum", "envelope": "Predicted envelope", "true_envelope": "True envelope (oracle)",
    "model_teacher_forced": "Model, teacher-forced", "vocoded_true": "Vocoded true mel (oracle)",
    "nearest_neighbour": "Nearest neighbour", "past_only_sound": "Model, context before the sound only",
}  # fmt: skip


def title(name: str) -> str:
    """A prediction's title in tables and figures."""
    return TITLES.get(name, name.replace("_", " "))


def sentence(found: Document, name: str, reason: str) -> str:
    """Whether the model beats ``name``, in words: on all frames and on speech frames."""
    baseline = title(name).lower()
    if found["pearson_r"]["difference"] is not None:
        clauses = [
            verdict(found[metric], baseline if metric == "pearson_r" else "it", f"on {frames} frames", "r")
            for metric, frames in (("pearson_r", "all"), ("pearson_r_speech", "speech"))
            if found[metric]["difference"] is not None
        ]
        alike = len({clause.startswith("beats") for clause in clauses}) == 1
        return f"The model {(' and ' if alike else ', but ').join(clauses)}."
    if found["mse"]["difference"] is not None:
        return f"The model {verdict(found['mse'], baseline, 'in MSE', 'MSE', -1)}; r cannot be compared: {reason}."
    return f"Not compared with {baseline}: {reason}."


def verdict(found: Document, baseline: str, where: str, unit: str, better: int = 1) -> str:
    """One clause: beats, is beaten by, or shows no difference; ``better`` is the sign of an improvement."""
    difference, ci95 = found["difference"], found["ci95"]
    if ci95 is None:
        return f"differs from {baseline} {where} by {unit} {difference:+.3f} (too little test data for an interval)"
    low, high = sorted(better * edge for edge in ci95)
    claim = "beats" if low > 0 else "is beaten by" if high < 0 else "does not beat"
    return f"{claim} {baseline} {where} ({unit} {difference:+.3f}, 95 % {ci95[0]:+.3f} to {ci95[1]:+.3f})"


def retrained(scored: Sequence[FoldScores]) -> Document:
    """The models trained on circularly shifted neural data, beside the true one."""
    names = sorted({n for s in scored for n in s.document["scores"] if n.startswith(RETRAINED_NULL)})
    values = [over_subjects(scored, scored_value(n, "pearson_r")) for n in names]
    return retrained_document([v for v in values if v is not None], mean_score(scored, MODEL, "pearson_r"))


def words_document(scored: Sequence[FoldScores]) -> Document:
    """Word-swap nulls and rank accuracy of every decoder: figures, from which no claim follows."""
    documents = [s.document["words"] for s in scored]
    found: Document = {
        "words": sum(f.get("words", 0) for f in documents),
        "seen_in_training": over_subjects(scored, lambda s: s.document["words"].get("seen_in_training")),
        "by_prediction": {},
        "reason": None,
        "note": WORD_SWAP_NOTE,
    }
    for name in dict.fromkeys(n for s in scored for n in s.ranks):
        own = found["by_prediction"].setdefault(name, {})
        own["rank_accuracy"] = null_of(scored, lambda s: s.ranks.get(name))  # noqa: B023
        for alignment in ALIGNMENTS:
            own[f"swap_{alignment}"] = null_of(scored, lambda s: s.swaps.get(alignment, {}).get(name))  # noqa: B023
        for part in ("seen", "unseen"):
            own[part] = {
                m: over_subjects(scored, lambda s: part_of(s, name, part, m))  # noqa: B023
                for m in ("pearson_r", "rank_accuracy")
            }
    found["pairs"] = sum(f.get("pairs", 0) for f in documents)
    if found["by_prediction"] and found["pairs"] < MIN_PAIRS:
        found["by_prediction"] = {}
        found["reason"] = f"{found['pairs']} pairs of words to exchange, {MIN_PAIRS} needed"
    elif not found["by_prediction"]:
        reasons = [f["reason"] for f in documents if f["reason"]]
        found["reason"] = reasons[0] if reasons else "fewer than two different words in every fold"
    return found


def part_of(scored: FoldScores, name: str, part: str, metric: str) -> float | None:
    """A score of seen or unseen words in one fold."""
    value = scored.document["words"]["scores"].get(name, {}).get(part, {}).get(metric)
    return None if value is None else float(value)


def null_of(scored: Sequence[FoldScores], read: Callable[[FoldScores], Values | None]) -> Document:
    """Observed value, 95th percentile and p of a null averaged over folds and subjects."""
    values = over_subjects(scored, read)
    if values is None:
        return {"observed": None, "p95": None, "p_value": None}
    return {"observed": float(values[0])} | null_summary(values)


def claims(summary: Document) -> Document:
    """The supported claim: one of :data:`LEVELS` by the circular-shift null alone, or not testable.

    Simulated brains without content beat the word swap, the only test of words, so no level speaks of content.
    """
    p = summary["chance"]["p_value"]
    if p is None:
        return {"level": NOT_TESTABLE, "level_reason": summary["chance"]["reason"]}
    if p >= ALPHA:
        return {"level": NO_LINK, "level_reason": f"circular-shift null not beaten (p = {p:.3g})"}
    return {"level": ABOVE_CHANCE, "level_reason": f"circular-shift null beaten (p = {p:.2g}); {WORD_SWAP_NOTE}"}


def group_document(scored: Sequence[FoldScores], baselines: list[str]) -> Document:
    """Tests over subjects: the model's r against 0, and against each baseline."""
    by_subject = {
        n: [
            over_subjects([s for s in scored if s.fold.subject == subject], scored_value(n, "pearson_r"))
            for subject in sorted({s.fold.subject for s in scored})
        ]
        for n in [MODEL, *baselines]
    }
    found: Document = {"subjects": len(by_subject[MODEL]), "tests": {}}
    for name in [MODEL, *baselines]:
        theirs = [0.0] * len(by_subject[MODEL]) if name == MODEL else by_subject[name]
        differences = [m - t for m, t in zip(by_subject[MODEL], theirs, strict=True) if None not in (m, t)]
        if differences:
            found["tests"]["zero" if name == MODEL else name] = asdict(group_test(differences))
    found["note"] = "one value per subject (folds and seeds averaged); two-sided"
    return found


def subject_document(subject: str, scored: Sequence[FoldScores], nulls: Nulls, context: RunContext) -> Document:
    """One subject: means over folds, chance, then each fold."""
    own = [s for s in scored if s.fold.subject == subject]
    names = dict.fromkeys(n for s in own for n in s.document["scores"])
    folds = []
    for s in own:
        audit = context.audits.get((subject, s.fold.fold))
        folds.append(s.document | {"audit": None if audit is None else asdict(audit)})
    means = {n: {m: mean_score(own, n, m) for m in MEANS} for n in names}
    chance = {n: {m: null_document(null) for m, null in v.items()} for n, v in nulls.get(subject, {}).items()}
    return {"mean": means, "chance": chance, **context.subjects.get(subject, {}), "folds": folds}


def audit_document(audits: Mapping[tuple[str, int], AuditResult]) -> Document:
    """The leak audit over all folds; ``shared_samples`` is null where nothing was audited."""
    gaps = [a.smallest_gap_s for a in audits.values() if a.smallest_gap_s is not None]
    return {
        "shared_samples": sum(a.shared_samples for a in audits.values()) if audits else None,
        "smallest_gap_s": min(gaps, default=None),
        "repeated_stimuli": sum(a.repeated_stimuli for a in audits.values()) if audits else None,
        "repeated_words": sum(a.repeated_words for a in audits.values()) if audits else None,
        "folds_audited": len(audits),
        "passed": all(a.passed for a in audits.values()) if audits else None,
    }


def strict(value: Any) -> Any:
    """JSON-ready copy: numpy to plain types, NaN and infinity to ``None``, floats to 7 significant digits."""
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [strict(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def document_json(document: Document) -> str:
    """eval.json as text: equal documents give equal bytes."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


COLUMNS = ("pearson_r", "pearson_r_speech", "mse", "mae")


def scores_table(document: Document) -> str:
    """TSV of subject × fold × seed × model × band (``n/a`` where undefined; band ``mean``: all of them)."""
    rows = ["\t".join(("subject", "fold", "seed", "model", "band", *COLUMNS))]
    rows += ["\t".join(row) for row in table_rows(document)]
    return "\n".join(rows) + "\n"


def table_rows(document: Document) -> Iterator[tuple[str, ...]]:
    """The rows of :func:`scores_table`."""

    def cell(value: float | None) -> str:
        return "n/a" if value is None else repr(value)

    for subject, own in document["subjects"].items():
        for fold in own["folds"]:
            for name, values in fold["scores"].items():
                place = (subject, str(fold["fold"]), str(fold["seed"]), name)
                yield (*place, "mean", *(cell(values.get(c)) for c in COLUMNS))
                bands = [values["per_band"].get(c, []) for c in COLUMNS]
                for band, cells in enumerate(zip(*bands, strict=True)):
                    yield (*place, str(band), *map(cell, cells))
