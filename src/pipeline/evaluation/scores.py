"""From scored folds to eval.json: means over folds, then subjects, with intervals, chance and claims.

Every summary value is the mean over folds (and seeds) of each subject, then over subjects;
bootstrap replicates of subjects are averaged in the same way, index by index, before a
percentile is taken.  The document is strict JSON: an undefined value is ``null`` with
a reason beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.evaluation import chance, measures
from pipeline.evaluation.audit import AuditResult
from pipeline.evaluation.chance import Null
from pipeline.evaluation.contamination import Contamination
from pipeline.evaluation.fold import ALIGNMENTS, FoldScores, null_summary, score_fold
from pipeline.evaluation.group import group_test
from pipeline.evaluation.intervals import LEAST_PIECES, interval, piece_frames, replicates
from pipeline.evaluation.levels import (
    ALPHA,
    LEVELS,
    MEANINGS,
)
from pipeline.evaluation.limits import all_claims
from pipeline.evaluation.nulls import Nulls, all_nulls, chance_document, histogram, null_document, retrained_document
from pipeline.evaluation.types import (
    BASELINES,
    MODEL,
    OPTIONAL_BASELINES,
    ORACLES,
    RETRAINED_NULL,
    TEACHER_FORCED,
    VOCODED_TRUE,
    Document,
    FoldPredictions,
    Values,
)

SCHEMA_VERSION = 3
WORD_SWAP_NOTE = (
    "the word swap is a figure and no level follows from it: simulated brains that know only loudness, timing or the "
    "speaker beat it"
)
MIN_PAIRS = 7
"""2⁷ exchanges: fewer than 100 make no test."""
DIGITS = 7
MEANS = (
    "pearson_r", "pearson_r_speech", "pearson_r_without_bad",
    "mse", "mse_speech", "mae", "mcd_db", "mcd_db_speech", "mse_calibrated", "mcd_db_calibrated", "stoi", "estoi",
)  # fmt: skip
DEFINITIONS = {
    "pearson_r": "Pearson's r over time within each mel band, averaged over the bands whose target varies; "
    "then over folds, then over subjects; free-running predictions",
    "pearson_r_speech": "the same over speech frames only",
    "mse": "mean squared error over frames and bands [nats²]",
    "mae": "mean absolute error over frames and bands [nats]",
    "mcd_db": "mel-cepstral distortion, c_d = (2/n_mels) Σ_b lnmel_b cos(πd(b+½)/n_mels), d = 1…13, no DTW [dB]",
    "calibrated": "after a gain and an offset per band, fitted by least squares on out-of-fold predictions (the "
    "validation blocks, predicted by what was fitted on the training frames), for every prediction alike",
    "ci95": "bootstrap of at least 10 pieces of a subject's test sound (at most 12 s each), stretched for pieces that "
    "are few or resemble their neighbours, within ±1 for r and from 0 on for errors; it covers the choice of test "
    "sound, not the choice of subjects",
    "fold_spread": "smallest and largest value of a fold: no interval",
    "chance": "per subject, folds pooled, after slow drift came off targets and predictions: predictions are "
    "circularly shifted within test blocks of at least 12 s, or, with ten trials or more or shorter blocks, trials "
    "exchange their predictions among about five neighbours of a session; p = (1 + #{r* ≥ r}) / (R + 1), where R is at "
    "most the number of independent shifts or exchanges; over subjects, the mean of their nulls",
    "pearson_r_without_drift": "pearson_r of all folds together after a running mean of 4 s (of trials below 8 s: mean "
    "and slope) came off target and prediction",
    "independent": "test frames over the lag at which the autocorrelation of target and prediction falls below 0.1",
    "words": "predicted words exchanged between test words of alike timing (onset to onset, duration, latency), "
    "after what a parabola in timing explains has been taken off; aligned at the annotated and at the acoustic "
    "onset; rank accuracy on the same words, chance 0.5; " + WORD_SWAP_NOTE,
    "level": f"{' < '.join(LEVELS)}, tested in order, each at p ≤ {ALPHA:g}; "
    + "; ".join(f"{level}: {MEANINGS[level]}" for level in LEVELS)
    + "; null: the first test could not be made, which is not no_link",
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
    (``latency``, ``permutation_importance``, …).  ``repeats``: test sound that occurs in training, too.
    ``sessions``: names of each subject's sessions, whether tested or not.
    """

    claims: Mapping[str, Any]
    audits: Mapping[tuple[str, int], AuditResult] = field(default_factory=dict)
    contamination: Sequence[Contamination] = ()
    subjects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    repeats: Mapping[str, Any] = field(default_factory=dict)
    sessions: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Draw:
    """How bootstrap replicates are drawn."""

    resamples: int
    seed: int


