"""Scores of predicted mels: definitions checked by hand or against an independent implementation."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy.fft
import scipy.stats
import soxr
from pystoi import stoi

from pipeline.artifacts.aligned import Event
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.evaluation import fold, intervals, metrics, words
from pipeline.evaluation.group import group_test
from pipeline.evaluation.intelligibility import intelligibility
from pipeline.evaluation.scores import RunContext, document_json, score, scores_table
from pipeline.evaluation.types import ORACLES, TEACHER_FORCED, FoldPredictions, Sound, TestBlock
from pipeline.signal.correlation import correlation, stretch_moments

RATE_HZ = 86.1328125
FAST = EvaluateConfig(bootstrap=200, stoi=False)
BANDS = 12


def block(rng: np.random.Generator, frames: int = 1200, **predictions: np.ndarray | None) -> TestBlock:
    """A test block with a random target whose last two bands are constant."""
    target = rng.normal(-6, 2, (frames, BANDS)).astype(np.float32)
    target[:, -2:] = np.log(np.float32(1e-5))
    noisy = (target + rng.normal(0, 2, target.shape)).astype(np.float32)
    noisier = (target + rng.normal(0, 4, target.shape)).astype(np.float32)
    found = {"model": noisy, "ridge": noisier, "mean_spectrum": np.tile(target.mean(0), (frames, 1)), **predictions}
    return TestBlock("rec1", 0, np.arange(frames) / RATE_HZ, target, found, np.zeros(frames, bool))


def fold_of(*blocks: TestBlock, **changes: object) -> FoldPredictions:
    """One fold of these blocks."""
    return replace(FoldPredictions("sub1", 0, 0, RATE_HZ, blocks, speech_threshold_nats=-6.0), **changes)  # type: ignore[arg-type]


def scored(*folds: FoldPredictions, evaluate: EvaluateConfig = FAST) -> dict:
    return score(folds, evaluate, ChanceConfig(), RunContext({"simulated": True}))


def test_r_is_pearson_over_time_within_active_bands() -> None:
    one, two = block(np.random.default_rng(0)), block(np.random.default_rng(1), frames=500)
    document = scored(fold_of(one, two))
    y = np.concatenate([one.target, two.target])
    p = np.concatenate([one.predictions["model"], two.predictions["model"]])
    speech = y.mean(axis=1) > -6.0
    for metric, frames in (("pearson_r", slice(None)), ("pearson_r_speech", speech)):
        expected = [np.corrcoef(y[frames, b], p[frames, b])[0, 1] for b in range(BANDS - 2)]
        fold = document["subjects"]["sub1"]["folds"][0]["scores"]["model"]
        np.testing.assert_allclose(fold["per_band"][metric][:-2], expected, atol=1e-6)
        assert document["summary"]["model"][metric] == pytest.approx(np.mean(expected), abs=1e-6)
    for metric, error in (("mse", (y - p) ** 2), ("mae", np.abs(y - p))):
        np.testing.assert_allclose(fold["per_band"][metric], error.mean(axis=0, dtype=np.float64), rtol=1e-5)
    model = document["summary"]["model"]
    assert model["mse"] == pytest.approx(np.mean((y - p) ** 2, dtype=np.float64), rel=1e-5)
    assert model["mae"] == pytest.approx(np.mean(np.abs(y - p), dtype=np.float64), rel=1e-5)


def test_constant_bands_are_named_and_left_out() -> None:
    fold = scored(fold_of(block(np.random.default_rng(0))))["subjects"]["sub1"]["folds"][0]
    assert fold["bands_left_out"] == [BANDS - 2, BANDS - 1]
    assert fold["scores"]["model"]["per_band"]["pearson_r"][-2:] == [None, None]


def test_undefined_scores_are_null_with_a_reason() -> None:
    document = scored(
        fold_of(block(np.random.default_rng(0), mean_template=None), missing={"mean_template": "no events"})
    )
    summary = document["summary"]
    assert summary["mean_spectrum"]["pearson_r"] is None
    assert "constant" in summary["mean_spectrum"]["reasons"]["pearson_r"]
    assert summary["mean_template"]["mse"] is None
    assert summary["mean_template"]["reasons"]["mse"] == "no events"
    assert "in MSE" in summary["differences"]["mean_spectrum"]["sentence"]
    json.loads(document_json(document), parse_constant=lambda word: pytest.fail(f"{word} in eval.json"))


def test_a_prediction_with_nan_has_no_score() -> None:
    one = block(np.random.default_rng(0))
    broken = one.predictions["model"].copy()
    broken[3, 2] = np.nan
    document = scored(fold_of(replace(one, predictions={**one.predictions, "model": broken})))
    assert document["summary"]["model"]["pearson_r"] is None
    assert "NaN" in document["summary"]["model"]["reasons"]["pearson_r"]
    assert document["summary"]["ridge"]["pearson_r"] > 0.3


def test_silence_has_no_speech_score() -> None:
    document = scored(fold_of(block(np.random.default_rng(0)), speech_threshold_nats=50.0))
    assert document["summary"]["model"]["pearson_r_speech"] is None
    assert document["summary"]["model"]["pearson_r"] > 0.5


def test_a_frame_of_speech_lies_in_an_event_or_above_the_threshold() -> None:
    """At 128 Hz: from 1/8 s on for 1/4 s are frames 16 to 47.  A cue is no voice; without events energy decides."""
    target = np.full((64, 2), -6.0, np.float32)
    target[3] = -5.9
    one = TestBlock("r", 0, np.arange(64) / 128, target, {}, np.zeros(64, bool), (Event(0.125, 0.25, "a"),))
    by_events = EvaluateConfig(speech_frames="events")
    for own, config, kind, expected in (
        (one, by_events, "voice", range(16, 48)),
        (one, by_events, "cue", [3]),
        (one, EvaluateConfig(speech_frames="energy"), "voice", [3]),
        (replace(one, events=()), by_events, "voice", [3]),
    ):
        assert np.flatnonzero(fold.speech_frames(own, fold_of(own, events_are=kind), config)).tolist() == list(expected)


def test_what_has_a_chance_test_is_a_decoder_that_varies() -> None:
    noise = block(np.random.default_rng(0)).predictions["model"]
    assert noise is not None
    one_band = np.zeros_like(noise)
    one_band[:, 2] = noise[:, 2]
    broken = noise.copy()
    broken[5, 1] = np.inf
    others = {name: noise for name in (*ORACLES, TEACHER_FORCED, "retrained_null_0")}
    own = block(np.random.default_rng(0), one_band=one_band, broken=broken, **others)
    assert fold.Prepared(fold_of(own), FAST).decoders == ["model", "ridge", "one_band"], "the mean spectrum is constant"


def test_why_a_fold_has_no_r() -> None:
    own = fold.Prepared(fold_of(block(np.random.default_rng(0))), FAST)
    one, two = np.arange(1200) < 1.0, np.arange(1200) < 2.0
    assert fold.why_undefined(own, one.astype(float)) == "no such frames"
    assert fold.why_undefined(own, two.astype(float)) == "the prediction is constant over time"
    own.active = np.zeros(BANDS, bool)
    assert fold.why_undefined(own, two.astype(float)) == "the target is constant in every band"


def test_a_fold_is_described_by_what_is_scored() -> None:
    """Of 1200 and 500 frames, 100 of them annotated as bad."""
    rng = np.random.default_rng(0)
    one, two = block(rng), block(rng, frames=500)
    one, two = replace(one, bad=np.arange(1200) < 100), replace(two, recording="rec0")
    own = fold.Prepared(fold_of(one, two, fold=3), FAST)
    loud = np.concatenate([one.target, two.target]).mean(axis=1) > -6.0
    assert fold.describe(own) == {
        "fold": 3, "seed": 0, "recordings": ["rec0", "rec1"], "blocks": 2, "frames": 1700,
        "speech_frames": loud.sum(), "bad_frames": 100, "duration_s": 1700 / RATE_HZ,
        "speech_threshold_nats": -6.0, "bands_left_out": [10, 11], "pieces": len(own.starts),
    }  # fmt: skip


def test_words_of_less_than_two_frames_are_not_compared() -> None:
    one = replace(block(np.random.default_rng(0)), events=(Event(1.0, 1.9 / RATE_HZ, "a"), Event(5.0, 1.0, "b")))
    short = fold_of(replace(one, events=one.events[:1]))
    document = fold.score_fold(short, FAST, ChanceConfig(), [0]).document["words"]
    assert (document["reason"], document["scores"]) == ("words too short to compare, or no active band", {})
    assert fold.score_fold(fold_of(one), FAST, ChanceConfig(), [0]).document["words"]["reason"] is None


def test_words_that_training_had_are_scored_apart_from_others() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(3, 8, 2))
    cut = words.Words(y, y * np.array([1, 1, -1])[:, None, None], ("a", "b", "c"), np.zeros((3, 4)), np.zeros(3, int))
    ranks = np.diag([0.9, 0.7, 0.2])
    found = fold.word_scores(cut, ranks, frozenset("ab"))
    assert {name: own["words"] for name, own in found.items()} == {"all": 3, "seen": 2, "unseen": 1}
    assert {name: own["rank_accuracy"] for name, own in found.items()} == pytest.approx(
        {"all": 0.6, "seen": 0.8, "unseen": 0.2}
    )
    assert (found["seen"]["pearson_r"], found["unseen"]["pearson_r"]) == (pytest.approx(1), pytest.approx(-1))
    assert fold.word_scores(cut, ranks, frozenset("abc"))["unseen"] == {
        "words": 0, "pearson_r": None, "rank_accuracy": None,
    }  # fmt: skip


def test_annotated_frames_are_scored_with_and_without() -> None:
    one = block(np.random.default_rng(0))
    bad = np.arange(1200) < 300
    spoiled = one.predictions["model"].copy()
    spoiled[bad] = 0
    document = scored(fold_of(replace(one, bad=bad, predictions={**one.predictions, "model": spoiled})))
    model = document["summary"]["model"]
    assert model["pearson_r_without_bad"] > model["pearson_r"] + 0.05


def test_folds_without_bad_frames_count_with_their_whole_r() -> None:
    rng = np.random.default_rng(0)
    good, poor = block(rng), block(rng)
    weak = {**poor.predictions, "model": (poor.target + rng.normal(0, 20, poor.target.shape)).astype(np.float32)}
    poor = replace(poor, predictions=weak, bad=np.arange(1200) < 100)
    model = scored(fold_of(good), fold_of(good, fold=1), fold_of(poor, fold=2))["summary"]["model"]
    assert abs(model["pearson_r_without_bad"] - model["pearson_r"]) < 0.02
    document = scored(fold_of(good))
    for means in (document["summary"], document["subjects"]["sub1"]["mean"]):
        assert means["model"]["pearson_r_without_bad"] is None


def test_mcd_by_hand() -> None:
    """A difference of 3 c_2-cosines plus any offset: only c_2 differs, by 3, in every frame."""
    bands = np.arange(80)
    target = np.zeros((4, 80), np.float32)
    prediction = (3 * np.cos(np.pi * 2 * (bands + 0.5) / 80) + 7 + target).astype(np.float32)
    expected = 10 * np.sqrt(2) / np.log(10) * 3
    np.testing.assert_allclose(metrics.mcd_db(target, prediction), expected, rtol=1e-6)
    np.testing.assert_array_equal(metrics.mcd_db(prediction, prediction), 0)
    assert fold.errors(prediction, prediction) == (0, 0)
    assert fold.errors(target, prediction) == (pytest.approx(49 + 9 / 2), pytest.approx(expected))


def test_mcd_ignores_loudness_and_what_lies_beyond_order_13() -> None:
    target = np.zeros((2, 80), np.float32)
    fine = np.cos(np.pi * 14 * (np.arange(80) + 0.5) / 80)
    np.testing.assert_allclose(metrics.mcd_db(target, (target + 5 + fine).astype(np.float32)), 0, atol=1e-5)


def test_cepstra_are_those_of_scipy_s_cosine_transform() -> None:
    mel = np.random.default_rng(0).normal(size=(5, 80))
    np.testing.assert_allclose(metrics.cepstra(mel), scipy.fft.dct(mel, axis=1)[:, 1:14] / 80, atol=1e-12)


@pytest.mark.parametrize("blocks", [[1000, 100, 345], [1000, 345, 100], [86] * 20, [100, 1000], [171, 172, 1]])
def test_pieces_are_long_enough(blocks: list[int]) -> None:
    lengths = np.diff([*metrics.piece_starts(blocks, 172), sum(blocks)])
    assert lengths.sum() == sum(blocks)
    assert 172 <= min(lengths) < max(lengths) + 1 <= 3 * 172


def test_pieces_of_long_blocks_stay_in_them() -> None:
    starts = metrics.piece_starts([1000, 500, 345], 172).tolist()
    assert {0, 1000, 1500} <= set(starts)
    assert metrics.piece_starts([50], 172).tolist() == [0]
    assert metrics.piece_starts([172, 300, 172], 172).tolist() == [0, 172, 472]
    assert metrics.piece_starts([300, 250, 50], 100).tolist() == [0, 100, 200, 300, 400, 500], "50 go to the second"


def test_interval_covers_the_true_correlation() -> None:
    """Autocorrelated series of known correlation 0.6: about 95 of 100 intervals hold it."""
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shape, spread = (86 * 90, 2), np.ones(20) / np.sqrt(20)
        common, own = (np.apply_along_axis(np.convolve, 0, rng.normal(size=shape), spread, "same") for _ in "ab")
        y, p = common, 0.6 * common + 0.8 * own
        starts = metrics.piece_starts([len(y)], intervals.piece_frames([[len(y)]], 86, 2.0))
        moments = stretch_moments(y, p, np.ones(len(y)), starts)
        values = intervals.pseudo_values(moments, lambda m: correlation(m).mean(axis=-1))
        low, high = intervals.interval(intervals.replicates(values, values.mean(), 300, rng))
        covered += low <= 0.6 <= high
    assert 55 <= covered <= 60


@pytest.mark.parametrize(
    ("folds", "seconds"),
    [([[3100]], 3.6), ([[1033] * 5], 6.0), ([[3100]] * 5, 12.0), ([[600, 500, 900, 800, 700]], None), ([[1000]], 2.0)],
)
def test_pieces_are_as_long_as_ten_of_them_allow(folds: list[list[int]], seconds: float | None) -> None:
    frames = intervals.piece_frames(folds, RATE_HZ, 2.0)
    count = sum(len(metrics.piece_starts(own, frames)) for own in folds)
    assert 2 * RATE_HZ <= frames <= 12 * RATE_HZ
    assert count >= 10 or frames == np.ceil(2 * RATE_HZ)
    assert seconds is None or frames / RATE_HZ == pytest.approx(seconds, abs=0.03)


def test_pseudo_values_leave_out_one_piece_after_the_other() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(60, 2)), rng.normal(size=(60, 2))
    starts = np.arange(0, 60, 10)
    found = intervals.pseudo_values(stretch_moments(y, p, np.ones(60), starts), lambda m: correlation(m).mean(axis=-1))

    def r(kept: np.ndarray) -> float:
        return float(np.mean([np.corrcoef(y[kept, b], p[kept, b])[0, 1] for b in range(2)]))

    frames = np.arange(60)
    expected = [6 * r(frames >= 0) - 5 * r(frames // 10 != piece) for piece in range(6)]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_intervals_of_independent_pieces_are_student_s() -> None:
    """Without correlation of neighbours the stretch is that of t over the normal, and of the sample's variance."""
    values = np.array([1.0, -1.0] * 20)  # neighbours differ: no correlation above 0
    assert intervals.independent_pieces(values) == 40
    expected = scipy.stats.t.ppf(0.975, 39) / scipy.stats.norm.ppf(0.975) * np.sqrt(40 / 39)
    assert intervals.stretch(values) == pytest.approx(expected)


