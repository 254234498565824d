"""The whole default chain, from nothing to the report, on 2 cores."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from bench.harness import Contender, Figure, Measured, Run
from bench.subject import run_workflow

TITLE = "default job: simulate … evaluate, 2 cores, wall time"


def prepare(work: Path) -> None:
    """Nothing: the job makes its own data."""


def whole(work: Path) -> Run:
    def run() -> None:
        shutil.rmtree(work / "run", ignore_errors=True)
        run_workflow(work / "run", {}, "results/eval.json", cores=2)

    return run


def stage_seconds(work: Path) -> dict[str, float]:
    """What each stage, and each network, says that its work took, without start and imports."""
    found = {}
    for log in sorted((work / "run/logs").rglob("*.log")):
        for name, seconds in re.findall(r"(\w+): done in ([\d.]+) s", log.read_text()):
            found[f"{name} {log.stem}" if name == "train" else name] = float(seconds)
    return found


def judge(m: Measured) -> list[Figure]:
    summary = json.loads((m.work / "run/results/eval.json").read_text())["summary"]
    keys = {"r": "pearson_r", "r on speech frames": "pearson_r_speech"}
    model, ridge = summary["model"], summary["ridge"]
    scores = [Figure(f"{name}, model minus ridge", model[k] - ridge[k]) for name, k in keys.items()]
    stages = [Figure(f"{name}, work alone [s]", seconds) for name, seconds in stage_seconds(m.work).items()]
    return [
        Figure("wall time [s]", min(m["default"].wall_s), "<=", 45.0),
        Figure("CPU time [s]", m["default"].cpu),
        Figure("r, all frames", model["pearson_r"], ">=", 0.700),
        Figure("r, speech frames", model["pearson_r_speech"], ">=", 0.337),
        *scores,
        *stages,
    ]


CONTENDERS = (Contender("default", whole, once=True),)
