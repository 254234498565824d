"""The contamination check where the truth is known: simulated subjects with and without a leak of sound.

    python -m bench.contamination --seeds 24

Each seed is 3 minutes and 32 channels of the simulator as raw arrays, whose high gamma follows the sound.  Prints the
table of docs/eval_json.md: how many are suspect, and in how many the check says that it would see a leak so strong.
About 5 s of CPU per seed and row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.config.contamination import ContaminationCheck
from pipeline.config.simulate import SimulateConfig
from pipeline.evaluation.contamination import Contamination, SignalPair, check_contamination
from pipeline.simulation.subject import make_eeg, make_implant, make_sound

Array = np.ndarray
Change = Callable[[Array, Array, SimulateConfig, np.random.Generator], tuple[Array, Array]]
PLACE, SOUND = (0, 0), 0


@dataclass(frozen=True)
class Case:
    """A kind of recording: its leak, how late that comes, and what else is in both signals."""

    text: str
    leak_db: float | None = None
    channels: int = 1
    late_s: float = 0.0
    hum: bool = False


CASES = (
    Case("no leak"),
    Case("no leak; a loud hum in both, louder and softer at the same moments", hum=True),
    Case("leak of -12 dB in four channels", -12.0, 4),
    Case("leak of -15 dB in one channel", -15.0),
    Case("leak of -20 dB in one channel", -20.0),
    Case("leak of -20 dB in one channel, 0.3 s late", -20.0, late_s=0.3),
    Case("leak of -30 dB in one channel", -30.0),
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


def checked(case: Case, seed: int, minutes: float) -> Contamination:
    """One draw of a case; a late leak is one at lag 0 whose clock is wrong by as much."""
    leak = {} if case.leak_db is None else {"leak_db": case.leak_db, "leak_channels": case.channels}
    mode = "contaminated" if leak else "linked"
    config = SimulateConfig.model_validate(
        {"mode": mode, "seed": seed, "minutes": minutes, "audio_rate_hz": 16000, **leak}
    )
    sound = make_sound(config, PLACE, SOUND, None)
    neural, _ = make_eeg(config, PLACE, make_implant(config, 0), sound, sound)
    heard: Array = sound.samples
    if case.hum:
        neural, heard = with_hum(neural, heard, config, np.random.default_rng(seed))
    pair = SignalPair(neural, heard, config.audio_offset_s - case.late_s, config.audio_drift_ppm)
    rates_hz = float(config.eeg_rate_hz), float(config.audio_rate_hz)
    check = ContaminationCheck()
    return check_contamination([pair], *rates_hz, check, recording="s", line_noise_hz=config.line_noise_hz)


def main() -> None:
    parser = argparse.ArgumentParser(description="the contamination check where the truth is known")
    parser.add_argument("--seeds", type=int, default=24, help="how many")
    parser.add_argument("--first", type=int, default=100, help="the first seed")
    parser.add_argument("--minutes", type=float, default=3.0, help="length of each subject")
    parser.add_argument("--rows", nargs="*", default=[""], help="words, one of which the texts of the rows contain")
    options = parser.parse_args()
    print("| recording | suspect | P < .05 expected | says that it would see it |", "|---|---|---|---|", sep="\n")
    for case in (case for case in CASES if any(word in case.text for word in options.rows)):
        found = [checked(case, options.first + k, options.minutes) for k in range(options.seeds)]
        suspect = sum(own.result == "suspect" for own in found)
        levels = [own.detectable_db for own in found if own.detectable_db is not None]
        seen = "–" if case.leak_db is None else f"{sum(level <= case.leak_db for level in levels)}"
        expected = "5 %" if case.leak_db is None else "all"
        print(f"| {case.text} | {suspect} of {len(found)} | {expected} | {seen} |", flush=True)


if __name__ == "__main__":
    main()
