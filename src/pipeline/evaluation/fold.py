"""All scores of one subject and fold: metrics, what each piece adds to them, word swaps.

In: :class:`FoldPredictions`.  Out: :class:`FoldScores`, whose ``document`` is JSON-ready and
whose arrays (pieces, nulls) let the caller average over folds before taking
intervals and p-values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.evaluation import chance, metrics, words
from pipeline.evaluation.calibration import calibration_of
from pipeline.evaluation.intelligibility import intelligibility, stitched
from pipeline.evaluation.intervals import piece_frames, pseudo_values
from pipeline.evaluation.types import (
    MODEL,
    ORACLES,
    RETRAINED_NULL,
    TEACHER_FORCED,
    Document,
    FoldPredictions,
    Mask,
    Mel,
    TestBlock,
    Values,
)
from pipeline.signal.correlation import MIN_STD, correlation, stretch_moments
from pipeline.signal.mel_statistics import active_bands

CALIBRATED = ("mse_calibrated", "mcd_db_calibrated")
ALIGNMENTS = ("annotated_onset", "sound_onset")


@dataclass(frozen=True)
class FoldScores:
    """Scores of one fold.

    ``pieces[name][metric]`` (pieces,) are the pseudo-values of the fold's pieces, ``swaps[alignment][name]``
    hold the observed value first, then the null.
    """

    fold: FoldPredictions
    prepared: Prepared
    document: Document
    pieces: Mapping[str, Mapping[str, Values]]
    swaps: Mapping[str, Mapping[str, Values]]
    ranks: Mapping[str, Values]


class Prepared:
    """The fold's blocks joined in time, with the frames that each score takes, cut into pieces of ``piece`` frames."""

    def __init__(self, fold: FoldPredictions, config: EvaluateConfig, piece: int | None = None) -> None:
        self.fold = fold
        self.lengths = [len(b.target) for b in fold.blocks]
        self.borders = np.cumsum(self.lengths)[:-1]
        self.target: Mel = np.concatenate([b.target for b in fold.blocks])
        self.active: Mask = active_bands(self.target, config.min_band_std_nats)
        self.centre: Values = self.target.mean(axis=0, dtype=np.float64)
        self.bad: Mask = np.concatenate([b.bad for b in fold.blocks])
        self.speech: Mask = np.concatenate([speech_frames(b, fold, config) for b in fold.blocks])
        piece = piece or piece_frames([self.lengths], fold.frame_rate_hz, config.block_s)
        self.starts = metrics.piece_starts(self.lengths, piece)

    def prediction(self, name: str) -> Mel:
        """(frames, n_mels) of all blocks."""
        parts = [b.predictions[name] for b in self.fold.blocks]
        return np.concatenate([p for p in parts if p is not None])

    def centred(self, mel: Mel) -> Values:
        """float64, with the target's mean spectrum taken off, so that sums of squares keep their digits."""
        return mel - self.centre

    def by_block(self, frames: NDArray[Any]) -> list[NDArray[Any]]:
        """An array over all frames cut into the blocks again."""
        return np.split(frames, self.borders)

    @cached_property
    def weights(self) -> dict[str, Values]:
        """Which frames each r is over."""
        every = np.ones(len(self.target))
        found = {"pearson_r": every, "pearson_r_speech": self.speech.astype(np.float64)}
        if self.bad.any():
            found["pearson_r_without_bad"] = (~self.bad).astype(np.float64)
        return found

    @cached_property
    def decoders(self) -> list[str]:
        """Predictions with a chance test: no oracles, no teacher forcing, no nulls."""
        others = (*ORACLES, TEACHER_FORCED)
        return [
            name
            for name in self.fold.names()
            if name not in others and not name.startswith(RETRAINED_NULL) and varies(self.prediction(name))
        ]


def speech_frames(block: TestBlock, fold: FoldPredictions, config: EvaluateConfig) -> Mask:
    """(frames,) true in speech: by the target's energy, or inside an event of the voice if so configured."""
    if config.speech_frames == "events" and block.events and fold.events_are != "cue":
        onset = np.array([e.onset_s for e in block.events])
        stop = onset + np.array([e.duration_s for e in block.events])
        times = block.times_s[:, None]
        return np.asarray(((times >= onset) & (times < stop)).any(axis=1))
    return np.asarray(block.target.mean(axis=1) > fold.speech_threshold_nats)


