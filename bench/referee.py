"""The referee: what made-up brains of known knowledge may claim.  ``python -m bench.referee [--rows …] [--seeds 20]``.

Each row is a kind of sound and a brain that knows one thing about it (bench/made_up.py).  Its features (frame, channel)
are decoded by the product's own ridge and scored by its evaluation, in process, on one fold of 3 minutes (36 s of test
sound), as in the built-in default.  A wrong row must stay at or below its level, a true row must reach content.  What
begins with raw arrays stands in bench/referee_raw.py, the whole workflow (``--chain``) in bench/referee_chain.py.

Results are kept in a JSON-lines file, so that a run resumes; the table goes to docs/referee.md.  The tests were chosen
on seeds below 100; the table is made of seeds from 100 on.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import referee_raw
from bench.made_up import (
    CHANNELS,
    FRAME_HZ,
    GRID,
    Array,
    Knows,
    Sound,
    amplitude,
    background,
    brain,
    counted,
    drift,
    duration,
    edges,
    identity,
    joined,
    late,
    loudest_band,
    loudness,
    loudness_and_speaker,
    loudness_slowly,
    noise,
    of_words,
    power,
    ramp,
    spectrum,
    spoken,
    tiring,
    unrelated,
    voice,
)  # fmt: skip
from pipeline.baselines.references import reference_mels, word_templates
from pipeline.baselines.ridge import Envelope
from pipeline.baselines.tuned_ridge import RidgeChoice, TunedRidge, tuned_ridge
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.config.ridge import RidgeConfig
from pipeline.evaluation.levels import BEYOND_LOUDNESS, CONTENT, LEVELS, LOUDNESS, NO_LINK, TIMING
from pipeline.evaluation.scores import RunContext, score
from pipeline.evaluation.types import FoldPredictions, TestBlock
from pipeline.signal.mel_statistics import speech_threshold
from pipeline.simulation.speech import WORDS

HOME = Path(__file__).resolve().parents[1]
RESULTS, PAGE = HOME / "build" / "referee.jsonl", HOME / "docs" / "referee.md"
FIRST, CHOICE_SEED = 100, 99
CONTEXT_S, GAP_S = 0.3, 0.7
VALIDATION = 0.15
CLIP = 5.0
EVALUATE = EvaluateConfig(bootstrap=100, stoi=False, report=False, measures=False)
CHANCE = ChanceConfig()
REFUSED = "refused"
Span = tuple[int, int, int]


# -- rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Brain:
    """A kind of sound, what the brain knows of it, and how loud that is above noise (power)."""

    kind: str
    knows: Knows
    snr: float = 1.0
    channels: int = CHANNELS

    @property
    def stream(self) -> int:
        """A number of its own for random draws."""
        return sum(map(ord, f"{self.kind} {self.knows.__qualname__} {self.snr} {self.channels}"))


NOBODY = Brain("plain", unrelated, 0.15)


@dataclass(frozen=True)
class Row:
    """Brains and the highest level that they may claim (a true row: must); the first ``linked`` subjects are ``brain``.

    ``passed_off``: the prediction that stands as the model.  ``folds``: how many of five are tested; with ``trials`` of
    ``seconds`` all five are.
    """

    text: str
    brain: Brain
    at_most: str
    true: bool = False
    subjects: int = 1
    linked: int = 1
    draws: int = 20
    passed_off: str = "model"
    folds: int = 1
    trials: int = 0
    seconds: float = 4.0


def _wrong(text: str, at_most: str, kind: str, knows: Knows, snr: float = 1.0, **more: Any) -> Row:
    return Row(text, Brain(kind, knows, snr), at_most, **more)


def _true(text: str, knows: Knows, snr: float, channels: int = CHANNELS, **more: Any) -> Row:
    return Row(text, Brain("plain", knows, snr, channels), CONTENT, true=True, **more)


ROWS = {
    "voice": _wrong("speech on/off", TIMING, "plain", voice),
    "edges": _wrong("onset and offset", TIMING, "plain", edges),
    "swing": _wrong("a 0.05 Hz swing of loudness, and speech on/off", TIMING, "swing", background),
    "fan": _wrong("a fan in the background, and speech on/off", TIMING, "fan", background),
    "word_loudness": _wrong(
        "each word's loudness, unrelated to the word", LOUDNESS, "word_loudness", of_words("gain")),
    "loudness": _wrong("the loudness course", LOUDNESS, "plain", loudness),
    "loudness_5": _wrong("the loudness course, SNR 5", LOUDNESS, "plain", loudness, 5.0),
    "loudness_15": _wrong("the loudness course, SNR 15", LOUDNESS, "plain", loudness, 15.0),
    "loudness_clean": _wrong("the loudness course, SNR 50", LOUDNESS, "plain", loudness, 50.0),
    "power": _wrong("the course of power, SNR 5", LOUDNESS, "plain", power, 5.0),
    "envelope": _wrong("the envelope predicted from a linked brain, passed off as the model", LOUDNESS,
        "plain", spectrum, 0.3, passed_off="envelope"),
    "speaker": _wrong("which of two speakers, word by word", BEYOND_LOUDNESS, "two_speakers", of_words("speaker")),
    "turns": _wrong("which of two speakers, in turns", BEYOND_LOUDNESS, "turns", of_words("speaker")),
    "speaker_column": _wrong("which of two speakers, one in each of 40 trials, with a column speaker", LOUDNESS,
        "plain", of_words("speaker")),
    "pitch": _wrong("each word's pitch, unrelated to the word", BEYOND_LOUDNESS, "plain", of_words("pitch")),
    "loudness_speaker": _wrong("loudness course and speaker", BEYOND_LOUDNESS, "two_speakers", loudness_and_speaker),
    "walk": _wrong("nothing: random walks in both", NO_LINK, "walk", drift("walk"), draws=67),
    "trend": _wrong("nothing: trends in both", NO_LINK, "trend", drift("trend"), draws=67),
    "settle": _wrong("nothing: settling in both", NO_LINK, "settle", drift("settle"), draws=66),
    "one_of_five": _wrong("one subject of five linked", NO_LINK, "plain", spectrum, 0.15, subjects=5),
    "one_of_ten": _wrong("one subject of ten linked", NO_LINK, "plain", spectrum, 0.15, subjects=10),
    "sentences": _wrong("12 sentences ten times each, a code per sentence", NO_LINK, "plain", voice),
    "leak": _wrong("sound that leaks into the recording", NO_LINK, "plain", unrelated),
    "copies": _wrong("a copy under a second id: exact, x 0.8, cut by a row", NO_LINK, "plain", unrelated),
    "snr_0.3": _true("linked, SNR 0.3", spectrum, 0.3),
    "snr_0.15": _true("linked, SNR 0.15", spectrum, 0.15),
    "snr_0.08": _true("linked, SNR 0.08, as strong as the built-in subject", spectrum, 0.08),
    "identity": _true("word identity alone, a code in 30 channels", identity, 3.0, len(WORDS)),
    "all_of_five": _true("all of five subjects linked", spectrum, 0.15, subjects=5, linked=5),
    "all_of_ten": _true("all of ten subjects linked", spectrum, 0.15, subjects=10, linked=10),
}  # fmt: skip

TEN: dict[str, Any] = {"draws": 10}
ALL_FOLDS: dict[str, Any] = {"folds": 5, **TEN}
MANY: dict[str, Any] = {"trials": 50, **TEN}
SINGLE: dict[str, Any] = {"trials": 100, "seconds": 1.8, **TEN}
#: Brains that came to mind after the tests were chosen.
FURTHER = {
    "voice_folds": _wrong("speech on/off, SNR 5, five folds", TIMING, "plain", voice, 5.0, **ALL_FOLDS),
    "edges_folds": _wrong("onset and offset, SNR 5, five folds", TIMING, "plain", edges, 5.0, **ALL_FOLDS),
    "fan_folds": _wrong("a fan, and speech on/off, five folds", TIMING, "fan", background, **ALL_FOLDS),
    "loudness_folds": _wrong("the loudness course, SNR 5, five folds", LOUDNESS, "plain", loudness, 5.0, **ALL_FOLDS),
    "voice_trials": _wrong("speech on/off, SNR 5, 50 trials", TIMING, "trial", voice, 5.0, **MANY),
    "edges_trials": _wrong("onset and offset, SNR 5, 50 trials", TIMING, "trial", edges, 5.0, **MANY),
    "fan_trials": _wrong("a fan, and speech on/off, 50 trials", TIMING, "fan", background, **MANY),
    "loudness_trials": _wrong("the loudness course, SNR 5, 50 trials", LOUDNESS, "trial", loudness, 5.0, **MANY),
    "voice_words": _wrong("speech on/off, SNR 5, 100 single words", TIMING, "one_word", voice, 5.0, **SINGLE),
    "loudness_words": _wrong("the loudness course, SNR 5, 100 single words", LOUDNESS, "one_word", loudness, 5.0,
        **SINGLE),
    "late": _wrong("speech on/off, 0.6 s late", TIMING, "plain", late, **TEN),
    "ramp": _wrong("time since the onset and to the end of a word, SNR 5", TIMING, "plain", ramp, 5.0, **TEN),
    "duration": _wrong("how long a word will be, SNR 5", TIMING, "plain", duration, 5.0, **TEN),
    "counted": _wrong("every second and every third word, SNR 5", TIMING, "plain", counted, 5.0, **TEN),
    "tiring": _wrong("a response that tires, SNR 5", TIMING, "plain", tiring, 5.0, **TEN),
    "voice_one_channel": Row("speech on/off, SNR 5, in one channel", Brain("plain", voice, 5.0, 1), TIMING, **TEN),
    "two_words_voice": _wrong("speech on/off, SNR 5, of two words", TIMING, "two_words", voice, 5.0, **TEN),
    "five_words_duration": _wrong("how long a word will be, SNR 5, of five words", TIMING, "five_words", duration, 5.0,
        **TEN),
    "cyclic_voice": _wrong("speech on/off, SNR 5, of twelve words in one order", TIMING, "cyclic", voice, 5.0, **TEN),
    "slowly": _wrong("loudness over a tenth of a second, SNR 5", LOUDNESS, "plain", loudness_slowly, 5.0, **TEN),
    "loudest": _wrong("the loudest band, SNR 5", LOUDNESS, "plain", loudest_band, 5.0, **TEN),
    "amplitude": _wrong("the waveform's amplitude, SNR 5", LOUDNESS, "plain", amplitude, 5.0, **TEN),
    "loudness_one_channel": Row("the loudness course, SNR 5, in one channel", Brain("plain", loudness, 5.0, 1),
        LOUDNESS, **TEN),
    "label_loudness": _wrong("the loudness course, SNR 5, each word of its own loudness", LOUDNESS, "label_loudness",
        loudness, 5.0, **TEN),
    "two_words_loudness": _wrong("the loudness course, SNR 5, of two words", LOUDNESS, "two_words", loudness, 5.0,
        **TEN),
    "five_words_loudness": _wrong("the loudness course, SNR 5, of five words", LOUDNESS, "five_words", loudness, 5.0,
        **TEN),
    "babble_loudness": _wrong("the loudness course, SNR 5, of words in babble", LOUDNESS, "babble", loudness, 5.0,
        **TEN),
    "true_folds": _true("linked, SNR 0.08, five folds", spectrum, 0.08, **ALL_FOLDS),
    "true_trials": Row("linked, SNR 0.15, 50 trials", Brain("trial", spectrum, 0.15), CONTENT, true=True, **MANY),
    "true_words": Row("linked, SNR 0.3, 100 single words", Brain("one_word", spectrum, 0.3), CONTENT, true=True,
        **SINGLE),
    "true_clean": _true("linked, SNR 50", spectrum, 50.0, **TEN),
    "true_babble": Row("linked, SNR 0.15, words in babble", Brain("babble", spectrum, 0.15), CONTENT, true=True, **TEN),
    "true_five_words": Row("linked, SNR 0.15, of five words", Brain("five_words", spectrum, 0.15), CONTENT, true=True,
        **TEN),
    "true_cyclic": Row("linked, SNR 0.15, of twelve words in one order", Brain("cyclic", spectrum, 0.15), CONTENT,
        true=True, **TEN),
}  # fmt: skip
ALL = ROWS | FURTHER


# -- decoding -------------------------------------------------------------------------------------


def split(frames: int, fold: int) -> tuple[tuple[int, int], tuple[int, int], list[tuple[int, int]]]:
    """Test, validation and training frames of one of five folds, with gaps between them."""
    gap, held = round(GAP_S * FRAME_HZ), round(VALIDATION * frames)
    first, stop = frames * fold // 5, frames * (fold + 1) // 5
    if fold < 4:
        validation = (stop + gap, stop + gap + held)
        train = [(0, first - gap), (validation[1] + gap, frames)]
    else:
        validation = (first - gap - held, first - gap)
        train = [(0, validation[0] - gap)]
    return (first, stop), validation, [(a, b) for a, b in train if b - a > gap]


@lru_cache(maxsize=16)
def known(sound_seed: int, kind: str, fold: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """References of the test block, and templates, of one sound and fold, as the stage ridge makes them."""
    sound = spoken(sound_seed, kind)
    test, _, train = split(len(sound.mel), fold)
    spans, events = [(0, *span) for span in train], {0: sound.events}
    references = reference_mels([sound.mel], spans, [(0, *test)], events, FRAME_HZ)[0]
    return references, word_templates([sound.mel], spans, events, FRAME_HZ)


def features_of(own: Brain, seed: int, number: int) -> tuple[Sound, Array]:
    """One draw: the sound and the features (frame, channel)."""
    rng = np.random.default_rng([seed, number, own.stream])
    sound = spoken(seed * 100 + number, own.kind)
    return sound, brain(own.knows(sound, rng), own.snr, rng, own.channels)


def ridge_of(
    features: Sequence[Array], mel: Sequence[Array], train: Sequence[Span], validation: Sequence[Span],
    choice: RidgeChoice | None = None,
) -> TunedRidge:  # fmt: skip
    """The product's ridge; a known ``choice`` spares the search of the penalties."""
    lags = (GRID.frames(CONTEXT_S),) * 2
    return tuned_ridge(features, mel, train, validation, lags, RidgeConfig().penalties[::2], clip=CLIP, choice=choice)


