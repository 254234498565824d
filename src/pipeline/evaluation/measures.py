"""Scores beside r, MSE and MCD: each with its own chance level, and as its ceiling the score of the vocoded true mel.

In: the scored folds and the nulls of r.  Out: what eval.json holds as ``summary.measures`` and
``subjects.*.measures``.  Folds of a subject are one test; over subjects, scores and nulls are averaged draw by draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.evaluation.chance import p_value
from pipeline.evaluation.fold import FoldScores
from pipeline.evaluation.measured import ByName, Measured, Subject
from pipeline.evaluation.mel_measures import mel_measures
from pipeline.evaluation.nulls import Nulls
from pipeline.evaluation.sound_measures import NO_SOUND, sound_measures
from pipeline.evaluation.types import MODEL, VOCODED_TRUE, Document

SCORED = (MODEL, "ridge")
SOUND = ("pitch_error_cents", "voicing_error", "recognised_share")
"""Measures of the sound, which the model alone has."""


@dataclass(frozen=True)
class Measure:
    """What a score is called, which question it answers, and whether it is an error: less is better."""

    title: str
    question: str
    is_error: bool
    definition: str


MEASURES = {
    "pearson_r_utterance": Measure(
        "r of an utterance", "How well does one utterance fit?", False,
        "Pearson's r over time within an utterance and band, mean over bands, then over utterances: trials, or in "
        "longer blocks annotated words or stretches of voice, each stretched to their median length; chance: "
        "predictions change places among about ten neighbouring utterances",
    ),
    "voice_activity_auc": Measure(
        "Voice activity, AUC", "Is it known when there is a voice?", False,
        "area under the ROC curve of the predicted loudness (mean log-mel of a frame, less slow drift) for speech "
        "frames of the target; chance: the shifts or exchanges of r",
    ),
    "mcd_dtw_db": Measure(
        "MCD after DTW [dB]", "How far off is the spectrum, errors of timing aside?", True,
        "mel-cepstral distortion of an utterance, mean along the path of dynamic time warping with the smallest sum "
        "(steps of one frame on either side or both), then over utterances; chance: as for pearson_r_utterance",
    ),
    "modulation_error_db": Measure(
        "Modulation spectrum error [dB]", "Does the spectrum change as fast as that of speech?", True,
        "root mean square difference of the log modulation spectra, 10 log10 of the power between 0.5 and 16 Hz of the "
        "mel-cepstra c_1 … c_13 in stretches of 2 s with a Hann window, mean over stretches (the modulation spectrum "
        "distance of Kaneko et al. 2019, spectra as of Takamichi et al. 2014); chance: stretches exchange predictions",
    ),
    "pitch_error_cents": Measure(
        "F0 error [cents]", "Is the pitch right where both have one?", True,
        "root mean square difference of F0 (pYIN, 65 to 400 Hz) of the vocoded prediction from that of the true sound "
        "over frames that are voiced in both; chance: the shifts or exchanges of r",
    ),
    "voicing_error": Measure(
        "Voicing error", "Is it known which sounds are voiced?", True,
        "share of frames that are voiced in either the true sound or the vocoded prediction alone (pYIN); chance: the "
        "shifts or exchanges of r",
    ),
    "recognised_share": Measure(
        "Recognised", "Does a recogniser hear what was said?", False,
        "share of test trials whose text (without one: of test words) PocketSphinx hears in the vocoded prediction, "
        "choosing among all of the session; texts with words that its English dictionary lacks are left out; chance: "
        "what was heard changes places among about ten neighbours",
    ),
}  # fmt: skip


BySubject = Mapping[str, Mapping[str, ByName]]
"""By subject, measure and prediction."""


def all_measures(
    scored: Sequence[FoldScores], nulls: Nulls, evaluate: EvaluateConfig, chance: ChanceConfig
) -> BySubject:
    """The measures of every subject whose model has a null."""
    found: dict[str, Mapping[str, ByName]] = {}
    for number, name in enumerate(sorted({s.fold.subject for s in scored})):
        own = [s.prepared for s in scored if s.fold.subject == name]
        subject = Subject(own, nulls.get(name, {}), evaluate, chance, number)
        if MODEL in subject.nulls:
            compared = [n for n in SCORED if n in subject.nulls]
            names = [n for n in (*compared, VOCODED_TRUE) if subject.has(n)]
            found[name] = mel_measures(subject, names) | sound_measures(subject)
    return found


def summary_of(measures: BySubject) -> Document:
    """Each measure over the subjects: of the model and the ridge with chance and p, and its ceiling."""
    found: Document = {}
    for name, measure in MEASURES.items():
        of_subjects = [by_measure[name] for by_measure in measures.values()]
        ceiling = over_subjects([own[VOCODED_TRUE] for own in of_subjects if VOCODED_TRUE in own])
        found[name] = {"title": measure.title, "question": measure.question, "less_is_better": measure.is_error}
        for prediction in dict.fromkeys(n for own in of_subjects for n in own if n != VOCODED_TRUE):
            own = over_subjects([o[prediction] for o in of_subjects if prediction in o])
            found[name][prediction] = measured_document(own, measure.is_error)
        value = float(ceiling.values[0])
        why = next((o[MODEL].reason for o in of_subjects if name in SOUND and o[MODEL].reason), NO_SOUND)
        found[name] |= {"ceiling": value, "ceiling_reason": None if np.isfinite(value) else ceiling.reason or why}
    return found


def over_subjects(own: Sequence[Measured]) -> Measured:
    """Mean over the subjects that have a score, draw by draw; the first reason where one has no null."""
    scored = [m for m in own if np.isfinite(m.values).all()]
    reason = next((m.reason for m in own if m.reason), None)
    if not scored:
        return Measured(reason=reason)
    draws = min(len(m.values) for m in scored)
    spread = {key: float(np.mean([m.spread[key] for m in scored])) for key in scored[0].spread}
    segments = sum(m.segments for m in scored)
    return Measured(np.mean([m.values[:draws] for m in scored], axis=0), reason, spread, segments)


def measured_document(own: Measured, is_error: bool) -> Document:
    """A score, its chance level (what 5 % of the null's draws reach), p, and how single utterances spread."""
    null = own.values[1:]
    p95 = float(np.percentile(null, 5 if is_error else 95)) if null.size else None
    return {
        "value": float(own.values[0]),
        **own.spread,
        **({"segments": own.segments} if own.segments else {}),
        "chance_p95": p95,
        "p_value": p_value(-own.values if is_error else own.values) if null.size else None,
        "reason": own.reason,
    }


def subject_document(measures: Mapping[str, ByName]) -> Document:
    """The measures of one subject."""
    return {
        name: {"ceiling" if n == VOCODED_TRUE else n: float(m.values[0]) if n == VOCODED_TRUE else
               measured_document(m, MEASURES[name].is_error) for n, m in own.items()}
        for name, own in measures.items()
    }  # fmt: skip
