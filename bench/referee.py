"""The referee: what made-up brains of known knowledge may claim.  ``python -m bench.referee [--rows …] [--seeds 20]``.

Each row is a kind of sound and a brain that knows one thing about it.  Its features (frame, channel) are decoded by the
product's own ridge and scored by its evaluation, in process, on one fold of 3 minutes (36 s of test sound), as in the
built-in default.  A wrong row must stay at or below its level, a true row must reach content.  Results are kept
in a JSON-lines file, so that a run resumes; the table goes to docs/referee.md.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal

from pipeline.artifacts.aligned import Event
from pipeline.baselines.references import reference_mels, word_templates
from pipeline.baselines.ridge import Envelope
from pipeline.baselines.tuned_ridge import tuned_ridge
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.config.mel import MelConfig
from pipeline.config.ridge import RidgeConfig
from pipeline.evaluation.levels import BEYOND_LOUDNESS, CONTENT, LEVELS, LOUDNESS, NO_LINK, TIMING
from pipeline.evaluation.scores import RunContext, score
from pipeline.evaluation.types import FoldPredictions, TestBlock
from pipeline.signal.mel import log_mel
from pipeline.signal.mel_statistics import speech_threshold
from pipeline.simulation.speech import WORDS, speak

Array = np.ndarray
HOME = Path(__file__).resolve().parents[1]
RESULTS, PAGE = HOME / "build" / "referee.jsonl", HOME / "docs" / "referee.md"
GRID = MelConfig()
RATE_HZ, FRAME_HZ = GRID.sample_rate_hz, GRID.frame_rate_hz
FULL_SCALE = 32000.0
CHANNELS = 12
CONTEXT_S, GAP_S = 0.3, 0.7
VALIDATION = 0.15
CLIP = 5.0
EVALUATE = EvaluateConfig(bootstrap=100, stoi=False, report=False)
CHANCE = ChanceConfig()


# -- sound ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sound:
    """Mel (frame, band) of one recording, its words, and what is true of each word and frame."""

    mel: Array
    events: tuple[Event, ...]
    word: Mapping[str, Array] = field(default_factory=dict)
    course: Mapping[str, Array] = field(default_factory=dict)


@lru_cache(maxsize=4)
def spoken(seed: int, kind: str, minutes: float = 3.0) -> Sound:
    """Words with random pauses; ``kind`` says what else is in the sound."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    size = round(minutes * 60 * RATE_HZ)
    wave = 8 * rng.standard_normal(size) / FULL_SCALE
    pitch_hz, start, events = rng.uniform(95, 145), -round(rng.uniform(0, 3) * RATE_HZ), []
    known: dict[str, list[float]] = {"gain": [], "speaker": [], "pitch": []}
    speaker, turn = 0, 0
    while start < size:
        speaker, turn = next_speaker(kind, speaker, turn, rng)
        word, pitch = WORDS[rng.integers(len(WORDS))], rng.lognormal(0, 0.06)
        gain = rng.uniform(-9, 9) * np.log(10) / 20 if kind == "word_loudness" else 0.0
        # Played back slower than it was made: another length of the vocal tract.
        made_at, raised = (round(RATE_HZ * 1.2), 1.35) if speaker else (RATE_HZ, 1.0)
        clip = speak(word, made_at, pitch_hz * pitch * raised, rng)
        first, stop = max(start, 0), min(start + len(clip), size)
        if first < stop:
            wave[first:stop] += clip[first - start : stop - start] * np.exp(gain)
            events.append(Event(first / RATE_HZ, (stop - first) / RATE_HZ, word))
            for name, value in (("gain", gain), ("speaker", 2.0 * speaker - 1), ("pitch", np.log(pitch) / 0.06)):
                known[name].append(value)
        start += len(clip) + round((0.1 + rng.gamma(2, 0.12)) * RATE_HZ)
    wave, course = with_background(wave, kind, rng)
    return Sound(mel_of(wave), tuple(events), {k: np.array(v) for k, v in known.items()}, course)


def next_speaker(kind: str, speaker: int, left: int, rng: np.random.Generator) -> tuple[int, int]:
    """Who speaks the next word, and for how many more."""
    if kind == "two_speakers":
        return int(rng.integers(2)), 0
    if kind == "turns":
        return (1 - speaker, int(rng.integers(3, 11))) if left == 0 else (speaker, left - 1)
    return 0, 0