@lru_cache(maxsize=64)
def choice_of(own: Brain) -> RidgeChoice:
    """The penalties of a kind of brain, searched on a draw that no row has."""
    sound, features = features_of(own, CHOICE_SEED, 0)
    _, validation, train = split(len(sound.mel), 0)
    return ridge_of([features], [sound.mel], [(0, *span) for span in train], [(0, *validation)]).choice


@lru_cache(maxsize=32)
def decoded(own: Brain, seed: int, number: int, fold: int) -> FoldPredictions:
    """A test fold of one subject as evaluate gets it; the model is the product's ridge."""
    sound, features = features_of(own, seed, number)
    return fold_of(f"s{number:02d}", seed * 100 + number, own.kind, sound, features, fold, choice_of(own))


def fold_of(
    subject: str, sound_seed: int, kind: str, sound: Sound, features: Array, fold: int, choice: RidgeChoice | None
) -> FoldPredictions:
    """One test block and what was said of it."""
    test, validation, train = split(len(sound.mel), fold)
    spans = [(0, *span) for span in train]
    ridge = ridge_of([features], [sound.mel], spans, [(0, *validation)], choice).refit
    envelope = Envelope.of([sound.mel], [*spans, (0, *validation)])
    references, templates = known(sound_seed, kind, fold)
    block = block_of("rec0", sound, test, ridge.predict(features, *test), envelope, references, subject)
    return predictions(subject, [sound], fold, spans, [block], templates)


