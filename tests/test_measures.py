"""Scores beside r: each against another computation, with a chance level that independent predictions do not leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.stats

from conftest import ROOT
from pipeline.artifacts.aligned import Event
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.errors import InputError
from pipeline.evaluation import segments, shifts, trial_exchange
from pipeline.evaluation.chance import Null, NullBlock
from pipeline.evaluation.dynamic_time_warping import warped_mcd_db
from pipeline.evaluation.fold import Prepared, score_fold
from pipeline.evaluation.frame_exchange import FrameExchange
from pipeline.evaluation.measured import Measured
from pipeline.evaluation.measures import (
    MEASURES,
    all_measures,
    measured_document,
    over_subjects,
    subject_document,
    summary_of,
)
from pipeline.evaluation.mel_measures import area_under_curve
from pipeline.evaluation.metrics import MCD_DB, cepstra, mcd_db
from pipeline.evaluation.nulls import all_nulls
from pipeline.evaluation.pitch import pitch_error_cents, pitch_hz, voicing_error
from pipeline.evaluation.recogniser import Recogniser, normalised
from pipeline.evaluation.scores import RunContext, score, strict
from pipeline.evaluation.sound_measures import NO_SOUND
from pipeline.evaluation.types import VOCODED_TRUE, FoldPredictions, Sound, TestBlock
from pipeline.report import view_measures
from pipeline.run import plan
from pipeline.signal.correlation import correlation_per_band

RATE_HZ = 86.1328125
BANDS = 20
FAST = EvaluateConfig(bootstrap=100, stoi=False)


def onsets(frames: int) -> range:
    return range(10, frames - 60, 60)


def speech_like(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Words of 0.4 s every 0.7 s or so with a spectrum of their own each, over a quiet floor."""
    mel = rng.normal(-9, 0.2, (frames, BANDS))
    for first in onsets(frames):
        first += int(rng.integers(20))
        mel[first : first + 35] += 4 + np.outer(np.hanning(35), 3 * rng.normal(size=BANDS))
    return mel.astype(np.float32)


def blocks_of(rng: np.random.Generator, lengths: Sequence[int], *, linked: bool = True) -> tuple[TestBlock, ...]:
    """A recording each, with words; the prediction is the target and noise, or another sound."""
    found = []
    for i, frames in enumerate(lengths):
        target = speech_like(rng, frames)
        source = target if linked else speech_like(rng, frames + 31)[31:]
        noise = rng.normal(0, 1, target.shape) + rng.normal(0, 2, (frames, 1))
        model = (source + noise).astype(np.float32)
        events = tuple(Event(first / RATE_HZ, 55 / RATE_HZ, f"w{first}") for first in onsets(frames))
        predictions = {"model": model, "ridge": model, "vocoded_true": target + np.float32(0.01)}
        block = TestBlock(f"rec{i}", 0, np.arange(frames) / RATE_HZ, target, predictions, np.zeros(frames, bool))
        found.append(replace(block, events=events, session="s1"))
    return tuple(found)


def measured(blocks: tuple[TestBlock, ...], evaluate: EvaluateConfig = FAST, **changes: object) -> dict:
    fold = FoldPredictions("sub1", 0, 0, RATE_HZ, blocks, speech_threshold_nats=-7.0)
    scored = [score_fold(replace(fold, **changes), evaluate, ChanceConfig(), [0])]  # type: ignore[arg-type]
    nulls = all_nulls(scored, ChanceConfig(), 0)
    return strict(summary_of(all_measures(scored, nulls, evaluate, ChanceConfig())))


LAYOUTS = {"one long block": [3600], "trials": [260, 300, 280, 240, 320, 270, 300, 250, 290, 310, 260, 280]}
OF_MELS = ("pearson_r_utterance", "voice_activity_auc", "mcd_dtw_db", "modulation_error_db")


@pytest.mark.parametrize("lengths", LAYOUTS.values(), ids=LAYOUTS)
def test_a_linked_prediction_is_above_chance_and_below_its_ceiling(lengths: list[int]) -> None:
    found = measured(blocks_of(np.random.default_rng(0), lengths))
    for name in OF_MELS:
        own, sign = found[name]["model"], -1 if found[name]["less_is_better"] else 1
        assert own["p_value"] <= 0.01, name
        assert sign * own["chance_p95"] < sign * own["value"] < sign * found[name]["ceiling"], name
        assert found[name]["ridge"] == own