def score_fold(
    fold: FoldPredictions,
    config: EvaluateConfig,
    chance_config: ChanceConfig,
    seed: list[int],
    piece: int | None = None,
) -> FoldScores:
    """Score every prediction of one fold; ``seed`` makes its draws independent of other folds'.

    Intervals rest on pieces of ``piece`` frames (default: as the fold alone asks for).
    """
    prepared = Prepared(fold, config, piece)
    scores, pieces = {}, {}
    for name in fold.names():
        scores[name], pieces[name] = score_prediction(prepared, name)
    swaps, ranks, word_document = swap_words(prepared, chance_config, np.random.default_rng([*seed, 2]))
    if config.stoi:
        score_sound(prepared, scores)
    document = describe(prepared)
    document |= {"words": word_document, "scores": scores}
    return FoldScores(
        fold=fold,
        prepared=prepared,
        document=document,
        pieces=pieces,
        swaps=swaps,
        ranks=ranks,
    )


def describe(prepared: Prepared) -> Document:
    """Description of the scored data: length, bands, words."""
    fold = prepared.fold
    return {
        "fold": fold.fold,
        "seed": fold.seed,
        "recordings": sorted({b.recording for b in fold.blocks}),
        "blocks": len(fold.blocks),
        "frames": len(prepared.target),
        "speech_frames": int(prepared.speech.sum()),
        "bad_frames": int(prepared.bad.sum()),
        "duration_s": len(prepared.target) / fold.frame_rate_hz,
        "speech_threshold_nats": fold.speech_threshold_nats,
        "bands_left_out": [int(b) for b in np.flatnonzero(~prepared.active)],
        "pieces": len(prepared.starts),
    }


def score_prediction(prepared: Prepared, name: str) -> tuple[Document, dict[str, Values]]:
    """Metrics of one prediction with their reasons where undefined, and the pseudo-values of its pieces."""
    prediction = prepared.prediction(name)
    reasons: dict[str, str] = {}
    values: Document = {}
    if not np.isfinite(prediction).all():
        return {"reasons": {"all": "the prediction holds NaN or infinity"}, "per_band": {}}, {}
    y, p = prepared.centred(prepared.target), prepared.centred(prediction)
    per_band: Document = {}
    pieces: dict[str, Values] = {}

    def mean_r(moments: Values) -> Values:
        return metrics.mean_over_bands(correlation(moments), prepared.active)

    for metric, weight in prepared.weights.items():
        moments = stretch_moments(y, p, weight, prepared.starts)
        r = correlation(moments.sum(axis=0))
        values[metric] = float(metrics.mean_over_bands(r, prepared.active))
        per_band[metric] = np.where(prepared.active, r, np.nan)
        if np.isnan(values[metric]):
            reasons[metric] = why_undefined(prepared, weight)
        pieces[metric] = pseudo_values(moments, mean_r)
        if metric == "pearson_r":
            pieces["mse"] = pseudo_values(moments, mean_square)
    values["bands_undefined"] = int(np.isnan(per_band["pearson_r"][prepared.active]).sum())
    error = p - y
    per_band |= {"mse": (error**2).mean(axis=0), "mae": np.abs(error).mean(axis=0)}
    values |= {"mse": float(per_band["mse"].mean()), "mae": float(per_band["mae"].mean())}
    distortion = metrics.mcd_db(prepared.target, prediction)
    values["mcd_db"] = float(distortion.mean())
    for metric, of_frame in (("mae", np.abs(error).mean(axis=1)), ("mcd_db", distortion)):
        sums = np.add.reduceat(np.stack([of_frame, np.ones_like(of_frame)], axis=-1), prepared.starts)
        pieces[metric] = pseudo_values(sums, lambda s: np.asarray(s[..., 0] / s[..., 1]))
    calibration = calibration_of(prepared.fold.out_of_fold, name)
    if calibration is None:
        reasons |= dict.fromkeys(CALIBRATED, "it has no out-of-fold predictions to fit gain and offset on")
    else:
        values |= dict(zip(CALIBRATED, errors(prepared.target, calibration(prediction)), strict=True))
    if prepared.speech.any():
        values["mse_speech"] = float((error[prepared.speech] ** 2).mean())
        values["mcd_db_speech"] = float(distortion[prepared.speech].mean())
    return values | {"reasons": reasons, "per_band": per_band}, pieces


def errors(target: Mel, prediction: Mel) -> tuple[float, float]:
    """MSE [nats²] and MCD [dB]."""
    mse = float(np.square(target.astype(np.float64) - prediction).mean())
    return mse, float(metrics.mcd_db(target, prediction).mean())


def mean_square(moments: Values) -> Values:
    """Mean squared error over frames and bands from moments (…, n_mels, 6) -> (…)."""
    n, _, _, yy, pp, yp = np.moveaxis(moments, -1, 0)
    return np.asarray(((yy + pp - 2 * yp) / n).mean(axis=-1))


