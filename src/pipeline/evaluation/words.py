"""Does the prediction know *which* word is spoken, or only when?  (frames, n_mels) in nats.

A decoder that knows word onsets alone and plays the mean template passes every rotation
test.  Here the predicted words of a fold are exchanged among its test words, aligned at
onset, which leaves such a decoder's score unchanged.  All words are compared over the same
number of frames, so r of an exchanged order is a sum over the (words, words) matrix of
cross products, and one matrix product serves all exchanges.

Knowing *when* must not pass for knowing *which*.  So words are aligned twice, at the
annotated onset (which may be a cue) and at the onset of the true sound inside the word, and
every pair is compared at the best of some small shifts; content is claimed only when both
nulls are beaten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import MIN_STD_NATS, correlation
from pipeline.evaluation.types import Mask, Mel, TestBlock, Values

SLACK_S = 0.06
"""Shift either way within which the better match of two words counts."""


@dataclass(frozen=True)
class Words:
    """Word segments of one fold and their labels.

    ``target`` is (words, frames, live bands), ``prediction`` (words, frames + 2 slack, live bands): it
    reaches ``slack`` frames further on both sides.
    """

    target: Values
    prediction: Values
    labels: tuple[str, ...]

    @property
    def aligned(self) -> Values:
        """The predicted words without the slack."""
        return self.shifted(self.slack)

    @property
    def slack(self) -> int:
        """Frames by which predicted words may be shifted either way."""
        return int(self.prediction.shape[1] - self.target.shape[1]) // 2

    def shifted(self, first: int) -> Values:
        """Predicted words from frame ``first`` on, as long as the targets."""
        return self.prediction[:, first : first + self.target.shape[1]]


def first_frames(block: TestBlock, frame_rate_hz: float, *, at_sound: bool) -> NDArray[np.intp]:
    """First frame of each event of ``block``, as annotated or where its sound starts.

    Sound starts where the mean log-mel first rises above the middle of its range inside the
    event: a level of the word's own, so that loud words do not seem to start earlier.
    """
    onsets = np.array([e.onset_s for e in block.events], dtype=np.float64)
    starts = np.rint((onsets - block.times_s[0]) * frame_rate_hz).astype(np.intp)
    if not at_sound:
        return starts
    loudness = block.target.mean(axis=1)
    for k, event in enumerate(block.events):
        first = max(starts[k], 0)
        inside = loudness[first : first + max(1, round(event.duration_s * frame_rate_hz))]
        if inside.size:
            starts[k] = first + np.argmax(inside >= (inside.min() + inside.max()) / 2)
    return starts


def segment_frames(blocks: Sequence[TestBlock], frame_rate_hz: float) -> int:
    """Compared frames per word: the shortest quarter of durations, before nearly every next onset.

    A longer stretch would let the *time* of the next word, which a timing decoder knows,
    tell words apart.
    """
    durations = [e.duration_s for b in blocks for e in b.events]
    gaps = [float(g) for b in blocks for g in np.diff(sorted(e.onset_s for e in b.events))]
    limits = [float(np.percentile(durations, 25))] + ([float(np.percentile(gaps, 10))] if gaps else [])
    return int(min(limits) * frame_rate_hz)


def cut_words(
    blocks: Sequence[TestBlock],
    name: str,
    starts: Sequence[NDArray[np.intp]],
    frames: int,
    slack: int,
    live: Mask,
) -> Words:
    """Word segments of one prediction; words that leave their block are dropped."""
    target: list[Mel] = []
    prediction: list[Mel] = []
    labels: list[str] = []
    for block, firsts in zip(blocks, starts, strict=True):
        predicted = block.predictions[name]
        assert predicted is not None
        for event, first in zip(block.events, firsts, strict=True):
            if first >= slack and first + frames + slack <= len(block.target):
                target.append(block.target[first : first + frames, live])
                prediction.append(predicted[first - slack : first + frames + slack, live])
                labels.append(event.label)
    bands = int(live.sum())
    return Words(
        np.array(target, dtype=np.float64).reshape(-1, frames, bands),
        np.array(prediction, dtype=np.float64).reshape(-1, frames + 2 * slack, bands),
        tuple(labels),
    )


def swap_matrix(words: Words) -> Values:
    """(words, words): entry [i, j] is what target word i with predicted word j adds to the mean r.

    Each entry is the largest over the shifts that the slack allows.
    """
    mean, std = words.aligned.mean(axis=(0, 1)), words.aligned.std(axis=(0, 1))
    varies = std > MIN_STD_NATS
    y = words.target - words.target.mean(axis=(0, 1))
    scale = words.target.std(axis=(0, 1)) * np.where(varies, std, np.inf) * y.shape[0] * y.shape[1]
    y = (y / scale / max(np.count_nonzero(varies), 1)).reshape(len(y), -1)
    return best_shift(y, lambda k: (words.shifted(k) - mean).reshape(len(y), -1), words.slack)


def best_shift(target: Values, predicted: Callable[[int], Values], slack: int) -> Values:
    """Largest of ``target @ predicted(k).T`` over the shifts 0 … 2 slack, in single precision for speed."""
    left = target.astype(np.float32)
    best = np.full((len(left), len(left)), -np.inf, np.float32)
    for k in range(2 * slack + 1):
        np.maximum(best, left @ predicted(k).astype(np.float32).T, out=best)
    return best.astype(np.float64)


def rank_matrix(words: Words) -> Values:
    """(words, words): entry [i, j] is the rank accuracy of true word i if predicted word j is its prediction.

    Predicted word j is correlated with every target word (at the best shift), after the
    mean word has been taken off both; the rank accuracy is the share of other-labelled target
    words that fit worse than word i (ties count half), so chance is 0.5.
    """

    def shape(segments: Values) -> Values:
        flat = (segments - segments.mean(axis=0)).reshape(len(segments), -1)
        norm = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.asarray(flat / np.where(norm > MIN_STD_NATS * np.sqrt(flat.shape[1]), norm, np.inf))

    similarity = best_shift(shape(words.target), lambda k: shape(words.shifted(k)), words.slack)
    worse, others = beaten(similarity), np.full(len(similarity), len(similarity))
    labels = np.array(words.labels)
    for label in set(words.labels):
        own = labels == label
        worse[own] -= beaten(similarity[own])
        others[own] -= own.sum()
    return np.asarray(worse / np.maximum(others, 1)[:, None])


def beaten(values: Values) -> Values:
    """How many entries of its column each entry exceeds, ties (itself among them) counting half."""
    ordered = np.sort(values, axis=0)
    sides = [
        np.stack([np.searchsorted(o, v, side) for o, v in zip(ordered.T, values.T, strict=True)], axis=1)
        for side in ("left", "right")
    ]
    return np.asarray((sides[0] + sides[1]) / 2)


def exchanges(words: int, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(count, words) random orders of a fold's words."""
    return rng.permuted(np.tile(np.arange(words), (count, 1)), axis=1)


def exchanged(matrix: Values, orders: NDArray[np.intp]) -> Values:
    """Sum of ``matrix[i, order[i]]`` for each order, (count,)."""
    return np.asarray(matrix[np.arange(len(matrix)), orders].sum(axis=1))


def words_r(words: Words, chosen: Mask) -> float | None:
    """Mean r over bands on the chosen words' frames; ``None`` where undefined."""
    y, p = words.target[chosen], words.aligned[chosen]
    if not len(y):
        return None
    y, p = y.reshape(-1, y.shape[-1]), p.reshape(-1, p.shape[-1])
    p, y = p - y.mean(axis=0), y - y.mean(axis=0)
    n = np.full(y.shape[1], float(len(y)))
    sums = [n, *(x.sum(axis=0) for x in (y, p, y * y, p * p, y * p))]
    r = correlation(np.stack(sums, axis=-1))
    return float(np.nanmean(r)) if np.isfinite(r).any() else None