@pytest.mark.parametrize("lengths", LAYOUTS.values(), ids=LAYOUTS)
def test_independent_predictions_are_rarely_above_chance(lengths: list[int]) -> None:
    """With p uniform, three or more of five at or below .1 come once in 100."""
    found = [measured(blocks_of(np.random.default_rng(seed), lengths, linked=False)) for seed in range(100, 105)]
    for name in OF_MELS:
        p = [own[name]["model"]["p_value"] for own in found]
        assert sum(value <= 0.1 for value in p) < 3, (name, p)
        assert max(p) > 0.3, (name, p)


def test_area_under_the_curve_is_mann_and_whitney_s() -> None:
    rng = np.random.default_rng(0)
    speech, loudness = rng.random(500) < 0.3, rng.integers(0, 40, 500)
    statistic = scipy.stats.mannwhitneyu(loudness[speech], loudness[~speech]).statistic
    expected = statistic / (speech.sum() * (~speech).sum())
    assert area_under_curve(speech, loudness) == pytest.approx(expected)
    assert area_under_curve(speech, loudness.max() - loudness) == pytest.approx(1 - expected)


def test_time_warping_is_librosa_s() -> None:
    rng = np.random.default_rng(0)
    target, prediction = (
        [np.cumsum(rng.normal(size=(n, 13)), 0) for n in own] for own in ((5, 9, 1, 14), (6, 3, 7, 14))
    )
    for y, p, found in zip(target, prediction, warped_mcd_db(target, prediction), strict=True):
        sums, path = librosa.sequence.dtw(y.T, p.T)
        assert found == pytest.approx(MCD_DB * sums[-1, -1] / len(path), rel=1e-5)


def test_warping_takes_timing_out_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    word = speech_like(rng, 75)[10:70].astype(np.float64)
    slow = segments.stretched(word, 90)
    assert warped_mcd_db([cepstra(word)], [cepstra(slow)])[0] < 0.2 * mcd_db(word, slow[:60]).mean()
    long = np.zeros((2001, 13))
    assert warped_mcd_db([long], [long])[0] == 0, "one pair of more cells than are laid out at once"
    same = warped_mcd_db([cepstra(word)], [cepstra(word)])[0]
    assert same == pytest.approx(0, abs=1e-3)


def test_r_of_utterances_of_equal_length_is_pearson_s() -> None:
    rng = np.random.default_rng(0)
    target, prediction = ([rng.normal(size=(30, 4)) for _ in range(3)] for _ in range(2))
    prediction[1][:, 2] = 1.0
    prediction.append(np.ones((30, 4)))
    found = segments.r_of_pairs(np.array([True, True, True, False]), 30)(target, prediction)
    assert np.isnan(found[:, 3]).all(), "no band varies"
    for i, j in np.ndindex(3, 3):
        bands = [0, 1] if j == 1 else [0, 1, 2]
        expected = np.mean([scipy.stats.pearsonr(target[i][:, b], prediction[j][:, b]).statistic for b in bands])
        assert found[i, j] == pytest.approx(expected)


def test_the_modulation_error_sees_a_lost_modulation_and_no_gain_of_all_frames() -> None:
    frames, rng = round(2 * RATE_HZ), np.random.default_rng(0)
    time_s = np.arange(frames)[:, None] / RATE_HZ
    shape = np.cos(np.pi * 2 * (np.arange(80) + 0.5) / 80)
    fast, slow = (np.sin(2 * np.pi * hz * time_s) * shape for hz in (8, 2))
    noise = rng.normal(0, 0.05, (frames, 80))
    error = segments.modulation_error_of_pairs(RATE_HZ)
    whole = slow + fast + noise
    assert error([whole], [whole + 3.0])[0, 0] == pytest.approx(0, abs=1e-6)
    assert error([whole], [whole + 3.0 * shape])[0, 0] == pytest.approx(0, abs=1e-6), "a constant is no modulation"
    db = segments.modulation_db(whole, RATE_HZ) - segments.modulation_db(slow + noise, RATE_HZ)
    at = np.unravel_index(np.abs(db).argmax(), db.shape)
    assert at == (15, 1)  # 8 Hz in steps of half a hertz from 0.5 Hz on; c_2
    assert error([whole], [slow + noise])[0, 0] == pytest.approx(np.sqrt((db**2).mean()))


