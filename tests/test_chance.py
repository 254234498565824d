"""Chance levels: calibrated without a link, exceeded with one; the word swap supports no claim of content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from bench import calibration
from scipy.signal import savgol_filter

from pipeline.artifacts.aligned import Event
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.evaluation import chance, drift, shifts, trial_exchange, words
from pipeline.evaluation.fold import score_fold
from pipeline.evaluation.levels import LEVELS
from pipeline.evaluation.scores import WORD_SWAP_NOTE, RunContext, score
from pipeline.evaluation.types import FoldPredictions, TestBlock
from pipeline.signal.correlation import correlation

RATE_HZ = 86.1328125
FAST = EvaluateConfig(bootstrap=100, stoi=False)
BANDS = 6
WORD_FRAMES = 30
NO_LINK, TIMING = "no_link", "timing"


def slow_noise(rng: np.random.Generator, frames: int, bands: int = BANDS, memory: float = 0.95) -> np.ndarray:
    """AR(1) noise of unit variance: autocorrelated like a mel."""
    out = rng.normal(size=(frames, bands))
    for t in range(1, frames):
        out[t] = memory * out[t - 1] + np.sqrt(1 - memory**2) * out[t]
    return out


def null_of(
    target: list[np.ndarray], prediction: list[np.ndarray], rng: np.random.Generator, *, trials: bool = False
) -> chance.Null:
    """The null of blocks of one recording, or of trials of one session."""
    blocks = [
        chance.NullBlock(y, p, f"rec{i}" if trials else "rec", "one")
        for i, (y, p) in enumerate(zip(target, prediction, strict=True))
    ]
    fold = chance.NullFold(blocks, np.ones(target[0].shape[1], bool), RATE_HZ)
    return chance.subject_null([fold], 1000, 0.5, rng)


def test_shifted_moments_equal_rolling() -> None:
    rng = np.random.default_rng(0)
    y, p, w = rng.normal(size=(3, 47)), rng.normal(size=(3, 47)), (rng.random(47) > 0.4).astype(float)
    offsets = np.array([0, 1, 17, 46])
    r = correlation(shifts.shifted_moments(y, [p, y], [w, np.ones(47)], offsets))
    for row, shift in enumerate(offsets):
        rolled = np.roll(p, shift, axis=1)
        for weight, kept in enumerate((w > 0, np.ones(47, bool))):
            expected = [np.corrcoef(a[kept], b[kept])[0, 1] for a, b in zip(y, rolled, strict=True)]
            np.testing.assert_allclose(r[0, weight, :, row], expected, atol=1e-10)
    np.testing.assert_allclose(r[1, 1, :, 0], 1)


def test_r_of_shifts_is_that_of_rolled_blocks_in_every_band() -> None:
    """Of more bands than are taken at once, three blocks, two predictions, all frames and some: none of the last."""
    rng, lengths = np.random.default_rng(0), (40, 55, 30)
    y, p, q = ([rng.normal(size=(n, 11)) for n in lengths] for _ in range(3))
    some = [rng.random(n) < share for n, share in zip(lengths, (0.6, 0.6, 0.0), strict=True)]
    drawn = shifts.draw_shifts(lengths, 5, 6, rng)
    weights = [[np.ones(n) for n in lengths], [own.astype(float) for own in some]]
    found = shifts.circular_shift_null(y, [p, q], weights, drawn)
    assert found.shape == (2, 2, 7, 11)
    for (i, moving), (k, kept), (s, by) in product(
        enumerate((p, q)), enumerate((np.ones(125, bool), np.concatenate(some))), enumerate(drawn)
    ):
        rolled = np.concatenate([np.roll(x, n, axis=0) for x, n in zip(moving, by, strict=True)])
        pairs = zip(np.concatenate(y)[kept].T, rolled[kept].T, strict=True)
        np.testing.assert_allclose(found[i, k, s], [np.corrcoef(a, b)[0, 1] for a, b in pairs], atol=1e-10)


def test_r_of_exchanges_is_that_of_trials_in_another_order_in_every_band() -> None:
    rng, groups = np.random.default_rng(0), [np.array([0, 2, 3]), np.array([1, 4])]
    y, p = (rng.normal(size=(5, 30, 11)) for _ in "yp")
    orders = trial_exchange.draw_orders(groups, 11, rng)
    assert len(orders) == trial_exchange.distinct_orders(groups) == 12
    rest = [np.ones(30)] * 5, [np.zeros((30, 2))] * 5, [(0, 30)] * 5
    found = trial_exchange.exchange_null(list(y), list(p), *rest, groups, orders, 0)
    for r, order in zip(found, orders, strict=True):
        pairs = zip(y.reshape(-1, 11).T, p[order].reshape(-1, 11).T, strict=True)
        np.testing.assert_allclose(r, [np.corrcoef(a, b)[0, 1] for a, b in pairs], atol=1e-10)


def test_a_band_that_never_varies_says_nothing_of_independent_shifts() -> None:
    series = slow_noise(np.random.default_rng(0), 2000)
    flat = series.copy()
    flat[:, 2:4] = (0.1, 1e6)
    own = np.arange(BANDS) // 2 != 1
    every = np.ones(BANDS, bool)
    assert shifts.autocorrelation_frames([flat], every) == shifts.autocorrelation_frames([series], own)
    assert shifts.autocorrelation_frames([flat, flat[:700]], ~own) == 2000


def test_slow_drift_is_that_of_a_savitzky_golay_filter() -> None:
    series = slow_noise(np.random.default_rng(0), 1500) + np.linspace(0, 20, 1500)[:, None]
    window = 2 * round(2 * RATE_HZ) + 1
    expected = series - savgol_filter(series, window, 1, axis=0, mode="interp")
    np.testing.assert_allclose(drift.without_drift(series, RATE_HZ), expected, atol=1e-10)


def test_drift_of_a_short_trial_is_its_line() -> None:
    trial = slow_noise(np.random.default_rng(0), 300)
    expected = trial - np.stack([np.polyval(np.polyfit(np.arange(300), y, 1), np.arange(300)) for y in trial.T], 1)
    np.testing.assert_allclose(drift.without_drift(trial, RATE_HZ), expected, atol=1e-10)


def test_lines_of_a_trial_explain_its_drift_up_to_8_s() -> None:
    rng, rate_hz = np.random.default_rng(0), 5.0
    for frames in (1, 2, 3, 7, 39):
        lines, series = drift.lines_of(frames, rate_hz), rng.normal(size=(frames, 3))
        np.testing.assert_allclose(lines.T @ lines, np.diag([1, float(frames > 1)]), atol=1e-12)
        np.testing.assert_allclose(
            series - lines @ (lines.T @ series), drift.without_drift(series, rate_hz), atol=1e-12
        )
    series = rng.normal(size=(40, 3))
    expected = series - savgol_filter(series, 21, 1, axis=0, mode="interp")
    np.testing.assert_allclose(drift.without_drift(series, rate_hz), expected, atol=1e-12)
    np.testing.assert_array_equal(drift.lines_of(40, rate_hz), np.zeros((40, 2)))


def test_independent_shifts_are_counted_after_the_drift() -> None:
    """Of AR(1) noise 0.95ⁿ falls below 0.1 at 45 frames; of prediction and target the slower one counts."""
    rng = np.random.default_rng(0)
    fast, slow = slow_noise(rng, 20000, memory=0.5), slow_noise(rng, 20000)
    for target, prediction in ((fast, slow), (slow, fast)):
        found = null_of([target], [prediction], rng)
        assert 20000 / 45 * 0.9 < found.independent < 20000 / 45 * 1.6, "the running mean shortens it"
        assert len(found.values) == 1 + found.independent
        assert found.p_value >= 1 / (1 + found.independent)
    assert null_of([fast], [fast], rng).independent > 4000


def test_autocorrelation_is_that_of_numpy() -> None:
    series = slow_noise(np.random.default_rng(0), 2000)
    own = series - series.mean(axis=0)
    full = np.mean([np.correlate(y, y, "full")[1999:] / (y @ y) for y in own.T], axis=0)
    assert shifts.autocorrelation_frames([series], np.ones(BANDS, bool)) == np.flatnonzero(full < 0.1)[0]


def test_shifts_are_drawn_without_replacement_each_block_on_its_own() -> None:
    drawn = shifts.draw_shifts([300, 1000], 50, 250, np.random.default_rng(0))
    assert np.all(drawn[0] == 0)
    assert drawn[1:].min() == 50
    assert drawn[1:, 0].max() == 250
    assert np.unique(drawn[1:202, 0]).size == 201, "all of a short block's before one comes again"
    assert np.unique(drawn[1:, 1]).size == 250
    assert abs(np.corrcoef(drawn[1:].T)[0, 1]) < 0.2


def test_circular_shift_is_calibrated_on_autocorrelated_independent_data() -> None:
    """Of 200 independent pairs about 5 % come out below 0.05, and an i.i.d. shuffle's chance is far too low."""
    p, observed = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        target, prediction = ([slow_noise(rng, n, 2) for n in (3100, 2000)] for _ in "ab")
        found = null_of(target, prediction, rng)
        p.append(found.p_value)
        observed.append(found.values[0])
    assert found.method == "shift"
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.10
    assert 0.35 < np.mean(p) < 0.65
    assert np.percentile(observed, 95) > 2 * 1.64 / np.sqrt(5100 * 2), "data must be hard for an i.i.d. shuffle"


