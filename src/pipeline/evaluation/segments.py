"""Segments of a subject's test sound that exchange their predictions: utterances, and stretches of two seconds.

An utterance is a trial where trials exchange partners (:mod:`pipeline.evaluation.chance`); in longer blocks it is an
annotated word, or, without events, a stretch of voice.  Predictions change places among about ten segments that follow
one another in one session and fold.  What any exchange scores is the mean of entries of small matrices, a target and a
prediction each.  Segments are (frames, n_mels) in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation import trial_exchange
from pipeline.evaluation.chance import LEAST, neighbours
from pipeline.evaluation.dynamic_time_warping import warped_mcd_db
from pipeline.evaluation.fold import Prepared
from pipeline.evaluation.metrics import cepstra, mean_of_known
from pipeline.evaluation.types import Mask, Values
from pipeline.evaluation.utterances import utterances_of
from pipeline.signal.correlation import MIN_STD

SHORTEST_S = 0.15
TOGETHER = 10
"""Segments of a group, about."""
STRETCH_S = 2.0
MODULATIONS_HZ = (0.5, 16.0)
LEAST_POWER = 1e-6
"""Of a modulation [nats²]: far below that of any sound, and above that of a constant."""


@dataclass(frozen=True)
class Segment:
    """Frames ``start:stop`` of all test blocks of fold number ``fold`` together; ``session`` it belongs to.

    ``slot`` numbers the stretches of a trial: speech stands in the middle of trials, so only equal places exchange.
    """

    fold: int
    session: str
    start: int
    stop: int
    slot: int = 0


Segments = Sequence[Segment]
Side = Sequence[Any]
Pairwise = Callable[[Side, Side], Values]
"""From targets and predictions of a group (segments) to the score of each with each, (targets, predictions)."""
Each = Callable[[Side, Side], Values]
"""From the same to the score of each target with its own prediction, (segments,)."""


def utterances(prepared: Sequence[Prepared], whole_trials: bool) -> list[Segment]:
    """All utterances without a bad frame; ``whole_trials``: the test blocks themselves."""
    found = []
    for number, own in enumerate(prepared):
        rate_hz, first = own.fold.frame_rate_hz, 0
        for block, speech in zip(own.fold.blocks, own.by_block(own.speech), strict=True):
            frames = len(block.target)
            spans = [(0, frames)]
            if not whole_trials:
                events = utterances_of(block, speech, rate_hz)
                spans = [(round(e.onset_s * rate_hz), round(e.end_s * rate_hz)) for e in events]
            found += [
                Segment(number, block.session or block.recording, first + a, first + b)
                for a, b in spans
                if a >= 0 and b <= frames and b - a >= SHORTEST_S * rate_hz and not block.bad[a:b].any()
            ]
            first += frames
    return found


def stretches(prepared: Sequence[Prepared], whole_trials: bool) -> list[Segment]:
    """Two seconds each, as many as fit in every block; ``whole_trials``: blocks are trials."""
    found = []
    for number, own in enumerate(prepared):
        length, first = round(STRETCH_S * own.fold.frame_rate_hz), 0
        for block in own.fold.blocks:
            session = block.session or block.recording
            for slot in range(len(block.target) // length):
                start = first + slot * length
                found.append(Segment(number, session, start, start + length, slot * whole_trials))
            first += len(block.target)
    return found


def groups_of(segments: Segments) -> trial_exchange.Groups:
    """About ten neighbours of one fold and session each."""
    return neighbours([(s.fold, s.session, s.slot) for s in segments], TOGETHER)


def cut(prepared: Sequence[Prepared], segments: Segments, name: str | None = None) -> list[Values]:
    """Each segment of a prediction, or of the target."""
    whole = [own.target if name is None else own.prediction(name) for own in prepared]
    return [whole[s.fold][s.start : s.stop].astype(np.float64) for s in segments]


def too_few(segments: Segments, noun: str) -> str | None:
    """Why there is no test."""
    if trial_exchange.distinct_orders(groups_of(segments)) > LEAST:
        return None
    return f"{len(segments)} {noun} within their sessions and folds: fewer than {LEAST + 1} ways to exchange them"


def exchanged(target: Side, prediction: Side, groups: trial_exchange.Groups, score: Pairwise, count: int,
              rng: np.random.Generator) -> tuple[Values, Values]:  # fmt: skip
    """Score of each segment (segments,), and their mean for each order, (1 + orders,), the observed one first."""
    matrices = [score([target[i] for i in group], [prediction[i] for i in group]) for group in groups]
    count = min(count, trial_exchange.distinct_orders(groups) - 1)
    orders = trial_exchange.draw_orders(groups, count, rng)
    place, drawn = np.empty(len(target), np.intp), np.empty(orders.shape)
    for group, matrix in zip(groups, matrices, strict=True):
        place[group] = np.arange(len(group))
        drawn[:, group] = matrix[place[group], place[orders[:, group]]]
    return drawn[0], mean_of_known(drawn, axis=1)


# -- scores ---------------------------------------------------------------------------------------


def r_of_pairs(active: Mask, frames: int) -> Pairwise:
    """Pearson's r over time, mean over bands, after both were stretched to ``frames`` frames."""

    def score(target: Side, prediction: Side) -> Values:
        y, p = (
            np.stack([standardised(stretched(x[:, active], frames)) for x in side]) for side in (target, prediction)
        )
        varies = [(side != 0).any(axis=1).astype(np.float64) for side in (y, p)]
        bands = varies[0] @ varies[1].T
        sums = y.reshape(len(y), -1) @ p.reshape(len(p), -1).T / frames
        return np.divide(sums, bands, out=np.full(bands.shape, np.nan), where=bands > 0)

    return score


