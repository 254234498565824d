"""A simulated subject that the model rows train on: features and mels as training gets them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import HOME

if TYPE_CHECKING:
    from pipeline.artifacts.windows import Windows
    from pipeline.data.subject import SubjectArrays
    from pipeline.data.training_data import TrainingData
    from pipeline.model.presets import Architecture


def run_workflow(folder: Path, config: Mapping[str, object], *arguments: str, cores: int = 1) -> None:
    """The workflow in ``folder``; ends the benchmark with its output where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(HOME / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "config.json"), "--cores", str(cores), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def prepare(work: Path) -> None:
    """Three minutes, 32 channels: the built-in default up to its windows."""
    if not (work / "results/windows/sim01.h5").exists():
        run_workflow(work, {}, "results/windows/sim01.h5", "results/mel/sim01_run01.h5")


@lru_cache(maxsize=1)
def loaded(work: Path) -> tuple[Windows, SubjectArrays]:
    """Windows and arrays of the subject."""
    from pipeline.artifacts.windows import read_windows
    from pipeline.config.base import pick
    from pipeline.config.loader import load_config
    from pipeline.config.train import SubjectSettings
    from pipeline.data.subject import load_subject

    windows = read_windows(work / "results/windows/sim01.h5")
    files = [work / "results/aligned/sim01_run01.h5"], [work / "results/mel/sim01_run01.h5"]
    config = load_config([work / "config.json"])
    return windows, load_subject(windows, *files, pick(SubjectSettings, config))


def training_data(work: Path) -> TrainingData:
    """Fold 0 of the subject."""
    from pipeline.data.training_data import TrainingData

    windows, arrays = loaded(work)
    roles = {role: windows.of(0, role) for role in ("train", "validation")}
    return TrainingData(arrays.features, arrays.mel, [0], roles["train"], roles["validation"], length=96, context=26)


def architecture(n_channels: int) -> Architecture:
    """The default network for a few minutes of data, without the ridge that it may correct."""
    from pipeline.model.presets import Architecture

    return Architecture(
        n_channels, 80, length_frames=96, context_frames=26, encoder_dropout=0.4, decoder_dropout=0.3, ridge_skip=False
    )