def test_a_link_is_found_by_shifts_and_by_exchanges() -> None:
    rng = np.random.default_rng(0)
    long = [slow_noise(rng, 4000) for _ in range(2)]
    found = null_of(long, [b + 2 * slow_noise(rng, 4000) for b in long], rng)
    assert found.p_value == pytest.approx(1 / (1 + found.independent))
    short = [slow_noise(rng, 200) for _ in range(12)]
    found = null_of(short, [b + slow_noise(rng, 200) for b in short], rng, trials=True)
    assert (found.method, found.p_value) == ("exchange", 1 / 1001)


def partner(t: int, own: list[int], other: list[int]) -> int | None:
    """The frame of another trial that meets frame ``t``: the same from the nearer anchor; ``None`` past its half."""
    k = next(k for k in range(len(own) - 1) if own[k] <= t < own[k + 1])
    length, others = own[k + 1] - own[k], other[k + 1] - other[k]
    on, back = t - own[k], own[k + 1] - 1 - t
    if on < (length + 1) // 2:
        return other[k] + on if on < (others + 1) // 2 else None
    return other[k + 1] - 1 - back if back < others // 2 else None


@pytest.mark.parametrize("inner", [[[], [], []], [[2, 6], [5, 12], [3, 4]]])
def test_exchanged_trials_equal_a_loop_over_their_frames(
    inner: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials of unequal length, weighted; here the mean of those that reach there goes on for a shorter one."""
    monkeypatch.setattr(trial_exchange, "gone_on", lambda x, rng: np.where(np.isnan(x), np.nanmean(x, axis=0), x))
    rng = np.random.default_rng(0)
    lengths = [9, 14, 10]
    anchors = [[0, *own, n] for own, n in zip(inner, lengths, strict=True)]
    target, prediction = ([rng.normal(size=(n, 2)) for n in lengths] for _ in "ab")
    weight = [(rng.random(n) > 0.3).astype(float) for n in lengths]
    lines = [drift.lines_of(n, RATE_HZ) for n in lengths]
    target = [y - fitted_line(y) for y in target]
    orders = np.array(list(permutations(range(3))))
    r = trial_exchange.exchange_null(target, prediction, weight, lines, anchors, [np.arange(3)], orders, 0)

    def met(series: list[np.ndarray], i: int, j: int) -> np.ndarray:
        """Trial j's series, and where it has ended the mean of the others, at the frames of trial i."""
        rows = []
        for t in range(lengths[i]):
            places = [partner(t, anchors[i], anchors[k]) for k in range(3)]
            known = [series[k][u] for k, u in enumerate(places) if u is not None]
            rows.append(np.mean(known, axis=0) if places[j] is None else series[j][places[j]])
        return np.array(rows)

    own = [
        prediction[i] - np.array([prediction_mean(prediction, anchors, i, t) for t in range(lengths[i])])
        for i in range(3)
    ]
    straight = [p - fitted_line(o) for p, o in zip(prediction, own, strict=True)]
    for order, row in zip(orders, r, strict=True):
        pairs = [met(straight, i, j) for i, j in enumerate(order)]
        p = np.concatenate([(m - fitted_line(m))[w > 0] for m, w in zip(pairs, weight, strict=True)])
        y = np.concatenate([t[w > 0] for t, w in zip(target, weight, strict=True)])
        np.testing.assert_allclose(row, [np.corrcoef(y[:, b], p[:, b])[0, 1] for b in range(2)], atol=1e-10)


def fitted_line(series: np.ndarray) -> np.ndarray:
    """The line of best fit of each column."""
    t = np.arange(len(series))
    return np.stack([np.polyval(np.polyfit(t, column, 1), t) for column in series.T], axis=1)


def prediction_mean(prediction: list[np.ndarray], anchors: list[list[int]], i: int, t: int) -> np.ndarray:
    """Mean over the trials that reach the place of frame ``t`` of trial ``i``."""
    places = [partner(t, anchors[i], own) for own in anchors]
    return np.asarray(np.mean([prediction[k][u] for k, u in enumerate(places) if u is not None], axis=0))


def test_a_trial_goes_on_as_one_that_reaches_further() -> None:
    rng = np.random.default_rng(0)
    trials = rng.normal(size=(4, 20, 2))
    trials[1, 8:] = trials[2, 15:] = trials[2, :3] = np.nan
    found = trial_exchange.gone_on(trials, rng)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[np.isfinite(trials)], trials[np.isfinite(trials)])
    for place in range(8, 20):
        assert any(np.array_equal(found[1, place], other[place]) for other in trials)


