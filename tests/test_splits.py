"""Splits and windows: every frame tested once, roles apart by the gap, no raw sample shared."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest

from pipeline.artifacts.aligned import AlignedInfo, Event
from pipeline.artifacts.windows import BlockRow
from pipeline.config.mel_grid import MelFraming
from pipeline.config.window import SplitConfig, WindowConfig, WindowStage
from pipeline.data.spans import ReceptiveField, covered_frames, raw_spans, receptive_field, widest
from pipeline.data.splits import ROLES, Block, Role, Timeline, _purged, _snapped, _without_repeats, split, windows_in
from pipeline.data.windowing import window_index
from pipeline.errors import InputError
from pipeline.evaluation.audit import Span, audit_spans

RATE_HZ = 22050 / 256
GAP = 200


def words(n: int, every_s: float = 3.0) -> tuple[Event, ...]:
    return tuple(Event(0.5 + i * every_s, 0.8, f"w{i % 20}") for i in range(n))


LONG = [Timeline("a", "1", 0, 20000, words(75))]
SEVERAL = [Timeline(f"r{i}", f"s{i // 4}", 3 * i, 172 + i) for i in range(20)]


@pytest.mark.parametrize("order", ["any", "chronological"])
@pytest.mark.parametrize(
    ("by", "timelines", "folds"),
    [("block", LONG, 5), ("block", SEVERAL, 4), ("recording", SEVERAL, 5), ("session", SEVERAL, 3), ("label", LONG, 5)],
)
def test_roles_keep_the_gap_and_stay_inside(by: str, timelines: list[Timeline], folds: int, order: str) -> None:
    config = SplitConfig.model_validate({"by": by, "folds": folds, "order": order})
    gap = 60 if by == "label" else GAP
    for fold, inner_fold in product(range(folds), range(2)):
        blocks = split(timelines, fold, config, gap, RATE_HZ, inner_fold)
        assert {b.role for b in blocks} == set(ROLES)
        for b in blocks:
            assert timelines[b.recording].start <= b.start < b.stop <= timelines[b.recording].stop
        for a in blocks:
            for b in blocks:
                if a.recording == b.recording and a.role != b.role:
                    assert b.start >= a.stop + gap or a.start >= b.stop + gap


@pytest.mark.parametrize(
    ("by", "timelines"),
    [("block", LONG), ("block", SEVERAL), ("recording", SEVERAL), ("session", SEVERAL), ("label", LONG)],
)
def test_inner_folds_test_the_same_and_validate_on_other_frames(by: str, timelines: list[Timeline]) -> None:
    config = SplitConfig.model_validate({"by": by, "folds": 3})
    for fold in range(config.folds):
        first, second = (split(timelines, fold, config, 60, RATE_HZ, k) for k in range(2))
        tests = [[b for b in blocks if b.role == "test"] for blocks in (first, second)]
        assert tests[0] == tests[1]
        for a, b in product(first, second):
            if a.role == b.role == "validation" and a.recording == b.recording:
                assert a.stop <= b.start or b.stop <= a.start


@pytest.mark.parametrize(("seconds", "is_first"), [(36, True), (300, False)])
def test_an_inner_fold_that_costs_much_training_data_is_the_first(seconds: int, is_first: bool) -> None:
    windows = window_index([info()], [seconds * 22050 // 256 + 1], stage())
    for fold in windows.folds:
        first, second = (part.of(fold, "validation").tolist() for part in windows.inner_folds)
        assert (first == second) == is_first
        assert windows.inner_folds[1].of(fold, "train").size >= 0.9 * windows.of(fold, "train").size


@pytest.mark.parametrize(("by", "timelines"), [("block", LONG), ("block", SEVERAL), ("recording", SEVERAL)])
def test_over_all_folds_each_frame_is_tested_once(by: str, timelines: list[Timeline]) -> None:
    config = SplitConfig.model_validate({"by": by})
    tested = [0] * sum(t.stop for t in timelines)
    offsets = [sum(t.stop for t in timelines[:i]) for i in range(len(timelines))]
    for fold in range(config.folds):
        for b in split(timelines, fold, config, GAP, RATE_HZ):
            if b.role == "test":
                for frame in range(b.start, b.stop):
                    tested[offsets[b.recording] + frame] += 1
    usable = [offsets[i] + f for i, t in enumerate(timelines) for f in range(t.start, t.stop)]
    assert all(tested[f] == 1 for f in usable)


@pytest.mark.parametrize("by", ["recording", "session"])
@pytest.mark.parametrize(
    ("n", "folds", "fraction", "numbers"),
    [(20, 5, 0.25, (11, 5, 4)), (4, 2, 0.45, (1, 1, 2)), (5, 5, 0.45, (2, 2, 1)), (3, 3, 0.05, (1, 1, 1))],
)
def test_trials_and_sessions_are_dealt_by_their_number(
    by: str, n: int, folds: int, fraction: float, numbers: tuple[int, ...]
) -> None:
    config = SplitConfig.model_validate({"by": by, "folds": folds, "validation_fraction": fraction})
    trials = [Timeline(f"r{i}", f"s{i}", 0, 500) for i in range(n)]
    for fold in range(folds):
        found = Counter(b.role for b in split(trials, fold, config, GAP, RATE_HZ))
        assert tuple(found[role] for role in ROLES) == numbers


def test_no_trial_is_left_to_validate_in_an_inner_fold_too_many() -> None:
    """Of five trials one is tested and two validate: twice, and never the tested one."""
    trials = [Timeline(f"r{i}", f"s{i}", 0, 500) for i in range(5)]
    config = SplitConfig(by="recording", validation_fraction=0.45)
    for inner_fold in (0, 1):
        split(trials, 0, config, GAP, RATE_HZ, inner_fold)
    with pytest.raises(InputError, match="no data left to validation"):
        split(trials, 0, config, GAP, RATE_HZ, 2)


def test_the_recording_before_the_test_validates_where_a_fraction_of_the_past_is_none() -> None:
    """Recordings of 100 frames, of which borders cut none since two gaps are longer."""
    trials = [Timeline(f"r{i}", "s", 0, 100) for i in range(12)]
    blocks = split(trials, 2, SplitConfig(order="chronological", validation_fraction=0.05), 60, RATE_HZ)
    roles = [b.role for b in blocks]
    assert roles == ["train"] * 5 + ["validation"] + ["test"] * 2
    assert [b.recording for b in blocks] == list(range(8))


def test_a_trial_that_repeats_one_of_a_role_before_its_own_is_left_out_where_order_decides() -> None:
    """Trial 0 repeats a tested one, trial 1 the one that validates; both tested ones stay, and of one word all."""
    texts = [
        "what was said",
        "who was there",
        "other words",
        "who was there",
        "what was said",
        "what was said",
        "a",
        "a",
    ]
    trials = [Timeline(f"r{i}", "s", 0, 500, text=text) for i, text in enumerate(texts)]
    config = SplitConfig(by="recording", folds=2, order="chronological")
    roles = [[(b.recording, b.role) for b in split(trials, fold, config, GAP, RATE_HZ)] for fold in range(2)]
    assert roles[0] == [(2, "train"), (3, "validation"), (4, "test"), (5, "test")]
    assert roles[1] == [(1, "train"), (2, "train"), (3, "train"), (5, "validation"), (6, "test"), (7, "test")]


def test_a_trial_of_two_roles_does_not_repeat_itself() -> None:
    """A border cuts the first, which the second repeats."""
    trials = [Timeline(f"r{i}", "s", 0, 500, text="what was said") for i in range(2)]
    kept = [Block(0, "train", 0, 200), Block(0, "test", 200, 500)]
    assert _without_repeats([*kept, Block(1, "train", 0, 500)], trials) == kept


@pytest.mark.parametrize("second", ["validation", "test"])
def test_both_parts_of_a_trial_repeat_one_that_is_tested(second: Role) -> None:
    """A border cuts the first; the second, tested whole or in part, says the same."""
    trials = [Timeline(f"r{i}", "s", 0, 500, text="what was said") for i in range(2)]
    cut = [Block(0, "train", 0, 200), Block(0, second, 200, 500)]
    tested = Block(1, "test", 0, 400)
    kept = [b for b in cut if b.role == "test"]
    assert _without_repeats([*cut, tested], trials) == [*kept, tested]


def test_two_recordings_of_one_list_keep_the_parts_that_a_border_cuts_where_nothing_else_is_left() -> None:
    trials = [Timeline(f"r{i}", "s", 0, 5000, text="what was said") for i in range(2)]
    config = SplitConfig(by="block", folds=5)
    folds = [{(b.recording, b.role) for b in split(trials, fold, config, GAP, RATE_HZ)} for fold in range(5)]
    assert all({role for _, role in found} == set(ROLES) for found in folds)
    assert {(0, "test"), (1, "test")} <= folds[2]
    assert {recording for recording, _ in folds[0]} == {0}, "where its own parts do, the other is left out"


def test_a_fold_whose_training_all_repeats_what_is_tested_says_so() -> None:
    trials = [Timeline(f"r{i}", "s", 0, 500, text="what was said") for i in range(8)]
    config = SplitConfig(by="recording", folds=2, order="chronological")
    with pytest.raises(
        InputError, match=r"no data left to train in fold 0 of 2.*; \d blocks repeat .* of other stimuli"
    ):
        split(trials, 0, config, GAP, RATE_HZ)


def test_of_two_sessions_of_one_trial_each_the_end_of_one_validates() -> None:
    pair = [Timeline("a", "1", 100, 4100), Timeline("b", "2", 0, 4000)]
    config = SplitConfig(by="session", folds=2, validation_fraction=0.25, snap_to_events=False)
    assert split(pair, 1, config, GAP, RATE_HZ) == [
        Block(0, "train", 100, 2900), Block(0, "validation", 3100, 4100), Block(1, "test", 0, 4000),
    ]  # fmt: skip


def test_the_last_trial_of_a_session_validates_where_the_fraction_is_less_than_one() -> None:
    trials = [Timeline(f"r{i}", f"s{i // 5}", 0, 400) for i in range(10)]
    config = SplitConfig(by="session", folds=2, validation_fraction=0.05)
    for fold, last in ((0, 9), (1, 4)):
        blocks = split(trials, fold, config, 60, RATE_HZ)
        assert [b.recording for b in blocks if b.role == "validation"] == [last]
        assert {b.recording for b in blocks if b.role == "train"} == set(range(last - 4, last))
    for order, most in (("chronological", 1), ("any", 2)):
        with pytest.raises(InputError, match=rf"Set split\.folds: {most}"):
            split(trials, 0, SplitConfig(by="session", folds=most + 1, order=order), 60, RATE_HZ)
    with pytest.raises(InputError, match=r"Lower split\.folds, add recordings"):
        split(trials[:2], 0, SplitConfig(by="recording", folds=2), 60, RATE_HZ)


def test_half_a_minute_validates_at_its_beginning_where_the_end_is_tested() -> None:
    blocks = split([Timeline("a", "1", 0, 2584)], 4, SplitConfig(), 225, RATE_HZ)
    assert [(b.role, b.start, b.stop) for b in blocks] == [
        ("validation", 0, 388), ("train", 613, 1842), ("test", 2067, 2584),
    ]  # fmt: skip


def test_chronological_trains_on_the_past_only() -> None:
    config = SplitConfig(order="chronological")
    for fold in range(config.folds):
        blocks = split(LONG, fold, config, GAP, RATE_HZ)
        last = {role: max(b.stop for b in blocks if b.role == role) for role in ROLES}
        first = {role: min(b.start for b in blocks if b.role == role) for role in ROLES}
        assert last["train"] < first["validation"] < last["validation"] < first["test"]


def test_the_past_is_all_of_it() -> None:
    """Of 6000 frames in six segments, the first is what comes before the first test block, from frame 0 on."""
    config = SplitConfig(order="chronological", validation_fraction=0.4)
    assert split([Timeline("a", "1", 0, 6000)], 0, config, 50, RATE_HZ) == [
        Block(0, "train", 0, 550), Block(0, "validation", 600, 950), Block(0, "test", 1000, 2000),
    ]  # fmt: skip


def test_a_block_that_the_gap_takes_whole_is_none() -> None:
    test = Block(0, "test", 100, 300)
    assert _purged([Block(0, "train", 50, 100), test], 50) == [test]
    assert _purged([Block(0, "train", 49, 100), test], 50) == [Block(0, "train", 49, 50), test]


def test_chronological_has_one_inner_fold() -> None:
    ordered = stage().model_copy(update={"split": SplitConfig(order="chronological")})
    assert len(window_index([info()], [300 * 22050 // 256 + 1], ordered).inner_folds) == 1


def test_held_out_words_are_not_trained_on() -> None:
    config = SplitConfig(by="label")
    for b in split(LONG, 0, config, 60, RATE_HZ):
        if b.role == "train":
            inside = {e.label for e in LONG[0].events if b.start <= e.onset_s * RATE_HZ < b.stop}
            tested = {
                e.label
                for t in split(LONG, 0, config, 60, RATE_HZ)
                if t.role == "test"
                for e in LONG[0].events
                if t.start <= e.onset_s * RATE_HZ < t.stop
            }
            assert not inside & tested


def test_borders_snap_into_pauses() -> None:
    borders = {x for b in split(LONG, 2, SplitConfig(), 0, RATE_HZ) for x in (b.start, b.stop)}
    for frame in borders - {0, 20000}:
        second = frame / RATE_HZ
        assert not any(e.onset_s < second < e.end_s for e in LONG[0].events)


def test_a_border_goes_to_the_middle_of_the_nearest_pause() -> None:
    """Words of a second at 1, 3 and 6 s, 10 frames a second: pauses at 2.5 and 5 s.  Ends of the recording stay."""
    timeline = Timeline("a", "1", 0, 80, tuple(Event(s, 1.0, "w") for s in (6.0, 1.0, 3.0)))
    blocks = [Block(0, "train", 0, 31), Block(0, "validation", 31, 39), Block(0, "test", 39, 80)]
    assert _snapped(blocks, [timeline], 10.0) == [
        Block(0, "train", 0, 25), Block(0, "validation", 25, 50), Block(0, "test", 50, 80),
    ]  # fmt: skip
    assert _snapped([Block(0, "validation", 20, 30)], [timeline], 10.0) == [], "both borders in one pause"


@pytest.mark.parametrize(
    ("timelines", "config", "gap"),
    [
        ([Timeline("a", "1", 0, 600)], SplitConfig(), GAP),
        ([Timeline("a", "1", 0, 6000)], SplitConfig(by="recording"), GAP),
        ([Timeline("a", "1", 0, 6000)], SplitConfig(by="label"), GAP),
    ],
)
def test_too_little_data_names_what_to_change(timelines: list[Timeline], config: SplitConfig, gap: int) -> None:
    with pytest.raises(InputError, match=r"split\.folds"):
        split(timelines, 0, config, gap, RATE_HZ)


def test_windows_avoid_bad_intervals_by_their_margin() -> None:
    timeline = replace(LONG[0], bad=((1000, 1100),))
    blocks = [Block(0, "train", 0, 3000)]
    kept = [s for _, s in windows_in(blocks, [timeline], 96, 24, 26)]
    assert kept
    assert not any(s - 26 < 1100 and s + 96 + 26 > 1000 for s in kept)
    everything = windows_in(blocks, [timeline], 96, 24, None)
    assert len(everything) > len(kept)
    beside = replace(timeline, bad=((96, 100), (150, 160)))
    assert windows_in(blocks, [beside], 50, 50, 0)[:3] == [(0, 0), (0, 100), (0, 200)], "with no margin they may touch"


def info(**changes: object) -> AlignedInfo:
    values: dict = {
        "recording": "a",
        "subject": "s",
        "session": "a",
        "text": "",
        "speaker": "anna",
        "modality": "ieeg",
        "events_are": "",
        "simulated": True,
        "causal": False,
        "has_audio": True,
        "audio_modified": "none",
        "feature_rate_hz": 100.0,
        "first_feature": -13,
        "n_features": 30030,
        "audio_rate_hz": 22050,
        "n_audio": 22050 * 300,
        "eeg_rate_hz": 1024.0,
        "n_eeg": 1024 * 301,
        "source_audio_rate_hz": 48000.0,
        "audio_offset_s": 0.137,
        "audio_drift_ppm": 40.0,
        "support_past_s": 0.9,
        "support_future_s": 0.9,
        "audio_support_s": 0.002,
        "whole_recording_operations": ["bad-channel rule"],
        "events": {},
        "annotations": {},
        "channels": {"name": ["c1"]},
        "content_digest": "00",
    }
    return AlignedInfo(**{**values, **changes})


def stage(**window: object) -> WindowStage:
    return WindowStage(window=WindowConfig.model_validate(window), split=SplitConfig(), causal=False, mel=MelFraming())


#: 100 mel frames a second, the centre of the first at 5 ms.
GRID = MelFraming(sample_rate_hz=16000, hop_length=160, flavor="hifigan", n_fft=1024)


@pytest.mark.parametrize(("causal", "future_s"), [(False, 0.26 + 0.8 + 0.02), (True, 0.8 + 0.02)])
def test_a_receptive_field_is_context_filters_and_interpolation_and_half_a_mel_window(
    causal: bool, future_s: float
) -> None:
    own = info(support_past_s=0.9, support_future_s=0.8, audio_support_s=0.002, causal=causal)
    found = receptive_field(own, 26, GRID, 1024, (0.01, 0.02))
    expected = (0.26 + 0.9 + 0.01, future_s, 512 / 16000 + 0.002)
    assert (found.past_s, found.future_s, found.audio_s) == pytest.approx(expected)


def test_a_gap_is_as_long_as_what_both_sides_reach_and_two_frames() -> None:
    """Of the brain the past of one side and the future of the other; of sound half a window on either side."""
    fields = ReceptiveField(1.01, 0.5, 0.7), ReceptiveField(0.9, 0.2, 0.8)
    assert [own.gap_frames(10.0) for own in fields] == [16 + 2, 16 + 2]
    assert widest(fields) == ReceptiveField(1.01, 0.5, 0.8)


@pytest.mark.parametrize(
    ("first_s", "last_s", "frames"), [(0.015, 0.985, (1, 99)), (0.0151, 0.9849, (2, 98)), (-3.0, 0.5, (0, 50))]
)
def test_frames_with_brain_signal_have_their_centre_between_its_ends(
    first_s: float, last_s: float, frames: tuple[int, int]
) -> None:
    assert covered_frames(SimpleNamespace(first_time_s=first_s, last_time_s=last_s), GRID) == frames


def test_the_samples_behind_a_block_are_those_of_its_first_and_last_frame() -> None:
    """Frames 100 to 199, from 1.005 to 1.995 s of sound, which is 0.5 s later and by 0.1 % slower in the brain."""
    own = info(audio_offset_s=0.5, audio_drift_ppm=1000.0, eeg_rate_hz=1000.0, n_eeg=3000)
    own = replace(own, source_audio_rate_hz=8000.0, audio_rate_hz=16000, n_audio=48000)
    seen, block = ReceptiveField(0.3, 0.2, 0.10003), BlockRow(1, "test", 4, 100, 200, 2)
    brain, sound = raw_spans(block, own, seen, GRID)
    assert (brain.signal, brain.start, brain.stop, brain.rate_hz) == ("neural", 1205, 2698 + 1, 1000.0)
    assert (sound.signal, sound.start, sound.stop, sound.rate_hz) == ("audio", 7239, 16761 + 1, 8000.0)
    assert {(s.fold, s.role, s.recording, s.inner_fold) for s in (brain, sound)} == {(1, "test", 4, 2)}
    ends = raw_spans(replace(block, start=0, stop=290), replace(own, audio_offset_s=0.0), seen, GRID)
    assert [(s.start, s.stop) for s in ends] == [(0, 3000), (0, 23_962)], "no further than there are samples"
    assert raw_spans(replace(block, stop=299), own, seen, GRID)[1].stop == 24_000


@pytest.mark.parametrize("causal", [False, True])
def test_roles_share_no_raw_sample(causal: bool) -> None:
    recording = info(causal=causal, support_future_s=0.0 if causal else 0.9)
    windows = window_index([recording], [300 * 22050 // 256 + 1], stage())
    for fold, part in product(windows.folds, windows.inner_folds):
        by_role: dict[str, list[Span]] = {role: [] for role in ROLES}
        for s in part.spans:
            if s.fold == fold:
                by_role[s.role].append(Span("a", s.signal, s.start, s.stop, s.rate_hz))
        audit = audit_spans(by_role)
        assert audit.shared_samples == 0
        assert 0 <= audit.smallest_gap_s < 0.2, "the gap is as small as it may be"


def test_a_window_forced_across_the_gap_is_found_by_the_audit() -> None:
    windows = window_index([info()], [300 * 22050 // 256 + 1], stage())
    by_role: dict[str, list[Span]] = {role: [] for role in ROLES}
    for s in windows.spans:
        if s.fold == 1:
            by_role[s.role].append(Span("a", s.signal, s.start, s.stop, s.rate_hz))
    test = next(s for s in by_role["test"] if s.kind == "neural")
    by_role["train"].append(replace(test, start=test.stop - 5, stop=test.stop + 100))
    assert audit_spans(by_role).pairs["train/test"].shared_samples == 5


def test_a_purge_gap_below_the_receptive_field_is_refused() -> None:
    with pytest.raises(InputError, match=r"purge_gap_s.*at least 2\.\d+ s"):
        window_index([info()], [300 * 22050 // 256 + 1], stage(purge_gap_s=0.5))


def test_a_purge_gap_of_the_receptive_field_is_enough() -> None:
    frames = [300 * 22050 // 256 + 1]
    needed = window_index([info()], frames, stage()).attributes["purge_gap_frames"]
    for more in (0, 5):
        config = stage(purge_gap_s=(needed + more - 0.5) / RATE_HZ)
        assert window_index([info()], frames, config).attributes["purge_gap_frames"] == needed + more
    with pytest.raises(InputError, match="purge_gap_s"):
        window_index([info()], frames, stage(purge_gap_s=(needed - 1.5) / RATE_HZ))


def test_one_session_of_cues_makes_all_events_of_a_subject_cues() -> None:
    frames = [300 * 22050 // 256 + 1] * 2
    for kinds, expected in ((("voice", "cue"), "cue"), (("voice", "voice"), "voice"), (("", ""), "")):
        infos = [info(recording=r, session=r, events_are=kind) for r, kind in zip("ab", kinds, strict=True)]
        assert window_index(infos, frames, stage()).attributes["events_are"] == expected


def test_channels_that_a_session_lacks_are_left_out() -> None:
    names = (["c1", "c2", "c3"], ["c3", "c1", "c4"])
    infos = [info(recording=r, session=r, channels={"name": own}) for r, own in zip("ab", names, strict=True)]
    found = window_index(infos, [300 * 22050 // 256 + 1] * 2, stage())
    assert found.attributes["left_out_channels"] == ["c2", "c4"]


def test_a_recording_without_a_common_frame_is_named() -> None:
    short = info(first_feature=400, n_features=50, n_audio=22050)
    with pytest.raises(InputError, match=r"audio_offset_s"):
        window_index([short], [87], stage())
    start, _ = covered_frames(late := info(first_feature=400), stage().mel)
    for frames, message in ((start, "got 0.00 s"), (start + 1, "fold 0 of 5")):
        with pytest.raises(InputError, match=message):
            window_index([late], [frames], stage())


@pytest.mark.parametrize(("fraction", "role"), [(0.1, "validation"), (0.3, None), (0.4, "train")])
def test_training_and_validation_need_a_window_and_the_test_does_not(fraction: float, role: str | None) -> None:
    """Of 100 s: test blocks of 20 s are predicted whole, without any window of 25 s."""
    split_config = SplitConfig(validation_fraction=fraction)
    config = stage(length_s=25.0, hop_s=1.0).model_copy(update={"split": split_config})
    if role:
        with pytest.raises(InputError, match=rf"no window of 25\.00 s fits into the {role} blocks"):
            window_index([info()], [100 * 22050 // 256 + 1], config)
    else:
        found = window_index([info()], [100 * 22050 // 256 + 1], config)
        assert [len(found.of(k, "test")) for k in found.folds] == [0] * 5


@pytest.mark.parametrize("text", ["BAD_spike", "bad muscle"])
def test_windows_lie_in_their_blocks_and_training_avoids_annotations(text: str) -> None:
    annotations = {"onset": [100.0], "duration": [2.0], "description": [text]}
    windows = window_index([info(annotations=annotations)], [300 * 22050 // 256 + 1], stage())
    for fold in windows.folds:
        for role in ROLES:
            for _, start in windows.of(fold, role).tolist():
                assert any(b.start <= start and start + 96 <= b.stop for b in windows.blocks_of(fold, role))
        trained = {i for _, start in windows.of(fold, "train").tolist() for i in range(start, start + 96)}
        assert trained == {i for b in windows.blocks_of(fold, "train") for i in range(b.start, b.stop)}
        for _, start in windows.of(fold, "train").tolist():
            assert start + 96 + 26 <= int(100 * RATE_HZ) or start - 26 >= int(102 * RATE_HZ)
    assert [(b.start, b.stop) for b in windows.bad] == [(8613, 8786)]