def block_of(
    recording: str, sound: Sound, test: tuple[int, int], model: Array, envelope: Envelope,
    references: Mapping[str, Array], session: str, speaker: str = "",
) -> TestBlock:  # fmt: skip
    first, stop = test
    inside = tuple(e for e in sound.events if first <= e.onset_s * FRAME_HZ < stop - 1)
    return TestBlock(
        recording, first, np.arange(first, stop) / FRAME_HZ, sound.mel[first:stop],
        {"model": model, "envelope": envelope.from_loudness(model)}, np.zeros(stop - first, bool), inside,
        session=session, references=references, speaker=speaker,
    )  # fmt: skip


def predictions(
    subject: str, sounds: Sequence[Sound], fold: int, train: Sequence[Span], blocks: Sequence[TestBlock],
    templates: dict[str, Array],
) -> FoldPredictions:  # fmt: skip
    """The fold with what its training frames say."""
    threshold = speech_threshold(np.concatenate([sounds[r].mel[a:b] for r, a, b in train]))
    words = frozenset(templates)
    return FoldPredictions(subject, fold, 0, FRAME_HZ, tuple(blocks), threshold, words, templates=templates)


def passed_off(fold: FoldPredictions, name: str) -> FoldPredictions:
    """The fold with another prediction in the place of the model."""
    blocks = tuple(replace(b, predictions={**b.predictions, "model": b.predictions[name]}) for b in fold.blocks)
    return replace(fold, blocks=blocks)