def test_orders_are_all_different_and_stay_in_their_group() -> None:
    groups = [np.array([0, 2, 4]), np.array([1, 3])]
    assert trial_exchange.distinct_orders(groups) == 12
    orders = trial_exchange.draw_orders(groups, 11, np.random.default_rng(0))
    assert len(np.unique(orders, axis=0)) == 12
    assert np.array_equal(orders[0], np.arange(5))
    assert np.all(np.isin(orders[:, [0, 2, 4]], [0, 2, 4]))
    assert len(trial_exchange.draw_orders(groups, 3, np.random.default_rng(0))) == 4


def test_long_recordings_that_can_exchange_nothing_are_shifted() -> None:
    """Twelve sessions of one long block each."""
    rng = np.random.default_rng(0)
    blocks = [chance.NullBlock(*(slow_noise(rng, 1200, 2) for _ in "yp"), f"rec{i}", f"rec{i}") for i in range(12)]
    found = chance.subject_null([chance.NullFold(blocks, np.ones(2, bool), RATE_HZ)], 1000, 0.5, rng)
    assert found.method == "shift"
    assert found.p_value is not None


@pytest.mark.parametrize(
    ("folds", "in_fold", "sessions", "groups"), [(2, 7, 1, 2), (2, 10, 2, 4), (10, 1, 1, 2), (1, 50, 1, 10)]
)
def test_partners_are_of_one_session_and_fold_where_that_is_enough(
    folds: int, in_fold: int, sessions: int, groups: int
) -> None:
    """Where each fold has one trial of a session, its partners lie in other folds; else about five neighbours."""
    empty = np.zeros((1, 1))
    trials = [
        (k, chance.NullBlock(empty, empty, "rec", f"session{i % sessions}"))
        for k in range(folds)
        for i in range(in_fold)
    ]
    found = chance.groups_of(trials)
    assert len(found) == groups
    if sessions == 1:
        assert all(np.all(np.diff(group) == 1) for group in found), "they follow one another"


