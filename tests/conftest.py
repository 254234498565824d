"""One small run of the whole workflow, shared by the tests that look at what it left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SMALL = """\
fold: 0
simulate: {minutes: 1.5, channels: 8, dead_channels: 1, noisy_channels: 1}
split: {folds: 3, validation_fraction: 0.2}
model: {preset: tiny}
train: {max_steps: 30, steps_per_epoch: 15}
vocode: {iterations: 4}
evaluate: {bootstrap: 100}
export: {npy: true, pt: true}
"""


def snakemake(work: Path, *arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the workflow in ``work``; output is in ``.stdout``."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--configfile", str(config or work / "config.yaml"), "--directory", str(work)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        check=False,
    )


def jobs_run(output: str) -> list[str]:
    """The rules that Snakemake really ran, in order."""
    return [line.split(":")[0].split()[-1] for line in output.splitlines() if line.startswith(("rule ", "localrule "))]


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory of a finished small run, with spaces and Unicode in its path."""
    work = tmp_path_factory.mktemp("chain") / "a wörk dir"
    work.mkdir()
    (work / "config.yaml").write_text(SMALL)
    result = snakemake(work, "results/eval.json")
    assert result.returncode == 0, result.stdout[-4000:]
    return work