def test_the_power_of_a_modulation_of_noise_is_its_variance() -> None:
    """Of mel-cepstra, 2 / 80 of the variance of 80 bands; from 0.5 to 16 Hz, in steps of half a hertz."""
    noise = np.random.default_rng(0).normal(size=(20, 200, 80))
    found = np.stack([segments.modulation_db(own, 100.0) for own in noise])
    assert found.shape == (20, 32, 13)
    assert np.mean(10 ** (found / 10)) == pytest.approx(2 / 80, rel=0.05)


def test_a_segment_is_stretched_by_straight_lines() -> None:
    rng = np.random.default_rng(0)
    for frames in (1, 2, 7):
        segment = rng.normal(size=(frames, 3))
        at = np.linspace(0, frames - 1, 11)
        expected = np.stack([np.interp(at, np.arange(frames), band) for band in segment.T], axis=1)
        np.testing.assert_allclose(segments.stretched(segment, 11), expected)


def test_the_error_of_each_is_that_of_its_pair() -> None:
    rng = np.random.default_rng(0)
    target, prediction = ([rng.normal(size=(n, 20)) for n in own] for own in ((5, 9, 4), (6, 3, 7)))
    pairs = segments.mcd_of_pairs(target, prediction)
    np.testing.assert_allclose(segments.mcd_of_each(target, prediction), np.diag(pairs))
    np.testing.assert_allclose(pairs[0, 2], warped_mcd_db([cepstra(target[0])], [cepstra(prediction[2])])[0])


@pytest.mark.parametrize("lengths", [[1300, 1500], [230, 300, 260, 280, 240, 310]], ids=["shift", "exchange"])
def test_the_frames_that_meet_are_those_of_the_null_of_r(lengths: list[int]) -> None:
    """r of frames put side by side is r of the null's own sums, draw by draw."""
    rng = np.random.default_rng(0)
    sides = [[rng.normal(size=(n, 3)) for n in lengths] for _ in range(2)]
    blocks = [NullBlock(y, p, f"r{i}", "s1") for i, (y, p) in enumerate(zip(*sides, strict=True))]
    method = "shift" if len(lengths) == 2 else "exchange"
    null = Null(np.zeros(21), 20, method, 0.1, None, None, np.zeros((21, 3)))  # type: ignore[arg-type]
    exchange = FrameExchange([(0, b) for b in blocks], null, RATE_HZ, ChanceConfig(), (3,))
    y, p = (np.concatenate(own) for own in sides)
    found = np.array([correlation_per_band(p[met], y) for met in exchange.draws()])
    drawn, ones = np.random.default_rng((3,)), [np.ones(n) for n in lengths]
    if method == "shift":
        shift = shifts.draw_shifts(lengths, int(np.ceil(0.5 * RATE_HZ)), 20, drawn)
        expected = shifts.circular_shift_null(sides[0], [sides[1]], [ones], shift)[0, 0]
    else:
        groups = [np.arange(len(lengths))]
        orders, seed = trial_exchange.draw_orders(groups, 20, drawn), int(drawn.integers(2**32))
        lines, anchors = [np.zeros((n, 2)) for n in lengths], [(0, n) for n in lengths]
        expected = trial_exchange.exchange_null(*sides, ones, lines, anchors, groups, orders, seed)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(("min_shift_s", "kept"), [(0.5, [120, 150]), (7.5, [150]), (6.0, [120, 150])])
def test_blocks_count_that_are_12_s_long_and_two_shifts(min_shift_s: float, kept: list[int]) -> None:
    """At 10 Hz, as in the null of r; where trials exchange partners all count."""
    blocks = [(0, NullBlock(*np.zeros((2, n, 1)), "r", "s")) for n in (120, 119, 150)]
    for method, expected in (("shift", kept), ("exchange", [120, 119, 150])):
        null = Null(np.zeros(3), 2, method, 0.1, None, None, np.zeros((3, 1)))  # type: ignore[arg-type]
        found = FrameExchange(blocks, null, 10.0, ChanceConfig(min_shift_s=min_shift_s), (0,)).blocks
        assert [len(own) for own in found] == expected
        assert found[-1].tolist() == list(range(239, 389)), "frames are numbered through all blocks"


def at_100_hz() -> list[Prepared]:
    """Two folds of two blocks each, of 415 and 600 frames, with a word of .15 s, one of .14 and one at the end."""
    rng, found = np.random.default_rng(0), []
    for number in range(2):
        blocks = []
        for block, session in zip(blocks_of(rng, [415, 600]), ("s1", ""), strict=True):
            frames = len(block.target)
            spans = ((10, 25), (40, 54), (frames - 20, frames), (frames - 10, frames + 10))
            events = tuple(Event(3 + a / 100, (b - a) / 100, "w") for a, b in spans)
            times_s = 3 + np.arange(frames) / 100
            blocks.append(replace(block, times_s=times_s, events=events, session=session))
        found.append(Prepared(FoldPredictions("sub1", number, 0, 100.0, tuple(blocks), -7.0), FAST))
    return found


