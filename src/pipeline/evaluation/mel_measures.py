"""Measures of the mel: r of utterances, voice activity, MCD after time warping, the modulation spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import segments
from pipeline.evaluation.drift import without_drift
from pipeline.evaluation.measured import ByName, Measured, Subject, of_frames, of_segments
from pipeline.evaluation.types import Mask

LONGEST_WARPED_S = 30.0


def mel_measures(subject: Subject, names: Sequence[str]) -> dict[str, ByName]:
    """Each measure of each of ``names``."""
    own, stretches = (cut(subject.prepared, subject.whole_trials) for cut in (segments.utterances, segments.stretches))
    frames = int(np.median([s.stop - s.start for s in own])) if own else 1
    r = segments.r_of_pairs(np.all([p.active for p in subject.prepared], axis=0), frames)
    modulation = segments.modulation_error_of_pairs(subject.rate_hz)
    return {
        "pearson_r_utterance": of_segments(subject, names, own, "utterances", r),
        "voice_activity_auc": {name: voice_activity(subject, name) for name in names},
        "mcd_dtw_db": warped(subject, names, own),
        "modulation_error_db": of_segments(subject, names, stretches, "stretches of 2 s", modulation),
    }


def warped(subject: Subject, names: Sequence[str], own: segments.Segments) -> ByName:
    """MCD after time warping of utterances no longer than :data:`LONGEST_WARPED_S`: its cost is their square."""
    longest_s = max((s.stop - s.start for s in own), default=0) / subject.rate_hz
    if longest_s > LONGEST_WARPED_S:
        reason = f"utterances of up to {longest_s:.0f} s, longer than {LONGEST_WARPED_S:g} s, are not warped"
        return {name: Measured(reason=reason) for name in names}
    return of_segments(subject, names, own, "utterances", segments.mcd_of_pairs, segments.mcd_of_each)


def voice_activity(subject: Subject, name: str) -> Measured:
    """AUC of speech frames from loudness without slow drift."""
    blocks = [block for p in subject.prepared for block in p.by_block(p.prediction(name))]
    courses = [without_drift(block.mean(axis=1, dtype=np.float64)[:, None], subject.rate_hz) for block in blocks]
    level = np.unique(np.concatenate(courses), return_inverse=True)[1].ravel()
    speech = np.concatenate([p.speech for p in subject.prepared])
    return of_frames(subject, name, lambda frames, met: area_under_curve(speech[frames], level[met]))


def area_under_curve(positive: Mask, level: NDArray[np.intp]) -> float:
    """Share of pairs of a positive and another frame in which the positive one is higher; ties count half."""
    size = int(level.max()) + 1
    own, other = (np.bincount(level[which], minlength=size) for which in (positive, ~positive))
    pairs = float(own.sum()) * float(other.sum())
    return float((np.cumsum(other) - other / 2) @ own / pairs) if pairs else float("nan")
