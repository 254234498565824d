"""Every command of the README is run, on a small finished run; its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, SMALL

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.split("  #")[0].strip() for kind, text in BLOCKS if not kind for line in text.splitlines() if line.strip()
]
CONFIG = next(yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml")
#: The two commands are what CI runs first, and what runs this test.
BY_CI = {"make run", "make test"}
#: Whole runs; the others take seconds on what a run left.
WHOLE_RUNS = {
    "snakemake --cores 8 results/eval.json",
    "python main.py --config config/config.toml",
    "seeg-to-audio run my.yaml",
}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of the README where its environment is active and the checkout is ``folder``."""
    # The oldest: a command before may have trained on other data than new.tsv is like.
    runs = sorted(folder.glob("results/train/sim01/fold0/runs/*"), key=lambda run: run.stat().st_mtime)
    run_dir = runs[0] if runs else Path("none")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = command.replace("DIGEST", run_dir.name[:8])
    return subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def checkout(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which ``make run`` ran, with a default config that is as small as the tests' own."""
    folder = tmp_path_factory.mktemp("readme") / "checkout"
    shutil.copytree(chain, folder)
    for name in ("src", "workflow", "profiles", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("Snakefile", "main.py"):
        shutil.copy2(ROOT / name, folder)
    small = yaml.safe_load(SMALL)
    (folder / "config/config.yaml").write_text(SMALL)
    (folder / "config/config.toml").write_text(as_toml(small))
    lab = {name: values for name, values in small.items() if name not in ("simulate", "fold")} | CONFIG
    simulated = folder / "results/simulated"
    sheet = (simulated / "recordings.tsv").read_text()
    (folder / "new.tsv").write_text(sheet.replace("\tsim01_run01_", "\tresults/simulated/sim01_run01_"))
    (folder / "my.yaml").write_text(yaml.safe_dump(lab | {"split": {"folds": 2, "validation_fraction": 0.2}}))
    return folder


def as_toml(config: dict) -> str:
    flat = [f"{name} = {values}" for name, values in config.items() if not isinstance(values, dict)]
    for name, values in config.items():
        if isinstance(values, dict):
            flat.append(f"[{name}]")
            flat += [f"{key} = {str(v).lower() if isinstance(v, bool) else repr(v)}" for key, v in values.items()]
    return "\n".join(flat) + "\n"


def test_the_readme_has_the_commands_that_these_tests_know() -> None:
    assert set(COMMANDS) >= BY_CI | WHOLE_RUNS
    assert len(COMMANDS) == len(set(COMMANDS)) > 10


def test_ci_runs_the_two_commands() -> None:
    assert set((ROOT / ".ci/run").read_text().splitlines()) >= BY_CI


def ordered(commands: list[str]) -> list[object]:
    return [pytest.param(c, marks=[pytest.mark.slow] if c in WHOLE_RUNS else []) for c in commands if c not in BY_CI]


@pytest.mark.parametrize("command", ordered(COMMANDS))
def test_a_command_of_the_readme_works(checkout: Path, command: str) -> None:
    if "my.yaml" in command and not (checkout / "raw").exists():
        assert run("seeg-to-audio simulate --out raw --minutes 3 --channels 16", checkout).returncode == 0
    if command.startswith("seeg-to-audio simulate"):
        shutil.rmtree(checkout / "raw", ignore_errors=True)
    result = run(command, checkout)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    generated = {"configuration.md", "reference/signal.md", "reference/python.md"}
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http", "mailto")) and target not in generated:
            assert ((ROOT / page).parent / target).exists(), target