def spans_of(found: Sequence[segments.Segment]) -> list[tuple[int, str, int, int, int]]:
    return [(s.fold, s.session, s.start, s.stop, s.slot) for s in found]


def test_utterances_lie_whole_in_their_block_and_last_150_ms() -> None:
    prepared = at_100_hz()
    own = [("s1", 10, 25, 0), ("s1", 395, 415, 0), ("rec1", 425, 440, 0), ("rec1", 995, 1015, 0)]
    assert spans_of(segments.utterances(prepared, False)) == [(k, *s) for k in range(2) for s in own]
    trials = [("s1", 0, 415, 0), ("rec1", 415, 1015, 0)]
    assert spans_of(segments.utterances(prepared, True)) == [(k, *s) for k in range(2) for s in trials]
    prepared[0].fold.blocks[0].bad[24] = True
    assert spans_of(segments.utterances(prepared, False))[0] == (0, *own[1]), "no frame of it is bad"


@pytest.mark.parametrize("whole_trials", [False, True])
def test_stretches_are_two_seconds_each_and_those_of_trials_know_their_place(whole_trials: bool) -> None:
    prepared = at_100_hz()
    found = segments.stretches(prepared, whole_trials)
    own = [("s1", 0, 0), ("s1", 200, 1), ("rec1", 415, 0), ("rec1", 615, 1), ("rec1", 815, 2)]
    expected = [(k, s, a, a + 200, slot * whole_trials) for k in range(2) for s, a, slot in own]
    assert spans_of(found) == expected
    for name, side in ((None, prepared[1].target), ("model", prepared[1].prediction("model"))):
        np.testing.assert_array_equal(segments.cut(prepared, found, name)[-1], side[815:1015])


def test_segments_exchange_their_predictions_within_groups() -> None:
    """The score of each with each, and of every order its mean; one without a score does not count."""
    rng, groups = np.random.default_rng(0), [np.array([0, 2, 4]), np.array([1, 3])]
    y, p = rng.normal(size=(2, 5))
    y[4] = np.nan
    score: Any = lambda target, prediction: np.subtract.outer(target, prediction)  # noqa: E731
    own, drawn = segments.exchanged(list(y), list(p), groups, score, 500, rng)
    np.testing.assert_allclose(own, y - p)
    assert drawn[0] == pytest.approx(np.nanmean(y - p))
    orders = [[a, d, b, e, c] for a, b, c in permutations((0, 2, 4)) for d, e in permutations((1, 3))]
    np.testing.assert_allclose(np.sort(drawn), np.sort([np.nanmean(y - p[order]) for order in orders]))


def test_a_hundred_ways_to_exchange_make_a_test() -> None:
    """Four and five of a group are 24 and 120 ways."""
    own = [segments.Segment(0, "s1", 0, 10)] * 5
    assert segments.too_few(own, "words") is None
    few = "4 words within their sessions and folds: fewer than 100 ways to exchange them"
    assert segments.too_few(own[:4], "words") == few


