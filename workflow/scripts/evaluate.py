"""Gather what the folds left, score it, and write eval.json, scores.tsv and the report."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pipeline.artifacts import paths
from pipeline.artifacts.contamination import read_contamination
from pipeline.artifacts.core import header, write_text
from pipeline.artifacts.predictions import BASELINES, PREDICTIONS, PredictedFold, read_predicted
from pipeline.artifacts.sidecar import write_sidecar
from pipeline.artifacts.windows import Windows, read_windows
from pipeline.config.evaluate import EvaluateStage
from pipeline.evaluation.audit import AuditResult, Span, audit_spans, refuse_leak
from pipeline.evaluation.contamination import Contamination, corrected
from pipeline.evaluation.report import Attention, LearningCurve, ReportExtras, report_html
from pipeline.evaluation.scores import RunFacts, document_json, score, scores_table
from pipeline.evaluation.types import RETRAINED_NULL, Event, FoldPredictions, Sound, TestBlock
from pipeline.freshness import described, refuse_mixture
from pipeline.stage import Stage, run_stage

CONTAMINATION_ALPHA = 0.05
Fold = tuple[str, int]


def main(stage: Stage[EvaluateStage]) -> str:
    names = [(n.parent.name, int(n.name.removeprefix("fold"))) for n in stage.files["folds"]]
    has_sound, variants = stage.options["sound"] == "True", [str(v) for v in stage.files["variants"]]
    trained = {n: ("pooled", n[1]) if stage.options["pooled"] == "True" else n for n in names}
    windows = {subject: read_windows(paths.windows(subject)) for subject, _ in names}
    sources = _sources(names, trained, windows, variants, has_sound)
    refuse_mixture(map(str, sources))
    predictions = {n: read_predicted(paths.predictions(*n), PREDICTIONS) for n in names}
    baselines = {n: read_predicted(paths.baselines(*n), BASELINES) for n in names}
    audits = {n: _audit(windows[n[0]], n[1]) for n in names}
    for (subject, _), audit in audits.items():
        refuse_leak(audit, str(paths.windows(subject)))
    others = {n: {v: read_predicted(paths.predictions(*n, v), PREDICTIONS) for v in variants} for n in names}
    folds = [_fold(windows[n[0]], n, predictions[n], baselines[n], others[n], has_sound) for n in names]
    contamination = corrected(
        [_contamination(recording) for subject in windows for recording in windows[subject].recordings],
        CONTAMINATION_ALPHA,
    )
    facts = RunFacts(
        claims=_claims(windows, predictions),
        audits=audits,
        contamination=contamination,
        subjects={s: _subject(s, predictions, baselines) for s in windows},
    )
    document = score(folds, stage.config.evaluate, stage.config.chance, facts)
    extras = ReportExtras(
        curves={n: curve for n in names if (curve := _curve(paths.metrics(*trained[n])))},
        attention={n: a for n in names if (a := _attention(predictions[n], windows[n[0]]))},
        contamination=contamination,
        config_text=_config_text(stage, names[0]),
        provenance={str(paths.predictions(*n)): header(paths.predictions(*n))["content_digest"] for n in names},
    )
    scores_file, table_file, report_file, note = stage.files["output"]
    write_text(scores_file, document_json(document))
    write_text(table_file, scores_table(document))
    write_text(report_file, report_html(document, folds, extras, stage.config.evaluate))
    digests = [(path, described(str(path))["content_digest"]) for path in sources]
    write_sidecar(note, "evaluate", [scores_file, table_file, report_file], stage.provenance(digests))
    r = document["summary"]["model"]["pearson_r"]
    return f"{len(folds)} fold(s), model r {r if r is None else round(r, 3)} → {scores_file}, {report_file}"


def _sources(
    names: list[Fold], trained: dict[Fold, Fold], windows: dict[str, Windows], variants: list[str], has_sound: bool
) -> list[Path]:
    """What says of itself what it was made from, of everything that is scored."""
    files = [paths.windows(subject) for subject in windows]
    files += [paths.contamination(recording) for w in windows.values() for recording in w.recordings]
    files += dict.fromkeys(paths.model_note(*trained[name]) for name in names)
    files += [paths.predictions(*name, variant) for variant in [paths.FULL, *variants] for name in names]
    files += [paths.baselines(*name) for name in names]
    return files + ([paths.sound_note(*name) for name in names] if has_sound else [])


def _audit(windows: Windows, fold: int) -> AuditResult:
    by_role: dict[str, list[Span]] = {"train": [], "validation": [], "test": []}
    for s in windows.spans:
        if s.fold == fold:
            by_role[s.role].append(Span(windows.recordings[s.recording], s.signal, s.start, s.stop, s.rate_hz))
    return audit_spans(by_role)


def _fold(
    windows: Windows,
    name: Fold,
    predicted: PredictedFold,
    baseline: PredictedFold,
    variants: dict[str, PredictedFold],
    has_sound: bool,
) -> FoldPredictions:
    subject, fold = name
    missing = {}
    if "mean_template" not in baseline.blocks[0].series:
        missing["mean_template"] = "no events to lock the template to"
    blocks = []
    for i, (own, others) in enumerate(zip(predicted.blocks, baseline.blocks, strict=True)):
        if (own.recording, own.start) != (others.recording, others.start):
            raise ValueError(f"{subject} fold {fold}: predictions and baselines hold different test blocks")
        series: dict[str, Any] = {**own.series, **others.series}
        target = series.pop("target")
        series |= {_row_name(v): other.blocks[i].series["model"] for v, other in variants.items()}
        recording = windows.recordings.index(own.recording)
        start = own.start
        bad = np.zeros(len(own.time_s), bool)
        for row in windows.bad:
            if row.recording == recording:
                bad[max(0, row.start - start) : max(0, row.stop - start)] = True
        first_s, last_s = own.time_s[0], own.time_s[-1]
        events = tuple(
            Event(e.label, e.onset_s, e.duration_s)
            for e in windows.events
            if e.recording == recording and first_s <= e.onset_s <= last_s
        )
        sound = _sound(paths.sound(subject, fold), own.recording, start) if has_sound else None
        blocks.append(TestBlock(own.recording, start, own.time_s, target, series, bad, events, sound))
    return FoldPredictions(
        subject=subject,
        fold=fold,
        seed=predicted.facts["seed"],
        frame_rate_hz=windows.facts["frame_rate_hz"],
        blocks=tuple(blocks),
        speech_threshold_nats=baseline.facts["speech_threshold_nats"],
        training_labels=_training_labels(windows, fold),
        missing=missing,
    )


def _row_name(variant: str) -> str:
    """How the scores call a variant."""
    return f"{RETRAINED_NULL}{variant.removeprefix(paths.NULL)}" if variant.startswith(paths.NULL) else variant


def _training_labels(windows: Windows, fold: int) -> frozenset[str]:
    rate_hz = windows.facts["frame_rate_hz"]
    train = windows.blocks_of(fold, "train")
    return frozenset(
        e.label
        for e in windows.events
        if any(b.recording == e.recording and b.start <= e.onset_s * rate_hz < b.stop for b in train)
    )


def _sound(folder: Path, recording: str, start: int) -> Sound:
    parts: dict[str, Any] = {}
    rate_hz = 0
    for kind in ("true", "vocoded_true", "predicted"):
        file = folder / f"{recording}_{start}_{kind}.wav"
        if file.is_file():
            parts[kind], rate_hz = soundfile.read(file, dtype="float32")
    return Sound(rate_hz, **parts)


def _contamination(recording: str) -> Contamination:
    return Contamination(**read_contamination(paths.contamination(recording)))


def _claims(windows: dict[str, Windows], predictions: dict[Fold, PredictedFold]) -> dict[str, Any]:
    index = next(iter(windows.values())).facts
    model = next(iter(predictions.values())).facts
    return {
        "simulated": any(w.facts["simulated"] for w in windows.values()),
        "causal": model["causal"],
        "split_by": index["split_by"],
        "split_order": index["split_order"],
        "normalisation": model["normalisation"],
        "purge_gap_s": index["purge_gap_frames"] / index["frame_rate_hz"],
        "whole_recording_operations": index["whole_recording_operations"],
    }


def _subject(
    subject: str,
    predictions: dict[Fold, PredictedFold],
    baselines: dict[Fold, PredictedFold],
) -> dict[str, Any]:
    """Latency, attention and delay of a subject, averaged over its folds."""
    own = [name for name in predictions if name[0] == subject]
    lag_s = baselines[own[0]].extras["latency/lag_s"][0]
    r = np.mean([baselines[n].extras["latency/r"][0] for n in own], axis=0)
    facts: dict[str, Any] = {
        "latency": {"lags_s": lag_s.tolist(), "r": r.tolist(), "best_s": float(lag_s[np.argmax(r)])},
        "presets": [predictions[n].facts["preset"] for n in own],
    }
    heads = [predictions[n].extras["attention/diagonality"][0] for n in own if predictions[n].extras]
    if heads and len({len(h) for h in heads}) == 1:
        facts["attention"] = {"diagonality": np.mean(heads, axis=0).tolist()}
    delays = [d for n in own if (d := predictions[n].facts.get("algorithmic_latency_ms")) is not None]
    if delays:
        facts["algorithmic_latency_ms"] = max(delays)
    return facts


def _curve(file: Path) -> LearningCurve | None:
    with file.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    if not rows:
        return None
    numbers = {k: np.array([_number(row[k]) for row in rows]) for k in rows[0] if k.startswith(("train_", "val_"))}
    return LearningCurve(np.array([float(row["step"]) for row in rows]), numbers)


def _number(text: str) -> float:
    return float(text) if text else float("nan")


def _attention(fold: PredictedFold, windows: Windows) -> Attention | None:
    if "attention/weights" not in fold.extras:
        return None
    rate_hz = windows.facts["frame_rate_hz"]
    extras = {name.removeprefix("attention/"): values for name, (values, _) in fold.extras.items()}
    return Attention(extras["weights"][0], extras["output_frame"] / rate_hz, extras["encoder_frame"] / rate_hz)


def _config_text(stage: Stage[EvaluateStage], name: Fold) -> str:
    """The keys that the stages on the way to one fold read, as they were recorded."""
    sections: dict[str, Any] = defaultdict(dict)
    files = [paths.windows(name[0]), paths.baselines(*name), paths.predictions(*name)]
    for text in [*(header(file)["config_json"] for file in files), stage.config.canonical_json()]:
        for section, values in json.loads(text).items():
            sections[section] = {**sections[section], **values} if isinstance(values, dict) else values
    return json.dumps(sections, indent=1, sort_keys=True)


run_stage(main, EvaluateStage, files=["folds", "variants", "output"], options=["sound", "pooled"])