def test_pieces_that_resemble_their_neighbours_widen_the_interval() -> None:
    rising = np.arange(12.0)
    own = rising - rising.mean()
    lag = np.sum(own[1:] * own[:-1]) / np.sum(own**2)
    expected = min(0.9, (lag + 1 / 12) * (1 + 3 / 12) + 1 / np.sqrt(12))
    for scale in (1, 1e-3):
        assert intervals.neighbours_correlation(scale * rising) == pytest.approx(expected)
    assert intervals.stretch(rising) > 5 * intervals.stretch(np.array([1.0, -1.0] * 6))


@pytest.mark.parametrize("memory", [-0.9, 0.0, 0.5, 0.99])
def test_the_width_of_an_interval_is_that_of_its_formulas(memory: float) -> None:
    """Marriott & Pope's correlation of neighbours and a standard error on it, and Student's t with what it leaves."""
    rng, n = np.random.default_rng(1), 25
    values = np.array([3.0])
    while len(values) < n:
        values = np.append(values, 3 + memory * (values[-1] - 3) + rng.normal())
    own = values - values.mean()
    neighbours = sum(a * b for a, b in itertools.pairwise(own)) / sum(a * a for a in own)
    rho = min(max((neighbours + 1 / n) * (1 + 3 / n) + n**-0.5, 0), 0.9)
    assert intervals.neighbours_correlation(values) == pytest.approx(rho)
    independent = n * (1 - rho) / (1 + rho)
    assert intervals.independent_pieces(values) == pytest.approx(independent)
    student = scipy.stats.t.ppf(0.975, max(independent - 1, 1)) / scipy.stats.norm.ppf(0.975)
    wider = student * np.sqrt(n / (n - 1) * n / independent)
    assert intervals.stretch(values) == pytest.approx(wider)
    found = intervals.replicates(values, 0.4, 20_000, rng)
    assert found.mean() == pytest.approx(0.4, abs=0.02 * wider)
    assert found.std() == pytest.approx(wider * values.std() / np.sqrt(n), rel=0.03)
    assert intervals.neighbours_correlation(np.ones(n)) == pytest.approx(1 / n * (1 + 3 / n) + n**-0.5)