def why_undefined(prepared: Prepared, weight: Values) -> str:
    """Why a fold's r does not exist."""
    if not prepared.active.any():
        return "the target is constant in every band"
    if weight.sum() < 2:
        return "no such frames"
    return "the prediction is constant over time"


def null_summary(values: Values) -> Document:
    """95th percentile and p of a null whose first entry is the observed value."""
    return {"p95": float(np.percentile(values[1:], 95)), "p_value": chance.p_value(values)}


def varies(prediction: Mel) -> bool:
    """Finite, and not constant over time in every band."""
    return bool(np.isfinite(prediction).all() and (prediction.std(axis=0, dtype=np.float64) > MIN_STD).any())


def swap_words(
    prepared: Prepared, config: ChanceConfig, rng: np.random.Generator
) -> tuple[dict[str, dict[str, Values]], dict[str, Values], Document]:
    """Word-swap nulls per alignment and decoder, rank accuracies (true onsets), and a description.

    All decoders see the same exchanges; observed values come first.
    """
    fold = prepared.fold
    labels = [e.label for b in fold.blocks for e in b.events]
    if not labels:
        return {}, {}, {"reason": "no events", "scores": {}}
    seen = [label in fold.training_labels for label in labels]
    frames = words.segment_frames(fold.blocks, fold.frame_rate_hz)
    document: Document = {
        "words": len(labels),
        "labels": len(set(labels)),
        "seen_in_training": float(np.mean(seen)),
        "compared_s": frames / fold.frame_rate_hz,
        "true_onset": fold.true_onset,
        "scores": {},
        "reason": None,
    }
    if frames < 2 or not prepared.active.any():
        return {}, {}, document | {"reason": "words too short to compare, or no active band"}
    swaps: dict[str, dict[str, Values]] = {}
    ranks: dict[str, Values] = {}
    slack = round(words.SLACK_S * fold.frame_rate_hz)
    for alignment in ALIGNMENTS:
        at_sound = alignment == "sound_onset"
        starts = [words.first_frames(b, fold.frame_rate_hz, at_sound=at_sound) for b in fold.blocks]
        orders: NDArray[np.intp] | None = None
        for name in prepared.decoders:
            cut = words.cut_words(fold.blocks, name, starts, frames, slack, prepared.active, fold.frame_rate_hz)
            if orders is None:
                pairs = words.matched_pairs(cut)
                orders = words.exchanges(pairs, len(cut.labels), config.word_swaps, rng)
                document["pairs"] = min(len(pairs), document.get("pairs", len(pairs)))
            if not document["pairs"]:
                continue
            content = words.without_timing(cut.registered())
            swaps.setdefault(alignment, {})[name] = words.exchanged(words.swap_matrix(content), orders)
            if alignment == fold.true_onset:
                matrix = words.rank_matrix(content)
                ranks[name] = words.exchanged(matrix, orders) / len(matrix)
                document["scores"][name] = word_scores(cut.centre(), matrix, fold.training_labels)
    return swaps, ranks, document


def word_scores(cut: words.Words, ranks: Values, known: frozenset[str]) -> Document:
    """r and rank accuracy on the test words, seen and unseen in training apart."""
    seen = np.array([label in known for label in cut.labels])
    accuracy = np.diag(ranks)

    def part(chosen: Mask) -> Document:
        return {
            "words": int(chosen.sum()),
            "pearson_r": words.words_r(cut, chosen),
            "rank_accuracy": float(accuracy[chosen].mean()) if chosen.any() else None,
        }

    return {"all": part(np.ones_like(seen)), "seen": part(seen), "unseen": part(~seen)}


def score_sound(prepared: Prepared, scores: dict[str, Document]) -> None:
    """Add STOI and ESTOI of the vocoded prediction, and of the vocoded true mel as the ceiling."""
    fold = prepared.fold
    sounds = [b.sound for b in fold.blocks if b.sound is not None]
    kinds = {"vocoded_true": "vocoded_true"} | ({MODEL: "predicted"} if MODEL in scores else {})
    for name, kind in kinds.items():
        true, wave = (stitched(sounds, k) for k in ("true", kind))
        if true is None or wave is None:
            found: tuple[float, float] | str = "no sound was made (export.audio)"
        else:
            found = intelligibility(true, wave, sounds[0].rate_hz)
        entry = scores.setdefault(name, {"reasons": {}, "per_band": {}})
        if isinstance(found, str):
            entry["reasons"]["stoi"] = found
        else:
            entry |= {"stoi": found[0], "estoi": found[1]}
