"""Sound with known properties, and features of brains that know one thing about it: what bench/referee.py tries.

A :class:`Sound` is the log-mel of some minutes of synthetic words with random pauses, in one of several kinds: two
speakers, a fan in the background, drift, few words, trials.  A brain's features (frame, channel) are a mix of what it
knows, each channel at a lag of its own, in noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import scipy.ndimage
import scipy.signal

from pipeline.artifacts.aligned import Event
from pipeline.baselines.references import power_of
from pipeline.config.mel import MelConfig
from pipeline.signal.mel import log_mel
from pipeline.simulation.speech import WORDS, speak

Array = np.ndarray
Knows = Callable[["Sound", np.random.Generator], Array]
GRID = MelConfig()
RATE_HZ, FRAME_HZ = GRID.sample_rate_hz, GRID.frame_rate_hz
FULL_SCALE = 32000.0
CHANNELS = 12
#: Words of kinds that have fewer; in ``cyclic`` they follow each other in one order, a pause of 0.3 s between them.
VOCABULARY = {"two_words": 2, "five_words": 5, "cyclic": 12}
#: Kinds of trials, which begin and end with silence: of one word, and of as many as fit.
TRIALS = ("one_word", "trial")
#: A gain of each word [nepers], the same whenever it is said, in the kind ``label_loudness``.
LABEL_GAIN = dict(zip(WORDS, np.random.default_rng(77).uniform(-9, 9, len(WORDS)) * np.log(10) / 20, strict=True))


# -- sound ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sound:
    """Waveform and mel (frame, band) of one recording, its words, and what is true of each word and frame."""

    wave: Array
    mel: Array
    events: tuple[Event, ...]
    word: Mapping[str, Array] = field(default_factory=dict)
    course: Mapping[str, Array] = field(default_factory=dict)


@lru_cache(maxsize=128)
def spoken(seed: int, kind: str, minutes: float = 3.0) -> Sound:
    """Words with random pauses; ``kind`` says what else is in the sound."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    size = round(minutes * 60 * RATE_HZ)
    wave = 8 * rng.standard_normal(size) / FULL_SCALE
    pitch_hz = rng.uniform(95, 145)
    events: list[Event] = []
    start = round(RATE_HZ * (rng.uniform(0.3, 0.8) if kind in TRIALS else -rng.uniform(0, 3)))
    known: dict[str, list[float]] = {"gain": [], "speaker": [], "pitch": []}
    speaker, turn, count = 0, 0, VOCABULARY.get(kind, len(WORDS))
    while start < size:
        speaker, turn = next_speaker(kind, speaker, turn, rng)
        number = len(events) % count if kind == "cyclic" else rng.integers(count)
        word, pitch = WORDS[number], rng.lognormal(0, 0.06)
        gain = rng.uniform(-9, 9) * np.log(10) / 20 if kind == "word_loudness" else 0.0
        gain = LABEL_GAIN[word] if kind == "label_loudness" else gain
        # Played back slower than it was made: another length of the vocal tract.
        made_at, raised = (round(RATE_HZ * 1.2), 1.35) if speaker else (RATE_HZ, 1.0)
        clip = speak(word, made_at, pitch_hz * pitch * raised, rng)
        first, stop = max(start, 0), min(start + len(clip), size)
        if first < stop:
            wave[first:stop] += clip[first - start : stop - start] * np.exp(gain)
            events.append(Event(first / RATE_HZ, (stop - first) / RATE_HZ, word))
            for name, value in (("gain", gain), ("speaker", 2.0 * speaker - 1), ("pitch", np.log(pitch) / 0.06)):
                known[name].append(value)
        start += len(clip) + round((0.3 if kind == "cyclic" else 0.1 + rng.gamma(2, 0.12)) * RATE_HZ)
        if kind == "one_word" or (kind == "trial" and start > size - 0.8 * RATE_HZ):
            break
    wave, course = with_background(wave, kind, rng)
    wave = np.clip(np.rint(wave * FULL_SCALE), -32768, 32767).astype(np.int16)
    mel = log_mel(wave, RATE_HZ, GRID)
    return Sound(wave, mel, tuple(events), {k: np.array(v) for k, v in known.items()}, course)


def next_speaker(kind: str, speaker: int, left: int, rng: np.random.Generator) -> tuple[int, int]:
    """Who speaks the next word, and for how many more."""
    if kind == "two_speakers":
        return int(rng.integers(2)), 0
    if kind == "turns":
        return (1 - speaker, int(rng.integers(3, 11))) if left == 0 else (speaker, left - 1)
    return int(kind == "other_speaker"), 0


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
    elif kind == "babble":
        seeds = rng.integers(1 << 20, size=4)
        wave = wave + 0.15 * sum(spoken(int(k), "plain", len(wave) / RATE_HZ / 60).wave / FULL_SCALE for k in seeds)
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