def test_neighbours_of_folds_that_were_dealt_at_random_are_neighbours_in_time() -> None:
    empty, dealt = np.zeros((1, 1)), [7, 2, 9, 0, 4, 1, 8, 3, 6, 5]
    trials = [(k, chance.NullBlock(empty, empty, f"t{n}", "one", place=(n, 0))) for k, n in enumerate(dealt)]
    assert [[dealt[i] for i in group] for group in chance.groups_of(trials)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("seconds", "recordings", "method"),
    [([36.0], 1, "shift"), ([12.0] * 5, 1, "exchange"),
     ([12.0] * 4, 1, "shift"), ([30.0] * 5, 1, "shift"), ([12.0] * 10, 10, "exchange"),
     ([2.5] * 10, 1, "exchange"), ([36.0, 5.0], 1, "shift"), ([12.0, 5.0, 5.0, 5.0], 4, "exchange")],
)  # fmt: skip
def test_ten_trials_or_short_blocks_exchange_partners(seconds: list[float], recordings: int, method: str) -> None:
    rng = np.random.default_rng(0)
    blocks = []
    for i, duration_s in enumerate(seconds):
        y, p = (slow_noise(rng, int(np.ceil(duration_s * RATE_HZ)), 2) for _ in "ab")
        blocks.append(chance.NullBlock(y, p, f"rec{i % recordings}", "one"))
    found = chance.subject_null([chance.NullFold(blocks, np.ones(2, bool), RATE_HZ)], 1000, 0.5, rng)
    assert found.method == method


@pytest.mark.parametrize(
    ("seconds", "reason", "minutes"),
    [([13.0], "independent shifts", 99 * 0.4 / 60), ([4.0] * 4, "24 ways to exchange 4 trials", 20 / 60)],
)
def test_too_few_are_not_testable_and_the_minutes_needed_are_said(
    seconds: list[float], reason: str, minutes: float
) -> None:
    rng = np.random.default_rng(0)
    target, prediction = ([slow_noise(rng, int(s * RATE_HZ)) for s in seconds] for _ in "ab")
    found = null_of(target, prediction, rng)
    assert found.p_value is None
    assert reason in str(found.reason)
    assert len(found.values) == 1 + found.independent
    assert found.minutes_needed == pytest.approx(minutes, rel=0.4)


