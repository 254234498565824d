"""Copies of a recording are refused, repeated sound is listed; other readings, equal words and silence are neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soxr

from pipeline.artifacts.repeats import Repeat
from pipeline.artifacts.windows import BlockRow, Windows
from pipeline.config.mel import MelConfig
from pipeline.config.simulate import SimulateConfig
from pipeline.data import repeats
from pipeline.data.repeats import Trial, repeats_of
from pipeline.errors import InputError
from pipeline.evaluation.repeats import repeated_frames, repeats_document
from pipeline.evaluation.types import FoldPredictions, TestBlock
from pipeline.signal.fingerprint import Match, audible, fingerprint, matches, share
from pipeline.signal.mel import log_mel
from pipeline.signal.mel_statistics import speech_threshold
from pipeline.simulation.speech import WORDS, speak
from pipeline.simulation.subject import make_sound

RATE_HZ = 22050
MEL = MelConfig()


def words(*spoken: str, seed: int = 0, pause_s: float = 0.15) -> np.ndarray:
    """Words one after the other at 22.05 kHz; another seed is another reading, with other pauses."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(0, 1e-4, 4000)]
    for word in spoken:
        parts += [0.5 * speak(word, RATE_HZ, 110 * rng.lognormal(0, 0.06), rng)]
        parts += [rng.normal(0, 1e-4, int(rng.uniform(0.7, 1.3) * pause_s * RATE_HZ))]
    return np.concatenate(parts).astype(np.float32)


def sentence(seed: int, n: int = 12) -> list[str]:
    return list(np.random.default_rng(seed).choice(WORDS, n))


def trial(recording: str, sound: np.ndarray, brain: np.ndarray | int = 0, **changes: object) -> Trial:
    """A trial of a sound at 22.05 kHz; a number seeds a brain of its own, (frame, 12) at 100 Hz."""
    mel = log_mel(np.clip(sound, -1, 1), RATE_HZ, MEL)
    loudness = mel.mean(axis=1)
    if isinstance(brain, int):
        frames = int(len(sound) / RATE_HZ * 100)
        brain = np.random.default_rng([len(recording), brain, *recording.encode()]).normal(0, 1, (frames, 12))
        brain = np.apply_along_axis(np.convolve, 0, brain, np.ones(5) / 5, "same")
    return Trial(
        recording=recording,
        subject=str(changes.get("subject", "s1")),
        text=str(changes.get("text", "")),
        file="mel.h5",
        simulated=False,
        sound=fingerprint(audible(mel[:, 3:60]), MEL.frame_rate_hz, loudness > speech_threshold(mel)),
        brain=fingerprint(brain, 100.0),
        mel_frames=len(mel),
    )