def joined(sounds: Sequence[Sound]) -> Sound:
    """Trials one after another, as a brain hears them."""
    starts_s = np.cumsum([0, *(len(s.mel) for s in sounds)]) / FRAME_HZ

    def together(name: str, key: str) -> Array:
        return np.concatenate([getattr(s, name)[key][: len(s.mel)] for s in sounds])

    return Sound(
        np.concatenate([np.resize(s.wave, len(s.mel) * GRID.hop_length) for s in sounds]),
        np.concatenate([s.mel for s in sounds]),
        tuple(replace(e, onset_s=e.onset_s + t) for s, t in zip(sounds, starts_s, strict=False) for e in s.events),
        {key: together("word", key) for key in sounds[0].word},
        {key: together("course", key) for key in sounds[0].course},
    )


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


def late(sound: Sound, rng: np.random.Generator) -> Array:
    """Whether a word is heard, 0.6 s late: beyond what a decoder looks back."""
    return np.roll(voice(sound, rng), round(0.6 * FRAME_HZ), axis=0)


def ramp(sound: Sound, _: np.random.Generator) -> Array:
    """Time since the onset of a word, and to its end."""
    out = np.zeros((len(sound.mel), 2))
    for event in sound.events:
        first = round(event.onset_s * FRAME_HZ)
        length = min(round(event.duration_s * FRAME_HZ), len(out) - first)
        out[first : first + length, 0], out[first : first + length, 1] = np.arange(length), np.arange(length)[::-1]
    return out


def duration(sound: Sound, _: np.random.Generator) -> Array:
    """Whether a word is heard, and from its onset on how long it will be."""
    return per_word(sound, np.array([[1, e.duration_s] for e in sound.events]))


def counted(sound: Sound, _: np.random.Generator) -> Array:
    """Whether a word is heard, and the remainders of its number by two and three."""
    return per_word(sound, np.array([[1, k % 2, k % 3] for k in range(len(sound.events))], dtype=float))


def tiring(sound: Sound, _: np.random.Generator) -> Array:
    """Whether a word is heard, with a response that falls from word to word and recovers in pauses."""
    level, last_s, levels = 1.0, 0.0, []
    for event in sound.events:
        level = min(1.0, 0.7 * level + 0.3 * (event.onset_s - last_s))
        last_s = event.onset_s
        levels.append([level])
    return per_word(sound, np.array(levels))


def background(sound: Sound, rng: np.random.Generator) -> Array:
    return np.stack([sound.course["background"][: len(sound.mel)], voice(sound, rng)[:, 0]], axis=1)


def of_words(*names: str) -> Knows:
    """Whether a word is heard, and something about it."""
    return lambda s, _: per_word(s, np.stack([np.ones(len(s.events)), *(s.word[n] for n in names)], axis=1))


def loudness(sound: Sound, _: np.random.Generator) -> Array:
    """The course of loudness, and functions of it that are not linear."""
    return with_functions(sound.mel.mean(axis=1))


def with_functions(course: Array) -> Array:
    z = (course - course.mean()) / course.std()
    return np.stack([z, z**2, z > -0.7, z > 0, z > 0.7, np.gradient(z)], axis=1)


def loudness_slowly(sound: Sound, _: np.random.Generator) -> Array:
    """The course of loudness, smoothed over a tenth of a second."""
    return with_functions(scipy.ndimage.gaussian_filter1d(sound.mel.mean(axis=1), 0.1 * FRAME_HZ))


def loudest_band(sound: Sound, _: np.random.Generator) -> Array:
    """The course of the loudest band."""
    return with_functions(sound.mel.max(axis=1))


def amplitude(sound: Sound, _: np.random.Generator) -> Array:
    """The course of the waveform's mean amplitude."""
    hops = np.abs(sound.wave[: len(sound.wave) // GRID.hop_length * GRID.hop_length].astype(float))
    return with_functions(np.log(np.resize(hops.reshape(-1, GRID.hop_length).mean(axis=1), len(sound.mel)) + 1))


def power(sound: Sound, _: np.random.Generator) -> Array:
    """The course of the sound's power [dB], the usual envelope, and functions of it that are not linear."""
    return with_functions(power_of(sound.mel)[:, 0])


def loudness_and_speaker(sound: Sound, rng: np.random.Generator) -> Array:
    return np.concatenate([loudness(sound, rng)[:, :1], of_words("speaker")(sound, rng)[:, 1:]], axis=1)


def drift(kind: str) -> Knows:
    """Nothing but a drift of its own."""

    def knows(sound: Sound, rng: np.random.Generator) -> Array:
        size = len(sound.mel) * GRID.hop_length
        return np.stack([DRIFTS[kind](size, rng)[:: GRID.hop_length] for _ in range(3)], axis=1)

    return knows


def unrelated(sound: Sound, rng: np.random.Generator) -> Array:
    """Nothing."""
    return rng.standard_normal((len(sound.mel), 1))


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