def with_background(wave: Array, kind: str, rng: np.random.Generator) -> tuple[Array, dict[str, Array]]:
    """The sound with its fan, its slow swing of loudness or its drift, and that course per mel frame."""
    time_s, hop = np.arange(len(wave)) / RATE_HZ, GRID.hop_length
    course = np.zeros(len(wave))
    if kind == "swing":
        course = np.sin(2 * np.pi * (0.05 * time_s + rng.uniform()))
        wave = wave * 10 ** (6 * course / 20)
    elif kind == "fan":
        course = switching(len(wave), rng)
        wave = wave + 0.004 * course * scipy.signal.lfilter([1], [1, -0.9], rng.standard_normal(len(wave)))
    elif kind in DRIFTS:
        course = DRIFTS[kind](len(wave), rng)
        wave = wave * 10 ** (4 * course / 20)
    return wave, {"background": course[::hop]}


def switching(size: int, rng: np.random.Generator) -> Array:
    """0 and 1 in turn for 5 to 15 s each."""
    out, at, state = np.zeros(size), 0, int(rng.integers(2))
    while at < size:
        stop = at + round(rng.uniform(5, 15) * RATE_HZ)
        out[at:stop], at, state = state, stop, 1 - state
    return out


def walk(size: int, rng: np.random.Generator) -> Array:
    """A random walk of unit spread, one step a second."""
    steps = np.cumsum(rng.standard_normal(size // RATE_HZ + 2))
    out = np.interp(np.arange(size) / RATE_HZ, np.arange(len(steps)), steps)
    return np.asarray((out - out.mean()) / out.std())


DRIFTS: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "walk": walk,
    "trend": lambda size, rng: np.linspace(-1.7, 1.7, size) * rng.choice((-1, 1)),
    "settle": lambda size, rng: 4 * np.exp(-np.arange(size) / RATE_HZ / 8) * rng.choice((-1, 1)),
}


def mel_of(wave: Array) -> Array:
    """Log-mel of a waveform by the product's own definition."""
    return log_mel(np.clip(np.rint(wave * FULL_SCALE), -32768, 32767).astype(np.int16), RATE_HZ, GRID)


# -- what a brain knows ---------------------------------------------------------------------------


def per_word(sound: Sound, values: Array) -> Array:
    """(frame, column): the values (word, column) of each word while it lasts, else 0."""
    out = np.zeros((len(sound.mel), values.shape[1]))
    for event, own in zip(sound.events, values, strict=True):
        first = round(event.onset_s * FRAME_HZ)
        out[first : first + round(event.duration_s * FRAME_HZ)] = own
    return out


def voice(sound: Sound, _: np.random.Generator) -> Array:
    return per_word(sound, np.ones((len(sound.events), 1)))


def edges(sound: Sound, rng: np.random.Generator) -> Array:
    step = np.diff(voice(sound, rng)[:, 0], prepend=0)
    return np.stack([step > 0, step < 0], axis=1).astype(float)


def background(sound: Sound, rng: np.random.Generator) -> Array:
    return np.stack([sound.course["background"][: len(sound.mel)], voice(sound, rng)[:, 0]], axis=1)


def of_words(*names: str) -> Callable[[Sound, np.random.Generator], Array]:
    """Whether a word is heard, and something about it."""
    return lambda s, _: per_word(s, np.stack([np.ones(len(s.events)), *(s.word[n] for n in names)], axis=1))


def loudness(sound: Sound, _: np.random.Generator) -> Array:
    """The course of loudness, and functions of it that are not linear."""
    course = sound.mel.mean(axis=1)
    z = (course - course.mean()) / course.std()
    return np.stack([z, z**2, z > -0.7, z > 0, z > 0.7, np.gradient(z)], axis=1)


def loudness_and_speaker(sound: Sound, rng: np.random.Generator) -> Array:
    return np.concatenate([loudness(sound, rng)[:, :1], of_words("speaker")(sound, rng)[:, 1:]], axis=1)


def drift(kind: str) -> Callable[[Sound, np.random.Generator], Array]:
    """Nothing but a drift of its own."""

    def knows(sound: Sound, rng: np.random.Generator) -> Array:
        size = len(sound.mel) * GRID.hop_length
        return np.stack([DRIFTS[kind](size, rng)[:: GRID.hop_length] for _ in range(3)], axis=1)

    return knows


def identity(sound: Sound, rng: np.random.Generator) -> Array:
    """An arbitrary code for each word."""
    codes = {word: rng.standard_normal(len(WORDS)) for word in WORDS}
    return per_word(sound, np.array([codes[e.label] for e in sound.events]))


def spectrum(sound: Sound, rng: np.random.Generator) -> Array:
    """Bands of the sound, each seen through a patch of the spectrum, as in the built-in subject."""
    z = (sound.mel - sound.mel.mean(axis=0)) / np.maximum(sound.mel.std(axis=0), 0.05)
    centre, width = rng.uniform(0, GRID.n_mels - 1, CHANNELS), rng.uniform(3, 11, CHANNELS)
    patches = np.exp(-0.5 * ((np.arange(GRID.n_mels)[:, None] - centre) / width) ** 2)
    seen = z @ (patches * np.where(rng.random(CHANNELS) < 0.3, -1, 1))
    seen /= seen.std(axis=0)
    return np.asarray(seen - 0.6 * seen.mean(axis=1, keepdims=True))


def noise(frames: int, rng: np.random.Generator, channels: int = CHANNELS) -> Array:
    """(frame, channel) of unit variance, with time constants from 20 ms to 12 s."""
    total: Array = np.zeros((frames, channels))
    for tau_s in (0.02, 0.1, 0.5, 2.5, 12.0):
        memory = np.exp(-1 / (tau_s * FRAME_HZ))
        white = rng.standard_normal((frames, channels))
        total += scipy.signal.lfilter([np.sqrt(1 - memory**2)], [1, -memory], white, axis=0)
    return total / np.sqrt(5)


def brain(drive: Array, snr: float, rng: np.random.Generator, channels: int = CHANNELS) -> Array:
    """Features (frame, channel) float32: each channel sees a mix of the drive at a lag of its own, in noise."""
    count = drive.shape[1]
    z = (drive - drive.mean(axis=0)) / np.maximum(drive.std(axis=0), 1e-9)
    seen = np.empty((len(z), channels))
    for channel in range(channels):
        weights: Array = rng.normal(0, 0.5, size=(count,))
        weights[channel % count] += 1
        mixed = z @ weights
        seen[:, channel] = np.roll(mixed / max(mixed.std(), 1e-9), round(rng.uniform(-0.1, 0.15) * FRAME_HZ))
    return np.asarray(np.sqrt(snr) * seen + noise(len(z), rng, channels), dtype=np.float32)


# -- rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A kind of sound, what the brain knows of it, and the highest level that it may claim (a true row: must)."""

    text: str
    kind: str
    knows: Callable[[Sound, np.random.Generator], Array]
    at_most: str
    snr: float = 1.0
    true: bool = False
    subjects: int = 1
    linked: int = 1
    channels: int = CHANNELS


def _true(text: str, knows: Callable[[Sound, np.random.Generator], Array], snr: float, **more: Any) -> Row:
    return Row(text, "plain", knows, CONTENT, snr, true=True, **more)


ROWS = {
    "voice": Row("speech on/off", "plain", voice, TIMING),
    "edges": Row("onset and offset", "plain", edges, TIMING),
    "swing": Row("a 0.05 Hz swing of loudness, and speech on/off", "swing", background, TIMING),
    "fan": Row("a fan in the background, and speech on/off", "fan", background, TIMING),
    "word_loudness": Row("each word's loudness, unrelated to the word", "word_loudness", of_words("gain"), LOUDNESS),
    "loudness": Row("the loudness course", "plain", loudness, LOUDNESS),
    "loudness_5": Row("the loudness course, signal to noise 5", "plain", loudness, LOUDNESS, snr=5.0),
    "loudness_15": Row("the loudness course, signal to noise 15", "plain", loudness, LOUDNESS, snr=15.0),
    "loudness_clean": Row("the loudness course, hardly any noise", "plain", loudness, LOUDNESS, snr=50.0),
    "speaker": Row("which of two speakers, word by word", "two_speakers", of_words("speaker"), BEYOND_LOUDNESS),
    "turns": Row("which of two speakers, in turns", "turns", of_words("speaker"), BEYOND_LOUDNESS),
    "pitch": Row("each word's pitch, unrelated to the word", "plain", of_words("pitch"), BEYOND_LOUDNESS),
    "loudness_speaker": Row("loudness course and speaker", "two_speakers", loudness_and_speaker, BEYOND_LOUDNESS),
    "walk": Row("nothing: random walks in both", "walk", drift("walk"), NO_LINK),
    "trend": Row("nothing: trends in both", "trend", drift("trend"), NO_LINK),
    "settle": Row("nothing: settling in both", "settle", drift("settle"), NO_LINK),
    "one_of_five": Row("one subject of five linked", "plain", spectrum, NO_LINK, 0.15, subjects=5),
    "one_of_ten": Row("one subject of ten linked", "plain", spectrum, NO_LINK, 0.15, subjects=10),
    "snr_0.3": _true("linked, SNR 0.3", spectrum, 0.3),
    "snr_0.15": _true("linked, SNR 0.15", spectrum, 0.15),
    "snr_0.08": _true("linked, SNR 0.08, as strong as the built-in subject", spectrum, 0.08),
    "identity": _true("word identity alone, a code in 30 channels", identity, 3.0, channels=len(WORDS)),
    "all_of_five": _true("all of five subjects linked", spectrum, 0.15, subjects=5, linked=5),
    "all_of_ten": _true("all of ten subjects linked", spectrum, 0.15, subjects=10, linked=10),
}  # fmt: skip


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


def decoded(subject: str, sound: Sound, features: Array, fold: int) -> FoldPredictions:
    """The test fold of one subject as evaluate gets it; the model is the product's ridge."""
    test, validation, train = split(len(sound.mel), fold)
    lags = (GRID.frames(CONTEXT_S),) * 2
    spans = [(0, *span) for span in train]
    said = ridge_and_envelope([features], [sound.mel], spans, [(0, *validation)], lags)
    return predictions(subject, [sound], fold, spans, [(0, *test)], [said(0, *test)])


def ridge_and_envelope(
    features: list[Array], mel: list[Array], train: list[tuple[int, int, int]], validation: list[tuple[int, int, int]],
    lags: tuple[int, int],
) -> Callable[[int, int, int], dict[str, Array]]:  # fmt: skip
    """What the product's ridge and its envelope say of frames start … stop of a recording."""
    ridge = tuned_ridge(features, mel, train, validation, lags, RidgeConfig().penalties[::2], clip=CLIP).refit
    envelope = Envelope.of(mel, [*train, *validation])

    def said(r: int, start: int, stop: int) -> dict[str, Array]:
        model = ridge.predict(features[r], start, stop)
        return {"model": model, "envelope": envelope.from_loudness(model)}

    return said


def predictions(
    subject: str, sounds: Sequence[Sound], fold: int, train: list[tuple[int, int, int]],
    test: list[tuple[int, int, int]], series: Sequence[Mapping[str, Array]],
) -> FoldPredictions:  # fmt: skip
    """Test blocks with their references, and the templates, as the stage ridge makes them."""
    mel, events = [s.mel for s in sounds], {r: s.events for r, s in enumerate(sounds)}
    references = reference_mels(mel, train, test, events, FRAME_HZ)
    templates = word_templates(mel, train, events, FRAME_HZ)
    blocks = []
    for (r, first, stop), own, reference in zip(test, series, references, strict=True):
        inside = tuple(e for e in events[r] if first <= e.onset_s * FRAME_HZ < stop - 1)
        times_s = np.arange(first, stop) / FRAME_HZ
        blocks.append(TestBlock(
            f"rec{r}", first, times_s, mel[r][first:stop], own, np.zeros(stop - first, bool), inside,
            session=subject, references=reference,
        ))  # fmt: skip
    threshold = speech_threshold(np.concatenate([mel[r][a:b] for r, a, b in train]))
    known = frozenset(templates)
    return FoldPredictions(subject, fold, 0, FRAME_HZ, tuple(blocks), threshold, known, templates=templates)


def claims_of(row: Row, seed: int) -> dict[str, Any]:
    """The claims that the product grants to one draw of a row."""
    folds = []
    for number in range(row.subjects):
        rng = np.random.default_rng([seed, number, sum(map(ord, row.text))])
        sound = spoken(seed * 100 + number, row.kind)
        drive = row.knows(sound, rng) if number < row.linked else rng.standard_normal((len(sound.mel), 1))
        folds.append(decoded(f"s{number:02d}", sound, brain(drive, row.snr, rng, row.channels), seed % 5))
    return dict(score(folds, EVALUATE, CHANCE, RunContext({}))["claims"])


# -- the twelve sentences -------------------------------------------------------------------------


def sentences_claims(seed: int) -> dict[str, Any]:
    """12 sentences, ten times each, an arbitrary code per sentence; each sentence stands on one side of the split."""
    rng = np.random.default_rng([seed, 12])
    kinds = [spoken(seed * 100 + k, "plain", minutes=1 / 24) for k in range(12)]
    order = rng.permutation(np.repeat(np.arange(12), 10))
    sounds = [kinds[k] for k in order]
    codes = rng.standard_normal((12, CHANNELS))
    quiet = noise(sum(len(s.mel) for s in sounds), rng)
    borders = np.cumsum([len(s.mel) for s in sounds])[:-1]
    features = [(n + codes[k]).astype(np.float32) for n, k in zip(np.split(quiet, borders), order, strict=True)]
    roles = np.array(["test"] * 3 + ["validation"] * 2 + ["train"] * 7)[rng.permutation(12)][order]
    spans = {role: [(int(r), 0, len(sounds[r].mel)) for r in np.flatnonzero(roles == role)] for role in set(roles)}
    lags = (GRID.frames(CONTEXT_S),) * 2
    said = ridge_and_envelope(features, [s.mel for s in sounds], spans["train"], spans["validation"], lags)
    series = [said(*span) for span in spans["test"]]
    fold = predictions("s00", sounds, 0, spans["train"], spans["test"], series)
    return dict(score([fold], EVALUATE, CHANCE, RunContext({}))["claims"])


SENTENCES = Row("12 sentences ten times each, a code per sentence", "plain", voice, NO_LINK)
ALL_ROWS = ROWS | {"sentences": SENTENCES}


def run(name: str, seed: int) -> dict[str, Any]:
    """One draw of a row: its level, and p of each part."""
    found = sentences_claims(seed) if name == "sentences" else claims_of(ALL_ROWS[name], seed)
    tests = next(iter(found["by_subject"].values()))["tests"] if found["tests"] is None else found["tests"]
    effects = {n: [p["p_value"], p["effect"]] for test in tests.values() for n, p in test["parts"].items()}
    return {"row": name, "seed": seed, "level": found["level"], "parts": effects}


# -- the table ------------------------------------------------------------------------------------


def is_wrong(row: Row, level: str | None) -> bool:
    """Whether a level is above what the row may claim; a true row is never wrong."""
    return level is not None and LEVELS.index(level) > LEVELS.index(row.at_most)


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """One line per row: how often each level, and how many are wrong or kept."""
    lines = ["| the brain knows only | at most | " + " | ".join(LEVELS) + " | not testable | result |"]
    lines.append("|" + "---|" * (len(LEVELS) + 4))
    for name, row in ALL_ROWS.items():
        levels = [own["level"] for own in found if own["row"] == name]
        if not levels:
            continue
        counts = Counter(levels)
        wrong = sum(is_wrong(row, level) for level in levels)
        result = f"{counts[CONTENT]} of {len(levels)} kept" if row.true else f"{wrong} of {len(levels)} wrong"
        cells = [str(counts[level] or "") for level in (*LEVELS, None)]
        at_most = "content (true)" if row.true else row.at_most
        lines.append(f"| {row.text} | {at_most} | {' | '.join(cells)} | {result} |")
    return "\n".join(lines) + "\n"


def kept(file: Path) -> list[dict[str, Any]]:
    """The results so far."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def missing(rows: Sequence[str], seeds: int, found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """What has not been run yet, seed by seed."""
    done = {(own["row"], own["seed"]) for own in found}
    return ((name, seed) for seed in range(seeds) for name in rows if (name, seed) not in done)


def main() -> None:
    """Run what is missing, print the table, write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.referee", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=list(ALL_ROWS), default=list(ALL_ROWS), metavar="ROW")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON lines; delete them after a change")
    parser.add_argument("--write", action="store_true", help="write the table into docs/referee.md")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for name, seed in missing(options.rows, options.seeds, kept(options.results)):
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(run(name, seed)) + "\n")
    found = table(kept(options.results))
    print(found, end="")
    if options.write:
        head, mark, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table -->\n")
        tail = rest[rest.index("<!-- table: end -->") :]
        PAGE.write_text(f"{head}{mark}{found}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