def stretched(segment: Values, frames: int) -> Values:
    """A segment of ``frames`` frames, linearly interpolated in time."""
    at = np.linspace(0, len(segment) - 1, frames)
    low = np.minimum(at.astype(np.intp), max(len(segment) - 2, 0))
    share = (at - low)[:, None]
    return np.asarray((1 - share) * segment[low] + share * segment[np.minimum(low + 1, len(segment) - 1)])


def standardised(segment: Values) -> Values:
    """Each band with mean 0 and spread 1 over time; a constant band is 0."""
    centred, std = segment - segment.mean(axis=0), segment.std(axis=0)
    return np.asarray(centred / np.where(std > MIN_STD, std, np.inf))


def mcd_of_pairs(target: Side, prediction: Side) -> Values:
    """MCD [dB] after dynamic time warping."""
    y, p = ([cepstra(x) for x in side] for side in (target, prediction))
    pairs = [(i, j) for i in range(len(y)) for j in range(len(p))]
    found = warped_mcd_db([y[i] for i, _ in pairs], [p[j] for _, j in pairs])
    return np.asarray(found.reshape(len(y), len(p)))


def mcd_of_each(target: Side, prediction: Side) -> Values:
    """The same of each target with its own prediction."""
    return warped_mcd_db([cepstra(y) for y in target], [cepstra(p) for p in prediction])


def modulation_error_of_pairs(frame_rate_hz: float) -> Pairwise:
    """Root mean square difference [dB] of the log modulation spectra of the mel-cepstra."""

    def score(target: Side, prediction: Side) -> Values:
        y, p = (np.stack([modulation_db(x, frame_rate_hz).ravel() for x in side]) for side in (target, prediction))
        squares = (y**2).sum(axis=1)[:, None] + (p**2).sum(axis=1) - 2 * y @ p.T
        return np.asarray(np.sqrt(np.maximum(squares, 0) / y.shape[1]))

    return score


def modulation_db(segment: Values, frame_rate_hz: float) -> Values:
    """Log power [dB] of each mel-cepstrum's course between 0.5 and 16 Hz, (modulations, 13)."""
    course = cepstra(segment)
    window = np.hanning(len(course))[:, None]
    power = np.abs(np.fft.rfft((course - course.mean(axis=0)) * window, axis=0)) ** 2 / (window**2).sum()
    hz = np.fft.rfftfreq(len(course), 1 / frame_rate_hz)
    low, high = MODULATIONS_HZ
    return np.asarray(10 * np.log10(power[(hz >= low * 0.99) & (hz <= high)] + LEAST_POWER))