@pytest.mark.parametrize(
    "folds",
    [
        [[1001]],
        [[1201, 97]],
        [[333, 334], [95, 400]],
        [[484, 866, 520], [131, 355, 613]],
        [[5000], [5000]],
        [[130] * 12],
    ],
)
def test_a_piece_is_the_longest_of_which_there_are_ten(folds: list[list[int]]) -> None:
    """Of at most 12 s, and of 1 s where none gives ten."""
    lengths = [n for n in range(81, 961) if sum(len(metrics.piece_starts(own, n)) for own in folds) >= 10]
    assert intervals.piece_frames(folds, 80.0, 1.0) == max(lengths, default=80)


def test_an_interval_needs_95_percent_of_its_replicates() -> None:
    values = np.random.default_rng(0).normal(size=200)
    values[:10] = np.nan
    low, high = np.sort(values[10:])[[0, -1]]
    expected = np.quantile(values[10:], (0.025, 0.975))
    np.testing.assert_allclose(intervals.interval(values), expected)
    assert low < expected[0] < expected[1] < high
    values[10] = np.nan
    assert intervals.interval(values) is None


def test_paired_difference_is_sharper_than_the_scores() -> None:
    """Model and ridge share most errors, so their difference is known better than either."""
    one = block(np.random.default_rng(0), frames=4000)
    better = 0.9 * one.predictions["model"] + 0.1 * one.target
    document = scored(fold_of(replace(one, predictions={"model": better, "ridge": one.predictions["model"]})))
    found = document["summary"]["differences"]["ridge"]["pearson_r"]
    low, high = found["ci95"]
    own = document["summary"]["model"]["pearson_r_ci95"]
    assert 0 < low < found["difference"] < high
    assert high - low < (own[1] - own[0]) / 2
    assert document["summary"]["differences"]["ridge"]["sentence"].startswith("The model beats ridge")