def claims_of(row: Row, seed: int) -> dict[str, Any]:
    """The claims that the product grants to one draw of a row."""
    if row.trials:
        return dict(score(trial_folds(row, seed), EVALUATE, CHANCE, RunContext({}))["claims"])
    brains = [row.brain if number < row.linked else NOBODY for number in range(row.subjects)]
    folds = [decoded(own, seed, number, (seed + k) % 5) for number, own in enumerate(brains) for k in range(row.folds)]
    folds = [passed_off(fold, row.passed_off) for fold in folds]
    return dict(score(folds, EVALUATE, CHANCE, RunContext({}))["claims"])


def trial_folds(row: Row, seed: int) -> list[FoldPredictions]:
    """Five folds of a session of trials, which one brain hears."""
    sounds, features, roles = trial_session(row, seed)
    nobody, choice = [""] * row.trials, trial_choice(row)
    return [trials_fold(sounds, features, own, nobody, fold, choice) for fold, own in enumerate(roles)]


def trial_session(row: Row, seed: int) -> tuple[list[Sound], list[Array], list[Array]]:
    """Sounds and features of the trials, and their roles in each of five folds."""
    own, rng = row.brain, np.random.default_rng([seed, 15, row.brain.stream])
    sounds = [spoken(seed * 1000 + k, own.kind, row.seconds / 60) for k in range(row.trials)]
    whole = brain(own.knows(joined(sounds), rng), own.snr, rng, own.channels)
    features = np.split(whole, np.cumsum([len(s.mel) for s in sounds])[:-1])
    part, even = rng.permutation(np.arange(row.trials) % 5), np.arange(row.trials) % 2 == 0
    held = [np.where((part == (fold + 1) % 5) & even, "validation", "train") for fold in range(5)]
    return sounds, features, [np.where(part == fold, "test", own) for fold, own in enumerate(held)]


