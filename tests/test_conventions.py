"""What a Snakemake user expects of a workflow: a report, use as a module, benchmarks, one style."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, SMALL, jobs_run, snakemake

OUTER = """\
configfile: "lab.yaml"


module decoding:
    snakefile:
        {snakefile!r}
    config:
        config["decoding"]


use rule * from decoding as decoding_*


rule poster:
    default_target: True
    input:
        "results/eval.json",
    output:
        "poster.txt",
    shell:
        "wc -c {{input:q}} > {{output:q}}"
"""


@pytest.fixture
def finished(chain: Path, tmp_path: Path) -> Path:
    shutil.copytree(chain, tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def outer(finished: Path) -> Path:
    """A finished run in the folder of another workflow, which uses this one as a module."""
    (finished / "Snakefile").write_text(OUTER.format(snakefile=str(ROOT / "Snakefile")))
    (finished / "lab.yaml").write_text(yaml.safe_dump({"decoding": yaml.safe_load(SMALL), "colour": "blue"}))
    return finished


def run_outer(folder: Path) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stderr


@pytest.mark.slow
def test_another_workflow_uses_this_one_as_a_module(outer: Path) -> None:
    (outer / "results/contamination/sim01_run01.h5").unlink()
    (outer / "results/eval.json").unlink()
    assert jobs_run(run_outer(outer)) == ["decoding_contamination", "decoding_evaluate", "poster"]
    assert (outer / "poster.txt").read_text().split()[1] == "results/eval.json"


def test_a_bad_config_of_the_module_is_refused(outer: Path) -> None:
    (outer / "lab.yaml").write_text("decoding: {train: {seed: -1}}\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run"]
    result = subprocess.run(command, cwd=outer, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "[train.seed]: got -1" in result.stdout


def test_the_report_has_captions_and_categories(finished: Path) -> None:
    result = snakemake(finished, "--report", "report.html", "--", "results/eval.json")
    assert result.returncode == 0, result.stdout[-2000:]
    page = (finished / "report.html").read_text()
    for words in ("Scores", "Training", "Losses per epoch of sim01, fold 0", "a simulated subject", "leak"):
        assert words in page, words


def test_every_job_leaves_a_log_and_a_benchmark_and_neither_reruns_anything(finished: Path) -> None:
    logs = {p.relative_to(finished).with_suffix("") for p in finished.rglob("logs/**/*.log")}
    found = list(finished.rglob("logs/**/*.benchmark.tsv"))
    assert {Path(str(p.relative_to(finished)).removesuffix(".benchmark.tsv")) for p in found} == logs
    assert len(logs) == 13
    assert found[0].read_text().startswith("s\th:m:s\tmax_rss")
    shutil.rmtree(finished / "logs")
    assert "Nothing to be done" in snakemake(finished, "results/eval.json").stdout


def test_rules_are_formatted() -> None:
    command = [sys.executable, "-m", "snakefmt", "--check", "workflow"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_catalog_entry_says_how_to_run() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] is True
    assert set(usage["software-stack-deployment"].values()) == {False}
    captions = re.findall(r'caption="\.\./report/(.+?)"', "".join(p.read_text() for p in ROOT.rglob("rules/*.smk")))
    assert {"scores.rst", "report.rst", "training.rst"} == set(captions)
    assert all((ROOT / "workflow/report" / name).is_file() for name in captions)
