"""Copy synthesis: real speech to mel, through each vocoder, and back to mel.  What a vocoder alone costs.

    python bench/copy_synthesis.py --speech FOLDER [--checkpoint NAME CHECKPOINT CONFIG]... [--clips N]

FOLDER holds ``.npy`` clips, int16 at 22 050 Hz.  Prints a row per vocoder: r over time per mel band
(mean over bands of all clips joined; worst band; worst clip), mean absolute error [nat], STOI,
and processor seconds per second of sound on one thread.  Docs: ``docs/vocoding.md``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pystoi
import torch

from pipeline.config.mel import MelConfig
from pipeline.config.vocode import VocodeConfig
from pipeline.signal.mel import log_mel, mel_filter_bank
from pipeline.vocoder.base import Vocoder
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.hifigan import HifiGan
from pipeline.vocoder.hifigan_config import read_hifigan_config
from pipeline.vocoder.pulses import Pulses

RATE_HZ = 22050
COLUMNS = ("vocoder", "mel", "r", "r, worst band", "r, worst clip", "MAE [nat]", "STOI", "s per s of sound")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def main() -> None:
    """A row for each vocoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--checkpoint", nargs=3, action="append", default=[], metavar=("NAME", "CHECKPOINT", "CONFIG"))
    parser.add_argument("--clips", type=int, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips = [np.load(file, allow_pickle=False) for file in sorted(options.speech.glob("*.npy"))[: options.clips]]
    print(f"{len(clips)} clips, {sum(map(len, clips)) / RATE_HZ:.0f} s\n\n{HEAD}")
    for flavor in ("tacotron2", "hifigan"):
        mel = MelConfig(flavor=flavor)
        griffin_lim = GriffinLim(mel_filter_bank(mel), mel, VocodeConfig())
        print(row("Griffin-Lim", clips, mel, griffin_lim), flush=True)
        print(row("pulses", clips, mel, Pulses(griffin_lim, VocodeConfig().pitch_hz)), flush=True)
    mel = MelConfig(flavor="hifigan")
    for name, checkpoint, config in options.checkpoint:
        print(row(name, clips, mel, HifiGan(Path(checkpoint), read_hifigan_config(Path(config), mel))), flush=True)


def row(name: str, clips: list[np.ndarray], mel: MelConfig, vocoder: Vocoder) -> str:
    """One line of the table."""
    targets, found, stoi, seconds = [], [], [], 0.0
    for clip in clips:
        target = log_mel(clip, RATE_HZ, mel)
        sound, taken_s = timed(partial(vocoder, target))
        seconds += taken_s
        again = log_mel(np.clip(sound, -1, 1), RATE_HZ, mel)
        frames = min(len(target), len(again))
        targets.append(target[:frames])
        found.append(again[:frames])
        n = min(len(clip), len(sound))
        stoi.append(pystoi.stoi(clip[:n] / 32768, sound[:n], RATE_HZ))
    by_band = band_r(np.concatenate(targets), np.concatenate(found))
    by_clip = [float(band_r(a, b).mean()) for a, b in zip(targets, found, strict=True)]
    mae = float(np.abs(np.concatenate(targets) - np.concatenate(found)).mean())
    speed = seconds / (sum(map(len, clips)) / RATE_HZ)
    return (
        f"| {name} | {mel.flavor} | {by_band.mean():.3f} | {by_band.min():.3f} | {min(by_clip):.3f} | {mae:.2f} "
        f"| {np.mean(stoi):.3f} | {speed:.2f} |"
    )


def timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What a call returns, and the processor time that it took [s]."""
    start_s = time.process_time()
    result = call()
    return result, time.process_time() - start_s


def band_r(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Pearson r over time of each band."""
    a, b = one - one.mean(axis=0), two - two.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


if __name__ == "__main__":
    main()