def test_exchanges_stay_within_neighbours_of_one_session_and_fold() -> None:
    own = [segments.Segment(k // 30, f"s{k % 2}", 0, 10) for k in range(60)]
    groups = segments.groups_of(own)
    assert sorted(np.concatenate(groups).tolist()) == list(range(60))
    for group in groups:
        assert len({(own[i].fold, own[i].session) for i in group}) == 1
        assert 5 <= len(group) <= 15


def test_too_few_utterances_keep_their_score_and_say_why_there_is_no_test() -> None:
    found = measured(blocks_of(np.random.default_rng(0), [1100])[:1], speech_threshold_nats=-7.0)
    own = found["modulation_error_db"]["model"]
    assert own["value"] is not None
    few = measured(tuple(replace(b, events=b.events[:3]) for b in blocks_of(np.random.default_rng(0), [3600])))
    own = few["mcd_dtw_db"]["model"]
    assert own["value"] is not None
    assert own["p_value"] is None
    assert "3 utterances" in own["reason"]


def test_over_subjects_scores_and_draws_are_averaged() -> None:
    """Of those that have a score; the reason of one that has no null stays."""
    own = [
        Measured(np.array([0.5, 0.1, 0.2]), None, {"sd": 0.2}, 3),
        Measured(reason="too short"),
        Measured(np.array([0.7, 0.3, 0.2, 0.9]), "few", {"sd": 0.4}, 5),
    ]
    found = over_subjects(own)
    np.testing.assert_allclose(found.values, [0.6, 0.2, 0.2])
    assert (found.reason, found.spread, found.segments) == ("too short", {"sd": pytest.approx(0.3)}, 8)
    none = over_subjects(own[1:2])
    assert (none.reason, np.isnan(none.values).tolist()) == ("too short", [True])


@pytest.mark.parametrize(
    ("is_error", "p95", "p"),
    [(False, 0.7 + 0.85 * 0.2, 3 / 5), (True, 0.1 + 0.15 * 0.3, 3 / 5)],
    ids=["score", "error"],
)
def test_p_counts_the_draws_that_are_as_good(is_error: bool, p95: float, p: float) -> None:
    """Of draws .1, .4, .7 and .9, two are at .5 or above and two below; 5 % of three steps lie .15 into the last."""
    own = Measured(np.array([0.5, 0.1, 0.9, 0.4, 0.7]), None, {"sd": 0.3}, 2)
    found = measured_document(own, is_error)
    assert found == {
        "value": 0.5, "sd": 0.3, "segments": 2, "chance_p95": pytest.approx(p95), "p_value": p, "reason": None,
    }  # fmt: skip
    alone = measured_document(Measured(np.array([0.5]), "few"), is_error)
    assert alone == {"value": 0.5, "chance_p95": None, "p_value": None, "reason": "few"}


def test_of_errors_less_is_better() -> None:
    errors = {name for name, measure in MEASURES.items() if measure.is_error}
    assert errors == {name for name in MEASURES if "error" in name or "mcd" in name}


def test_the_ceiling_is_the_score_of_the_true_mel_or_says_why_there_is_none() -> None:
    """Of a measure of sound the model's own reason; of others, that no sound was made."""
    score, none = Measured(np.array([0.5, 0.1])), Measured(reason="not asked for")
    whole = {name: {"model": score, VOCODED_TRUE: Measured(np.array([0.9]))} for name in MEASURES}
    found = summary_of({"a": whole, "b": whole})["mcd_dtw_db"]
    assert (found["ceiling"], found["ceiling_reason"], found["less_is_better"]) == (pytest.approx(0.9), None, True)
    without = summary_of({"a": {name: {"model": none} for name in MEASURES}})
    assert without["voicing_error"]["ceiling_reason"] == "not asked for"
    assert without["mcd_dtw_db"]["ceiling_reason"] == NO_SOUND
    assert (
        summary_of({"a": {name: {"model": score} for name in MEASURES}})["voicing_error"]["ceiling_reason"] == NO_SOUND
    )
    own = subject_document({"voicing_error": whole["voicing_error"]})["voicing_error"]
    assert own == {"model": measured_document(score, True), "ceiling": 0.9}


def test_they_can_be_left_out() -> None:
    fold = FoldPredictions("sub1", 0, 0, RATE_HZ, blocks_of(np.random.default_rng(0), [1400]), -7.0)
    without = FAST.model_copy(update={"measures": False})
    document = score([fold], without, ChanceConfig(), RunContext({"simulated": True}))
    assert document["summary"]["measures"] == document["subjects"]["sub1"]["measures"] == {}
    assert view_measures.measures(document).missing.text.endswith("or evaluate.measures is off.")  # type: ignore[union-attr]


def test_without_sound_the_measures_of_sound_say_so() -> None:
    found = measured(blocks_of(np.random.default_rng(0), [3600]))
    asked = measured(
        blocks_of(np.random.default_rng(0), [3600]), FAST.model_copy(update={"pitch": True, "recogniser": True})
    )
    for name in ("pitch_error_cents", "voicing_error", "recognised_share"):
        assert found[name]["model"]["value"] is None
        assert found[name]["model"]["reason"].startswith("not asked for")
        assert (
            asked[name]["model"]["reason"] == asked[name]["ceiling_reason"] == "no sound was made (export.audio: all)"
        )
    assert set(found) == set(MEASURES)


# -- sound ----------------------------------------------------------------------------------------


def vowels(rng: np.random.Generator, seconds: float, rate_hz: int = 22050) -> tuple[np.ndarray, np.ndarray]:
    """A buzz whose pitch changes every half second and stops every other one; its pitch in steps of half a second."""
    pitch = np.where(np.arange(int(2 * seconds)) % 2, 0, rng.uniform(100, 250, int(2 * seconds)))
    course = np.repeat(pitch, rate_hz // 2)
    phase = 2 * np.pi * np.cumsum(course) / rate_hz
    wave = sum(np.sin(k * phase) / k for k in range(1, 9)) * (course > 0)
    return (0.1 * wave + 1e-4 * rng.normal(size=len(wave))).astype(np.float32), pitch


@pytest.mark.slow  # librosa compiles pYIN for ten seconds
def test_pitch_and_voicing_of_a_known_sound() -> None:
    wave, pitch = vowels(np.random.default_rng(0), 4)
    found = pitch_hz(wave, 22050, round(4 * RATE_HZ), RATE_HZ)
    middle = [round((k / 2 + 0.25) * RATE_HZ) for k in range(8)]
    np.testing.assert_allclose(found[middle[::2]], pitch[::2], rtol=0.01)
    assert np.isnan(found[middle[1::2]]).all()
    assert pitch_error_cents(found, found * 2 ** (1 / 12)) == pytest.approx(100)
    assert voicing_error(found, found) == 0
    assert voicing_error(found, np.full_like(found, 100)) == pytest.approx(np.isnan(found).mean())


@pytest.mark.slow
def test_errors_of_pitch_have_chance_and_ceiling() -> None:
    rng = np.random.default_rng(0)
    (block,) = blocks_of(rng, [round(20 * RATE_HZ)])
    true, _ = vowels(rng, 20)
    near = true + 1e-3 * rng.normal(size=len(true)).astype(np.float32)
    sound = Sound(22050, true, near, (near + 0.01 * rng.normal(size=len(true))).astype(np.float32))
    found = measured((replace(block, sound=sound),), FAST.model_copy(update={"pitch": True}))
    for name in ("pitch_error_cents", "voicing_error"):
        assert found[name]["model"]["p_value"] <= 0.02, name
        assert max(found[name]["ceiling"], found[name]["model"]["value"]) < found[name]["model"]["chance_p95"], name


def test_texts_are_compared_as_plain_english() -> None:
    assert normalised("It's a  Test, isn’t it?") == "it's a test isn't it"
    assert normalised("grün") == normalised("3 apples") == ""


def test_the_recogniser_knows_the_texts_whose_words_its_dictionary_has() -> None:
    pytest.importorskip("pocketsphinx", reason="the extra scores is not installed")
    listener = Recogniser(["go forward ten meters", "open the door", "xqzzt words"])
    assert listener.texts == ["go forward ten meters", "open the door"]
    assert listener(np.zeros(16000, np.float32), 16000) in ("", *listener.texts)


@pytest.mark.parametrize(
    ("heard", "p_at_most", "value"), [("own", 0.01, 1.0), ("one", 1.0, 1 / 12), ("none", 1.0, 0.0)]
)
def test_the_share_recognised_has_its_chance(
    heard: str, p_at_most: float, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recogniser that reads the number which a sound's first sample holds."""

    class Reader:
        def __init__(self, texts: Sequence[str]) -> None:
            self.texts = list(texts)

        def __call__(self, sound: np.ndarray, rate_hz: int) -> str:
            return self.texts[round(float(sound[0]))] if sound[0] >= 0 else ""

    monkeypatch.setattr("pipeline.evaluation.sound_measures.Recogniser", Reader)
    rng = np.random.default_rng(0)
    texts = [f"sentence {word}" for word in "abcdefghijkl"]
    blocks = []
    for i, block in enumerate(blocks_of(rng, LAYOUTS["trials"])):
        said = {"own": i, "one": 3, "none": -1}[heard]
        waves = [np.full(len(block.target) * 256, number, np.float32) for number in (i, i, said)]
        blocks.append(replace(block, text=texts[i], sound=Sound(22050, *waves)))
    found = measured(
        tuple(blocks), FAST.model_copy(update={"recogniser": True}), stimuli={"s1": tuple(texts)}
    )["recognised_share"]  # fmt: skip
    assert found["model"]["value"] == pytest.approx(value)
    assert found["model"]["p_value"] <= p_at_most
    assert found["model"]["p_value"] == 1 or heard == "own"
    assert found["ceiling"] == 1


def test_a_score_without_its_package_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"evaluate.recogniser.*pocketsphinx"):
        plan.load_plan(ROOT, [], [{"evaluate": {"recogniser": True}}], is_job=True)
