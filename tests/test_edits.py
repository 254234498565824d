"""Code that is edited while a run is at work: no stage publishes what two versions of the code made together."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from pipeline.artifacts.core import header
from pipeline.provenance.fingerprint import code_fingerprints

#: As the stage runs, just before it writes its mel.
EDITED_MEANWHILE = """
import runpy, sys
from pathlib import Path
import pipeline.artifacts.mel as mel
edited, write_mel = Path(sys.argv.pop(1)), mel.write_mel
def write(*arguments):
    if edited.name:
        edited.write_text(edited.read_text() + "ANOTHER = 1\\n")
    return write_mel(*arguments)
mel.write_mel = write
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A scratch copy of the source tree."""
    for part in ("src", "workflow"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tmp_path


def mel(source: Path, chain: Path, *, edited: str = "") -> subprocess.CompletedProcess[str]:
    """The stage mel with the code of ROOT as that of its run; ``edited`` is appended to while it is at work."""
    script = "workflow/scripts/mel.py"
    code = [f"{name}:{found}" for name, found in code_fingerprints([ROOT / script])["mel"].items()]
    config = header(chain / "results/mel/sim01_run01.h5")["config_json"]
    command = [sys.executable, "-c", EDITED_MEANWHILE, str(source / edited) if edited else "", str(source / script)]
    command += ["--config", config, "--code", *code, "--log", str(source / "mel.log")]
    command += ["--aligned", "results/aligned/sim01_run01.h5", "--output", str(source / "mel.h5")]
    environment = {**os.environ, "PYTHONPATH": str(source / "src")}
    return subprocess.run(command, cwd=chain, env=environment, capture_output=True, text=True, check=False)


def test_a_stage_runs_with_the_code_of_its_run(source: Path, chain: Path) -> None:
    result = mel(source, chain)
    assert result.returncode == 0, result.stderr
    assert (source / "mel.h5").is_file()


@pytest.mark.parametrize("module", ["signal/mel.py", "config/base.py"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_an_edit_while_a_run_is_at_work_ends_the_stage(source: Path, chain: Path, module: str, when: str) -> None:
    place = f"src/pipeline/{module}"
    if when == "before":
        (source / place).write_text((source / place).read_text() + "ANOTHER = 1\n")
    result = mel(source, chain, edited=place if when == "meanwhile" else "")
    assert result.returncode == 2, result.stderr
    name = f"pipeline.{module.removesuffix('.py').replace('/', '.')}"
    assert f"error: {name}[code]: got an edit while the run was at work" in result.stderr
    assert not (source / "mel.h5").exists()
    assert list(source.glob(".mel*")) == []


def test_a_comment_while_a_run_is_at_work_does_no_harm(source: Path, chain: Path) -> None:
    path = source / "src/pipeline/signal/mel.py"
    path.write_text(path.read_text() + "# A comment.\n")
    assert mel(source, chain).returncode == 0
