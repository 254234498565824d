"""One small run of the whole workflow, shared by the tests that look at what it left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from final_run import main, written

if TYPE_CHECKING:
    from live_lab import Lab

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
#: Parts of the shared run's folder, user and host names: nothing that it leaves may hold them (test_privacy.py).
CANARIES = {"folder": "canary-folder-7f3a", "user": "canary-user-7f3a", "host": "canary-host-7f3a"}
RENAMED_HOST = f"""\
import os, platform, socket
socket.gethostname = socket.getfqdn = platform.node = lambda *_: {CANARIES["host"]!r}
os.uname = lambda given=os.uname(): os.uname_result((given[0], {CANARIES["host"]!r}, *given[2:]))
"""


def snakemake(
    work: Path, *arguments: str, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the workflow in ``work``; output is in ``.stdout``."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--configfile", str(config or work / "config.yaml"), "--directory", str(work)]
    return subprocess.run(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        check=False,
    )


def jobs_run(output: str) -> list[str]:
    """The rules that Snakemake really ran, in order."""
    return [line.split(":")[0].split()[-1] for line in output.splitlines() if line.startswith(("rule ", "localrule "))]


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory of a finished small run, with spaces and Unicode in its path, and canaries in its names."""
    work = tmp_path_factory.mktemp("chain") / f"a wörk dir of {CANARIES['folder']}"
    work.mkdir()
    (host := tmp_path_factory.mktemp("host")).joinpath("sitecustomize.py").write_text(RENAMED_HOST)
    names = {"USER": CANARIES["user"], "LOGNAME": CANARIES["user"], "HOSTNAME": CANARIES["host"]}
    (work / "config.yaml").write_text(SMALL)
    result = snakemake(work, "results/eval.json", environment={**names, "PYTHONPATH": str(host)})
    assert result.returncode == 0, result.stdout[-4000:]
    return work


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of main.py with ``fold: final`` and what it printed."""
    work = tmp_path_factory.mktemp("final") / "work"
    work.mkdir()
    result = main(work, written(work / "config.yaml"))
    assert result.returncode == 0, result.stderr[-3000:]
    return SimpleNamespace(work=work, results=work / "results", printed=result.stdout)


@pytest.fixture(scope="session", params=["envelope, running normalisation", "raw signal"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A simulated session and a causal model with random weights for it."""
    from live_lab import VARIANTS, Lab  # torch, which most tests do without

    return Lab(tmp_path_factory.mktemp("live"), VARIANTS[request.param])
