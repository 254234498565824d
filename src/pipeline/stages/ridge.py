"""The ridge that networks correct, and the baselines on the test blocks: ridge, mean spectrum and template, envelope.

The mean template uses the true onsets of the test block's words, which no decoder knows.  On request the nearest
neighbour on lagged features is added.  References and templates for claims (:mod:`pipeline.baselines.references`) are
fitted here too, since this stage reads the training mel.  For the final model there is the ridge that networks correct
alone, fitted on everything with what the folds chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_high

import numpy as np

from pipeline.artifacts.core import content_digest
from pipeline.artifacts.paths import fold_of
from pipeline.artifacts.predictions import BASELINES, REFERENCE, PredictedBlock, PredictedFold, write_predicted
from pipeline.artifacts.ridge_skip import read_choice, skip_arrays, skip_digest
from pipeline.artifacts.windows import BlockRow, Windows, read_windows
from pipeline.baselines.references import reference_mels, word_templates
from pipeline.baselines.ridge import (
    Envelope,
    Ridge,
    RidgeChoice,
    frame_features,
    mean_spectrum,
    mean_template,
    nearest_neighbour,
    place_template,
    single_lag_r,
)
from pipeline.baselines.ridge_skip import as_skip, fit_ridge_skip
from pipeline.baselines.tuned_ridge import TunedRidge, tuned_ridge
from pipeline.config.ridge import RidgeStage
from pipeline.config.variants import FINAL, FULL, PAST_ONLY_SOUND, Fold
from pipeline.data.loading import training_data
from pipeline.data.subject import SubjectArrays, load_subject
from pipeline.provenance.runs import skip_contents
from pipeline.signal.mel_statistics import sound_onsets, speech_threshold
from pipeline.stage import Stage

TEMPLATE_BEFORE_S, TEMPLATE_AFTER_S = 0.2, 1.5

Span = tuple[int, int, int]
Extras = dict[str, tuple[np.ndarray, tuple[str, ...]]]


def ridge(stage: Stage[RidgeStage]) -> str:
    config, fold, variant = stage.config, fold_of(stage.options["fold"]), stage.options["variant"]
    inputs = [*stage.files["windows"], *stage.files["mel"], *stage.files["aligned"]]
    windows = read_windows(stage.file("windows"))
    arrays = load_subject(windows, stage.files["aligned"], stage.files["mel"], config)
    choice = _choice(stage.files["folds"]) if fold == FINAL else None
    tuned = _tuned(windows, arrays, fold, variant, config, choice)
    others = range(1, 1 if fold == FINAL else len(windows.inner_folds))
    further = [_tuned(windows, arrays, fold, variant, config, tuned.choice, k) for k in others]
    skip = skip_arrays([as_skip(each, windows.recordings) for each in (tuned, *further)])
    # What models are compared with is the full model's ridge, in all variants.
    is_scored = variant == FULL and fold != FINAL
    found = _baselines(windows, arrays, fold, config, tuned) if is_scored else PredictedFold([], {})
    attributes = {"subject": windows.subject, "fold": fold, "variant": variant, "skip_digest": skip_digest(skip)}
    attributes["simulated"] = bool(windows.attributes["simulated"])
    extras = {**found.extras, **skip}
    result = PredictedFold(found.blocks, attributes | found.attributes, extras, found.out_of_fold)
    digests = [(path, content_digest(path)) for path in inputs]
    provenance = stage.provenance([*digests, *skip_contents(stage.files["folds"])])
    write_predicted(stage.file("output"), BASELINES, result, provenance)
    return f"{_described(tuned)} → {stage.file('output')}"


def _described(tuned: TunedRidge) -> str:
    lags, channels, _ = tuned.ridge.weights.shape
    log = "log of the features, " if tuned.choice.is_log else ""
    return f"ridge with {lags} lags × {channels} channels, {log}penalty {tuned.choice.penalty:g}"


def _choice(folds: Sequence[Path]) -> RidgeChoice:
    """What most folds chose; of either penalty the median, the larger of the middle two."""
    is_log, plain, with_prior = zip(*map(read_choice, folds), strict=True)
    return RidgeChoice(median_high(is_log), median_high(plain), median_high(with_prior))


def _tuned(
    windows: Windows, arrays: SubjectArrays, fold: Fold, variant: str, config: RidgeStage, choice: RidgeChoice | None,
    inner_fold: int = 0,
) -> TunedRidge:  # fmt: skip
    """The ridge that the networks of a variant correct in an inner fold."""
    data = training_data([(windows, arrays)], fold, variant, config, inner_fold)
    is_causal, gap = config.causal or variant == PAST_ONLY_SOUND, int(windows.attributes["purge_gap_frames"])
    return fit_ridge_skip(data, is_causal, config.train.clip_input, config.ridge.penalties, gap, choice)


def _compared(windows: Windows, arrays: SubjectArrays, fold: Fold, config: RidgeStage, tuned: TunedRidge) -> TunedRidge:
    """The ridge that models are compared with: the same, or one with lags of its own where the config has them."""
    context = config.mel.frames(config.window.context_s)
    if config.lags_frames == (context, 0 if config.causal else context):
        return tuned
    train, validation = (_spans(windows, fold, role) for role in ("train", "validation"))
    return tuned_ridge(
        arrays.features, arrays.mel, train, validation, config.lags_frames, config.ridge.penalties,
        rows_per_frame=arrays.rows_per_frame, clip=config.train.clip_input,
        gap=int(windows.attributes["purge_gap_frames"]),
    )  # fmt: skip


def _baselines(
    windows: Windows, arrays: SubjectArrays, fold: Fold, config: RidgeStage, tuned: TunedRidge
) -> PredictedFold:
    """Everything that the network is compared with, on the test blocks; the ridge is the refit.

    On the validation blocks the same without their frames: the ridge and the envelope of the training frames.
    """
    rate_hz = config.mel.frame_rate_hz
    train, validation, test = (_spans(windows, fold, role) for role in ("train", "validation", "test"))
    m, lags = arrays.rows_per_frame, config.lags_frames
    x, _ = frame_features(arrays.features, train, m)
    compared = _compared(windows, arrays, fold, config, tuned)
    spectrum = mean_spectrum(arrays.mel, train)
    onsets = _onsets(windows, arrays, rate_hz)
    before, after = round(TEMPLATE_BEFORE_S * rate_hz), round(TEMPLATE_AFTER_S * rate_hz)
    template = mean_template(arrays.mel, train, onsets, before + after, before)

    events = windows.events_of()
    references = reference_mels(arrays.mel, train, test, events, rate_hz)

    def predicted(
        block: BlockRow, ridge: Ridge, envelope: Envelope, references: Mapping[str, np.ndarray]
    ) -> PredictedBlock:
        r, start, stop = block.recording, block.start, block.stop
        by_ridge = ridge.predict(arrays.features[r], start, stop, m)
        series = {
            "ridge": by_ridge,
            "envelope": envelope.from_loudness(by_ridge),
            "true_envelope": envelope.from_loudness(arrays.mel[r][start:stop]),
            "mean_spectrum": np.tile(spectrum, (stop - start, 1)),
        }
        if template is not None:
            series["mean_template"] = place_template(template, before, onsets[r], spectrum, start, stop)
        if config.ridge.nearest_neighbour:
            series["nearest_neighbour"] = nearest_neighbour(x, arrays.mel, train, lags, r, start, stop)
        series |= {f"{REFERENCE}{name}": mel for name, mel in references.items()}
        times_s = config.mel.first_frame_s + np.arange(start, stop) / rate_hz
        return PredictedBlock(windows.recordings[r], start, times_s, series)

    attributes = {
        "speech_threshold_nats": float(speech_threshold(_frames(arrays.mel, train))),
        "causal": config.causal,
        "lags_before": -int(compared.refit.lags[0]),
        "lags_after": int(compared.refit.lags[-1]),
        "ridge_penalty": tuned.choice.penalty,
        "ridge_log": tuned.choice.is_log,
    }
    whole, alone = (Envelope.of(arrays.mel, spans) for spans in ([*train, *validation], train))
    tests = zip(windows.blocks_of(fold, "test"), references, strict=True)
    blocks = [predicted(block, compared.refit, whole, own) for block, own in tests]
    out_of_fold = [predicted(block, compared.ridge, alone, {}) for block in windows.blocks_of(fold, "validation")]
    templates = _templates(word_templates(arrays.mel, train, events, rate_hz))
    latency = _latency(x, arrays.mel, train, test, config)
    return PredictedFold(blocks, attributes, templates | latency, out_of_fold)


def _templates(found: dict[str, np.ndarray]) -> Extras:
    """How each word sounded in training, as the artifact holds it; nothing where there are no words."""
    if not found:
        return {}
    labels = np.char.encode(list(found), "utf-8")
    return {
        "templates/label": (labels, ("word",)),
        "templates/mel": (np.stack(list(found.values())), ("word", "time", "mel")),
    }


def _onsets(windows: Windows, arrays: SubjectArrays, rate_hz: float) -> list[np.ndarray]:
    """True onsets of the words of each trial [frames]: those of the events, or of the sound where they are cues."""
    events = windows.events_of()
    found = []
    for trial, mel in enumerate(arrays.mel):
        own = events.get(trial, ())
        starts = np.array([round(e.onset_s * rate_hz) for e in own], np.int64)
        lengths = np.array([round(e.duration_s * rate_hz) for e in own], np.int64)
        found.append(sound_onsets(mel, starts, lengths) if windows.attributes["events_are"] == "cue" else starts)
    return found


def _latency(
    x: Sequence[np.ndarray], mel: Sequence[np.ndarray], train: list[Span], test: list[Span], config: RidgeStage
) -> Extras:
    """r of a ridge that sees one feature frame, by its lag."""
    max_lag = round(config.ridge.latency_range_s * config.mel.frame_rate_hz)
    lags = np.arange(-max_lag, max_lag + 1)
    beyond = max(0, max_lag - config.mel.frames(config.window.context_s))
    r = single_lag_r(x, mel, _shortened(train, beyond), _shortened(test, beyond), lags.tolist())
    return {
        "latency/lag_s": (lags / config.mel.frame_rate_hz, ("lag",)),
        "latency/r": (np.asarray(r, np.float32), ("lag",)),
    }


def _spans(windows: Windows, fold: Fold, role: str) -> list[Span]:
    return [(b.recording, b.start, b.stop) for b in windows.blocks_of(fold, role)]


def _shortened(spans: list[Span], frames: int) -> list[Span]:
    """The spans without ``frames`` at each end, so that the widest lag stays within what their role may see."""
    return [(r, start + frames, stop - frames) for r, start, stop in spans if stop - start > 2 * frames]


def _frames(mel: Sequence[np.ndarray], spans: Sequence[Span]) -> np.ndarray:
    return np.concatenate([mel[r][start:stop] for r, start, stop in spans])
