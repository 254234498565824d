"""The contamination check where the truth is known: simulated subjects with and without a leak of sound.

    python -m bench.contamination --seeds 32
    python -m bench.contamination --seeds 32 --first 200 --cases 0 1 2    # some of them, on other seeds

Each seed is 3 minutes and 32 channels of the simulator as raw arrays, whose high gamma follows the sound.  Prints the
tables of docs/statistics.md: how many are suspect, and how often a leak is found that has, beside a channel, the level
that the check states for the recording (``detectable_db``), or some dB more or less.  20 s of CPU per seed.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import scipy.signal
import soxr

from pipeline.config.contamination import ContaminationCheck
from pipeline.config.simulate import SimulateConfig
from pipeline.evaluation.contamination import Contamination, check_contamination
from pipeline.evaluation.leak_spectra import SignalPair, compared_hz
from pipeline.simulation.subject import make_eeg, make_implant, make_sound

Array = np.ndarray
PLACE, SOUND = (0, 0), 0
STRONGER_DB = (2.0, 0.0, -2.0, -4.0)


@dataclass(frozen=True)
class Case:
    """A kind of recording: its leak, how late that comes, and what else is in both signals."""

    text: str
    leak_db: float | None = None
    late_s: float = 0.0
    hum: bool = False
    drift_ppm: float = 0.0


CASES = (
    Case("no leak"),
    Case("no leak; a loud hum in both, louder and softer at the same moments", hum=True),
    Case("leak of -20 dB in one channel", -20.0),
    Case("the same, 0.3 s late", -20.0, late_s=0.3),
    Case("the same, 0.3 s late, by a clock that runs 50 ppm faster than the sheet says", -20.0,
         late_s=0.3, drift_ppm=50.0),
    Case("the same at lag 0, and the hum", -20.0, hum=True),
    Case("leak of -25 dB in one channel", -25.0),
)  # fmt: skip


def with_hum(neural: Array, sound: Array, config: SimulateConfig, rng: np.random.Generator) -> tuple[Array, Array]:
    """50 Hz and its harmonics, with one course of loudness."""
    knots, added = np.exp(rng.normal(0, 0.7, 400)), []
    for signal, rate_hz, level in ((neural, config.eeg_rate_hz, 600.0), (sound[:, None], config.audio_rate_hz, 3000.0)):
        time_s = np.arange(len(signal)) / rate_hz
        wave = sum(np.sin(2 * np.pi * config.line_noise_hz * h * time_s + h) / h for h in range(1, 9))
        course = level * np.interp(2 * time_s, np.arange(len(knots)), knots)
        added.append((signal + (course * wave)[:, None]).astype(np.float32))
    return added[0], added[1][:, 0]


@lru_cache(maxsize=3)
def simulated(leak_db: float | None, seed: int, minutes: float) -> tuple[SimulateConfig, Array, Array]:
    """Brain and sound of one draw."""
    leak = {"mode": "linked"} if leak_db is None else {"mode": "contaminated", "leak_db": leak_db, "leak_channels": 1}
    config = SimulateConfig.model_validate({"seed": seed, "minutes": minutes, "audio_rate_hz": 16000, **leak})
    sound = make_sound(config, PLACE, SOUND, None)
    return config, make_eeg(config, PLACE, make_implant(config, 0), sound, sound)[0], sound.samples


def recording(case: Case, seed: int, minutes: float) -> tuple[SimulateConfig, Array, Array]:
    """Brain and sound of one draw of a case."""
    config, neural, heard = simulated(case.leak_db, seed, minutes)
    return (config, *(with_hum(neural, heard, config, np.random.default_rng(seed)) if case.hum else (neural, heard)))


def checked(case: Case, config: SimulateConfig, neural: Array, heard: Array) -> Contamination:
    """What the check says; a late leak is one at lag 0 whose clock is wrong by as much."""
    drift_ppm = config.audio_drift_ppm + case.drift_ppm
    pair = SignalPair(neural, heard, config.audio_offset_s - case.late_s, drift_ppm)
    rates_hz = float(config.eeg_rate_hz), float(config.audio_rate_hz)
    check = ContaminationCheck()
    return check_contamination([pair], *rates_hz, check, recording="s", line_noise_hz=config.line_noise_hz)


def of_stated(seed: int, minutes: float) -> list[bool]:
    """Whether leaks :data:`STRONGER_DB` than the stated level are found in a channel of their own each."""
    config, neural, heard = recording(CASES[0], seed, minutes)
    stated = checked(CASES[0], config, neural, heard).detectable_db
    if stated is None:
        return []
    waveform = on_neural_clock(config, len(neural), heard)
    live = np.flatnonzero(neural.std(axis=0))
    channels = np.random.default_rng(seed).choice(live, len(STRONGER_DB), replace=False)
    found = []
    for stronger, channel in zip(STRONGER_DB, channels, strict=True):
        leaking = neural.astype(np.float32)
        ratio = band_power(config, leaking[:, channel], "median") / band_power(config, waveform, "mean")
        leaking[:, channel] += 10 ** ((stated + stronger) / 20) * np.sqrt(ratio) * waveform
        found.append(checked(CASES[0], config, leaking, heard).result == "suspect")
    return found


def on_neural_clock(config: SimulateConfig, samples: int, heard: Array) -> Array:
    """The sound's waveform at the times of the neural samples."""
    dense = soxr.resample(heard.astype(np.float32), config.audio_rate_hz, 8 * config.eeg_rate_hz)
    neural_s = np.arange(samples) / config.eeg_rate_hz
    audio_s = (neural_s - config.audio_offset_s) / (1 + config.audio_drift_ppm * 1e-6)
    return np.interp(audio_s, np.arange(len(dense)) / (8 * config.eeg_rate_hz), dense, 0.0, 0.0)