def test_the_limits_of_shifts_hold_to_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10 Hz: 12 s, two shifts of a block's half, and 99 independent shifts are enough.

    Blocks below 24 s, and ten recordings, are exchanged.
    """
    rng, active, rate_hz = np.random.default_rng(0), np.ones(2, bool), 10.0

    def trial(frames: int, recording: str = "rec") -> list[tuple[int, chance.NullBlock]]:
        return [(0, chance.NullBlock(*rng.normal(size=(2, frames, 2)), recording, "one"))]

    def every(frames: int) -> list[list[np.ndarray]]:
        return [[np.ones(frames)]]

    assert [chance.exchanges(trial(n), rate_hz) for n in (118, 119)] == [True, False]
    halves = [*trial(59), *trial(59), *trial(119)]
    assert not chance.exchanges(halves, rate_hz), "no more than half of it lies in blocks below 12 s"
    assert chance.exchanges([*halves, *trial(0)], rate_hz)
    assert not chance.exchanges([*trial(79), *trial(119)], rate_hz)
    assert [chance.exchanges(trial(n) * 5, rate_hz) for n in (238, 239)] == [True, False]
    for long, expected in ((2, True), (3, False)):
        assert chance.exchanges([*trial(199) * 5, *trial(399) * long], rate_hz) == expected, "100 s against 80, or 120"
    assert round(1 / chance.ALPHA) == chance.LEAST + 1, "no fewer draws have so small a p"
    many = [own for k in range(10) for own in trial(300, f"rec{k}")]
    assert (chance.exchanges(many, rate_hz), chance.exchanges(many[1:], rate_hz)) == (True, False)
    (few,) = chance.exchange_test([*trial(40)] * 2, [every(40)[0] * 2], active, rate_hz, 50, rng, "start")
    assert few.minutes_needed == pytest.approx(5 * 4.0 / 60)
    assert [chance.can_shift(trial(n)[0][1], rate_hz) for n in (119, 120)] == [False, True]
    assert chance.shift_test(trial(120), every(120), active, rate_hz, 50, 6.0, rng)[0].independent > 0
    (none,) = chance.shift_test(trial(120), every(120), active, rate_hz, 50, 6.05, rng)
    assert (none.reason, none.p_value) == ("no test block is as long as two shifts of 6.05 s", None)
    assert (none.values.shape, none.bands.shape) == ((1,), (1, 2))
    monkeypatch.setattr(chance.shifts, "autocorrelation_frames", lambda *_: 12)
    enough, few = (chance.shift_test(trial(n), every(n), active, rate_hz, 50, 1.0, rng)[0] for n in (1188, 1187))
    assert (enough.independent, enough.reason, len(enough.values)) == (99, None, 51)
    assert few.reason == "98 independent shifts (one in 1.20 s of test sound), 99 needed"
    assert few.minutes_needed == pytest.approx(99 * 1.2 / 60)


def test_trials_are_laid_onto_each_other_at_their_ends_and_at_the_voice_where_it_is_known() -> None:
    voiced = chance.NullBlock(*np.zeros((2, 50, 2)), "rec", "one", onset=10, offset=40)
    assert chance.anchors_of(voiced, "start") == (0, 50)
    assert chance.anchors_of(voiced, "voice") == (0, 10, 40, 50)
    assert chance.anchors_of(replace(voiced, offset=None), "voice") == (0, 10, 50, 50)
    assert chance.anchors_of(replace(voiced, onset=None), "voice") == (0, 50)


def test_trials_without_a_voice_are_left_out_where_voices_are_laid_onto_each_other() -> None:
    """Of eight trials five have a voice: 120 ways to exchange them."""
    rng = np.random.default_rng(0)
    trials = [(0, chance.NullBlock(*rng.normal(size=(2, 50, 2)), "rec", "one", *(k > 2) * (20, 30))) for k in range(8)]
    every = [np.ones(50)] * 8

    def independent(own: list[tuple[int, chance.NullBlock]]) -> int:
        return chance.exchange_test(own, [every[: len(own)]], np.ones(2, bool), 10.0, 500, rng, "voice")[0].independent

    assert independent(trials) == 119
    assert independent(trials[:3]) == 0


def test_who_knows_where_speech_stands_in_a_trial_is_at_chance() -> None:
    """Trials of unequal length, silent at both ends; the decoder knows no more than the ends."""
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        target, prediction = [], []
        for n in rng.integers(200, 400, 12):
            course = np.where((np.arange(n) > 50) & (np.arange(n) < n - 50), 3.0, 0.0)[:, None]
            target.append(course + slow_noise(rng, n, 2))
            prediction.append(course + slow_noise(rng, n, 2))
        p.append(null_of(target, prediction, rng, trials=True).p_value)
    assert np.mean(np.array(p) < 0.05) < 0.15
    assert 0.35 < np.mean(p) < 0.65


def test_too_few_shifts_give_no_level() -> None:
    fold = fold_of(random_block(np.random.default_rng(0), 150))
    found = score([fold], FAST, ChanceConfig(), RunContext({}))
    assert found["summary"]["chance"]["p_value"] is None
    assert "not testable" in found["summary"]["chance"]["reason"]
    assert found["claims"]["level"] is None
    assert found["claims"]["not_testable"]["timing"]["minutes_needed"] > 0


def fold_of(*blocks: TestBlock, fold: int = 0, known: frozenset[str] = frozenset()) -> FoldPredictions:
    return FoldPredictions("sub1", fold, 0, RATE_HZ, blocks, -6.0, known)


def random_block(rng: np.random.Generator, frames: int, recording: str = "rec1", linked: float = 0.0) -> TestBlock:
    target = -6 + slow_noise(rng, frames)
    model = linked * target + slow_noise(rng, frames)
    return TestBlock(
        recording, 0, np.arange(frames) / RATE_HZ, target.astype(np.float32),
        {"model": model.astype(np.float32)}, np.zeros(frames, bool),
    )  # fmt: skip


def test_null_data_is_at_chance_and_linked_data_is_not() -> None:
    for linked, level in ((0.0, NO_LINK), (1.0, TIMING)):
        rng = np.random.default_rng(4)
        folds = [fold_of(random_block(rng, 1500, linked=linked), fold=k) for k in range(3)]
        document = score(folds, FAST, ChanceConfig(), RunContext({}))
        assert document["claims"]["level"] == level
        assert (document["summary"]["chance"]["p_value"] < 0.01) == bool(linked)


def test_chance_of_bands_is_that_of_the_averaged_null() -> None:
    """Two subjects: their nulls are averaged draw by draw before a percentile is taken."""
    rng = np.random.default_rng(0)
    folds = [replace(fold_of(random_block(rng, 3000 + 800 * k), fold=k % 2), subject=f"sub{k // 2}") for k in range(4)]
    document = score(folds, FAST, ChanceConfig(), RunContext({}))
    found = document["summary"]["chance"]
    nulls = []
    for number in range(2):
        blocks = [b for f in folds[2 * number : 2 * number + 2] for b in f.blocks]
        own = [[np.asarray(side - b.target.mean(axis=0, dtype=float)) for b in blocks for side in [mel(b)]]
               for mel in (lambda b: b.target, lambda b: b.predictions["model"])]  # fmt: skip
        made = [chance.NullFold([chance.NullBlock(y, p, "rec1", "rec1")], np.ones(BANDS, bool), RATE_HZ)
                for y, p in zip(*own, strict=True)]  # fmt: skip
        nulls.append(chance.subject_null(made, 1000, 0.5, np.random.default_rng([0, number, 1])))
    size = min(len(null.values) for null in nulls)
    bands = np.mean([null.bands[1:size] for null in nulls], axis=0)
    np.testing.assert_allclose(found["bands"]["p95"], np.percentile(bands, 95, axis=0), rtol=1e-5)
    assert found["pearson_r_p95"] == pytest.approx(np.percentile(bands.mean(axis=1), 95), rel=1e-5)
    assert found["independent"] == min(null.independent for null in nulls)
    assert document["subjects"]["sub1"]["chance"]["model"]["pearson_r"]["p_value"] == pytest.approx(nulls[1].p_value)


def test_r_is_reported_with_and_without_slow_drift() -> None:
    """A trend in both sides is a high r, and none once it is off."""
    rng = np.random.default_rng(0)
    block = random_block(rng, 4000)
    trend = np.linspace(-4, 4, 4000, dtype=np.float32)[:, None]
    block = replace(block, target=block.target + trend, predictions={"model": block.predictions["model"] + trend})
    summary = score([fold_of(block)], FAST, ChanceConfig(), RunContext({}))["summary"]
    assert summary["model"]["pearson_r"] > 0.7
    assert abs(summary["chance"]["pearson_r_without_drift"]) < 0.15
    assert summary["chance"]["p_value"] > 0.05


@pytest.mark.parametrize("linked", [0.0, 1.0])
def test_a_best_lag_needs_a_ridge_above_chance(linked: float) -> None:
    block = random_block(np.random.default_rng(0), 6000, linked=linked)
    block = replace(block, predictions={**block.predictions, "ridge": block.predictions["model"]})
    context = RunContext({}, subjects={"sub1": {"latency": {"lags_s": [0.0, 0.1], "r": [0.1, 0.3], "best_s": 0.1}}})
    latency = score([fold_of(block)], FAST, ChanceConfig(), context)["subjects"]["sub1"]["latency"]
    assert latency["best_s"] == (0.1 if linked else None)
    assert ("reason" in latency) == (not linked)


@pytest.mark.parametrize("name", ["36 s, settling over 8 s", "50 trials of 2 to 6 s, silent ends known",
                                  "50 trials of 4 s, the course of each side fades"])  # fmt: skip
def test_regimes_of_the_calibration_are_at_chance(name: str) -> None:
    """A tenth of the draws of docs/statistics.md, with a margin to match."""
    (regime,) = (r for r in calibration.REGIMES if r.name == name)
    below, _, mean = map(float, calibration.chance_row(regime, 60)[4:])
    assert below <= 0.15
    assert 0.35 < mean < 0.75


def test_retrained_nulls_give_a_p() -> None:
    rng = np.random.default_rng(0)
    block = random_block(rng, 1500, linked=1.0)
    nulls = {f"retrained_null_{k}": slow_noise(rng, 1500).astype(np.float32) for k in range(9)}
    fold = fold_of(replace(block, predictions={**block.predictions, **nulls}))
    summary = score([fold], FAST, ChanceConfig(), RunContext({}))["summary"]
    assert summary["chance"]["retrained"]["p_value"] == pytest.approx(0.1)
    assert len(summary["chance"]["retrained"]["pearson_r"]) == 9
    assert not any(name.startswith("retrained") for name in summary)


def p_values(document: Any) -> Iterator[float]:
    """Every p in a document, by the names of the keys."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        if isinstance(value, dict | list):
            yield from p_values(value)
        elif str(key).endswith("p_value") and value is not None:
            yield value


