"""Word swap: whether predicted words fit their own true word better than other words.  Mels (frames, n_mels) in nats.

This is no test of content: in ten simulations each, brains with information only on the loudness of each
word, or on which of two speakers speaks, exceed its null in all ten.  No claim follows from it.

A decoder with information on word onsets alone that predicts the mean template passes every shift
test.  Here predicted words are exchanged among the test words of a fold, aligned at onset,
which leaves such a decoder's score unchanged.

Information on *when* must not count as information on *which*.  Timing is more than onsets: the start of
the next word reveals the length of this one, and few words are long.  So

* only words of one block and alike timing change places: matched pairs, each swapped or not at
  random;
* the block's mean and what a parabola in the timing explains are first taken off target and
  predicted words;
* words are aligned twice, at the annotated onset (which may be a cue) and at the onset of the
  true sound;
* each target and each predicted word is first shifted a little to fit the mean word best.

Timing is: time to the next and from the previous onset, duration, and latency of the sound
after the annotated onset.  In ten simulations, decoders that knew all onsets exactly beat the
plain exchange in nine (a finite impulse response) and ten (nearest neighbours), this one in none
and one; a decoder with a fifth of the words' own spectrum beat it in ten.

All words are compared over the same number of frames, so r of an exchanged order is a sum
over the (words, words) matrix of cross products, and one matrix product serves all exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.types import Mask, Mel, TestBlock, Values
from pipeline.signal.correlation import MIN_STD, correlation_per_band
from pipeline.signal.mel_statistics import sound_onsets

FAR_S = 1.5
WORDS_TO_FIT = (12, 30)
"""Words, less blocks, needed to take off a line, and a parabola, of four timing values."""
SLACK_S = 0.06
"""Shift either way within which the better match of two words counts."""


@dataclass(frozen=True)
class Words:
    """Word segments of one fold, their labels and timing.

    ``target`` and ``prediction`` are (words, frames + 2 slack, active bands): they reach ``slack`` frames
    further on both sides than what is compared.  ``timing`` is (words, 4) [s], ``block`` (words,)
    the test block that a word is from.
    """

    target: Values
    prediction: Values
    labels: tuple[str, ...]
    timing: Values
    block: NDArray[np.intp]
    slack: int = 0

    def centre(self) -> Words:
        """The words without slack, as they were cut."""
        return self.each(lambda segments: segments[:, self.slack : segments.shape[1] - self.slack])

    def registered(self) -> Words:
        """The words without slack, each shifted within it to fit the mean word best."""
        return self.each(lambda segments: register(segments, self.slack))

    def each(self, change: Callable[[Values], Values]) -> Words:
        """The same change to target and prediction; what comes out has no slack."""
        return replace(self, target=change(self.target), prediction=change(self.prediction), slack=0)


def register(segments: Values, slack: int) -> Values:
    """Shift each of (words, frames + 2 slack, bands) to correlate best with the mean word -> (words, frames, bands)."""
    frames = segments.shape[1] - 2 * slack
    shifted = [segments[:, k : k + frames] for k in range(2 * slack + 1)]
    course = shifted[slack].mean(axis=0)
    course = course - course.mean(axis=0)
    fits = np.stack([np.einsum("wtb,tb->w", part, course) for part in shifted])
    best = fits.argmax(axis=0)
    return np.stack([shifted[k][word] for word, k in enumerate(best)]) if len(best) else shifted[slack]


def first_frames(block: TestBlock, frame_rate_hz: float, *, at_sound: bool) -> NDArray[np.intp]:
    """First frame of each event of ``block``, as annotated or where its sound starts (``sound_onsets``)."""
    onsets = np.array([e.onset_s for e in block.events], dtype=np.float64)
    starts = np.rint((onsets - block.times_s[0]) * frame_rate_hz).astype(np.intp)
    if not at_sound:
        return starts
    lengths = np.rint([e.duration_s * frame_rate_hz for e in block.events]).astype(np.intp)
    return sound_onsets(block.target, starts, lengths)


def timing(block: TestBlock, frame_rate_hz: float) -> Values:
    """What a decoder of timing may know of each event, (events, 4) [s], distances capped at 1.5 s."""
    onset = np.array([e.onset_s for e in block.events])
    duration = np.array([e.duration_s for e in block.events])
    order = np.argsort(onset, kind="stable")
    steps = np.minimum(np.diff(onset[order], prepend=-np.inf, append=np.inf), FAR_S)
    following, previous = np.empty_like(onset), np.empty_like(onset)
    following[order], previous[order] = steps[1:], steps[:-1]
    starts = [first_frames(block, frame_rate_hz, at_sound=at_sound) for at_sound in (False, True)]
    return np.stack([following, previous, duration, (starts[1] - starts[0]) / frame_rate_hz], axis=1)


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
    active: Mask,
    frame_rate_hz: float,
) -> Words:
    """Word segments of one prediction; words that leave their block are dropped."""
    target: list[Mel] = []
    prediction: list[Mel] = []
    labels: list[str] = []
    times: list[Values] = []
    numbers: list[int] = []
    for number, (block, firsts) in enumerate(zip(blocks, starts, strict=True)):
        predicted = block.predictions[name]
        assert predicted is not None
        for event, first, known in zip(block.events, firsts, timing(block, frame_rate_hz), strict=True):
            if first >= slack and first + frames + slack <= len(block.target):
                target.append(block.target[first - slack : first + frames + slack, active])
                prediction.append(predicted[first - slack : first + frames + slack, active])
                labels.append(event.label)
                times.append(known)
                numbers.append(number)
    bands = int(active.sum())
    return Words(
        np.array(target, dtype=np.float64).reshape(-1, frames + 2 * slack, bands),
        np.array(prediction, dtype=np.float64).reshape(-1, frames + 2 * slack, bands),
        tuple(labels),
        np.array(times, dtype=np.float64).reshape(-1, 4),
        np.array(numbers, dtype=np.intp),
        slack,
    )


def without_timing(words: Words) -> Words:
    """The words less their block's mean and what a parabola in their timing explains.

    Where words are few it is a line, or the block's mean alone.
    """
    line, blocks = standardised(words.timing), len(np.unique(words.block))
    terms = [np.zeros((len(line), 0)), line, *(line[:, k:] * line[:, k : k + 1] for k in range(line.shape[1]))]
    order = sum(len(line) - blocks >= needed for needed in WORDS_TO_FIT)
    within = less_block_means(np.concatenate(terms[: (1, 2, len(terms))[order]], axis=1), words.block)
    left, size, _ = np.linalg.svd(within, full_matrices=False)
    basis = left[:, size > 1e-9 * np.sqrt(len(line))]  # relative to the norm of a standardised column

    def residual(segments: Values) -> Values:
        flat = less_block_means(segments.reshape(len(segments), -1), words.block)
        return np.asarray((flat - basis @ (basis.T @ flat)).reshape(segments.shape))

    return words.each(residual)


def less_block_means(rows: Values, block: NDArray[np.intp]) -> Values:
    """Rows less the mean of their block; with thousands of short blocks, a regression on them would take minutes."""
    _, place, count = np.unique(block, return_inverse=True, return_counts=True)
    sums = np.zeros((len(count), rows.shape[1]))
    np.add.at(sums, place, rows)
    return np.asarray(rows - (sums / count[:, None])[place])


def standardised(values: Values) -> Values:
    """Columns with mean 0 and variance 1; constant columns are dropped."""
    std = values.std(axis=0)
    varies = std > 1e-9
    return np.asarray((values - values.mean(axis=0))[:, varies] / std[varies])


def matched_pairs(words: Words) -> NDArray[np.intp]:
    """Pairs of differently labelled words of one block with the most alike timing, (pairs, 2).

    Each word is in one pair at most.  Words of different blocks stay where they are: a
    decoder of a recording's loudness has no information on words.
    """
    if len(words.labels) < 2:
        return np.zeros((0, 2), dtype=np.intp)
    scaled = standardised(words.timing)
    labels = np.array(words.labels)
    may_swap = (labels[:, None] != labels[None]) & (words.block[:, None] == words.block[None])
    first, second = np.nonzero(np.triu(may_swap, k=1))
    distance = ((scaled[first] - scaled[second]) ** 2).sum(axis=1)
    free, pairs = np.ones(len(labels), bool), []
    for k in np.argsort(distance, kind="stable"):
        if free[first[k]] and free[second[k]]:
            free[[first[k], second[k]]] = False
            pairs.append((first[k], second[k]))
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def swap_matrix(words: Words) -> Values:
    """(words, words): entry [i, j] is what target word i with predicted word j adds to the mean r."""

    def scaled(segments: Values) -> Values:
        mean, std = segments.mean(axis=(0, 1)), segments.std(axis=(0, 1))
        return np.asarray(((segments - mean) / np.where(std > MIN_STD, std, np.inf)).reshape(len(segments), -1))

    words_count, frames, _ = words.target.shape
    bands = np.count_nonzero(words.prediction.std(axis=(0, 1)) > MIN_STD)
    return np.asarray(scaled(words.target) @ scaled(words.prediction).T / (words_count * frames * max(bands, 1)))


def rank_matrix(words: Words) -> Values:
    """(words, words): entry [i, j] is the rank accuracy of true word i if predicted word j is its prediction.

    Predicted word j is correlated with every target word, after the mean word has been taken
    off both; the rank accuracy is the share of other-labelled target words that fit worse
    than word i (ties count half), so chance is 0.5.
    """

    def shape(segments: Values) -> Values:
        flat = (segments - segments.mean(axis=0)).reshape(len(segments), -1)
        norm = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.asarray(flat / np.where(norm > MIN_STD * np.sqrt(flat.shape[1]), norm, np.inf))

    similarity = shape(words.target) @ shape(words.prediction).T
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


def exchanges(pairs: NDArray[np.intp], words: int, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(1 + count, words) orders of a fold's words: none exchanged first, then each pair with chance ½."""
    orders = np.tile(np.arange(words), (count + 1, 1))
    for one, two in pairs:
        swapped = rng.random(count + 1) < 0.5
        swapped[0] = False
        orders[swapped, one], orders[swapped, two] = two, one
    return orders


def exchanged(matrix: Values, orders: NDArray[np.intp]) -> Values:
    """Sum of ``matrix[i, order[i]]`` for each order, (count,)."""
    return np.asarray(matrix[np.arange(len(matrix)), orders].sum(axis=1))


def words_r(words: Words, chosen: Mask) -> float | None:
    """Mean r over bands on the chosen words' frames; ``None`` where undefined."""
    y, p = words.target[chosen], words.prediction[chosen]
    if not len(y):
        return None
    r = correlation_per_band(p.reshape(-1, p.shape[-1]), y.reshape(-1, y.shape[-1]))
    return float(np.nanmean(r)) if np.isfinite(r).any() else None