def score(
    folds: Sequence[FoldPredictions], evaluate: EvaluateConfig, chance_config: ChanceConfig, context: RunContext
) -> Document:
    """Score everything; returns the content of eval.json (:func:`document_json` writes it as text)."""
    ordered = sorted(folds, key=lambda f: (f.subject, f.fold, f.seed))
    subjects = sorted({f.subject for f in ordered})
    scored = []
    for number, subject in enumerate(subjects):
        own = [f for f in ordered if f.subject == subject]
        lengths = [[len(b.target) for b in f.blocks] for f in own]
        piece = piece_frames(lengths, own[0].frame_rate_hz, evaluate.block_s)
        scored += [score_fold(f, evaluate, chance_config, [evaluate.seed, number, f.fold, f.seed], piece) for f in own]
    nulls = all_nulls(scored, chance_config, evaluate.seed)
    summary = summarise(scored, nulls, Draw(evaluate.bootstrap, evaluate.seed))
    found = all_claims(
        scored, nulls, chance_config.word_swaps, evaluate.seed,
        context.claims, context.audits, context.contamination, context.repeats, context.sessions,
    )  # fmt: skip
    measured = measures.all_measures(scored, nulls, evaluate, chance_config) if evaluate.measures else {}
    summary["measures"] = measures.summary_of(measured) if measured else {}
    document = {
        "schema_version": SCHEMA_VERSION,
        "summary": summary,
        "claims": dict(context.claims) | found,
        "audit": audit_document(context.audits),
        "contamination": [c.document() for c in context.contamination],
        "repeats": dict(context.repeats),
        "subjects": {
            s: subject_document(s, scored, nulls, context)
            | {"measures": measures.subject_document(measured.get(s, {}))}
            for s in subjects
        },
        "definitions": DEFINITIONS
        | {name: measure.definition for name, measure in measures.MEASURES.items()}
        | {"speech_frames": SPEECH[evaluate.speech_frames]},
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


def replicated(scored: Sequence[FoldScores], names: Sequence[str], metric: str, draw: Draw) -> Values | None:
    """Bootstrap replicates of a score, or of the difference of two, mean over subjects; ``None`` without interval.

    ``names`` are one prediction or two.
    """
    found = []
    for number, subject in enumerate(sorted({s.fold.subject for s in scored})):
        own = [s for s in scored if s.fold.subject == subject and scored_value(names[0], metric)(s) is not None]
        if not own:
            continue
        values = piece_values(own, names, metric)
        if len(values) < LEAST_PIECES:
            return None
        rng = np.random.default_rng([draw.seed, number, 0])
        found.append(replicates(values, float(values.mean()), draw.resamples, rng))
    return np.mean(found, axis=0) if found else None


def piece_values(own: Sequence[FoldScores], names: Sequence[str], metric: str) -> Values:
    """Pseudo-values of all pieces of one subject's folds, so weighed that their mean is the mean over folds."""
    signs = (1.0, -1.0)[: len(names)]
    scores = np.array([[scored_value(name, metric)(s) for name in names] for s in own], np.float64) @ signs
    parts = [sum(sign * s.pieces[n][metric] for sign, n in zip(signs, names, strict=True)) for s in own]
    mean, count = scores.mean(), sum(map(np.size, parts))
    around = [score - mean + (p - np.mean(p)) for score, p in zip(scores, parts, strict=True)]
    return np.concatenate([mean + part * count / (len(own) * len(part)) for part in around])


def spread(scored: Sequence[FoldScores], name: str, metric: str) -> list[float] | None:
    """Smallest and largest value of all folds; ``None`` where fewer than two have one."""
    found = [v for s in scored if (v := scored_value(name, metric)(s)) is not None]
    return [min(found), max(found)] if len(found) > 1 else None


def role(name: str) -> str:
    """The role of a prediction: model, baseline, reference or oracle."""
    if name == TEACHER_FORCED:
        return "teacher-forced: reads the true mel of the past, not a decoder"
    if name in ORACLES:
        return "oracle"
    return {MODEL: "model"}.get(name, "baseline" if name in (*BASELINES, *OPTIONAL_BASELINES) else "variant")


def summarise(scored: Sequence[FoldScores], nulls: Nulls, draw: Draw) -> Document:
    """The summary part: one entry per prediction, differences, chance, words and the group."""
    present = dict.fromkeys(n for s in scored for n in s.document["scores"] if not n.startswith(RETRAINED_NULL))
    names = list(dict.fromkeys([MODEL, *BASELINES, *present]))
    summary: Document = {name: entry(scored, name, draw) for name in names}
    summary["chance"] = chance_document(nulls, why_missing(scored, MODEL, "pearson_r"))
    summary["chance"]["retrained"] = retrained(scored)
    summary["words"] = words_document(scored)
    baselines = [n for n in names if role(n) in ("baseline", "variant")]
    summary["differences"] = {n: difference(scored, n, draw) for n in baselines}
    summary["group"] = group_document(scored, nulls, baselines)
    return summary


def entry(scored: Sequence[FoldScores], name: str, draw: Draw) -> Document:
    """One row of the summary table."""
    values: Document = {"role": role(name)}
    reasons = {}
    for metric in MEANS:
        values[metric] = mean_score(scored, name, metric)
        if values[metric] is None:
            reasons[metric] = why_missing(scored, name, metric)
    vocoders = [b.sound.vocoder for s in scored for b in s.fold.blocks if b.sound is not None]
    values["stoi_vocoder"] = None if values["stoi"] is None else vocoders[0]
    for metric in ("pearson_r", "pearson_r_speech", "mse", "mae", "mcd_db"):
        found = replicated(scored, [name], metric, draw)
        limits = (-1.0, 1.0) if metric.startswith("pearson_r") else (0.0, np.inf)
        values[f"{metric}_ci95"] = None if found is None else interval(found, *limits)
        values[f"{metric}_fold_spread"] = spread(scored, name, metric)
    defined = [s for s in scored if scored_value(name, "pearson_r")(s) is not None]
    if values["pearson_r"] is not None and values["pearson_r_ci95"] is None:
        reasons["ci95"] = too_few_pieces(scored)
    values["folds_scored"], values["folds"] = len(defined), len(scored)
    values["reasons"] = reasons
    return values


def too_few_pieces(scored: Sequence[FoldScores]) -> str:
    """Why there is no interval."""
    subjects = sorted({s.fold.subject for s in scored})
    pieces = min(sum(len(s.prepared.starts) for s in scored if s.fold.subject == subject) for subject in subjects)
    instead = "the spread over folds stands instead" if len(scored) > 1 else "of one fold there is no spread either"
    return f"{pieces} pieces of test sound, {LEAST_PIECES} needed; {instead}"


def why_missing(scored: Sequence[FoldScores], name: str, metric: str) -> str:
    """The first fold's reason for a missing value."""
    for s in scored:
        found = s.document["scores"].get(name, {}).get("reasons", {})
        reason = found.get(metric) or found.get("all") or s.fold.missing.get(name)
        if reason:
            return str(reason)
    if metric in ("stoi", "estoi"):
        has_sound = any("stoi" in s.document["scores"].get(MODEL, {}) for s in scored)
        return "sound is made of the model's prediction only" if has_sound else "no sound was made (export.audio)"
    if name == VOCODED_TRUE:
        return "the true sound was not vocoded: export.audio is not all"
    if any(name in s.document["scores"] for s in scored):
        return "no annotated bad frames" if metric == "pearson_r_without_bad" else "no such frames"
    return "not computed"


def difference(scored: Sequence[FoldScores], name: str, draw: Draw) -> Document:
    """Model minus ``name`` with paired bootstrap intervals, and a sentence with the result."""
    found: Document = {}
    for metric in ("pearson_r", "pearson_r_speech", "mse"):
        both = [s for s in scored if all(scored_value(n, metric)(s) is not None for n in (MODEL, name))]
        pair = [over_subjects(both, scored_value(n, metric)) for n in (MODEL, name)]
        drawn = replicated(both, [MODEL, name], metric, draw)
        found[metric] = {
            "difference": None if pair[0] is None else pair[0] - pair[1],
            "ci95": None if drawn is None else interval(drawn),
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


def group_document(scored: Sequence[FoldScores], nulls: Nulls, baselines: list[str]) -> Document:
    """Tests over subjects: the model's r without drift over the mean of its null, and its r over each baseline's."""
    subjects = sorted({s.fold.subject for s in scored})
    by_subject = {
        n: [over_subjects([s for s in scored if s.fold.subject == subject], scored_value(n, "pearson_r"))
            for subject in subjects]
        for n in [MODEL, *baselines]
    }  # fmt: skip
    found: Document = {"subjects": len(subjects), "tests": {}}
    above = [
        null.values for own in nulls.values() if MODEL in own and len((null := own[MODEL]["pearson_r"]).values) > 1
    ]
    if above:
        found["tests"]["chance"] = asdict(group_test([float(v[0] - v[1:].mean()) for v in above]))
    for name in baselines:
        pairs = zip(by_subject[MODEL], by_subject[name], strict=True)
        if differences := [m - t for m, t in pairs if None not in (m, t)]:
            found["tests"][name] = asdict(group_test(differences))
    found["note"] = "one value per subject (folds and seeds averaged); one-sided"
    return found


def subject_document(subject: str, scored: Sequence[FoldScores], nulls: Nulls, context: RunContext) -> Document:
    """One subject: means over folds, chance, then each fold; no latency where no link was shown."""
    own = [s for s in scored if s.fold.subject == subject]
    names = dict.fromkeys(n for s in own for n in s.document["scores"])
    folds = []
    for s in own:
        audit = context.audits.get((subject, s.fold.fold))
        folds.append(s.document | {"audit": None if audit is None else asdict(audit)})
    means = {n: {m: mean_score(own, n, m) for m in MEANS} for n in names}
    nulls_of = {n: {m: null_document(null) for m, null in v.items()} for n, v in nulls.get(subject, {}).items()}
    if MODEL in nulls_of:
        nulls_of[MODEL]["pearson_r"]["histogram"] = histogram(nulls[subject][MODEL]["pearson_r"].values)
    own_context = dict(context.subjects.get(subject, {}))
    if "latency" in own_context and not linked(nulls.get(subject, {}).get("ridge")):
        own_context["latency"] = own_context["latency"] | {
            "best_s": None,
            "reason": "no link of the ridge to the sound was shown",
        }
    return {"mean": means, "chance": nulls_of, **own_context, "folds": folds}


def linked(of_metric: Mapping[str, Null] | None) -> bool:
    """Whether a decoder is above chance on all frames."""
    p = None if of_metric is None else of_metric["pearson_r"].p_value
    return p is not None and p <= chance.ALPHA


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