def test_no_p_is_0() -> None:
    """The observed order is among those that are counted, in every null of eval.json."""
    rng = np.random.default_rng(0)
    word_list = WordList(0)
    blocks = [replace(word_list.block(rng, "words"), recording=f"rec{k}") for k in range(8)]
    nulls = {f"retrained_null_{k}": slow_noise(rng, len(blocks[0].target)).astype(np.float32) for k in range(3)}
    blocks[0] = replace(blocks[0], predictions={**blocks[0].predictions, **nulls})
    folds = [fold_of(blocks[0], fold=0), fold_of(*blocks[1:], fold=1)]
    found = list(p_values(score(folds, FAST, ChanceConfig(), RunContext({}))))
    assert min(found) == pytest.approx(1 / 1001)
    assert len(found) == 11 + 8  # those of r, words and levels, and of four other scores, in summary and subject


class WordList:
    """Words of a small vocabulary: a common loudness course, and a spectrum of the word's own."""

    def __init__(self, seed: int, kinds: int = 12) -> None:
        rng = np.random.default_rng(seed)
        self.course = 3 * np.sin(np.pi * (np.arange(WORD_FRAMES) + 0.5) / WORD_FRAMES)[:, None]
        self.shapes = [self.course * (1 + 0.4 * rng.normal(size=BANDS)) for _ in range(kinds)]

    def predicted(self, decoder: str, kind: int) -> np.ndarray:
        """What a decoder plays for a word: the word, the mean word, or the mean word as loud as the word."""
        template, word = np.mean(self.shapes, axis=0), self.shapes[kind]
        known = {"words": word, "loudness": template * word.mean() / template.mean()}
        return np.asarray(known.get(decoder, template))

    def block(self, rng: np.random.Generator, decoder: str, count: int = 25) -> TestBlock:
        """A test block of words with random pauses; the decoder knows onsets, and what :meth:`predicted` says."""
        gaps = rng.integers(20, 60, count)
        onsets = np.cumsum(gaps + WORD_FRAMES) - WORD_FRAMES
        frames = int(onsets[-1]) + 2 * WORD_FRAMES
        target, model = np.full((frames, BANDS), -8.0), np.full((frames, BANDS), -8.0)
        kinds = rng.integers(0, len(self.shapes), count)
        for onset, kind in zip(onsets, kinds, strict=True):
            target[onset : onset + WORD_FRAMES] += self.shapes[kind]
            model[onset : onset + WORD_FRAMES] += self.predicted(decoder, kind)
        target += 0.3 * rng.normal(size=target.shape)
        model += (0.0 if decoder == "template" else 0.5) * rng.normal(size=model.shape)
        events = [Event(o / RATE_HZ, WORD_FRAMES / RATE_HZ, f"w{k}") for o, k in zip(onsets, kinds, strict=True)]
        return TestBlock(
            "rec1", 0, np.arange(frames) / RATE_HZ, target.astype(np.float32),
            {"model": model.astype(np.float32)}, np.zeros(frames, bool), tuple(events),
        )  # fmt: skip


