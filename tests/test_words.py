"""The parts of the word swap, each against a count or a regression made another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from pipeline.artifacts.aligned import Event
from pipeline.evaluation import words
from pipeline.evaluation.types import TestBlock
from pipeline.signal.mel_statistics import sound_onsets

RATE_HZ = 100.0
FIRST_S = 7.3
EVENTS = (Event(8.3, 0.4, "b"), Event(7.8, 0.3, "a"), Event(11.0, 0.5, "a"), Event(11.6, 0.2, "c"))
#: In frames of the block, in the order of the events.
ONSETS, LATE = np.array([100, 50, 370, 430]), np.array([7, 3, 12, 0])


def block() -> TestBlock:
    """A block that begins at 7.3 s of its recording, whose voice sets in a little after each event."""
    rng = np.random.default_rng(0)
    target = np.full((460, 3), -11.0) + 0.01 * rng.normal(size=(460, 3))
    for onset, late, event in zip(ONSETS, LATE, EVENTS, strict=True):
        target[onset + late : onset + round(event.duration_s * RATE_HZ)] += 7
    prediction = target + rng.normal(size=target.shape)
    times_s = FIRST_S + np.arange(460) / RATE_HZ
    return TestBlock("r", 730, times_s, target, {"model": prediction}, np.zeros(460, bool), EVENTS)


def some_words(n: int, seed: int = 0, blocks: int = 2) -> words.Words:
    rng = np.random.default_rng(seed)
    y, p = rng.normal(size=(2, n, 6, 2))
    labels = tuple("abcde"[k] for k in rng.integers(0, 5, n))
    return words.Words(y, p, labels, rng.normal(size=(n, 4)), np.arange(n) % blocks)


def test_onsets_and_timing_are_those_of_the_block_s_own_time() -> None:
    np.testing.assert_array_equal(words.first_frames(block(), RATE_HZ, at_sound=False), ONSETS)
    lengths = np.array([round(e.duration_s * RATE_HZ) for e in EVENTS])
    voice = sound_onsets(block().target, ONSETS, lengths)
    np.testing.assert_array_equal(words.first_frames(block(), RATE_HZ, at_sound=True), voice)
    assert np.all(np.abs(voice - ONSETS - LATE) <= 2)
    following, previous, duration, latency = words.timing(block(), RATE_HZ).T
    np.testing.assert_allclose(following, [1.5, 0.5, 0.6, 1.5])
    np.testing.assert_allclose(previous, [0.5, 1.5, 1.5, 0.6])
    np.testing.assert_allclose(duration, [0.4, 0.3, 0.5, 0.2])
    np.testing.assert_allclose(latency, (voice - ONSETS) / RATE_HZ)


def test_words_are_compared_over_the_shortest_quarter_of_durations_and_gaps() -> None:
    """The lower quartile of durations .2, .3, .4, .5 is .275 s, the lower tenth of gaps .5, 2.7, .6 is .52 s."""
    assert words.segment_frames([block()], RATE_HZ) == 27
    near = replace(block(), events=(Event(8.0, 0.9, "a"), Event(8.255, 0.8, "b"), Event(9.005, 0.7, "c")))
    assert words.segment_frames([near], RATE_HZ) == 30, "a tenth of the way from .255 to .75 s"
    assert words.segment_frames([replace(block(), events=EVENTS[:1])], RATE_HZ) == 40


@pytest.mark.parametrize(("frames", "slack", "kept"), [(30, 0, 4), (31, 0, 3), (25, 5, 4), (25, 6, 3), (20, 51, 2)])
def test_words_that_leave_their_block_are_dropped(frames: int, slack: int, kept: int) -> None:
    both, active = [block(), block()], np.array([True, False, True])
    cut = words.cut_words(both, "model", [ONSETS, ONSETS], frames, slack, active, RATE_HZ)
    assert cut.target.shape == cut.prediction.shape == (2 * kept, frames + 2 * slack, 2)
    inside = [i for i, onset in enumerate(ONSETS) if onset - slack >= 0 and onset + frames + slack <= 460]
    assert cut.block.tolist() == [0] * kept + [1] * kept
    assert cut.labels == tuple(EVENTS[i].label for i in inside) * 2
    np.testing.assert_allclose(cut.timing, np.tile(words.timing(block(), RATE_HZ)[inside], (2, 1)))
    centre = cut.centre()
    np.testing.assert_array_equal(centre.centre().target, centre.target, "what was cut to its centre has no slack")
    for k, i in enumerate(inside):
        stretch = slice(ONSETS[i], ONSETS[i] + frames)
        np.testing.assert_array_equal(centre.target[k], block().target[stretch][:, active])
        np.testing.assert_array_equal(centre.prediction[k], block().predictions["model"][stretch][:, active])


@pytest.mark.parametrize(("n", "order"), [(13, 0), (14, 1), (31, 1), (32, 2), (60, 2)])
def test_what_timing_explains_comes_off_as_by_least_squares(n: int, order: int) -> None:
    """Of two blocks: a mean each; from 12 words more than blocks on a line, from 30 a parabola of the four values."""
    cut = some_words(n)
    t = scipy.stats.zscore(cut.timing, axis=0)
    terms = [np.eye(2)[cut.block], t, np.stack([t[:, i] * t[:, j] for i in range(4) for j in range(i, 4)], axis=1)]
    design = np.concatenate(terms[: order + 1], axis=1)
    found = words.without_timing(cut)
    for before, after in ((cut.target, found.target), (cut.prediction, found.prediction)):
        flat = before.reshape(n, -1)
        rest = flat - design @ scipy.linalg.lstsq(design, flat)[0]
        np.testing.assert_allclose(after.reshape(n, -1), rest, atol=1e-10)


def test_a_timing_that_never_varies_takes_nothing_off() -> None:
    cut = replace(some_words(20), timing=np.ones((20, 4)))
    means = np.stack([cut.target[cut.block == k].mean(axis=0) for k in range(2)])
    np.testing.assert_allclose(words.without_timing(cut).target, cut.target - means[cut.block], atol=1e-12)


def test_rank_accuracy_is_the_share_of_other_words_that_fit_worse() -> None:
    """Words 3 and 4 sound alike, so that there are ties."""
    cut = some_words(9)
    cut.target[4] = cut.target[3]
    y, p = ((x - x.mean(axis=0)).reshape(9, -1) for x in (cut.target, cut.prediction))
    fit = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in p] for a in y])
    expected = np.zeros((9, 9))
    for i in range(9):
        others = [k for k in range(9) if cut.labels[k] != cut.labels[i]]
        for j in range(9):
            worse = [(fit[k, j] < fit[i, j]) + (fit[k, j] == fit[i, j]) / 2 for k in others]
            expected[i, j] = np.mean(worse)
    np.testing.assert_allclose(words.rank_matrix(cut), expected)


def test_a_constant_prediction_ranks_nothing_and_adds_nothing() -> None:
    cut = replace(some_words(6), prediction=np.ones((6, 6, 2)))
    np.testing.assert_array_equal(words.rank_matrix(cut), np.full((6, 6), 0.5))
    np.testing.assert_array_equal(words.swap_matrix(cut), np.zeros((6, 6)))
    half = replace(cut, prediction=np.concatenate([cut.target[..., :1], cut.prediction[..., 1:]], axis=2))
    assert words.exchanged(words.swap_matrix(half), np.arange(6)[None])[0] == pytest.approx(1.0)


def test_pairs_are_the_most_alike_in_timing_of_other_labels_and_one_block() -> None:
    """As a search over all pairs finds them, the nearest first."""
    cut = some_words(16, seed=3)
    t = scipy.stats.zscore(cut.timing, axis=0)
    every = [(float(((t[i] - t[j]) ** 2).sum()), i, j) for j in range(16) for i in range(j)]
    may = [(d, i, j) for d, i, j in every if cut.labels[i] != cut.labels[j] and cut.block[i] == cut.block[j]]
    expected: list[tuple[int, int]] = []
    for _, i, j in sorted(may):
        if not {i, j} & {k for pair in expected for k in pair}:
            expected.append((i, j))
    assert words.matched_pairs(cut).tolist() == [list(pair) for pair in expected]
    assert words.matched_pairs(replace(cut, labels=("a",) * 16)).shape == (0, 2)
    one = words.Words(cut.target[:1], cut.prediction[:1], ("a",), cut.timing[:1], cut.block[:1])
    assert words.matched_pairs(one).shape == (0, 2)


def test_r_of_words_is_that_of_their_frames() -> None:
    cut, chosen = some_words(8), np.arange(8) % 3 == 0
    y, p = (x[chosen].reshape(-1, 2) for x in (cut.target, cut.prediction))
    expected = np.mean([scipy.stats.pearsonr(a, b).statistic for a, b in zip(y.T, p.T, strict=True)])
    assert words.words_r(cut, chosen) == pytest.approx(expected)
    assert words.words_r(cut, np.zeros(8, bool)) is None
    assert words.words_r(replace(cut, prediction=np.ones((8, 6, 2))), chosen) is None
