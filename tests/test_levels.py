"""Levels of a claim: in order, the weakest subject first, with limits; their tests against independent computations."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from scipy.stats import zscore

from pipeline.artifacts.aligned import Event
from pipeline.baselines.references import (
    DENSE_LAGS_S,
    LAGS_S,
    OF_LOUDNESS,
    PENALTY,
    REFERENCES,
    fit_course,
    levels_of,
    loudness_of,
    power_of,
    reference_mels,
    voice_of,
    word_templates,
)
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.evaluation import utterance_tests
from pipeline.evaluation.audit import AuditResult
from pipeline.evaluation.chance import Null, neighbours
from pipeline.evaluation.contamination import Contamination
from pipeline.evaluation.drift import without_drift
from pipeline.evaluation.fold import Prepared, score_fold
from pipeline.evaluation.levels import LEVELS, LevelTest, claims, level_of, listed, subject_tests, timing_test, too_few
from pipeline.evaluation.limits import leaked, run_limits, suspected_limits, suspects
from pipeline.evaluation.nulls import null_fold
from pipeline.evaluation.scores import RunContext, score
from pipeline.evaluation.types import FoldPredictions, TestBlock
from pipeline.evaluation.utterance_tests import (
    Exchange,
    dimensions,
    envelope_test,
    exchange_of,
    exchange_test,
    timing_basis,
    without,
)
from pipeline.evaluation.utterances import (
    ABOVE_THRESHOLD_LAGS_S,
    LOUDNESS_LAGS_S,
    Utterances,
    _courses,
    _responses,
    aligned_utterances,
    compared_frames,
    utterances_of,
    with_steady_background,
    with_templates,
)
from pipeline.signal.voice import voice_onset_frame, voiced_stretches

RATE_HZ = 86.1328125
LINKED = Null(np.array([0.5, 0.1, 0.2]), 2, "shift", 0.005, None, None, np.zeros((3, 4)))


def made_tests(*p: float | None, effect: float = 4.0) -> dict[str, LevelTest]:
    """Tests of the levels in order with these p; ``None``: could not be made."""
    return {
        level: LevelTest({}, "too short", 3.0) if own is None else LevelTest({level: Exchange(own, effect)})
        for level, own in zip(LEVELS[1:], p, strict=True)
    }


@pytest.mark.parametrize(
    ("p", "level"),
    [
        ((0.001, 0.001, 0.001, 0.001), "content"),
        ((0.01, 0.01, 0.01, 0.02), "beyond_loudness"),
        ((0.001, 0.02, 0.001, 0.001), "timing"),
        ((0.02, 0.001, 0.001, 0.001), "no_link"),
        ((0.001, 0.001, None, 0.001), "loudness"),
        ((None, 0.001, 0.001, 0.001), None),
    ],
)
def test_a_level_needs_all_levels_below_it(p: tuple[float | None, ...], level: str | None) -> None:
    assert level_of(made_tests(*p)) == level
    found = claims({"a": made_tests(*p)}, {}, [])
    assert found["level"] == level
    assert set(found["not_testable"]) == {name for name, own in zip(LEVELS[1:], p, strict=True) if own is None}
    assert all(
        own == {"reason": "too short", "minutes_needed": 3.0, "subjects": 1} for own in found["not_testable"].values()
    )


def test_every_part_of_a_level_must_be_passed() -> None:
    found = made_tests(0.001, 0.001, 0.001, 0.001)
    found["content"] = LevelTest({"templates": Exchange(0.001, 4.0), "envelope": Exchange(0.011, 2.2)})
    assert level_of(found) == "beyond_loudness"


def test_few_subjects_get_the_level_that_each_reaches_alone() -> None:
    linked, not_linked = made_tests(*4 * [0.001]), made_tests(*4 * [0.5])
    found = claims({"a": linked, "b": not_linked, "c": linked}, {}, [])
    assert found["level"] == "no_link"
    assert found["group"] == "not testable (3; 7 needed)"
    limits = {limit["limit"]: limit["numbers"] for limit in found["limits"]}
    assert limits["subjects_differ"] == {"a": "content", "c": "content"}
    assert limits["few_subjects"] == {"subjects": 3, "needed": 7}
    assert claims({"a": linked, "b": linked}, {}, [])["level"] == "content"
    assert claims({"a": linked, "b": made_tests(None, *3 * [0.001])}, {}, [])["level"] is None


@pytest.mark.parametrize(("linked", "level"), [(1, "no_link"), (10, "content")])
def test_a_group_is_decided_by_sign_flips(linked: int, level: str) -> None:
    rng = np.random.default_rng(0)
    subjects = {
        str(k): made_tests(*4 * [0.001]) if k < linked else made_tests(*4 * [0.5], effect=float(rng.normal()))
        for k in range(10)
    }
    found = claims(subjects, {}, [])
    assert found["level"] == level
    assert found["tests"]["timing"]["p_value"] == pytest.approx(1 / 2**10) or linked == 1
    assert ("subjects_differ" in {limit["limit"] for limit in found["limits"]}) == (linked == 1)


def test_a_suspected_recording_supports_no_link_and_the_reason_says_why() -> None:
    found = claims({"a": made_tests(*4 * [0.001])}, {"a": "sound may have leaked"}, [])
    assert (found["level"], found["level_reason"]) == ("no_link", "sound may have leaked")
    assert found["by_subject"]["a"]["level"] == "no_link"


def test_a_suspected_subject_takes_no_part_in_the_group() -> None:
    """Seven others decide, whatever the suspected one's effects are; with six of them there is no group."""
    linked = {str(k): made_tests(*4 * [0.001]) for k in range(7)}
    found = claims({**linked, "x": made_tests(*4 * [0.5], effect=-100.0)}, {"x": "sound may have leaked"}, [])
    assert (found["level"], found["by_subject"]["x"]["level"]) == ("content", "no_link")
    assert found["tests"]["content"]["p_value"] == pytest.approx(1 / 2**7)
    found = claims(linked, {"3": "sound may have leaked"}, [])
    assert (found["level"], found["group"]) == ("no_link", "not testable (6; 7 needed)")


def test_effects_have_the_sign_of_the_evidence() -> None:
    assert timing_test(LINKED).parts["link"] == Exchange(0.005, pytest.approx((0.5 - 0.15) / 0.05))
    assert too_few(20, 1.0) is None
    assert too_few(19, 1.0) is not None