@pytest.mark.parametrize("decoder", ["template", "onsets"])
def test_onset_only_decoder_passes_circular_shift_and_fails_word_swap(decoder: str) -> None:
    rng = np.random.default_rng(2)
    word_list = WordList(0)
    folds = [fold_of(word_list.block(rng, decoder), fold=k) for k in range(3)]
    document = score(folds, FAST, ChanceConfig(), RunContext({}))
    summary = document["summary"]
    assert summary["model"]["pearson_r"] > 0.7
    assert summary["chance"]["p_value"] == summary["chance"]["smallest_p"] < 0.01
    assert summary["words"]["by_prediction"]["model"]["swap_annotated_onset"]["p_value"] > 0.05
    assert summary["words"]["by_prediction"]["model"]["rank_accuracy"]["observed"] == pytest.approx(0.5, abs=0.1)
    assert document["claims"]["level"] == TIMING


def test_decoder_that_knows_words_has_high_figures_and_claims_no_content() -> None:
    rng = np.random.default_rng(2)
    word_list = WordList(0)
    known = frozenset(f"w{k}" for k in range(9))
    folds = [fold_of(word_list.block(rng, "words"), fold=k, known=known) for k in range(2)]
    document = score(folds, FAST, ChanceConfig(), RunContext({}))
    own = document["summary"]["words"]["by_prediction"]["model"]
    assert max(own[f"swap_{a}"]["p_value"] for a in ("annotated_onset", "sound_onset")) < 0.01
    assert document["claims"]["level"] == TIMING
    assert own["rank_accuracy"]["observed"] > 0.9
    assert own["unseen"]["rank_accuracy"] > 0.8
    share = np.mean([e.label in known for f in folds for b in f.blocks for e in b.events])
    assert document["summary"]["words"]["seen_in_training"] == pytest.approx(share, abs=0.02)


def test_decoder_of_loudness_alone_beats_the_word_swap_and_claims_no_content() -> None:
    """It plays the mean word as loud as the true one: no spectrum, no word; the swap takes it for content."""
    rng = np.random.default_rng(2)
    word_list = WordList(0)
    folds = [fold_of(word_list.block(rng, "loudness"), fold=k) for k in range(3)]
    document = score(folds, FAST, ChanceConfig(), RunContext({}))
    own = document["summary"]["words"]["by_prediction"]["model"]
    assert max(own[f"swap_{a}"]["p_value"] for a in ("annotated_onset", "sound_onset")) < 0.01
    assert document["claims"]["level"] == TIMING


def test_levels_are_documented_in_their_order_and_cannot_be_set_from_outside() -> None:
    assert LEVELS == (NO_LINK, TIMING, "loudness", "beyond_loudness", "content")
    rng = np.random.default_rng(0)
    document = score([fold_of(random_block(rng, 6000))], FAST, ChanceConfig(), RunContext({"level": "content"}))
    assert document["claims"]["level"] == NO_LINK
    places = [document["definitions"]["level"].index(level) for level in LEVELS]
    assert places == sorted(places)
    assert document["summary"]["words"]["note"] == WORD_SWAP_NOTE
    assert WORD_SWAP_NOTE in document["definitions"]["words"]


def test_decoder_of_speech_latency_after_a_cue_is_no_content() -> None:
    """Annotated are cues; the voice starts later, at times the decoder knows: timing, not words."""
    rng = np.random.default_rng(3)
    word_list = WordList(0)
    folds = []
    for k in range(3):
        block = word_list.block(rng, "template")
        early = [
            replace(e, onset_s=e.onset_s - late / RATE_HZ, duration_s=0.55)
            for e, late in zip(block.events, rng.integers(2, 18, len(block.events)), strict=True)
        ]
        folds.append(fold_of(replace(block, events=tuple(early)), fold=k))
    document = score(folds, FAST, ChanceConfig(), RunContext({}))
    own = document["summary"]["words"]["by_prediction"]["model"]
    assert own["swap_annotated_onset"]["p_value"] < 0.01, "cue-aligned words alone would have been fooled"
    assert document["claims"]["level"] == TIMING


def test_small_shifts_of_words_are_undone() -> None:
    """A bump that comes early or late by up to the slack is the same word, in target and in prediction."""
    bump = np.exp(-(((np.arange(34) - 17) / 4.0) ** 2))[:, None] * np.ones(3)
    late = np.stack([np.roll(bump, shift, axis=0) for shift in (0, 3, -3, 2, -1, 1)])
    found = words.Words(late, late[::-1], tuple("abcdef"), np.zeros((6, 4)), np.zeros(6, int), slack=5).registered()
    for segments in (found.target, found.prediction):
        assert segments.shape == (6, 24, 3)
        assert np.abs(segments - segments.mean(axis=0)).max() < 0.01


