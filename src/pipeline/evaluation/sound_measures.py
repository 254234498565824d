"""Measures of the vocoded prediction: pitch and voicing, and what a recogniser hears; each on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.measured import ByName, Measured, Subject, exchanged, of_frames
from pipeline.evaluation.pitch import pitch_error_cents, pitch_hz, voicing_error
from pipeline.evaluation.recogniser import Recogniser, normalised
from pipeline.evaluation.segments import Segment, too_few
from pipeline.evaluation.types import MODEL, VOCODED_TRUE, TestBlock, Values

KINDS = {MODEL: "predicted", VOCODED_TRUE: "vocoded_true"}
NO_SOUND = "no sound was made (export.audio: all)"
MARGIN_S = 0.1
"""Around a word that is cut out."""
PITCH: dict[str, Callable[[Values, Values], float]] = {
    "pitch_error_cents": pitch_error_cents,
    "voicing_error": voicing_error,
}


def sound_measures(subject: Subject) -> dict[str, ByName]:
    """Each measure of the model, and of the vocoded true mel."""
    reasons = {key: why_not(subject, key) for key in ("pitch", "recogniser")}
    pitch = {name: {MODEL: Measured(reason=reasons["pitch"])} for name in PITCH}
    heard = {MODEL: Measured(reason=reasons["recogniser"])}
    return (pitch if reasons["pitch"] else pitch_measures(subject)) | {
        "recognised_share": heard if reasons["recogniser"] else recognised_share(subject)
    }


def why_not(subject: Subject, key: str) -> str | None:
    """Why a measure of sound is not made."""
    if not getattr(subject.evaluate, key):
        return f"not asked for (evaluate.{key})"
    sounds = [b.sound for p in subject.prepared for b in p.fold.blocks]
    made = all(s and all(getattr(s, kind) is not None for kind in ("true", *KINDS.values())) for s in sounds)
    return None if made else NO_SOUND


# -- pitch ----------------------------------------------------------------------------------------


def pitch_measures(subject: Subject) -> dict[str, ByName]:
    """Errors of F0 and voicing."""
    true, others = course(subject, "true"), {name: course(subject, kind) for name, kind in KINDS.items()}
    return {
        measure: {name: of_frames(subject, name, partial(_met, score, true, own)) for name, own in others.items()}
        for measure, score in PITCH.items()
    }


def course(subject: Subject, kind: str) -> Values:
    """F0 [Hz] of a kind of sound in all blocks, NaN where unvoiced."""
    found = []
    for block in (b for p in subject.prepared for b in p.fold.blocks):
        assert block.sound is not None
        found.append(pitch_hz(getattr(block.sound, kind), block.sound.rate_hz, len(block.target), subject.rate_hz))
    return np.concatenate(found)


def _met(
    score: Callable[[Values, Values], float], true: Values, other: Values,
    frames: NDArray[np.intp], met: NDArray[np.intp],
) -> float:  # fmt: skip
    return score(true[frames], other[met])


# -- recogniser -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoken:
    """A trial or word: its place, normalised text, and the sounds (samples,) by prediction."""

    place: Segment
    text: str
    sounds: dict[str, NDArray[np.float32]]
    rate_hz: int


def recognised_share(subject: Subject) -> ByName:
    """Share of trials, or of words, whose text is heard."""
    found = [s for k, p in enumerate(subject.prepared) for b in p.fold.blocks for s in spoken(k, b, subject.rate_hz)]
    if not found:
        return {MODEL: Measured(reason="no test trial has a text, and there are no words")}
    stimuli = {session: texts for p in subject.prepared for session, texts in p.fold.stimuli.items()}
    sessions = dict.fromkeys(s.place.session for s in found)
    listeners = {session: Recogniser(map(normalised, stimuli.get(session, ()))) for session in sessions}
    known = [s for s in found if s.text in listeners[s.place.session].texts]
    if not known:
        return {MODEL: Measured(reason="the recogniser's English dictionary lacks words of every text")}
    places, texts = [s.place for s in known], [s.text for s in known]
    heard = {n: [listeners[s.place.session](s.sounds[n], s.rate_hz) for s in known] for n in KINDS}
    reason = too_few(places, "texts")
    shares = {n: exchanged(subject, places, (texts, said), equal, n, reason) for n, said in heard.items()}
    return {n: replace(own, spread={}) for n, own in shares.items()}


def spoken(fold: int, block: TestBlock, frame_rate_hz: float) -> Iterator[Spoken]:
    """A block whose text is known, or the words in it."""
    assert block.sound is not None
    rate_hz, session = block.sound.rate_hz, block.session or block.recording
    end_s, first_s = len(block.target) / frame_rate_hz, float(block.times_s[0])
    spans = [(0.0, end_s, block.text)]
    if not block.text:
        spans = [(e.onset_s - first_s - MARGIN_S, e.end_s - first_s + MARGIN_S, e.label) for e in block.events]
    for start_s, stop_s, text in spans:
        if stop_s <= end_s + MARGIN_S:
            cut = slice(max(0, round(start_s * rate_hz)), round(stop_s * rate_hz))
            sounds = {name: getattr(block.sound, kind)[cut] for name, kind in KINDS.items()}
            place = Segment(fold, session, *(round(s * frame_rate_hz) for s in (start_s, stop_s)))
            yield Spoken(place, normalised(text), sounds, rate_hz)


def equal(texts: Sequence[str], heard: Sequence[str]) -> Values:
    """1 where a text was heard, (texts, heard)."""
    return np.array([[float(text == other) for other in heard] for text in texts])
