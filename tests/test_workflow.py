"""The Snakemake files themselves: lint, quoting, no computation, no torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, jobs_run

RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_without_a_target_everything_is_made(tmp_path: Path, snakefile: str) -> None:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / snakefile), "--cores", "1", "--dry-run"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "evaluate" in jobs_run(result.stdout + result.stderr), result.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda p: p.stem)
def test_every_value_in_a_shell_field_is_quoted(rule: Path) -> None:
    texts = re.findall(r'"([^"\n]*\{[^"\n]*)"', rule.read_text())
    commands = [t for t in texts if "--" in t or t.startswith("{resources.python")]
    assert commands
    for field in re.findall(r"\{([^{}]+)\}", " ".join(commands)):
        assert field.endswith(":q"), f"{rule.name}: {{{field}}}"


def test_reading_the_snakefile_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.path.insert(0, 'src'); import pipeline.run.plan;"
        "print(*(m for m in ('torch', 'pytorch_lightning', 'librosa', 'scipy', 'matplotlib') if m in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("name", ["a b", "x;touch pwned", "$(touch pwned)", "'; touch pwned; '"])
def test_a_config_value_cannot_reach_the_shell(tmp_path: Path, name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    (tmp_path / "c.yaml").write_text(f'simulate: {{speech: "{quoted}"}}\nfold: 0\n')
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    command += [
        "--configfile",
        str(tmp_path / "c.yaml"),
        "--directory",
        str(tmp_path),
        "results/simulated/recordings.tsv",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "simulate.speech" in result.stdout + result.stderr
    assert not (tmp_path / "pwned").exists()
