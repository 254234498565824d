"""Clips of real speech for the simulator: a folder of ``.wav``, ``.flac`` and ``.npy`` files.

A ``.npy`` clip has no rate of its own: ``meta.json`` in the folder declares one per
clip (``{"clips": [{"name": …, "rate": …}, …]}``), or the config one for all.
Rates are never guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from pipeline.errors import InputError, Problem
from pipeline.raw.arrays import open_audio


@dataclass(frozen=True)
class Clip:
    """One utterance: its label and its sound, float32 (samples,) in [-1, 1]."""

    label: str
    samples: npt.NDArray[np.float32]


def read_clips(folder: Path, rate_hz: int, npy_rate_hz: float | None) -> list[Clip]:
    """All clips of ``folder`` in the order of their names, resampled to ``rate_hz``; stereo is averaged.

    Raises InputError for a folder without clips, a rate that nobody declares, or a file that cannot be read.
    """
    found = folder.glob("*") if folder.is_dir() else ()
    files = sorted(file for file in found if file.suffix.lower() in (".wav", ".flac", ".npy"))
    if not files:
        got = "no .wav, .flac or .npy file" if folder.is_dir() else "no such folder"
        raise InputError(
            Problem(
                str(folder),
                "simulate.speech",
                got,
                "a folder with clips of speech",
                "Name a folder of clips.",
            )
        )
    declared = _declared_rates_hz(folder / "meta.json")
    problems: list[Problem] = []
    clips: list[Clip] = []
    for file in files:
        try:
            reader = open_audio(file, "mean")
            clip_rate_hz = reader.rate_hz or declared.get(file.stem) or npy_rate_hz
            if clip_rate_hz is None:
                problems.append(_no_rate(file))
                continue
            wave = reader.read(0, reader.n_samples)[:, 0]
        except InputError as error:
            problems += error.problems
            continue
        scale = np.float32(1 / 32768 if wave.dtype == np.int16 else 1)
        label = "".join(c if c.isprintable() else "_" for c in file.stem)
        clips.append(Clip(label, soxr.resample(wave.astype(np.float32) * scale, clip_rate_hz, rate_hz)))
    if problems:
        raise InputError(problems)
    return clips


def _no_rate(file: Path) -> Problem:
    fix = "Set simulate.speech_rate_hz, or list the clip with its rate in the folder's meta.json."
    return Problem(str(file), "rate", "none declared", "the rate of the clip in Hz", fix)


def _declared_rates_hz(meta: Path) -> dict[str, float]:
    if not meta.is_file():
        return {}
    try:
        clips = json.loads(meta.read_text(encoding="utf-8"))["clips"]
        rates = {str(clip["name"]): float(clip["rate"]) for clip in clips}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        expected = '{"clips": [{"name": "…", "rate": 22050}, …]}'
        raise InputError(Problem(str(meta), "clips", what, expected, "Correct or remove the file.")) from None
    wrong = {name: rate for name, rate in rates.items() if not 1000 <= rate <= 1e6}
    if wrong:
        name, rate = next(iter(wrong.items()))
        raise InputError(
            Problem(str(meta), f"clips, {name}", f"rate {rate}", "1000 to 1000000 Hz", "State the rate in Hz.")
        )
    return rates