def test_loser_is_called_loser() -> None:
    one = block(np.random.default_rng(0), frames=4000)
    swapped = {"model": one.predictions["ridge"], "ridge": one.predictions["model"]}
    document = scored(fold_of(replace(one, predictions=swapped)))
    assert "is beaten by ridge" in document["summary"]["differences"]["ridge"]["sentence"]


def test_too_little_sound_gives_no_interval() -> None:
    """17 s have eight pieces of 2 s: one fold has nothing instead, two have their values."""
    rng = np.random.default_rng(0)
    model = scored(fold_of(block(rng, frames=1500)))["summary"]["model"]
    assert model["pearson_r"] is not None
    assert model["pearson_r_ci95"] is model["pearson_r_fold_spread"] is None
    assert model["reasons"]["ci95"] == "8 pieces of test sound, 10 needed; of one fold there is no spread either"
    document = scored(*(fold_of(block(rng, frames=800), fold=k) for k in range(2)))
    own = [fold["scores"]["model"]["pearson_r"] for fold in document["subjects"]["sub1"]["folds"]]
    model = document["summary"]["model"]
    assert model["pearson_r_ci95"] is None
    assert model["pearson_r_fold_spread"] == [min(own), max(own)]
    assert "8 pieces" in model["reasons"]["ci95"]
    assert "too little test data" in document["summary"]["differences"]["ridge"]["sentence"]