SOUND = words(*sentence(1))
OTHERS = [trial(f"o{i}", words(*sentence(10 + i), seed=10 + i)) for i in range(4)]
ALTERED = {
    "exact": SOUND,
    "quieter": 0.8 * SOUND,
    "one sample later": SOUND[1:],
    "half a mel frame later": SOUND[128:],
    "half a fingerprint frame later": SOUND[256:],
    "0.3 s later": SOUND[int(0.3 * RATE_HZ) :],
    "faster by 1 %": soxr.resample(SOUND, 1.01 * RATE_HZ, RATE_HZ),
    "slower by 1.5 %": soxr.resample(SOUND, RATE_HZ / 1.015, RATE_HZ),
    "stored at 16 kHz": soxr.resample(soxr.resample(SOUND, RATE_HZ, 16000), 16000, RATE_HZ),
    "stored at 8 kHz": soxr.resample(soxr.resample(SOUND, RATE_HZ, 8000), 8000, RATE_HZ),
    "the first half": SOUND[: len(SOUND) // 2],
    "in noise 30 dB below": SOUND + 10**-1.5 * SOUND.std() * np.random.default_rng(0).normal(size=len(SOUND)),
}


@pytest.mark.parametrize("change", ALTERED)
def test_a_copy_under_a_second_id_is_refused_with_both_ids(change: str) -> None:
    with pytest.raises(InputError) as refused:
        repeats_of([trial("a", SOUND), *OTHERS, trial("b", ALTERED[change])])
    (problem,) = refused.value.problems
    assert problem.field == "a, b"
    assert "% of the sound of a or b in the other one too" in problem.got
    assert "give both the same text" in problem.fix


def test_one_declared_stimulus_is_no_copy() -> None:
    pair = [trial("a", SOUND, text="a b c"), trial("b", 0.8 * SOUND, text="a  b c")]
    assert repeats_of(pair) == [], "the split keeps sentences of one text together"
    with pytest.raises(InputError, match="of the sound of a or b"):
        repeats_of([pair[0], replace(pair[1], text="a b d")])
    single = [replace(t, text="word") for t in pair]
    (found,) = repeats_of(single)
    assert (found.recording, found.other_recording) == ("a", "b"), "single words may stand on both sides"
    with pytest.raises(InputError, match="subjects with the same stimulus cannot share a model"):
        repeats_of([pair[0], replace(pair[1], subject="s2")])


def test_a_copied_brain_is_refused_whatever_the_sound_and_the_text() -> None:
    rng = np.random.default_rng(0)
    brain = np.apply_along_axis(np.convolve, 0, rng.normal(0, 1, (900, 12)), np.ones(5) / 5, "same")
    first = trial("a", SOUND, brain, text="a b")
    for copy in (brain, 0.8 * brain[1:] + 3.0, brain[30:]):
        with pytest.raises(InputError) as refused:
            repeats_of([first, *OTHERS, trial("b", words(*sentence(2), seed=2), copy, text="c d")])
        assert "of the brain activity of a or b in the other one too" in str(refused.value)
        with pytest.raises(InputError, match="brain activity"):
            repeats_of([first, trial("b", SOUND, copy, text="a b")])


def test_brains_that_respond_alike_to_one_stimulus_are_no_copies() -> None:
    rng = np.random.default_rng(0)
    evoked = np.apply_along_axis(np.convolve, 0, rng.normal(0, 1, (900, 12)), np.ones(5) / 5, "same")
    noise = [np.apply_along_axis(np.convolve, 0, rng.normal(0, 0.7, (900, 12)), np.ones(5) / 5, "same") for _ in "ab"]
    assert repeats_of([trial(n, SOUND, evoked + e, text="a b") for n, e in zip("ab", noise, strict=True)]) == []


@pytest.mark.parametrize(
    ("share_of_one", "texts", "second", "is_refused"),
    [
        (0.9, ("", ""), "s1", True),
        (0.89, ("", ""), "s1", False),
        (0.9, ("word", "word"), "s1", False),
        (0.9, ("word", "words"), "s1", True),
        (0.9, ("word", "word"), "s2", True),
    ],
)
def test_nine_tenths_in_common_are_a_copy_unless_declared(
    share_of_one: float, texts: tuple[str, str], second: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "share", lambda prints, own: (0.1 * len(own), share_of_one))
    pair = [replace(OTHERS[k], text=texts[k], subject=("s1", second)[k]) for k in range(2)]
    within, between = Match(1, 1, 0, 90, 100, 190, 1.0), Match(0, 1, 0, 90, 10, 100, 1.0)
    problems = list(repeats._copies(pair, [t.sound for t in pair], [within, between, within, between], "sound"))
    assert [problem.got for problem in problems] == is_refused * ["90 % of the sound of o0 or o1 in the other one too"]
    others = list(repeats._copies(pair, [t.brain for t in pair], [between], "brain activity"))
    assert len(others) == (share_of_one == 0.9), "no text declares a brain"


def test_a_stretch_is_listed_in_mel_frames_as_far_as_there_are_any() -> None:
    """Fingerprints have one frame for four mel frames, for 399 of them a hundred."""
    first, second = (replace(OTHERS[k], mel_frames=frames) for k, frames in enumerate((400, 399)))
    pair = [replace(t, sound=replace(t.sound, values=np.zeros((100, 2), np.float32))) for t in (first, second)]
    found = repeats._repeat(pair, Match(0, 1, 10, 20, 90, 100, 0.97))
    assert found == Repeat("o0", 40, 80, "o1", 360, 399, 0.97)


def test_other_readings_of_a_sentence_do_not_match() -> None:
    said = sentence(1)
    assert repeats_of([trial(f"t{i}", words(*said, seed=i)) for i in range(12)]) == []


def test_equal_recordings_of_words_in_other_order_do_not_match() -> None:
    """Lists of the same files of single words, with pauses of their own: none is as long as a match."""
    rng = np.random.default_rng(0)
    files = [words(word, seed=i)[3000:] for i, word in enumerate(WORDS[:12])]
    pauses = [np.zeros(int(length_s * RATE_HZ), np.float32) for length_s in rng.permutation(np.linspace(0, 0.6, 48))]
    lists = []
    for _ in range(4):
        lists.append(np.concatenate([part for i in rng.permutation(12) for part in (files[i], pauses.pop())]))
    assert repeats_of([trial(f"t{i}", sound) for i, sound in enumerate(lists)]) == []


def test_the_simulated_subject_passes() -> None:
    for seed in range(2):
        sound = make_sound(SimulateConfig(minutes=1, seed=seed, audio_rate_hz=RATE_HZ), (0, 0), 0, None)
        assert repeats_of([trial("a", sound.samples / np.float32(32768))]) == []


def test_silence_tones_and_noise_do_not_match() -> None:
    rng = np.random.default_rng(0)
    n = 6 * RATE_HZ
    time_s = np.arange(n) / RATE_HZ
    beat = (np.sin(2 * np.pi * 300 * time_s) * (np.sin(2 * np.pi * 2 * time_s) > 0)).astype(np.float32)
    sounds = {
        "silence": [np.zeros(n, np.float32)] * 2,
        "tone": [0.3 * np.sin(2 * np.pi * 440 * time_s).astype(np.float32)] * 2,
        "periodic": [0.3 * beat] * 2,
        "noise": [rng.normal(0, 0.1, n).astype(np.float32) for _ in range(2)],
    }
    for name, pair in sounds.items():
        assert repeats_of([trial(f"{name}{i}", sound) for i, sound in enumerate(pair)]) == [], name


@pytest.mark.parametrize("count", [4, 6])
def test_a_shorter_stretch_is_listed_and_refuses_nothing(count: int) -> None:
    """2.5 or 3.6 s of one recording inside another: both places, to a tenth of a second."""
    piece = words(*sentence(7, count), seed=7)[4000:]
    assert len(piece) / RATE_HZ == pytest.approx({4: 2.5, 6: 3.6}[count], abs=0.1)
    first = np.concatenate([SOUND, piece, words(*sentence(8), seed=8)])
    second = np.concatenate([words(*sentence(9), seed=9), 0.5 * piece, words(*sentence(5), seed=5)])
    (found,) = repeats_of([trial("a", first), trial("b", second)])
    rate_hz, at_s = MEL.frame_rate_hz, (len(SOUND) / RATE_HZ, len(words(*sentence(9), seed=9)) / RATE_HZ)
    length_s = (found.stop_frame - found.start_frame) / rate_hz
    assert found.start_frame / rate_hz == pytest.approx(at_s[0], abs=0.5)
    assert length_s == pytest.approx(len(piece) / RATE_HZ, abs=0.6)
    difference_s = (found.start_frame - found.other_start_frame) / rate_hz
    assert difference_s == pytest.approx(at_s[0] - at_s[1], abs=0.03)


def test_a_copy_with_a_gap_is_one_at_one_lag() -> None:
    """A noise over the middle third: two stretches, which are counted together since their lag is one."""
    third = len(SOUND) // 3
    spoilt = SOUND.copy()
    spoilt[third : third + third // 8] = np.random.default_rng(0).normal(0, 0.2, third // 8)
    prints = [trial("a", SOUND).sound, trial("b", spoilt).sound]
    found = matches(prints, [0, 1], 1.5)
    assert len(found) == 2
    assert max(share(prints, found[:1])) < 0.75
    assert min(share(prints, found)) > 0.75


def test_many_trials_take_seconds() -> None:
    """By count of what is compared, not by time: unlike sounds leave next to nothing to look at frame by frame."""
    from pipeline.signal import fingerprint as module

    looked = []
    original = module._extended
    prints = [trial(f"t{i}", words(*sentence(100 + i, 3), seed=100 + i)).sound for i in range(60)]
    module._extended = lambda *given: looked.append(given) or original(*given)  # type: ignore[assignment]
    try:
        assert matches(prints, range(60), 1.5) == []
    finally:
        module._extended = original  # type: ignore[assignment]
    assert len(looked) <= 20


# --- in eval.json ------------------------------------------------------------------------------------------------


def block(recording: str, start: int, target: np.ndarray, model: np.ndarray) -> TestBlock:
    return TestBlock(
        recording, start, np.arange(len(target)) / 86.0, target, {"model": model}, np.zeros(len(target), bool)
    )


def test_repeated_sound_of_a_test_block_by_count() -> None:
    """Frames 100 to 199 sound as 400 to 499 of b, of which training has 450 to 600: frames 150 to 199."""
    target = np.zeros((100, 4), np.float32)
    repeat = Repeat("b", 400, 500, "a", 100, 200, 0.99)
    turned = [repeat, repeat.turned()]
    found = repeated_frames(block("a", 120, target, target), {"b": [(450, 600)]}, turned)
    assert np.flatnonzero(found).tolist() == list(range(30, 80))
    for start, expected in ((170, range(30)), (60, range(90, 100))):
        found = repeated_frames(block("a", start, target, target), {"b": [(450, 600)]}, turned)
        assert np.flatnonzero(found).tolist() == list(expected), "as far as they lie in the block"
    assert not repeated_frames(block("a", 120, target, target), {"a": [(450, 600)]}, turned).any()
    found = repeated_frames(block("a", 120, target, target), {"b": [(450, 480)]}, turned)
    assert np.flatnonzero(found).tolist() == list(range(30, 60)), "up to the last frame that training has"
    slower = Repeat("b", 400, 600, "a", 100, 200, 0.99).turned()
    found = repeated_frames(block("a", 100, target, target), {"b": [(450, 550)]}, [slower])
    assert np.flatnonzero(found).tolist() == list(range(25, 75)), "at half of the speed"


def test_r_on_repeated_and_other_sound() -> None:
    """The model knows the repeated half of the test and nothing of the other."""
    rng = np.random.default_rng(0)
    target = rng.normal(0, 1, (800, 6)).astype(np.float32)
    model = np.concatenate([target[:400], rng.normal(0, 1, (400, 6)).astype(np.float32)])
    fold = FoldPredictions("s1", 0, 0, 86.0, (block("a", 0, target, model),), speech_threshold_nats=-9.0)
    windows = Windows(
        "s1", ("a", "b"), ("a", "b"), np.zeros((2, 2), int), ("", ""), ("", ""), (0,), np.zeros((0, 2), int),
        np.zeros((0, 1), int), (BlockRow(0, "train", 1, 0, 500),), (), (), (), {},
    )  # fmt: skip
    found = repeats_document([fold], {("s1", 0): [windows]}, [Repeat("a", 0, 400, "b", 100, 500, 0.98)])
    assert (found["stretches"], found["share_repeated"]) == (1, pytest.approx(0.5))
    assert found["pearson_r_repeated"] == pytest.approx(1)
    assert abs(found["pearson_r_not_repeated"]) < 0.1
    limit = "50 % of the test's speech (4.7 of 9.3 s) occurs in training, too: r there 1.00, on the rest "
    assert found["limit"].startswith(limit)
    for frames, known in ((85, False), (86, True)):
        few = repeats_document([fold], {("s1", 0): [windows]}, [Repeat("a", 0, frames, "b", 100, 100 + frames, 0.98)])
        assert (few["pearson_r_repeated"] is not None) == known, "r is over a second of speech"
        assert ("r there not known" in few["limit"]) != known
    nothing = repeats_document([fold], {("s1", 0): [windows]}, [])
    assert nothing["share_repeated"] == 0
    assert nothing["limit"] is None
