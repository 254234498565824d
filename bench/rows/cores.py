"""Eight recordings on one core and on two: ingest, align, mel and contamination of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run
from bench.rows.signals import save_brain, sound
from bench.subject import run_workflow

TITLE = "8 recordings (10 min × 64 channels each) from raw files to mel, features and contamination"
RECORDINGS, SECONDS, CHANNELS = 8, 600, 64


def prepare(work: Path) -> None:
    lines = ["\t".join(("subject", "recording", "eeg", "eeg_rate_hz", "eeg_units", "audio", "audio_rate_hz"))]
    for i in range(RECORDINGS):
        save_brain(work / f"eeg{i}.npy", SECONDS, 1024, CHANNELS)
        array = np.load(work / f"eeg{i}.npy", mmap_mode="r+")
        array[0] = i  # equal files would be refused as copies
        sound_data = sound(SECONDS, 48000)
        sound_data[0] = i
        np.save(work / f"audio{i}.npy", sound_data)
        lines.append(f"s{i}\tr{i}\teeg{i}.npy\t1024\tuV\taudio{i}.npy\t48000")
    (work / "recordings.tsv").write_text("\n".join(lines) + "\n")


def _on(cores: int) -> Callable[[Path], Run]:
    kinds = ("aligned", "mel", "contamination")
    targets = [f"results/{kind}/r{i}.h5" for kind in kinds for i in range(RECORDINGS)]

    def start(work: Path) -> Run:
        folder, config = work / f"{cores}", {"data": {"sheet": str(work / "recordings.tsv")}}

        def run() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            run_workflow(folder, config, *targets, cores=cores)

        return run

    return start


def judge(m: Measured) -> list[Figure]:
    """The best run of each, since wall time is what counts here and others may use the machine.

    On paper: Amdahl's law with what two cores left serial.
    """
    one, two = min(m["1 core"].wall_s), min(m["2 cores"].wall_s)
    serial = max(0.0, 2 * two / one - 1)
    paper = [Figure(f"{n} cores on paper", 1 / (serial + (1 - serial) / n)) for n in (4, 8, 16)]
    return [
        Figure("times faster on 2 cores than on one, wall", one / two, ">=", 1.8),
        Figure("serial share", serial),
        *paper,
    ]


CONTENDERS = (Contender("1 core", _on(1)), Contender("2 cores", _on(2)))