def test_a_short_fold_enters_intervals_with_its_value() -> None:
    rng = np.random.default_rng(0)
    long, short = [block(rng) for _ in range(3)], block(rng, frames=400)
    document = scored(*(fold_of(b, fold=k) for k, b in enumerate([*long, short])))
    low, high = document["summary"]["model"]["pearson_r_ci95"]
    assert low < document["summary"]["model"]["pearson_r"] < high
    assert "too little" not in document["summary"]["differences"]["ridge"]["sentence"]


def test_errors_have_intervals_too() -> None:
    rng = np.random.default_rng(0)
    model = scored(fold_of(block(rng, frames=2000)))["summary"]["model"]
    for metric in ("mse", "mae", "mcd_db"):
        low, high = model[f"{metric}_ci95"]
        assert low < model[metric] < high


def test_an_interval_ends_where_the_score_does() -> None:
    """One bad piece of a nearly perfect prediction makes a wide interval, above 1 by itself."""
    rng = np.random.default_rng(0)
    one = block(rng, frames=2000)
    spoilt = one.target + rng.normal(0, 0.01, one.target.shape).astype(np.float32)
    spoilt[:200] = rng.normal(0, 5, spoilt[:200].shape)
    model = scored(fold_of(replace(one, predictions={"model": spoilt, "ridge": spoilt})))["summary"]["model"]
    low, high = model["pearson_r_ci95"]
    assert low < model["pearson_r"] < high == 1
    assert model["mse_ci95"][0] == 0
    assert intervals.interval(np.linspace(-3, 3, 1000), -1, 2) == [-1, 2]


