"""Input of the evaluation: the artifacts of all folds, read into memory.

In: the artifacts named by a :class:`Scope`, below ``results/``.  Out: :class:`EvaluationInputs`.  The stage
evaluate scores it; ``python -m pipeline report`` draws the report from it and eval.json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import soundfile

from pipeline.artifacts import paths
from pipeline.artifacts.contamination import read_contamination
from pipeline.artifacts.core import header
from pipeline.artifacts.predictions import (
    BASELINES,
    PREDICTIONS,
    REFERENCE,
    PredictedBlock,
    PredictedFold,
    read_predicted,
)
from pipeline.artifacts.repeats import read_repeats
from pipeline.artifacts.sidecar import damaged_files, read_sidecar
from pipeline.artifacts.windows import ROLE_CODES, Windows, read_windows
from pipeline.config.evaluate import EvaluateStage
from pipeline.config.mel import MelConfig
from pipeline.config.variants import FULL, NULL
from pipeline.data.stimuli import whole_stimuli
from pipeline.errors import InputError, Problem
from pipeline.evaluation.audit import AuditResult, Span, audit_inner_folds, audit_spans, refuse_leak
from pipeline.evaluation.calibration import out_of_fold
from pipeline.evaluation.contamination import Contamination, corrected
from pipeline.evaluation.importance_null import importance_null
from pipeline.evaluation.metrics import mean_of_known
from pipeline.evaluation.repeats import repeats_document
from pipeline.evaluation.scores import RunContext
from pipeline.evaluation.types import RETRAINED_NULL, VOCODED_TRUE, FoldPredictions, Sound, TestBlock
from pipeline.provenance.freshness import refuse_mixture
from pipeline.provenance.runs import NETWORK_SIDECAR
from pipeline.signal.mel import log_mel

Fold = tuple[str, int]
IMPORTANCE_KINDS = ("shaft", "region")


@dataclass(frozen=True)
class Scope:
    """What to score: ``folds`` as ``subject/foldK``, variants of the model, and whether sound was made."""

    folds: tuple[str, ...]
    variants: tuple[str, ...]
    pooled: bool
    has_sound: bool

    @classmethod
    def of_last_run(cls) -> Self:
        """The scope of the eval.json in ``results/``.  Raises :class:`InputError`."""
        sidecar = read_sidecar(paths.EVALUATION_SIDECAR)
        damaged = damaged_files(paths.EVALUATION_SIDECAR)
        if "eval.json" in damaged or "scope" not in sidecar:
            raise InputError(
                Problem(
                    str(paths.RESULTS / "eval.json"),
                    "sha256",
                    "another file than evaluate wrote",
                    "the scores as they were written",
                    "Run the workflow again: snakemake --cores 8 results/eval.json",
                )
            )
        scope = sidecar["scope"]
        return cls(tuple(scope["folds"]), tuple(scope["variants"]), scope["pooled"], scope["has_sound"])

    def as_json(self) -> dict[str, Any]:
        """JSON values that :meth:`of_last_run` reads back."""
        return asdict(self)

    @property
    def names(self) -> list[Fold]:
        """Subject and number of each fold."""
        parts = [fold.split("/") for fold in self.folds]
        return [(subject, int(fold.removeprefix("fold"))) for subject, fold in parts]

    @property
    def subjects(self) -> list[str]:
        """Each subject once."""
        return list(dict.fromkeys(subject for subject, _ in self.names))

    def trained(self, name: Fold) -> Fold:
        """The model id of a fold."""
        return ("pooled", name[1]) if self.pooled else name

    @property
    def model_ids(self) -> list[str]:
        """The id of each trained model once."""
        return list(dict.fromkeys(self.trained(name)[0] for name in self.names))

    def sources(self, windows: dict[str, Windows]) -> list[Path]:
        """The files with provenance of everything that is scored."""
        files = [paths.windows(subject) for subject in self.subjects]
        files += [paths.contamination(session) for w in windows.values() for session in w.session_names]
        files += [paths.repeats(model_id) for model_id in self.model_ids]
        models = list(dict.fromkeys(paths.model_sidecar(*self.trained(name)) for name in self.names))
        files += [*models, *(network for model in models for network in _networks(model))]
        files += [paths.predictions(*name, variant) for variant in (FULL, *self.variants) for name in self.names]
        files += [paths.baselines(*name) for name in self.names]
        return files + ([paths.sound_sidecar(*name) for name in self.names] if self.has_sound else [])


@dataclass(frozen=True)
class EvaluationInputs:
    """Everything that is scored; ``windows`` by subject, ``predictions`` by fold.

    ``made`` has what each file behind it says of itself (:func:`pipeline.provenance.freshness.described`).
    """

    scope: Scope
    folds: list[FoldPredictions]
    context: RunContext
    made: dict[str, dict[str, Any]]
    windows: dict[str, Windows]
    predictions: dict[Fold, PredictedFold]


def read_inputs(scope: Scope, config: EvaluateStage) -> EvaluationInputs:
    """Read all artifacts of ``scope``.

    Raises :class:`InputError` where roles of a fold share raw samples, or where artifacts
    were made from versions of others that are gone.
    """
    names = scope.names
    windows = {subject: read_windows(paths.windows(subject)) for subject in scope.subjects}
    audits = {n: _audit(windows[n[0]], n[1], _started_from(scope, n)) for n in names}
    for (subject, _), audit in audits.items():
        refuse_leak(audit, str(paths.windows(subject)))
    made = refuse_mixture(map(str, scope.sources(windows)))
    predictions = {n: read_predicted(paths.predictions(*n), PREDICTIONS) for n in names}
    baselines = {n: read_predicted(paths.baselines(*n), BASELINES) for n in names}
    sessions = [paths.contamination(r) for w in windows.values() for r in w.session_names]
    contamination = corrected(contaminations(sessions), config.contamination.alpha)
    trained_on = {n: windows if scope.pooled else {n[0]: windows[n[0]]} for n in names}
    labels = {n: frozenset[str]().union(*(_training_labels(w, n[1]) for w in trained_on[n].values())) for n in names}
    folds = [_fold(scope, windows[n[0]], n, predictions[n], baselines[n], labels[n], config.mel) for n in names]
    repeats = [repeat for model_id in scope.model_ids for repeat in read_repeats(paths.repeats(model_id))]
    context = RunContext(
        claims=_claims(windows, predictions),
        audits=audits,
        contamination=contamination,
        repeats=repeats_document(folds, {n: w.values() for n, w in trained_on.items()}, repeats),
        subjects={s: _subject(s, predictions, baselines) for s in scope.subjects},
        sessions={subject: w.session_names for subject, w in windows.items()},
    )
    return EvaluationInputs(scope, folds, context, made, windows, predictions)


def contaminations(files: Sequence[Path]) -> list[Contamination]:
    """The check of each session; one alone knows which channels the config excludes already."""
    found = [Contamination(**read_contamination(file)) for file in files]
    if len(files) == 1:
        channels = json.loads(header(files[0])["config_json"])["align"]["channels"]
        return [replace(found[0], exclude=channels["exclude"])]
    return found


def _networks(model: Path) -> list[Path]:
    """What the networks of a model were made from."""
    return [Path(path) for path, _ in read_sidecar(model)["inputs"] if Path(path).name == NETWORK_SIDECAR]


# -- one fold -------------------------------------------------------------------------------------


def _started_from(scope: Scope, name: Fold) -> int:
    """Whole stimuli of the test that the model had met which training started from."""
    initial = read_sidecar(paths.model_sidecar(*scope.trained(name))).get("init_from")
    return int(initial["repeated_stimuli"][name[0]]) if initial else 0


def _audit(windows: Windows, fold: int, n_met_before: int) -> AuditResult:
    parts = windows.inner_folds
    held = [{role: _stimuli(part, fold, role) for role in ROLE_CODES} for part in parts]
    stimuli, words = (
        frozenset[str]().union(*(h["test"][i] & (h["train"][i] | h["validation"][i]) for h in held)) for i in (0, 1)
    )
    audit = audit_inner_folds([audit_spans(_spans_by_role(part, fold)) for part in parts])
    return replace(audit, repeated_stimuli=len(stimuli) + n_met_before, repeated_words=len(words))


def _spans_by_role(windows: Windows, fold: int) -> dict[str, list[Span]]:
    by_role: dict[str, list[Span]] = {role: [] for role in ROLE_CODES}
    for s in windows.spans:
        if s.fold == fold:
            by_role[s.role].append(Span(windows.recordings[s.recording], s.signal, s.start, s.stop, s.rate_hz))
    return by_role


def _stimuli(windows: Windows, fold: int, role: str) -> tuple[frozenset[str], frozenset[str]]:
    """Whole stimuli of the trials that lie in a role with nothing of them in another, and words in its blocks."""
    rate_hz, events = windows.attributes["frame_rate_hz"], windows.events_of()
    roles: dict[int, set[str]] = {}
    for block in windows.blocks:
        if block.fold == fold:
            roles.setdefault(block.recording, set()).add(block.role)
    whole: set[str] = set()
    for r in (r for r, found in roles.items() if found == {role}):
        own = sorted(events.get(r, ()), key=lambda e: e.onset_s)
        whole |= set(whole_stimuli(windows.texts[r], [e.label for e in own]))
    words = {
        e.label
        for b in windows.blocks_of(fold, role)
        for e in events.get(b.recording, ())
        if b.start <= e.onset_s * rate_hz < b.stop
    }
    return frozenset(whole), frozenset(words)


def _fold(
    scope: Scope,
    windows: Windows,
    name: Fold,
    predicted: PredictedFold,
    baseline: PredictedFold,
    training_labels: frozenset[str],
    mel: MelConfig,
) -> FoldPredictions:
    missing = {}
    if "mean_template" not in baseline.blocks[0].series:
        missing["mean_template"] = "no events to lock the template to"
    variants = {_row_name(v): read_predicted(paths.predictions(*name, v), PREDICTIONS) for v in scope.variants}
    vocoder = vocoder_of(paths.sound_sidecar(*name)) if scope.has_sound else ""
    blocks = []
    for i, (own, others) in enumerate(zip(predicted.blocks, baseline.blocks, strict=True)):
        if (own.recording, own.start) != (others.recording, others.start):
            raise ValueError(f"{name[0]} fold {name[1]}: predictions and baselines hold different test blocks")
        series = {**own.series, **others.series, **{v: fold.blocks[i].series["model"] for v, fold in variants.items()}}
        sound = replace(_sound(paths.sound(*name), own), vocoder=vocoder) if scope.has_sound else None
        if sound is not None and sound.vocoded_true is not None:
            series[VOCODED_TRUE] = mel_of_vocoded(sound.vocoded_true, own.series["target"], mel)
        blocks.append(_block(windows, own, series, sound))
    return FoldPredictions(
        subject=name[0],
        fold=name[1],
        seed=predicted.attributes["seed"],
        frame_rate_hz=windows.attributes["frame_rate_hz"],
        blocks=tuple(blocks),
        speech_threshold_nats=baseline.attributes["speech_threshold_nats"],
        training_labels=training_labels,
        missing=missing,
        events_are=windows.attributes["events_are"],
        templates=_templates(baseline),
        stimuli=_stimuli_of_sessions(windows),
        out_of_fold=_out_of_fold(predicted, baseline, variants),
    )


def _out_of_fold(
    predicted: PredictedFold, baseline: PredictedFold, variants: dict[str, PredictedFold]
) -> list[dict[str, Any]]:
    """Out-of-fold predictions of a fold, those of variants among them."""
    found = [dict(block) for block in out_of_fold([predicted, baseline])]
    for name, fold in variants.items():
        for block, own in zip(found, out_of_fold([fold]), strict=False):
            block[name] = own["model"]
    return found


def mel_of_vocoded(sound: np.ndarray, target: np.ndarray, mel: MelConfig) -> np.ndarray:
    """The mel of the vocoded true mel, (frames, n_mels), as loud as the target: sounds are written equally loud."""
    found = log_mel(sound, mel.sample_rate_hz, mel)
    found = np.pad(found, ((0, max(0, len(target) - len(found))), (0, 0)), mode="edge")[: len(target)]
    return np.asarray(found + (target.mean(dtype=np.float64) - found.mean(dtype=np.float64)), np.float32)


def _stimuli_of_sessions(windows: Windows) -> dict[str, tuple[str, ...]]:
    """What was said in each session: the texts of its trials, or its words where no trial has one."""
    found: dict[str, tuple[str, ...]] = {}
    for session in windows.session_names:
        own = [i for i, s in enumerate(windows.sessions) if s == session]
        texts = [windows.texts[i] for i in own if windows.texts[i]]
        words = [event.label for event in windows.events if event.recording in own]
        found[session] = tuple(dict.fromkeys(texts or words))
    return found


def _templates(baseline: PredictedFold) -> dict[str, Any]:
    labels, mels = extra(baseline, "templates/label"), extra(baseline, "templates/mel")
    if labels is None or mels is None:
        return {}
    return {label.decode(): mel for label, mel in zip(labels.tolist(), mels, strict=True)}


def _row_name(variant: str) -> str:
    """The name of a variant in the scores."""
    return f"{RETRAINED_NULL}{variant.removeprefix(NULL)}" if variant.startswith(NULL) else variant


def _block(windows: Windows, own: PredictedBlock, series: dict[str, Any], sound: Sound | None) -> TestBlock:
    """A test block with the bad frames and the events that lie in it."""
    recording = windows.recordings.index(own.recording)
    bad = np.zeros(len(own.time_s), bool)
    for row in windows.bad:
        if row.recording == recording:
            bad[max(0, row.start - own.start) : max(0, row.stop - own.start)] = True
    events = tuple(
        e for e in windows.events if e.recording == recording and own.time_s[0] <= e.onset_s <= own.time_s[-1]
    )
    predictions = {n: mel for n, mel in series.items() if n != "target" and not n.startswith(REFERENCE)}
    is_whole = (own.start, own.start + len(own.time_s)) == tuple(windows.usable[recording])
    references = {n.removeprefix(REFERENCE): mel for n, mel in series.items() if n.startswith(REFERENCE)}
    return TestBlock(
        own.recording, own.start, own.time_s, series["target"], predictions, bad, events, sound,
        windows.sessions[recording], references, windows.speakers[recording],
        windows.texts[recording] if is_whole else "", recording,
    )  # fmt: skip


def _training_labels(windows: Windows, fold: int) -> frozenset[str]:
    """Words of a subject that start in training blocks of any network."""
    rate_hz = windows.attributes["frame_rate_hz"]
    events = windows.events_of()
    return frozenset(
        e.label
        for part in windows.inner_folds
        for b in part.blocks_of(fold, "train")
        for e in events.get(b.recording, ())
        if b.start <= e.onset_s * rate_hz < b.stop
    )


def vocoder_of(sidecar: Path) -> str:
    """Which vocoder made a folder of sound, in words."""
    config = json.loads(read_sidecar(sidecar)["config_json"])["vocode"]
    names = {"griffin_lim": "Griffin-Lim", "pulses": f"pulses of {config['pitch_hz']:g} Hz", "hifigan": "HiFi-GAN"}
    return names[config["vocoder"]]


def _sound(folder: Path, block: PredictedBlock) -> Sound:
    parts: dict[str, Any] = {}
    rate_hz = 0
    for kind in ("true", "vocoded_true", "predicted"):
        file = folder / f"{block.recording}_{block.start}_{kind}.wav"
        if file.is_file():
            parts[kind], rate_hz = soundfile.read(file, dtype="float32")
    return Sound(rate_hz, **parts)


# -- attributes of subjects and of the run -------------------------------------------------------------


WHOLE = {"recording_unlabelled": ["mean and scale of the features, test included"]}


def _claims(windows: dict[str, Windows], predictions: dict[Fold, PredictedFold]) -> dict[str, Any]:
    index = next(iter(windows.values())).attributes
    model = next(iter(predictions.values())).attributes
    return {
        "simulated": any(w.attributes["simulated"] for w in windows.values()),
        "causal": model["causal"],
        "modalities": sorted({w.attributes["modality"] for w in windows.values()}),
        "left_out_channels": sorted({name for w in windows.values() for name in w.attributes["left_out_channels"]}),
        "split_by": index["split_by"],
        "split_order": index["split_order"],
        "events_are": index["events_are"] or None,
        "normalisation": model["normalisation"],
        "purge_gap_s": index["purge_gap_frames"] / index["frame_rate_hz"],
        "whole_recording_operations": [*index["whole_recording_operations"], *WHOLE.get(model["normalisation"], [])],
    }


def _subject(
    subject: str, predictions: dict[Fold, PredictedFold], baselines: dict[Fold, PredictedFold]
) -> dict[str, Any]:
    """Latency, attention, importance and delay of a subject, averaged over its folds."""
    own = [name for name in predictions if name[0] == subject]
    lag_s = baselines[own[0]].extras["latency/lag_s"][0]
    r = mean_of_known([baselines[n].extras["latency/r"][0] for n in own], axis=0)
    best_s = float(lag_s[np.nanargmax(r)]) if np.isfinite(r).any() else None
    attributes: dict[str, Any] = {
        "latency": {"lags_s": lag_s.tolist(), "r": r.tolist(), "best_s": best_s},
        "models": [predictions[n].attributes["model_digest"] for n in own],
        "presets": [predictions[n].attributes["preset"] for n in own],
        "permutation_importance": _importance([predictions[n] for n in own]),
    }
    heads = [h for n in own if (h := extra(predictions[n], "attention/diagonality")) is not None]
    if heads and len({len(h) for h in heads}) == 1:
        attributes["attention"] = {"diagonality": np.mean(heads, axis=0).tolist()}
    delays = [d for n in own if (d := predictions[n].attributes.get("algorithmic_latency_ms")) is not None]
    if delays:
        attributes["algorithmic_latency_ms"] = max(delays)
    return attributes


def extra(fold: PredictedFold, name: str) -> np.ndarray | None:
    """An array that stands beside the blocks of a fold, where there is one."""
    return fold.extras[name][0] if name in fold.extras else None


def _importance(folds: Sequence[PredictedFold]) -> dict[str, Any]:
    """Loss of r by shaft and by region, mean over folds, and its null; ``reasons`` where there is none."""
    found: dict[str, Any] = {"reasons": {}, "chance": {}}
    for kind in IMPORTANCE_KINDS:
        drops, pieces = (_of_groups(folds, kind, part) for part in ("drop", "piece_drop"))
        names = sorted({name for fold in drops for name in fold})
        means = {name: [fold[name].mean() for fold in drops if name in fold] for name in names}
        found[kind] = {name: float(np.mean(own)) for name, own in means.items()}
        if names:
            found["chance"][kind] = importance_null(pieces).document()
        else:
            found["reasons"][kind] = folds[0].attributes.get(f"importance_{kind}_reason", "predict.importance is off")
    return found


def _of_groups(folds: Sequence[PredictedFold], kind: str, part: str) -> list[dict[str, np.ndarray]]:
    """An array of the importance of each group by its name, fold by fold; undefined ones are left out."""
    found = []
    for fold in folds:
        names, values = extra(fold, f"importance/{kind}_name"), extra(fold, f"importance/{kind}_{part}")
        rows = [] if names is None or values is None else zip(names.tolist(), values, strict=True)
        found.append({name.decode(): own for name, own in rows if np.isfinite(own).all()})
    return found