def test_reasons_name_each_test_up_to_the_first_that_was_not_passed() -> None:
    def reason(*p: float | None) -> str:
        return str(claims({"a": made_tests(*p)}, {}, [])["level_reason"])

    end = "; each tested at 0.01"
    assert reason(0.2, 0.001, 0.001, 0.001) == "timing not (p = 0.2)" + end
    assert reason(0.01, 0.013, 0.5, 0.5) == "timing passed (p = 0.01); loudness not (p = 0.013)" + end
    assert reason(0.001, None, 0.5, 0.5) == "timing passed (p = 0.001); loudness not testable: too short" + end
    names = ("timing", "loudness", "beyond loudness", "content")
    assert reason(*[0.002] * 4) == "; ".join(f"{name} passed (p = 0.002)" for name in names) + end
    assert reason(None, 0.5, 0.5, 0.5) == "not testable: too short"


def test_what_cannot_be_tested_says_the_most_minutes_of_how_many_subjects() -> None:
    longer = made_tests(0.001, 0.001, 0.001, 0.001) | {"content": LevelTest({}, "too few", 5.0)}
    subjects = {"a": made_tests(0.001, 0.001, 0.001, None), "b": longer, "c": made_tests(*4 * [0.001])}
    found = claims(subjects, {}, [])
    assert found["not_testable"] == {"content": {"reason": "too short", "minutes_needed": 5.0, "subjects": 2}}
    few = too_few(5, 2.0)
    assert few is not None
    assert (few.reason, few.minutes_needed, few.passed) == ("5 utterances, 20 needed", 8.0, False)


def test_a_group_has_the_mean_effect_of_those_in_whom_a_level_was_tested() -> None:
    """Of seven; with one of them untested there is no group test of that level, and the reason is its."""
    subjects = {str(k): made_tests(*4 * [0.001], effect=float(k + 1)) for k in range(7)}
    found = claims(subjects, {}, [])
    assert found["tests"]["loudness"]["parts"] == {"loudness": {"p_value": 1 / 128, "effect": 4.0}}
    assert found["group"] == "exact one-sided sign-flip test over subjects"
    assert not {limit["limit"] for limit in found["limits"]} & {"few_subjects", "group_not_above_chance"}
    subjects["6"] = made_tests(0.001, None, 0.001, 0.001)
    found = claims(subjects, {}, [])
    assert found["level"] == "timing"
    assert found["not_testable"]["loudness"]["reason"] == "tested in 6 subjects, 7 needed (too short)"
    apart = {str(k): made_tests(*4 * [0.001], effect=(-1.0) ** k) for k in range(8)}
    limits = {limit["limit"] for limit in claims(apart, {}, [])["limits"]}
    assert limits == {"subjects_differ", "group_not_above_chance"}


CHANNELS: Any = {"channels": {"name": ["a", "b"], "use": ["used", "used"], "p": [0.002, 1.0]}, "level": 0.01}


def test_a_suspected_session_belongs_to_one_subject() -> None:
    """By the names that the sheet's keys give: neither subject s1 nor a trial of it that is called s1_2_a is s1_2's."""
    suspect = Contamination("s1_2_a", "suspect", p=0.002, p_adjusted=0.002, channel=0, lag_s=0.0, **CHANNELS)
    found = [suspect, Contamination("s1_b", "no evidence", p=0.5)]
    folds = [replace(a_fold(("anna",), np.random.default_rng(3)), subject=subject) for subject in ("s1", "s1_2")]
    folds = [
        replace(f, blocks=tuple(replace(b, recording="s1_2_a", session="s1_b", events=b.events[k:]) for b in f.blocks))
        for k, f in enumerate(folds)
    ]
    context = RunContext({}, contamination=found, sessions={"s1": ["s1_b"], "s1_2": ["s1_2_a"]})
    claimed = score(folds, EvaluateConfig(stoi=False, bootstrap=100), ChanceConfig(), context)["claims"]
    (limit,) = [own for own in claimed["limits"] if own["limit"] == "contamination"]
    assert limit["numbers"] == {"subjects": ["s1_2"], "sessions": ["s1_2_a"]}
    for subject, words in (("s1", 12), ("s1_2", 11)):
        reason = claimed["by_subject"][subject]["tests"]["loudness"]["reason"]
        assert reason == f"{words} utterances, 20 needed", "a subject's own"


def test_each_suspected_session_says_which_of_its_channels_to_leave_out() -> None:
    """Of two subjects whose channels have other names: no line of the config would hold for both."""
    channels = CHANNELS["channels"] | {"name": ["x", "y"]}
    found = [
        Contamination("s1_a", "suspect", p_adjusted=0.002, channel=0, lag_s=0.0, **CHANNELS),
        Contamination("s1_b", "no evidence", p=0.5),
        Contamination("s2_a", "suspect", p_adjusted=0.004, channel=0, lag_s=0.0, channels=channels, level=0.01),
    ]
    (limit,) = suspected_limits(suspects({"s1": ["s1_a", "s1_b"], "s2": ["s2_a"]}, found))
    first, second = (str(found[k].limit()) for k in (0, 2))
    assert limit["reason"] == f"no link is claimed for s1, s2: {first}; {second}"
    assert first.endswith("check: status bad for a in the channel table of s1_a")
    assert second.endswith("check: status bad for x in the channel table of s2_a")
    assert leaked(found[:1]) == first


def test_one_limit_names_all_sessions_of_which_the_check_says_the_same() -> None:
    names = [f"s{k}_a" for k in range(9)]
    numbers = {"sessions": names}
    own = {name: [Contamination(name, "suspect", p_adjusted=0.002, channel=0, lag_s=0, **CHANNELS)] for name in names}
    (limit,) = suspected_limits(own)
    assert (limit["limit"], limit["numbers"]) == ("contamination", {"subjects": names, **numbers})
    first = "s0_a, s1_a, s2_a, s3_a, s4_a, s5_a and 3 more"
    assert limit["reason"].startswith(f"no link is claimed for {first}: sound may have leaked into s0_a (P = 0.002, ")
    assert limit["reason"].endswith("in the channel table of s5_a and 3 more")
    folds = [a_fold(("anna", "ben"), np.random.default_rng(11))]
    unseen = [Contamination(name, "not testable", "pitch-shifted") for name in names]
    unseen += [Contamination(name, "no evidence", p=0.5) for name in names]
    found = limits_of(folds, contamination=unseen)
    assert found["contamination_not_testable"]["numbers"] == found["contamination_no_evidence"]["numbers"] == numbers
    why = found["contamination_not_testable"]["reason"]
    assert why == f"whether sound leaked into {first} could not be tested: pitch-shifted"
    unseen[0] = replace(unseen[0], reason="constant")
    found = limits_of(folds, contamination=unseen)["contamination_not_testable"]
    assert found["reason"].startswith("whether sound leaked into s0_a could not be tested: constant; whether")
    assert found["numbers"] == numbers