def test_an_interval_leaves_out_the_few_replicates_without_a_value() -> None:
    replicates = np.linspace(0, 1, 1000)
    replicates[:30] = np.nan
    assert intervals.interval(replicates) == pytest.approx([0.054, 0.976], abs=2e-3)
    replicates[:60] = np.nan
    assert intervals.interval(replicates) is None


def test_a_missing_score_says_why() -> None:
    document = scored(fold_of(block(np.random.default_rng(0))))
    assert document["summary"]["ridge"]["reasons"]["stoi"] == "no sound was made (export.audio)"


def test_summary_is_mean_of_subjects_not_of_folds() -> None:
    rng = np.random.default_rng(0)
    folds = [fold_of(block(rng), subject="a", fold=k) for k in range(3)]
    good = block(rng)
    folds.append(fold_of(replace(good, predictions={"model": good.target}), subject="b"))
    document = scored(*folds)
    per_subject = [document["subjects"][s]["mean"]["model"]["pearson_r"] for s in "ab"]
    assert document["summary"]["model"]["pearson_r"] == pytest.approx(np.mean(per_subject), abs=1e-6)
    assert per_subject[1] == pytest.approx(1)


def test_equal_input_gives_equal_bytes_in_any_order() -> None:
    def folds() -> list[FoldPredictions]:
        return [fold_of(block(np.random.default_rng(k)), fold=k) for k in range(2)]

    first, second = document_json(scored(*folds())), document_json(scored(*reversed(folds())))
    assert first == second