def band_power(config: SimulateConfig, series: Array, average: Literal["mean", "median"]) -> float:
    """Power at the frequencies that are compared, by Welch's method."""
    frequencies, powers = scipy.signal.welch(series, config.eeg_rate_hz, nperseg=410, average=average)
    compared = compared_hz(float(config.eeg_rate_hz), ContaminationCheck().band_hz, config.line_noise_hz)
    return float(np.interp(compared, frequencies, powers).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description="the contamination check where the truth is known")
    parser.add_argument("--seeds", type=int, default=32, help="how many")
    parser.add_argument("--first", type=int, default=100, help="the first seed")
    parser.add_argument("--minutes", type=float, default=3.0, help="length of each subject")
    parser.add_argument("--cases", type=int, nargs="+", choices=range(len(CASES)), help="rows of the table alone")
    options = parser.parse_args()
    cases = [CASES[number] for number in options.cases or range(len(CASES))]
    found: dict[str, list[Contamination]] = {case.text: [] for case in cases}
    stated = []
    for seed in range(options.first, options.first + options.seeds):
        for case in cases:
            found[case.text].append(checked(case, *recording(case, seed, options.minutes)))
        if not options.cases:
            stated.append(of_stated(seed, options.minutes))
    print("| recording | suspect | level that it finds, median (range) [dB] |", "|---|---|---|", sep="\n")
    for text, own in found.items():
        suspect = sum(one.result == "suspect" for one in own)
        levels = sorted(one.detectable_db for one in own if one.detectable_db is not None)
        level = f"{levels[len(levels) // 2]:g} ({levels[0]:g} … {levels[-1]:g})"
        print(f"| {text} | {suspect} of {len(own)} | {level} |")
    if stated:
        print("\n| leak, over the stated level [dB] | found |", "|---|---|", sep="\n")
        for stronger, hits in zip(STRONGER_DB, zip(*filter(None, stated), strict=True), strict=True):
            print(f"| {stronger:+g} | {sum(hits)} of {len(hits)} |")


if __name__ == "__main__":
    main()
