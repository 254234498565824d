"""A small run with ``fold: final``, and what runs main.py and the other commands in its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

CONFIG = {
    "fold": "final",
    "simulate": {"minutes": 1.2, "channels": 8, "dead_channels": 1, "noisy_channels": 1},
    "split": {"folds": 2, "validation_fraction": 0.2},
    "model": {"preset": "tiny", "networks": 2},
    "train": {"max_steps": 6, "steps_per_epoch": 2, "lr": 0.002},
    "predict": {"importance": False, "attention_windows": 1},
    "export": {"audio": "none"},
    "evaluate": {"bootstrap": 100, "report": False},
}


def written(place: Path, **changes: object) -> Path:
    """A config file with sections replaced key by key."""
    values: dict = json.loads(json.dumps(CONFIG))
    for section, value in changes.items():
        values[section] = values.get(section, {}) | value if isinstance(value, dict) else value
    place.write_text(yaml.safe_dump(values))
    return place


def main(work: Path, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "main.py"), "--config", str(config), "--cores", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)


def pipeline(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)