def test_scores_table_has_one_row_per_band_and_a_mean() -> None:
    rows = [line.split("\t") for line in scores_table(scored(fold_of(block(np.random.default_rng(0))))).splitlines()]
    assert rows[0][:5] == ["subject", "fold", "seed", "model", "band"]
    model = [row for row in rows[1:] if row[3] == "model"]
    assert [row[4] for row in model] == ["mean", *map(str, range(BANDS))]
    assert {len(row) for row in rows} == {9}
    assert model[-1][5] == "n/a"


def test_sign_flip_is_exact() -> None:
    """Seven positive differences: 1 of 128 sign patterns is as large; turned round, all are."""
    positive = [0.1, 0.2, 0.05, 0.3, 0.15, 0.12, 0.4]
    found = group_test(positive)
    assert found.sign_flip_p == found.wilcoxon_p == found.smallest_p == 1 / 128
    assert group_test([-v for v in positive]).sign_flip_p == 1.0


def test_fewer_than_seven_subjects_are_not_testable() -> None:
    found = group_test([0.3] * 6)
    assert found.sign_flip_p is found.wilcoxon_p is None
    assert found.reason == "not testable (6 subjects; 7 needed)"


def every_sign_pattern(values: list[Fraction]) -> float:
    """Share of all sign patterns with a sum at least as large, one by one in exact arithmetic."""
    sums = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in product((1, -1), repeat=len(values))]
    return sum(s >= sums[0] for s in sums) / len(sums)


def signed_ranks(values: list[Fraction]) -> list[Fraction]:
    """Ranks of the magnitudes, the mean over ties, with the values' signs; those of zeros are 0."""
    ordered = sorted(map(abs, values))
    places = [[i + 1 for i, other in enumerate(ordered) if other == abs(v)] for v in values]
    return [Fraction(sum(p), len(p)) * ((v > 0) - (v < 0)) for v, p in zip(values, places, strict=True)]


@pytest.mark.parametrize("n", range(7, 11))
def test_group_tests_equal_a_count_of_every_sign_pattern(n: int) -> None:
    """Values that are multiples of 1/8 have ties, zeros and exact sums; normal ones have none."""
    rng = np.random.default_rng(n)
    samples = [rng.integers(-3, 4, n) / 8, rng.integers(0, 3, n) / 8, rng.normal(0.1, 0.2, n), np.zeros(n)]
    for sample in samples:
        found, exact = group_test(sample.tolist()), list(map(Fraction, sample.tolist()))
        assert found.exact
        assert found.sign_flip_p == every_sign_pattern(exact)
        assert found.wilcoxon_p == every_sign_pattern(signed_ranks(exact))


def test_group_test_is_scipy_s_wilcoxon_where_there_are_no_ties() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.3, 12)
    expected = scipy.stats.wilcoxon(values, alternative="greater", method="exact").pvalue
    assert group_test(values.tolist()).wilcoxon_p == pytest.approx(expected)


def test_many_subjects_are_tested_with_random_patterns() -> None:
    """Beyond 16 subjects; without ties and zeros scipy's exact Wilcoxon test is the same test."""
    values = np.random.default_rng(0).normal(0.15, 0.3, 20)
    found = group_test(values.tolist())
    assert not found.exact
    expected = scipy.stats.wilcoxon(values, method="exact", alternative="greater").pvalue
    assert found.wilcoxon_p == pytest.approx(expected, rel=0.1)
    assert found.sign_flip_p == pytest.approx(scipy.stats.ttest_1samp(values, 0, alternative="greater").pvalue, rel=0.2)
    assert group_test([0.3 + i / 100 for i in range(20)]).sign_flip_p == found.smallest_p == 1e-5