def test_words_that_are_predicted_up_to_60_ms_early_or_late_are_swapped_as_what_they_are() -> None:
    rng, word_list = np.random.default_rng(0), WordList(0)
    block = word_list.block(rng, "words", 40)
    model = np.full_like(block.target, -8)
    for event in block.events:
        first = round(event.onset_s * RATE_HZ) + int(rng.integers(-5, 6))
        model[first : first + WORD_FRAMES] += word_list.shapes[int(event.label[1:])]
    found = score_fold(fold_of(replace(block, predictions={"model": model})), FAST, ChanceConfig(), [0])
    as_they_stand = found.document["words"]["scores"]["model"]["all"]["pearson_r"]
    for alignment in ("annotated_onset", "sound_onset"):
        assert found.swaps[alignment]["model"][0] > as_they_stand + 0.05


def test_only_words_of_alike_timing_change_places() -> None:
    timing = np.array([[0.1], [1.0], [0.11], [1.02], [0.12]]) * np.ones(4)
    cut = words.Words(np.zeros((5, 4, 2)), np.zeros((5, 4, 2)), ("a", "b", "b", "c", "a"), timing, np.zeros(5, int))
    pairs = words.matched_pairs(cut)
    assert {frozenset(map(int, pair)) for pair in pairs} in ({frozenset({0, 2}), frozenset({1, 3})},
                                                             {frozenset({2, 4}), frozenset({1, 3})})  # fmt: skip
    orders = words.exchanges(pairs, 5, 500, np.random.default_rng(0))
    assert np.array_equal(orders[0], np.arange(5))
    assert len(np.unique(orders, axis=0)) == 4
    assert len(words.matched_pairs(replace(cut, block=np.arange(5)))) == 0, "words stay in their block"


def test_decoder_that_knows_when_the_next_word_starts_is_no_content() -> None:
    """Words differ in length, pauses do not: the next onset gives the length away, and this decoder uses it."""
    rng = np.random.default_rng(5)
    folds = []
    for k in range(3):
        lengths = rng.integers(30, 60, 40)
        onsets = 20 + np.cumsum(lengths + 25) - (lengths + 25)
        frames = int(onsets[-1]) + 120
        target, model = np.full((2, frames, BANDS), -8.0)
        for onset, length in zip(onsets, lengths, strict=True):
            course = 3 * np.sin(np.pi * (np.arange(length) + 0.5) / length)[:, None]
            target[onset : onset + length] += course * (1 + 0.3 * rng.normal(size=BANDS))
            model[onset : onset + length] += course
        target += 0.3 * rng.normal(size=target.shape)
        events = [Event(o / RATE_HZ, n / RATE_HZ, f"w{n}") for o, n in zip(onsets, lengths, strict=True)]
        block = TestBlock(
            "rec1", 0, np.arange(frames) / RATE_HZ, target.astype(np.float32),
            {"model": model.astype(np.float32)}, np.zeros(frames, bool), tuple(events),
        )  # fmt: skip
        folds.append(fold_of(block, fold=k))
    assert score(folds, FAST, ChanceConfig(), RunContext({}))["claims"]["level"] == TIMING


def test_decoder_that_knows_a_recording_s_loudness_is_no_content() -> None:
    rng = np.random.default_rng(2)
    word_list = WordList(0)
    blocks = []
    for loudness in (-1.0, 1.0):
        block = word_list.block(rng, "template")
        model = np.full_like(block.target, loudness)
        blocks.append(replace(block, target=block.target + np.float32(loudness), predictions={"model": model}))
    own = score([fold_of(*blocks)], FAST, ChanceConfig(), RunContext({}))["summary"]["words"]["by_prediction"]["model"]
    assert own["swap_annotated_onset"]["p_value"] == own["swap_sound_onset"]["p_value"] == 1
    assert own["rank_accuracy"]["p_value"] == 1


def test_swap_matrix_sums_to_the_mean_r() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(7, 20, 4)), rng.normal(size=(7, 20, 4))
    cut = words.Words(y, p, tuple("abcdefg"), np.zeros((7, 4)), np.zeros(7, int))
    order = rng.permutation(7)
    swapped = p[order]
    expected = np.mean([np.corrcoef(y[..., b].ravel(), swapped[..., b].ravel())[0, 1] for b in range(4)])
    assert words.exchanged(words.swap_matrix(cut), order[None])[0] == pytest.approx(expected)


def test_rank_accuracy_leaves_out_words_of_the_same_label() -> None:
    """Word 0 is predicted as its twin: among differently labelled words the true one still ranks first."""
    shapes = np.random.default_rng(0).normal(size=(3, 10, 4))
    y = shapes[[0, 0, 1, 2]] + 1e-3 * np.random.default_rng(1).normal(size=(4, 10, 4))
    cut = words.Words(y, y[[1, 0, 2, 3]], ("a", "a", "b", "c"), np.zeros((4, 4)), np.zeros(4, int))
    np.testing.assert_allclose(np.diag(words.rank_matrix(cut)), 1)
