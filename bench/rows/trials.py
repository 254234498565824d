"""What many short trials cost beside the same minutes as one recording: ingest, align, mel and contamination.

Whole runs of the workflow, with the start of Snakemake and of each job.  Every trial has its own arrays.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.harness import HOME, Contender, Figure, Measured, Run
from bench.rows.signals import npy_reader, save_brain, sound

TITLE = "many short trials, ingest to contamination, whole workflow"
TRIALS = (50, 240, 1000)
TRIAL_S, CHANNELS, EEG_HZ, SOUND_HZ = 3.1, 6, 600, 16000


def prepare(work: Path) -> None:
    for n in TRIALS:
        whole, cut = work / f"{n}, one recording", work / f"{n} trials"
        for folder in (whole, cut):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.json").write_text(json.dumps({"data": {"sheet": "recordings.tsv"}}))
        save_brain(whole / "r_eeg.npy", n * TRIAL_S, EEG_HZ, CHANNELS)
        np.save(whole / "r_audio.npy", sound(n * TRIAL_S, SOUND_HZ), allow_pickle=False)
        for kind, rate_hz in (("eeg", EEG_HZ), ("audio", SOUND_HZ)):
            read, _ = npy_reader(whole / f"r_{kind}.npy")
            rows = round(TRIAL_S * rate_hz)
            for i in range(n):
                np.save(cut / f"t{i}_{kind}.npy", read(i * rows, (i + 1) * rows), allow_pickle=False)
        _sheet(whole, ["r"])
        _sheet(cut, [f"t{i}" for i in range(n)])


def _sheet(folder: Path, ids: list[str]) -> None:
    """One session ``one`` of subject ``s``."""
    shared = {"subject": "s", "session": "one", "eeg_rate_hz": EEG_HZ, "audio_rate_hz": SOUND_HZ}
    shared |= {"eeg_units": "uV", "modality": "emg", "audio_modified": "none"}
    rows = [{"recording": i, "eeg": f"{i}_eeg.npy", "audio": f"{i}_audio.npy"} | shared for i in ids]
    lines = ["\t".join(map(str, line)) for line in [rows[0], *(row.values() for row in rows)]]
    (folder / "recordings.tsv").write_text("\n".join(lines) + "\n")


def _run(name: str) -> Callable[[Path], Run]:
    def start(work: Path) -> Run:
        folder = work / name
        targets = ["results/mel/s_one.h5", "results/contamination/s_one.h5"]
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(HOME / "Snakefile")]
        command += ["--configfile", "config.json", "--cores", "1", *targets]

        def run() -> None:
            for made in ("results", ".snakemake"):
                shutil.rmtree(folder / made, ignore_errors=True)
            subprocess.run(command, cwd=folder, check=True, capture_output=True)

        return run

    return start


def judge(m: Measured) -> list[Figure]:
    cpu = {n: m[f"{n} trials"].cpu for n in TRIALS}
    over = [Figure(f"{n} trials over one recording", cpu[n] / m[f"{n}, one recording"].cpu, "<=", 1.5) for n in TRIALS]
    most, fewest = TRIALS[-1], TRIALS[0]
    further = 1000 * (cpu[most] - m[f"{most}, one recording"].cpu) / most
    growth = float(np.polyfit(np.log(TRIALS), np.log(list(cpu.values())), 1)[0])
    return [
        *over,
        Figure("a trial of many, beyond its minutes [ms]", further),
        Figure(f"growth from {fewest} to {most} trials, exponent", growth, "<=", 1.05),
    ]


CONTENDERS = tuple(Contender(name, _run(name)) for n in TRIALS for name in (f"{n} trials", f"{n}, one recording"))