def test_patterns_of_16_subjects_are_all_counted_and_those_of_17_drawn() -> None:
    all_above = [0.3 + i / 100 for i in range(17)]
    exact, drawn = group_test(all_above[:16]), group_test(all_above)
    assert (exact.exact, exact.sign_flip_p, exact.wilcoxon_p, exact.smallest_p) == (True, *[2.0**-16] * 3)
    assert (drawn.exact, drawn.smallest_p) == (False, 1e-5)
    assert group_test([0.1]).reason == "not testable (1 subject; 7 needed)"


def test_too_few_subjects_load_no_statistics() -> None:
    code = "import sys; from pipeline.evaluation.group import group_test; {}; print('scipy.stats' in sys.modules)"
    loads = {}
    for call in ("group_test([0.4])", "group_test([0.4] * 7)"):
        run = subprocess.run([sys.executable, "-c", code.format(call)], capture_output=True, text=True, check=True)
        loads[call] = run.stdout.strip()
    assert list(loads.values()) == ["False", "True"]


def test_intelligibility_of_itself_and_of_noise() -> None:
    rng = np.random.default_rng(0)
    envelope = np.abs(np.sin(np.arange(22050 * 3) / 4000))
    voice = (envelope * rng.normal(0, 0.1, envelope.size)).astype(np.float32)
    noise = rng.normal(0, 0.1, envelope.size).astype(np.float32)
    assert intelligibility(voice, voice, 22050) == (pytest.approx(1, abs=1e-3), pytest.approx(1, abs=1e-3))
    found = intelligibility(voice, noise, 22050)
    assert not isinstance(found, str)
    assert found[0] < 0.7
    assert isinstance(intelligibility(voice[:9000], voice[:9000], 22050), str)
    click = np.zeros(44100, np.float32)
    click[100:400] = 0.5
    assert "30 frames" in intelligibility(click, click, 22050)


@pytest.mark.parametrize("rate_hz", [10_000, 22_050])
def test_stoi_and_estoi_are_those_of_pystoi(rate_hz: int) -> None:
    """Of a voice in pauses and noise, which is longer than the segments that are compared at once."""
    rng, time_s = np.random.default_rng(0), np.arange(6 * rate_hz) / rate_hz
    voice = sum(np.sin(2 * np.pi * 140 * k * time_s + 3 * np.sin(time_s * k)) / k for k in range(1, 25))
    true = (0.1 * np.maximum(np.sin(2 * np.pi * time_s), 0) * voice).astype(np.float32)
    for level in (0.0, 0.01, 0.3):
        other = (true + rng.normal(0, level, len(true))).astype(np.float32)
        pair = [soxr.resample(wave, rate_hz, 10_000) for wave in (true, other)]
        expected = [stoi(*pair, 10_000, extended=extended) for extended in (False, True)]
        assert intelligibility(true, other, rate_hz) == pytest.approx(expected, abs=1e-12)


def test_stoi_stands_beside_its_ceiling() -> None:
    rng = np.random.default_rng(0)
    one = block(rng)
    samples = 1199 * 256
    voice = (np.abs(np.sin(np.arange(samples) / 4000)) * rng.normal(0, 0.1, samples)).astype(np.float32)
    near, far = (voice + rng.normal(0, s, samples).astype(np.float32) for s in (0.01, 0.1))
    sound = Sound(22050, true=voice, vocoded_true=near, predicted=far, vocoder="pulses of 120 Hz")
    summary = scored(fold_of(replace(one, sound=sound)), evaluate=EvaluateConfig(bootstrap=100))["summary"]
    assert summary["model"]["stoi"] < summary["vocoded_true"]["stoi"] <= 1
    assert summary["vocoded_true"]["role"] == "oracle"
    vocoders = [summary[name]["stoi_vocoder"] for name in ("model", "vocoded_true", "ridge")]
    assert vocoders == ["pulses of 120 Hz", "pulses of 120 Hz", None]
