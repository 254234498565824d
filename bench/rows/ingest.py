"""Ingest of a 2 GB recording against ``cp`` and ``sha256sum`` of the same file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.harness import HOME, Contender, Figure, Measured, Run
from bench.rows.signals import save_brain

TITLE = "ingest of 2 GB (uncompressed), whole process"
RATE_HZ, CHANNELS, BYTES = 1024, 128, 2_000_000_000


def prepare(work: Path) -> None:
    save_brain(work / "eeg.npy", BYTES / (4 * CHANNELS * RATE_HZ), RATE_HZ, CHANNELS)


def ours(work: Path) -> Run:
    from pipeline.config.loader import load_config
    from pipeline.config.stages import stage_json

    (work / "config.json").write_text("{}")
    config = stage_json("ingest", load_config([work / "config.json"]))
    row = {"subject": "s01", "recording": "r01", "eeg": "eeg.npy", "eeg_rate_hz": RATE_HZ, "eeg_units": "uV"}
    command = [sys.executable, str(HOME / "workflow/scripts/ingest.py"), "--config", config, "--log", str(work / "log")]
    command += ["--row", json.dumps(row), "--content", "--raw", str(work / "eeg.npy")]
    command += ["--output", str(work / "recording.h5")]
    return lambda: subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def copy_and_hash(work: Path) -> Run:
    def run() -> None:
        subprocess.run(["cp", str(work / "eeg.npy"), str(work / "copy.npy")], check=True)
        # cp ends before its pages are on disk; ingest waits for them.
        subprocess.run(["sync", str(work / "copy.npy")], check=True)
        subprocess.run(["sha256sum", str(work / "eeg.npy")], check=True, stdout=subprocess.DEVNULL)

    return run


def judge(m: Measured) -> list[Figure]:
    theirs = m["cp + sha256sum"]
    return [
        Figure("CPU time over cp + sha256sum", m["ours"].cpu / theirs.cpu, "<=", 1.5),
        Figure("wall time over cp + sha256sum", m["ours"].wall / theirs.wall, "<=", 1.5),
        Figure("peak memory [MB]", m["ours"].peak_mb, "<=", 200),
    ]


CONTENDERS = (Contender("ours", ours), Contender("cp + sha256sum", copy_and_hash))