@lru_cache(maxsize=16)
def trial_choice(row: Row) -> RidgeChoice:
    """The penalties of a kind of session, searched on a draw that no row has."""
    sounds, features, (roles, *_) = trial_session(row, CHOICE_SEED)
    spans = spans_of(sounds, roles)
    return ridge_of(features, [s.mel for s in sounds], spans["train"], spans["validation"]).choice


def spans_of(sounds: Sequence[Sound], roles: Array) -> dict[str, list[Span]]:
    """The trials of each role, whole."""
    return {role: [(r, 0, len(sounds[r].mel)) for r in np.flatnonzero(roles == role).tolist()] for role in set(roles)}


def sentence_trials(seed: int) -> tuple[list[Sound], list[Array], Array]:
    """12 sentences, ten times each in random order: sounds, features with a code per sentence, and which sentence."""
    rng = np.random.default_rng([seed, 12])
    kinds = [spoken(seed * 100 + k, "plain", minutes=1 / 24) for k in range(12)]
    order = rng.permutation(np.repeat(np.arange(12), 10))
    sounds = [kinds[k] for k in order]
    codes = rng.standard_normal((12, CHANNELS))
    quiet = noise(sum(len(s.mel) for s in sounds), rng)
    borders = np.cumsum([len(s.mel) for s in sounds])[:-1]
    features = [(n + codes[k]).astype(np.float32) for n, k in zip(np.split(quiet, borders), order, strict=True)]
    return sounds, features, order