def some_utterances(rng: np.random.Generator, count: int = 40, frames: int = 6, bands: int = 3) -> Utterances:
    shape = (count, frames, bands)
    return Utterances(
        target=rng.normal(size=shape), prediction=rng.normal(size=shape), envelope=rng.normal(size=shape),
        references={name: rng.normal(size=shape) for name in REFERENCES},
        floor=tuple(rng.normal(size=(4, *shape))),
        voice_course=rng.normal(size=(count, frames, 2)), loudness_course=rng.normal(size=(count, frames, 2)),
        timing=rng.normal(size=(count, 4)), fold=np.repeat([0, 1], count // 2), place=np.repeat([0, 1], count // 2),
        labels=tuple("ab" * (count // 2)), templates=rng.normal(size=shape), seconds=40.0,
    )  # fmt: skip


def test_exchange_equals_all_permutations_of_a_small_case() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.normal(size=(2, 5, 4, 2))
    y[:, :, 0] += p[:, :, 0]
    scaled_y, scaled_p = (side / side.std(axis=(0, 1)) for side in (y, p))
    line = np.stack([np.ones(5), np.arange(5)], axis=1)
    flat = [side.reshape(5, -1) for side in (scaled_y, scaled_p)]
    rest = [side - line @ np.linalg.lstsq(line, side, rcond=None)[0] for side in flat]
    sums = [float((rest[0] * rest[1][list(order)]).sum()) for order in permutations(range(5))]
    expected = np.mean(np.array(sums) >= sums[0] - 1e-9)
    found = exchange_test(y, p, [np.arange(5)], 20000, rng)
    assert found.p_value == pytest.approx(expected, abs=0.01)
    assert found.effect == pytest.approx((sums[0] - np.mean(sums)) / np.std(sums), abs=0.1)
    assert exchange_test(y, -p, [np.arange(5)], 2000, rng).p_value == pytest.approx(1 - expected, abs=0.03)


def test_a_trend_that_both_sides_follow_is_no_evidence_among_neighbours() -> None:
    """Nor are groups of which mean and trend leave nothing: two utterances, and one where there is no trend."""
    rng = np.random.default_rng(0)
    rising = np.arange(9.0)[:, None, None] * np.array([1.0, -1.0])[:, None]
    nothing = Exchange(1.0, 0.0)
    assert exchange_test(rising, rising, [np.arange(9)], 99, rng) == nothing
    assert exchange_test(rising, rising, [np.arange(9)], 99, rng, trend=False).p_value == 0.01
    noise = rng.normal(size=(12, 4, 2))
    for trend, least in ((True, 3), (False, 2)):
        found = [
            exchange_test(noise, noise, np.split(np.arange(12), 12 // size), 99, rng, trend=trend)
            for size in (least - 1, least)
        ]
        assert found[0] == nothing
        assert found[1].effect > 1, "each with itself"


def test_the_effect_is_in_standard_deviations_of_the_exchanged_sums() -> None:
    found = exchange_of(np.array([5.0, 1.0, 2.0, 6.0]))
    assert found == Exchange(2 / 4, pytest.approx((5 - 3) / np.std([1, 2, 6])))
    assert exchange_of(np.array([5.0, 2.0, 2.0])) == Exchange(1.0, 0.0), "nothing was exchanged"


def test_squares_of_the_timing_come_off_from_thirty_utterances_more_than_folds_on() -> None:
    """A mean of each fold, four values, and their squares."""
    rng = np.random.default_rng(0)
    own = some_utterances(rng)
    for count, columns in ((31, 2 + 4), (32, 2 + 4 + 4)):
        basis = timing_basis(replace(own, timing=rng.normal(size=(count, 4)), fold=np.arange(count) % 2))
        assert dimensions(basis) == columns


def test_what_a_course_explains_comes_off_as_by_least_squares() -> None:
    own = some_utterances(np.random.default_rng(2))
    (found,) = without([own.target], own, [own.references["voice"], own.floor[0]], own.voice_course)
    for band in range(3):
        columns = [own.references["voice"][:, :, band], own.floor[0][:, :, band], *np.moveaxis(own.voice_course, 2, 0)]
        values = own.target[:, :, band].copy()
        for fold in (0, 1):
            inside = own.fold == fold
            values[inside] -= values[inside].mean(axis=0)
            values[inside] -= values[inside].mean(axis=1, keepdims=True)
            for k, column in enumerate(columns):
                own_part = column - column[inside].mean(axis=0)
                own_part -= own_part.mean(axis=1, keepdims=True)
                columns[k] = np.where(inside[:, None], own_part, column)
        design = np.stack([c.ravel() for c in columns], axis=1)
        rest = values.ravel() - design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
        np.testing.assert_allclose(found[:, :, band].ravel(), rest, atol=1e-9)


def test_a_prediction_that_loudness_explains_is_not_beyond_it() -> None:
    """A reference of loudness keeps a tenth beside the other one, the target itself nearly all."""
    rng = np.random.default_rng(3)
    own = some_utterances(rng)
    loudness = own.references["loudness"]
    linear = loudness + rng.normal(size=loudness.shape) / 3
    own = replace(own, references=own.references | dict.fromkeys(OF_LOUDNESS, loudness) | {"loudness_linear": linear})
    half = utterance_tests.less_means(own.target, own.fold) / 2
    assert utterance_tests.least_share(own, half) == pytest.approx(0.1**0.75 * 0.25**0.25, abs=0.03)
    for hidden, p in ((0.4, 1), (0.55, 0.001)):
        known = replace(own, prediction=loudness + hidden * own.target)
        assert utterance_tests.beyond_loudness_test(known, 999, rng).p_value == p, hidden


def test_the_reference_that_keeps_more_counts() -> None:
    """Of a + b half of a is left beside a + c and b, a quarter; of a + c c is left beside a + b and b, a half."""
    own = some_utterances(np.random.default_rng(6), count=200)
    a, b, c = own.target, own.prediction, own.envelope
    own = replace(own, references=dict.fromkeys(OF_LOUDNESS, a + b) | {"loudness_linear": a + c, "voice": b})
    whole = utterance_tests.less_means(own.target, own.fold)
    assert utterance_tests.least_share(own, whole) == pytest.approx(0.5**0.75, abs=0.05)


def test_what_a_regression_took_off_widens_the_null() -> None:
    y, p = np.random.default_rng(7).normal(size=(2, 40, 4, 2))
    plain, widened = (exchange_test(y, p, [np.arange(40)], 500, np.random.default_rng(0), removed=n) for n in (0, 10))
    assert widened.effect == pytest.approx(plain.effect * np.sqrt(30 / 40))


def test_bands_are_whitened_by_their_shrunk_covariance() -> None:
    rng = np.random.default_rng(5)
    mixed = rng.normal(size=(40, 6, 3)) @ rng.normal(size=(3, 3))
    flat = mixed.reshape(-1, 3)
    shrunk = 0.7 * np.corrcoef(flat.T) + 0.3 * np.eye(3)
    unit = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    centred = (flat - flat.mean(axis=0)).reshape(mixed.shape)
    expected = unit @ scipy.linalg.inv(scipy.linalg.sqrtm(shrunk))
    np.testing.assert_allclose(utterance_tests.decorrelated(centred).reshape(-1, 3), expected, atol=1e-10)


def test_neighbours_lose_their_trend_and_words_of_a_whole_fold_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where timing came off, the null is widened by its dimensions: a mean of each fold, four values, squares."""
    own, called = some_utterances(np.random.default_rng(5)), []

    def recorded(
        y: np.ndarray, p: np.ndarray, groups: list, *_: object, trend: bool = True, removed: int = 0
    ) -> Exchange:
        called.append((len(groups), trend, removed))
        return Exchange(1.0, 0.0)

    monkeypatch.setattr(utterance_tests, "exchange_test", recorded)
    rng = np.random.default_rng(0)
    utterance_tests.loudness_test(own, 9, rng)
    utterance_tests.beyond_loudness_test(replace(own, references=dict.fromkeys(REFERENCES, own.envelope)), 9, rng)
    assert list(utterance_tests.content_tests(own, 9, rng)) == ["templates", "templates_strict", "envelope"]
    assert called == [(8, True, 10), (8, True, 0), (2, False, 0), (2, False, 10)]


def test_model_is_compared_with_the_envelope() -> None:
    rng = np.random.default_rng(4)
    own = some_utterances(rng)
    better = replace(own, prediction=own.target + rng.normal(size=own.target.shape))
    assert envelope_test(better, 999, rng).p_value == 0.001
    take = [utterance_tests.scaled(utterance_tests.less_means(side, own.fold))
            for side in (better.target, better.prediction, better.envelope)]  # fmt: skip
    differences = (take[0] * (take[1] - take[2])).sum(axis=1)
    flipped = np.sqrt((differences**2).sum())  # the spread of sums whose signs flip
    assert envelope_test(better, 2000, rng).effect == pytest.approx(differences.sum() / flipped, rel=0.1)
    swapped = replace(better, prediction=better.envelope, envelope=better.prediction)
    assert envelope_test(swapped, 999, rng).p_value > 0.99
    assert envelope_test(replace(own, prediction=own.envelope), 999, rng).p_value == 1
    none = replace(better, envelope=np.full(own.envelope.shape, np.nan))
    assert envelope_test(none, 999, rng) == Exchange(1.0, 0.0), "no envelope was predicted"


def test_only_neighbours_of_one_place_change_places() -> None:
    groups = neighbours(np.repeat([0, 1], [23, 7]).tolist())
    assert sorted(np.concatenate(groups).tolist()) == list(range(30))
    assert all(4 <= len(own) <= 7 and own[-1] - own[0] == len(own) - 1 for own in groups)
    assert not any(own[0] < 23 <= own[-1] for own in groups)


def a_mel(rng: np.random.Generator, frames: int = 3000) -> tuple[np.ndarray, list[Event]]:
    mel = rng.normal(-6, 1, (frames, 5)).astype(np.float32)
    return mel, [Event(k / RATE_HZ, 0.5, f"w{k // 100 % 3}") for k in range(50, frames - 100, 100)]


def test_references_and_templates_are_fitted_on_training_alone() -> None:
    mel, events = a_mel(np.random.default_rng(5))
    train, test = [(0, 0, 2000)], [(0, 2100, 2600)]
    before = reference_mels([mel], train, test, {0: events}, RATE_HZ)[0]
    templates = word_templates([mel], train, {0: events}, RATE_HZ)
    changed = mel.copy()
    changed[2500:] += 3
    after = reference_mels([changed], train, test, {0: events}, RATE_HZ)[0]
    for name in REFERENCES:
        np.testing.assert_array_equal(before[name][:350], after[name][:350])
    assert not np.array_equal(before["loudness"][450:], after["loudness"][450:])
    same = word_templates([changed], train, {0: events}, RATE_HZ)
    assert sorted(templates) == ["w0", "w1", "w2"]
    assert all(np.array_equal(templates[label], same[label]) for label in templates)


def test_a_reference_finds_what_loudness_tells() -> None:
    rng = np.random.default_rng(6)
    loudness = np.convolve(rng.normal(size=4000), np.hanning(9), "same")
    mel = (loudness[:, None] * np.array([1.0, 2.0, -0.5, 1.5]) - 6).astype(np.float32)
    found = reference_mels([mel], [(0, 0, 3000)], [(0, 3100, 3900)], {}, RATE_HZ)[0]
    r = {name: np.corrcoef(found[name][:, 1], mel[3100:3900, 1])[0, 1] for name in REFERENCES}
    assert min(r["loudness"], r["loudness_linear"]) > 0.98
    assert r["voice"] < 0.95


def test_the_linear_references_know_courses_within_0_46_s_and_three_levels_and_no_more() -> None:
    rng = np.random.default_rng(6)
    mel, train = rng.normal(-6, 1, (600, 3)).astype(np.float32), slice(0, 500)
    (found,) = reference_mels([mel], [(0, 0, 500)], [(0, 520, 600)], {}, 100.0)
    for name, of in (("loudness_linear", loudness_of), ("power_linear", power_of)):
        model = fit_course([of(mel)[train]], [mel[train]], 100.0, 0, levels_of({0: of(mel)}, [(0, 0, 500)]))
        np.testing.assert_allclose(found[name], model.predict(of(mel)[520:]), atol=1e-5)
    for lags_s in (LAGS_S, DENSE_LAGS_S):
        assert list(lags_s) == sorted(lags_s)
        assert (lags_s[0], lags_s[-1]) == (0, pytest.approx(0.46))
    rising = np.arange(101.0)[:, None]
    assert levels_of({0: rising, 1: 100 + rising}, [(0, 0, 101)]) == (30, 50, 70), "evenly between 10 and 90"


def test_power_is_that_of_all_bands() -> None:
    amplitude = np.random.default_rng(0).uniform(0.1, 1, (20, 5))
    np.testing.assert_allclose(power_of(np.log(amplitude))[:, 0], np.log((amplitude**2).sum(axis=1)))


def test_a_voice_is_on_inside_events_and_above_the_threshold() -> None:
    mel = np.full((10, 2), -6, np.float32)
    mel[3], mel[4] = -5, -4
    events = [Event(-0.1, 0.2, "a"), Event(0.4, 0.21, "b"), Event(0.9, 0.5, "c")]
    inside, loud = voice_of(mel, events, -5.0, 10.0).T
    np.testing.assert_array_equal(np.flatnonzero(inside), [0, 4, 5, 9])
    np.testing.assert_array_equal(np.flatnonzero(loud), [4])


@pytest.mark.parametrize("knots", [(), (-0.5, 0.5)])
def test_a_reference_is_a_ridge_on_edge_padded_lags(knots: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    course, mel = rng.normal(size=(300, 1)), rng.normal(size=(300, 2)).astype(np.float32)
    found = fit_course([course], [mel], 100.0, 0, knots).predict(course)
    columns = [course, *(np.maximum(course - k, 0) for k in knots), *(np.where(course > k, 1.0, 0.0) for k in knots)]
    lags = {round(100 * s) for s in (DENSE_LAGS_S if knots else LAGS_S)}
    most = max(lags)
    padded = np.pad(np.concatenate(columns, axis=1), ((most, most), (0, 0)), mode="edge")
    rows = zscore(np.concatenate([padded[most + k :][:300] for k in sorted(lags | {-k for k in lags})], axis=1))
    weights = np.linalg.solve(rows.T @ rows + PENALTY * np.eye(rows.shape[1]), rows.T @ (mel - mel.mean(axis=0)))
    np.testing.assert_allclose(found, rows @ weights + mel.mean(axis=0), atol=1e-4)


def test_a_template_is_the_mean_of_the_words_that_lie_in_one_span() -> None:
    rng = np.random.default_rng(0)
    mel = rng.normal(-8, 0.01, (1000, 3)).astype(np.float32)
    onsets = [100, 301, 500, 700]
    for onset in onsets:
        mel[onset + 7 : onset + 50] += 5
    events = [Event(k / 100, 0.5, "a") for k in onsets]
    firsts = [voice_onset_frame(mel.mean(axis=1, dtype=float), k, 50) for k in onsets]
    assert all(abs(first - onset - 7) <= 2 for first, onset in zip(firsts, onsets, strict=True))
    spans = [(0, 100, firsts[1] + 60), (0, 501, 690), (0, 700, firsts[3] + 59)]
    found = word_templates([mel], spans, {0: events}, 100.0)
    expected = np.mean([mel[first : first + 60] for first in firsts[:2]], axis=0)
    np.testing.assert_allclose(found["a"], expected, atol=1e-5)


def test_without_a_model_no_level_can_be_tested() -> None:
    found = subject_tests([], None, 10, (0,))
    assert list(found) == list(LEVELS[1:])
    assert {test.reason for test in found.values()} == {"the model has no r"}


def test_without_references_nothing_beyond_timing_can_be_tested() -> None:
    fold = a_fold(("anna",), np.random.default_rng(8))
    fold = replace(fold, blocks=tuple(replace(block, references={}) for block in fold.blocks))
    found = subject_tests([Prepared(fold, EvaluateConfig())], LINKED, 10, (0,))
    assert found["timing"].passed
    reason = "the baselines hold no references of timing and loudness"
    assert {found[level].reason for level in LEVELS[2:]} == {reason}


def test_a_list_names_six_and_counts_the_others() -> None:
    assert listed(list("abcdef")) == "a, b, c, d, e, f"
    assert listed(list("abcdefg")) == "a, b, c, d, e, f and 1 more"


def test_where_a_voice_sets_in() -> None:
    loudness = np.full(200, -10.0)
    loudness[60:90] = -4
    assert voice_onset_frame(loudness, 50, 50) == 60
    assert voice_onset_frame(loudness, 300, 17) == 300
    speech = np.zeros(200, bool)
    speech[10:30], speech[33:50], speech[100:103], speech[150:190] = True, True, True, True
    assert voiced_stretches(speech, 100.0) == [(10, 50), (150, 190)]


def a_fold(speakers: tuple[str, ...], rng: np.random.Generator, **more: np.ndarray) -> FoldPredictions:
    """One fold with a block of twelve words per speaker; the model knows the target."""
    blocks = []
    for number, speaker in enumerate(speakers):
        target = rng.normal(-8, 0.3, (900, 4)).astype(np.float32)
        events = [Event(k / RATE_HZ, 40 / RATE_HZ, f"w{k % 3}") for k in range(30, 840, 70)]
        for event in events:
            first = round(event.onset_s * RATE_HZ)
            target[first : first + 40] += 4
        references = {name: rng.normal(size=target.shape).astype(np.float32) for name in REFERENCES}
        series = {"model": target + 0.1, "envelope": references["voice"]}
        times_s, bad = np.arange(900) / RATE_HZ, more.get("bad", np.zeros(900, bool))
        blocks.append(TestBlock(f"r{number}", 0, times_s, target, series, bad, tuple(events), session="one",
                                references=references, speaker=speaker))  # fmt: skip
    templates = {"w0": np.ones((50, 4), np.float32), "w1": np.zeros((50, 4), np.float32)}
    return FoldPredictions("a", 0, 0, RATE_HZ, tuple(blocks), -6.0, templates=templates)


def test_a_null_knows_the_order_of_its_blocks() -> None:
    fold = a_fold(("anna", "ben"), np.random.default_rng(7))
    blocks = tuple(replace(block, number=7 - k, start_frame=k) for k, block in enumerate(fold.blocks))
    null = null_fold(Prepared(replace(fold, blocks=blocks), EvaluateConfig()), "model")
    assert [block.place for block in null.blocks] == [(7, 0), (6, 1)]
    assert [block.session for block in null.blocks] == ["one", "one"]
    alone = tuple(replace(block, session="") for block in blocks)
    null = null_fold(Prepared(replace(fold, blocks=alone), EvaluateConfig()), "model")
    assert [block.session for block in null.blocks] == ["r0", "r1"], "a recording without one is its own"


def test_timing_tells_every_response_to_onsets_and_ends_of_events_and_voice() -> None:
    """A brain may respond to an onset in one way and to an end in another; slow drift comes off all."""
    rng = np.random.default_rng(0)
    fold = a_fold(("anna",), rng)
    starts = np.cumsum(rng.integers(35, 140, 60))
    own = [Event(k / RATE_HZ, rng.uniform(0.2, 1.2), "w") for k in starts]
    target = rng.normal(-8, 0.3, (starts[-1] + 200, 4))
    for k in np.cumsum(rng.integers(45, 120, 60)):
        target[k : k + rng.integers(10, 40)] += 4
    block = replace(fold.blocks[0], target=target.astype(np.float32))
    voice, _ = _courses(Prepared(fold, EvaluateConfig()), block, own, quieter=False)
    voice = without_drift(voice, RATE_HZ)
    size = len(target)
    loud = np.diff((block.target.mean(axis=1) > fold.speech_threshold_nats).astype(int), prepend=0)
    onsets = np.bincount(starts, minlength=size)
    ends = np.bincount([round((e.onset_s + e.duration_s) * RATE_HZ) for e in own], minlength=size)[:size]
    for edges in (onsets, ends, loud > 0, loud < 0, onsets - 0.3 * ends + 0.5 * (loud > 0)):
        smooth = np.convolve(rng.normal(size=41), np.hanning(15), "same")
        heard = without_drift(np.convolve(edges, smooth, "same")[:, None], RATE_HZ)[60:-60, 0]
        columns = voice[60:-60]
        left = heard - columns @ np.linalg.lstsq(columns, heard, rcond=None)[0]
        assert left.var() < 0.03 * heard.var()


def test_without_events_quieter_voice_stands_in_for_them() -> None:
    rng = np.random.default_rng(1)
    fold = a_fold(("anna",), rng)
    loudness = np.repeat(rng.permutation(np.linspace(-9, -5, 30)), 30)
    block = replace(fold.blocks[0], target=np.tile(loudness[:, None], 4).astype(np.float32), events=())
    voice, _ = _courses(Prepared(fold, EvaluateConfig()), block, [], quieter=True)
    voice = without_drift(voice, RATE_HZ)
    quiet = np.percentile(loudness, 5)
    for share in (0.25, 0.5):
        state = loudness > quiet + share * (fold.speech_threshold_nats - quiet)
        expected = without_drift(state[:, None].astype(float), RATE_HZ)
        assert any(np.allclose(voice[:, [k]], expected) for k in range(4))
    half = replace(fold, blocks=(fold.blocks[0], replace(fold.blocks[0], events=())))
    found = aligned_utterances([Prepared(half, EvaluateConfig())])
    assert isinstance(found, Utterances)
    assert len(found) > 12
    whole = aligned_utterances([Prepared(fold, EvaluateConfig())])
    assert isinstance(whole, Utterances)
    states, more = whole.voice_course.shape[2], found.voice_course.shape[2]
    assert (more - 4) / (2 + 2 * 3) == (states - 2) / (2 + 2 * 1), "a response to each side of events and of each voice"


def test_words_change_places_within_a_speaker() -> None:
    rng = np.random.default_rng(7)
    config = EvaluateConfig()
    found = [aligned_utterances([Prepared(a_fold(who, rng), config)]) for who in (("anna", "ben"), ("", ""))]
    assert all(isinstance(own, Utterances) for own in found)
    assert [len(set(own.place.tolist())) for own in found if isinstance(own, Utterances)] == [2, 1]


def test_utterances_are_aligned_at_the_voice_and_touch_no_bad_frame() -> None:
    bad = np.zeros(900, bool)
    bad[35] = True
    prepared = [Prepared(a_fold(("anna",), np.random.default_rng(8), bad=bad), EvaluateConfig())]
    found = aligned_utterances(prepared)
    assert isinstance(found, Utterances)
    assert len(found) == 11
    assert found.target[:, 0].mean() > found.floor[0][:, 0].mean() + 3, "loud at first, quiet before"
    with_words = with_templates(prepared, found)
    assert isinstance(with_words, Utterances)
    assert set(with_words.labels) == {"w0", "w1"}, "w2 does not occur in training"
    assert with_words.templates is not None
    assert with_words.templates.mean(axis=(1, 2)).tolist() == [float(label == "w0") for label in with_words.labels]


def test_an_utterance_is_what_its_block_holds_at_its_voice() -> None:
    """At 100 Hz, in a block from 7.3 s on: words of .4 s, of which the last may end with the block and no later."""
    rng, dur, firsts = np.random.default_rng(8), 40, []
    fold = a_fold(("anna", "ben"), rng)
    blocks = []
    for block, last in zip(fold.blocks, (859, 860), strict=True):
        target = rng.normal(-8, 0.1, (900, 4))
        target[:, 3] = -8
        own = {0: 0, 100: 7, 250: 3, 330: 2, last: 1}
        for onset, late in own.items():
            target[onset + late : onset + dur, :3] += 4
            target[onset + late, :3] += 1
        events = tuple(Event(7.3 + k / 100, dur / 100, f"w{k}") for k in reversed(own))
        changed = replace(block, times_s=7.3 + np.arange(900) / 100, target=target.astype(np.float32), events=events)
        blocks.append(replace(changed, predictions={"model": block.predictions["model"]}))
        firsts.append([onset + late for onset, late in own.items() if onset < 860])
    folds = [replace(fold, fold=k, frame_rate_hz=100.0, blocks=(block,)) for k, block in enumerate(blocks)]
    found = aligned_utterances([Prepared(own, EvaluateConfig()) for own in folds])
    assert isinstance(found, Utterances)
    assert found.labels == ("w0", "w100", "w250", "w330", "w859", "w0", "w100", "w250", "w330")
    assert found.fold.tolist() == found.place.tolist() == [0] * 5 + [1] * 4
    assert found.seconds == 18
    timing = [
        [0.4, 0, 1.0, 1.5],
        [0.4, 0.07, 1.5, 1.0],
        [0.4, 0.03, 0.8, 1.5],
        [0.4, 0.02, 1.5, 0.8],
        [0.4, 0.01, 1.5, 1.5],
    ]
    np.testing.assert_allclose(found.timing, [*timing, *timing[:4]], atol=1e-9)
    assert np.isnan(found.envelope).all(), "none was predicted"
    for row, block, own_firsts in zip((0, 5), blocks, firsts, strict=True):
        target = block.target[:, :3].astype(np.float64)
        model = block.predictions["model"]
        assert model is not None
        before = [target[0]] + [target[first - 18 : first - 3].min(axis=0) for first in own_firsts[1:]]
        after = [target[onset + 43 : onset + 58].min(axis=0) for onset in (0, 100, 250, 330)] + [target[899]]
        for k, first in enumerate(own_firsts):
            i, stretch = row + k, slice(first, first + dur)
            np.testing.assert_allclose(found.target[i], without_drift(target, 100.0)[stretch], atol=1e-9)
            predicted = without_drift(model[:, :3].astype(np.float64), 100.0)
            np.testing.assert_allclose(found.prediction[i], predicted[stretch], atol=1e-9)
            near = [j for j, other in enumerate(own_firsts) if abs(other - first) <= 200]
            expected = before[k], after[k], np.mean([before[j] for j in near], 0), np.mean([after[j] for j in near], 0)
            for floor, own in zip(found.floor, expected, strict=True):
                np.testing.assert_allclose(floor[i], np.tile(own, (dur, 1)), atol=1e-9)


def test_words_of_a_block_are_in_order_and_stretches_of_voice_stand_in_for_them() -> None:
    block = a_fold(("anna",), np.random.default_rng(8)).blocks[0]
    block = replace(block, times_s=7.3 + np.arange(900) / 100, events=(Event(9.0, 0.2, "b"), Event(8.3, 0.1, "a")))
    speech = np.zeros(900, bool)
    speech[200:240] = True
    found = utterances_of(block, speech, 100.0)
    assert [(round(e.onset_s, 9), e.duration_s, e.label) for e in found] == [(1.0, 0.1, "a"), (1.7, 0.2, "b")]
    assert utterances_of(replace(block, events=()), speech, 100.0) == [Event(2.0, 0.4, "")]


def test_utterances_are_compared_over_the_shortest_quarter_of_durations_and_steps() -> None:
    """The lower quartile of .2, .3, .4, .5 is .275 s; the lower tenth of steps .255 and .75 is .3045 s."""
    one = [[Event(float(k), own, "") for k, own in enumerate((0.5, 0.2, 0.4))], [Event(0.1, 0.3, "")]]
    assert compared_frames(one, 1000.0) == 275
    near = [Event(0.0, 0.9, ""), Event(0.255, 0.9, ""), Event(1.005, 0.9, "")]
    assert compared_frames([near, [Event(0.01, 0.9, "")]], 1000.0) == 304, "no step leads to another block"
    assert compared_frames([[], [Event(0.1, 0.3, "")]], 1000.0) == 300
    assert compared_frames([[]], 1000.0) == 0


@pytest.mark.parametrize(("seconds", "why"), [(0.049, "no utterance long enough to compare"), (0.051, None)])
def test_an_utterance_has_five_frames(seconds: float, why: str | None) -> None:
    fold = replace(a_fold(("anna",), np.random.default_rng(8)), frame_rate_hz=100.0)
    block = replace(fold.blocks[0], events=tuple(Event(k / 10, seconds, "a") for k in range(1, 60, 10)))
    found = aligned_utterances([Prepared(replace(fold, blocks=(block,)), EvaluateConfig())])
    assert (found if isinstance(found, str) else None) == why
    flat = replace(block, target=np.full_like(block.target, -8))
    found = aligned_utterances([Prepared(replace(fold, blocks=(flat,)), EvaluateConfig())])
    assert found == "the target is constant in every band"
    outside = replace(block, events=(Event(8.99, 0.3, "a"),))
    found = aligned_utterances([Prepared(replace(fold, blocks=(outside,)), EvaluateConfig())])
    assert found == "no utterance lies whole in the test blocks"


def test_responses_to_an_edge_are_straight_pieces_that_add_up_to_1() -> None:
    """At 100 Hz eleven pieces of 4 frames either way; of an edge before the block, what lies in the block."""
    found = _responses(np.array([100.25]), 200, 100.0)
    assert found.shape == (200, 23)
    np.testing.assert_array_equal(found.sum(axis=1)[[57, 100, 144]], 1)
    np.testing.assert_array_equal(found.sum(axis=1)[[51, 150]], 0)
    np.testing.assert_array_equal(found[[96, 97, 100, 101, 104, 105], 11], [0, 0.1875, 0.9375, 0.8125, 0.0625, 0])
    assert found[96, 12] == found[104, 10] == 0.9375, "a column for what comes before, and one for what comes after"
    np.testing.assert_array_equal(_responses(np.array([-2.0, 3.0]), 5, 100.0)[:, 11], [0.75, 0.75, 0.75, 1, 0.75])
    np.testing.assert_array_equal(np.argmax(_responses(np.array([9.0]), 20, 10.0), axis=0), 9 - np.arange(-4, 5))


def test_edges_are_where_events_and_the_voice_set_in_and_the_first_frame_after_their_end() -> None:
    fold = replace(a_fold(("anna",), np.random.default_rng(0)), frame_rate_hz=100.0)
    target = np.full((300, 4), -8, np.float32)
    target[100:150] = -4
    block = replace(fold.blocks[0], target=target)
    voice, _ = _courses(Prepared(fold, EvaluateConfig()), block, [Event(0.6, 0.2, "a")], quieter=False)
    np.testing.assert_array_equal(voice[:, :2].T @ np.arange(300), [sum(range(60, 80)), sum(range(100, 150))])
    middle = voice[:, 2:].reshape(300, 4, 23)[:, :, 11]
    assert middle.argmax(axis=0).tolist() == [60, 80, 100, 150]
    np.testing.assert_array_equal(middle.max(axis=0), 1)


def test_loudness_tells_its_course_around_a_frame_and_what_exceeds_the_threshold() -> None:
    rng = np.random.default_rng(0)
    fold = a_fold(("anna",), rng)
    target = rng.normal(-6, 1, (900, 4)).astype(np.float32)
    _, found = _courses(Prepared(fold, EvaluateConfig()), replace(fold.blocks[0], target=target), [], quieter=False)
    loudness, at = target.mean(axis=1, dtype=np.float64), np.arange(900)
    columns = [loudness[np.clip(at + round(s * RATE_HZ), 0, 899)] for s in LOUDNESS_LAGS_S]
    columns += [np.maximum(loudness + 6, 0)[np.clip(at + round(s * RATE_HZ), 0, 899)] for s in ABOVE_THRESHOLD_LAGS_S]
    np.testing.assert_allclose(found, np.stack(columns, axis=1))
    for lags_s in (LOUDNESS_LAGS_S, ABOVE_THRESHOLD_LAGS_S):
        np.testing.assert_allclose(lags_s, -np.array(lags_s[::-1]), err_msg="as far before as after")


def test_utterances_in_which_the_background_changes_are_left_out() -> None:
    own = some_utterances(np.random.default_rng(12))
    floor = np.repeat(own.floor[0][:, :1], 6, axis=1)
    after = floor + np.random.default_rng(13).normal(0, 0.1, (40, 1, 1))
    after[[3, 17]] += 1.5
    found = with_steady_background(replace(own, floor=(floor, after, floor, floor)))
    np.testing.assert_array_equal(found.target, np.delete(own.target, [3, 17], axis=0))
    same = replace(own, floor=(floor,) * 4)
    assert len(with_steady_background(same)) == 40


@pytest.mark.parametrize(
    ("usual", "limit"), [((0.1, 0.1), 0.1 + 5 * 0.02), ((0.0, 0.2), 0.1 + 5 * 0.1 / 0.6745)], ids=["least", "spread"]
)
def test_a_background_changes_where_it_does_by_five_standard_deviations(
    usual: tuple[float, float], limit: float
) -> None:
    """Of the median absolute deviation, .6745 of a normal variable's; of .02 at least."""
    own = some_utterances(np.random.default_rng(12))
    change = np.tile(usual, 20)
    change[[5, 7]] = limit - 1e-3, limit + 1e-3
    floor = np.zeros(own.target.shape)
    found = with_steady_background(replace(own, floor=(floor, floor - change[:, None, None], floor, floor)))
    np.testing.assert_array_equal(found.target, np.delete(own.target, 7, axis=0))


def test_too_few_utterances_are_not_testable_and_say_how_many_minutes_they_need() -> None:
    prepared = [Prepared(a_fold(("anna",), np.random.default_rng(9)), EvaluateConfig())]
    found = subject_tests(prepared, LINKED, 1000, [0])
    assert found["timing"].passed
    assert found["loudness"].reason == "12 utterances, 20 needed"
    assert found["loudness"].minutes_needed == pytest.approx(900 / RATE_HZ / 60 * 20 / 12)


@pytest.mark.parametrize("n_labels", [1, 4, 5])
def test_content_takes_words_of_five_labels(n_labels: int) -> None:
    """Few words are told apart by their loudness alone."""
    fold = a_fold(("anna", "ben", "eve"), np.random.default_rng(10))
    blocks = [
        replace(b, events=tuple(replace(e, label=f"w{i % n_labels}") for i, e in enumerate(b.events)))
        for b in fold.blocks
    ]
    rng = np.random.default_rng(11)
    templates = {f"w{k}": rng.normal(size=(50, 4)).astype(np.float32) for k in range(n_labels)}
    fold = replace(fold, blocks=tuple(blocks), templates=templates)
    found = subject_tests([Prepared(fold, EvaluateConfig())], LINKED, 50, [0])["content"]
    few = f"{n_labels} labels, 5 needed: loudness tells few apart"
    assert (found.reason, found.p_value is None) == ((None, False) if n_labels == 5 else (few, True))


def limits_of(folds: list[FoldPredictions], run: dict | None = None, **found: Any) -> dict[str, dict]:
    """The limits of a run by name."""
    scored = [score_fold(fold, EvaluateConfig(stoi=False), ChanceConfig(), [0, k]) for k, fold in enumerate(folds)]
    given = {"audits": {}, "contamination": [], "repeats": {}} | found
    limits = run_limits(scored, run or {}, **given)
    assert len({own["limit"] for own in limits}) == len(limits)
    return {own["limit"]: own for own in limits}


def test_limits_of_little_sound() -> None:
    """10 s are five pieces, 21 s are ten; a limit holds for all where one subject has it."""
    rng = np.random.default_rng(10)
    short, long = a_fold(("anna",), rng), a_fold(("anna", "ben"), rng)
    assert limits_of([short])["few_pieces"]["numbers"] == {"pieces": 5, "needed": 10}
    assert set(limits_of([short])) == {"few_pieces", "one_fold"}
    assert set(limits_of([long])) == {"one_fold"}
    assert limits_of([long, replace(long, fold=1)]) == {}
    others = [replace(long, subject="b"), long, replace(long, fold=1)]
    assert limits_of(others)["one_fold"]["numbers"] == {"folds": 1}
    assert "no_speaker_column" in limits_of([a_fold(("anna", ""), rng)])
    mute = a_fold(("anna",), rng)
    mute = replace(mute, blocks=tuple(replace(block, events=()) for block in mute.blocks))
    assert ("no_events" in limits_of([mute]), "no_events" in limits_of([a_fold(("anna",), rng)])) == (True, False)


def test_limits_of_what_was_recorded_and_heard_before() -> None:
    folds = [a_fold(("anna", "ben"), np.random.default_rng(11))]
    run = {"simulated": True, "modalities": ["emg"]}
    assert set(limits_of(folds, run)) == {"one_fold", "simulated", "muscle"}
    audit = AuditResult(0, 1.0, {}, repeated_stimuli=2)
    assert limits_of(folds, audits={("a", 0): audit})["repeats"]["numbers"] == {"repeated_stimuli": 2}
    assert "repeats" not in limits_of(folds, audits={("a", 0): replace(audit, repeated_stimuli=0)})
    repeats = {"limit": "x", "share_repeated": 0.5, "pearson_r_repeated": 0.3, "pearson_r_not_repeated": 0.1}
    assert limits_of(folds, repeats=repeats)["repeated_sound"]["numbers"]["pearson_r_not_repeated"] == 0.1
    checks = [
        Contamination("r0", "suspect", p=0.001, p_adjusted=0.001, lag_s=0.0, detectable_db=-20.0),
        Contamination("r1", "no evidence", p=0.5, detectable_db=None),
        Contamination("r2", "not testable", "pitch-shifted", audio_modified="pitch_shifted"),
    ]
    found = limits_of(folds, contamination=checks)
    names = {"one_fold", "contamination_no_evidence", "contamination_not_testable", "modified_audio"}
    assert set(found) == names, "a suspect one decides the level and is listed there"
    assert found["modified_audio"]["numbers"] == {"r2": "pitch_shifted"}