def sentences_claims(seed: int) -> dict[str, Any]:
    """Each sentence stands on one side of the split, as the product deals them."""
    sounds, features, order = sentence_trials(seed)
    chosen = np.random.default_rng([seed, 13]).permutation(12)
    roles = np.array(["test"] * 3 + ["validation"] * 2 + ["train"] * 7)[chosen][order]
    return trials_claims(sounds, features, roles, [""] * len(sounds))


def speaker_trials(seed: int) -> tuple[list[Sound], list[Array], list[str]]:
    """40 trials of 4.5 s, one of two speakers in each: sounds, features that tell voice and speaker, and who speaks."""
    rng = np.random.default_rng([seed, 14])
    speakers = rng.permutation(np.repeat(["plain", "other_speaker"], 20)).tolist()
    sounds = [spoken(seed * 100 + k, kind, minutes=4.5 / 60) for k, kind in enumerate(speakers)]
    whole = brain(np.concatenate([of_words("speaker")(s, rng) for s in sounds]), 1.0, rng)
    return sounds, np.split(whole, np.cumsum([len(s.mel) for s in sounds])[:-1]), speakers


def speaker_claims(seed: int) -> dict[str, Any]:
    """A fifth of the trials are tested."""
    sounds, features, speakers = speaker_trials(seed)
    roles = np.array(["test", "validation", "train", "train", "train"] * 8)
    return trials_claims(sounds, features, roles, speakers)


def trials_claims(
    sounds: Sequence[Sound], features: Sequence[Array], roles: Array, speakers: Sequence[str]
) -> dict[str, Any]:
    """The claims of one session of trials, each with a role."""
    fold = trials_fold(sounds, features, roles, speakers)
    return dict(score([fold], EVALUATE, CHANCE, RunContext({}))["claims"])


def trials_fold(
    sounds: Sequence[Sound], features: Sequence[Array], roles: Array, speakers: Sequence[str], number: int = 0,
    choice: RidgeChoice | None = None,
) -> FoldPredictions:  # fmt: skip
    """A fold of one session of trials, each with a role."""
    spans = spans_of(sounds, roles)
    mel, events = [s.mel for s in sounds], {r: s.events for r, s in enumerate(sounds)}
    ridge = ridge_of(features, mel, spans["train"], spans["validation"], choice).refit
    envelope = Envelope.of(mel, [*spans["train"], *spans["validation"]])
    references = reference_mels(mel, spans["train"], spans["test"], events, FRAME_HZ)
    blocks = [
        block_of(f"rec{r}", sounds[r], (a, b), ridge.predict(features[r], a, b), envelope, own, "s00", speakers[r])
        for (r, a, b), own in zip(spans["test"], references, strict=True)
    ]
    templates = word_templates(mel, spans["train"], events, FRAME_HZ)
    return predictions("s00", sounds, number, spans["train"], blocks, templates)


def leak_claims(seed: int) -> dict[str, Any]:
    """An independent brain with a leak of the sound, as raw arrays: the check, the features, the claim."""
    sound = spoken(seed * 100, "plain")
    raw, found = referee_raw.leaky(sound.wave, seed)
    fold = fold_of("s00", seed * 100, "plain", sound, referee_raw.high_gamma(raw, len(sound.mel)), seed % 5, None)
    context = RunContext({}, contamination=[found], sessions={"s00": [found.recording]})
    return dict(score([fold], EVALUATE, CHANCE, context)["claims"])


def run(name: str, seed: int) -> dict[str, Any]:
    """One draw of a row: its level, and p and effect of each part."""
    if name == "copies":
        level = REFUSED if referee_raw.copy_is_refused(seed) else CONTENT
        return {"row": name, "seed": seed, "level": level, "parts": {}}
    special: dict[str, Callable[[int], dict[str, Any]]] = {
        "sentences": sentences_claims, "speaker_column": speaker_claims, "leak": leak_claims,
    }  # fmt: skip
    found = special[name](seed) if name in special else claims_of(ALL[name], seed)
    tests = next(iter(found["by_subject"].values()))["tests"] if found["tests"] is None else found["tests"]
    effects = {n: [p["p_value"], p["effect"]] for test in tests.values() for n, p in test["parts"].items()}
    return {"row": name, "seed": seed, "level": found["level"], "parts": effects}


# -- the table ------------------------------------------------------------------------------------


def is_wrong(row: Row, level: str | None) -> bool:
    """Whether a level is above what the row may claim; a true row is never wrong."""
    return level in LEVELS and LEVELS.index(level) > LEVELS.index(row.at_most)


def table(found: Sequence[Mapping[str, Any]], rows: Mapping[str, Row] = ROWS) -> str:
    """One line per row: how often each level, and how many are wrong or kept."""
    columns = (*LEVELS, None, REFUSED)
    lines = ["| the brain knows only | at most | " + " | ".join(LEVELS) + " | not testable | refused | result |"]
    lines.append("|" + "---|" * (len(columns) + 3))
    for name, row in rows.items():
        levels = [own["level"] for own in found if own["row"] == name]
        if not levels:
            continue
        counts = Counter(levels)
        wrong = sum(is_wrong(row, level) for level in levels)
        result = f"{counts[CONTENT]} of {len(levels)} kept" if row.true else f"{wrong} of {len(levels)} wrong"
        cells = [str(counts[level] or "") for level in columns]
        at_most = "content (true)" if row.true else row.at_most
        lines.append(f"| {row.text} | {at_most} | {' | '.join(cells)} | {result} |")
    return "\n".join(lines) + "\n"


def kept(file: Path) -> list[dict[str, Any]]:
    """The results so far."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def missing(
    rows: Sequence[str], seeds: int | None, found: Sequence[Mapping[str, Any]], first: int = FIRST
) -> Iterator[tuple[str, int]]:
    """What has not been run yet, seed by seed; ``seeds`` of each row, or as many as the row asks for."""
    done = {(own["row"], own["seed"]) for own in found}
    draws = {name: seeds or ALL[name].draws for name in rows}
    wanted = ((name, first + k) for k in range(max(draws.values())) for name in rows if k < draws[name])
    return (each for each in wanted if each not in done)


def main() -> None:
    """Run what is missing, print the table, write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.referee", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=list(ALL), metavar="ROW", help="default: all")
    parser.add_argument("--seeds", type=int, help="draws of each row (default: 20, and 200 without a link)")
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON lines; delete them after a change")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/referee.md")
    parser.add_argument("--chain", type=Path, metavar="DIR", help="two seeds of each row by the whole workflow (hours)")
    options = parser.parse_args()
    if options.chain:
        from bench.referee_chain import run_chain

        run_chain(options.chain, options.rows or list(ROWS), options.seeds or 2, options.first)
        return
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for name, seed in missing(options.rows or list(ALL), options.seeds, kept(options.results), options.first):
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(run(name, seed)) + "\n")
    for name, rows in (("table", ROWS), ("further", FURTHER)):
        found = table(kept(options.results), rows)
        print(found)
        if options.write:
            head, mark, rest = PAGE.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
            tail = rest[rest.index(f"<!-- {name}: end -->") :]
            PAGE.write_text(f"{head}{mark}{found}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
