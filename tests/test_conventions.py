"""What a Snakemake user expects of a workflow: a report, use as a module, benchmarks, one style."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, SMALL, jobs_run, snakemake
from pipeline.config.loader import load_config

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


def test_the_linter_finds_nothing() -> None:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow/Snakefile"), "--lint"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_another_workflow_uses_this_one_as_a_module(outer: Path) -> None:
    shutil.rmtree(outer / ".snakemake/plan")
    (outer / "results/recordings/sim01_run01.h5").unlink()
    (outer / "results/contamination/sim01_run01.h5").unlink()
    (outer / "results/eval.json").unlink()
    jobs = jobs_run(run_outer(outer))
    assert {f"decoding_{stage}" for stage in ("ingest", "contamination", "evaluate")} < set(jobs)
    assert jobs[-1] == "poster"
    assert (outer / "poster.txt").read_text().split()[1] == "results/eval.json"


#: What Snakemake asks of conda. The environment that it makes has one program, which leaves a mark and hands on.
CONDA = """\
#!/bin/bash
case "$*" in
  "info --json") echo '{{"conda_prefix": "{place}", "platform": "linux-64"}}' ;;
  "--version") echo "conda 25.1.0" ;;
  "config --get channel_priority --json") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  "env create"*)
    prefix=$(sed "s/.*--prefix '\\?\\([^ ']*\\).*/\\1/" <<< "$*")
    mkdir -p "$prefix/bin"
    printf '#!/bin/sh\\necho "$*" >> "{place}/ran"\\nexec "{python}" "$@"\\n' > "$prefix/bin/python"
    chmod +x "$prefix/bin/python" ;;
  "clean -y --tarballs") ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac
"""


def test_jobs_run_in_the_environment_of_conda_where_it_is_asked_for(finished: Path, tmp_path: Path) -> None:
    place = tmp_path / "conda"
    (place / "bin").mkdir(parents=True)
    (place / "bin/activate").write_text('export PATH="$1/bin:$PATH"\n')
    (place / "bin/conda").write_text(CONDA.format(place=place, python=sys.executable))
    (place / "bin/conda").chmod(0o755)
    path = {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    again = finished / "results/contamination/sim01_run01.h5"
    again.unlink()
    result = snakemake(finished, "--sdm", "conda", "--", "results/contamination/sim01_run01.h5", environment=path)
    assert jobs_run(result.stdout) == ["contamination"], result.stdout[-3000:]
    assert "contamination.py" in (place / "ran").read_text()
    nothing = snakemake(finished, "results/contamination/sim01_run01.h5").stdout
    assert "Nothing to be done" in nothing, nothing[-3000:]
    again.unlink()
    (place / "ran").unlink()
    assert jobs_run(snakemake(finished, "results/contamination/sim01_run01.h5", environment=path).stdout)
    assert not (place / "ran").exists(), "without --sdm the interpreter that started Snakemake runs the jobs"


def test_the_environment_of_the_rules_is_the_lock() -> None:
    written = runpy.run_path(str(ROOT / "tools/environment.py"))
    assert written["OUTPUT"].read_text() == written["environment"]()
    rules = [p.read_text() for p in ROOT.glob("workflow/rules/*.smk")]
    assert all(text.count("shell:") == text.count('"../envs/pipeline.yaml"') == 1 for text in rules)


def test_the_example_of_the_catalog_runs_as_small_as_the_tests() -> None:
    example = ROOT / ".test/config/config.yaml"
    assert load_config([example]) == load_config([], [yaml.safe_load(SMALL) | {"export": {}}])


def test_actions_and_container_call_targets_that_exist() -> None:
    """Neither can run here: what they call is compared with what there is."""
    targets = set(re.findall(r"^(\S+):", (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv"), re.MULTILINE))
    called = re.findall(r"\bmake ((?:[\w./-]+ ?)+)", (ROOT / "Containerfile").read_text().split("FROM")[1])
    for file in sorted((ROOT / ".github/workflows").glob("*.yml")):
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            assert job["runs-on"] == "ubuntu-latest"
            for step in job["steps"]:
                assert {"uses", "run"} & set(step)
                called += re.findall(r"\bmake ((?:[\w./-]+ ?)+)", step.get("run", ""))
    assert {".venv/.ready", "docs", "lint", "run"} <= {name for call in called for name in call.split()} <= targets


@pytest.mark.slow
def test_a_deployed_workflow_runs(tmp_path: Path) -> None:
    """snakedeploy from a folder, as the catalog's page tells; what it writes names the module as a path to complete."""
    if not (program := shutil.which("snakedeploy")):
        pytest.skip("needs snakedeploy: pip install snakedeploy")
    for name in ("src", "workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    source = str(tmp_path / "source")
    subprocess.run([program, "deploy-workflow", source, "lab", "--branch", "main"], cwd=tmp_path, check=True)
    lab = tmp_path / "lab"
    text = (lab / "workflow/Snakefile").read_text()
    local, n = re.subn(r"(snakefile:\s*\n\s*).*", rf"\1{str(ROOT / 'workflow/Snakefile')!r}", text)
    assert n == 1, text
    (lab / "workflow/Snakefile").write_text(local)
    (lab / "config/config.yaml").write_text(SMALL)
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    result = subprocess.run(command, cwd=lab, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert (lab / "results/eval.json").is_file()
    assert (lab / "results/.layout").is_file(), "what the Snakefile does at the start, in a module, too"


def test_a_bad_config_of_the_module_is_refused(outer: Path) -> None:
    (outer / "lab.yaml").write_text("decoding: {train: {seed: -1}}\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run"]
    result = subprocess.run(command, cwd=outer, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "[train.seed]: got -1" in result.stdout


def test_a_deployed_project_reads_the_default_config(tmp_path: Path) -> None:
    """Snakemake reads it as YAML 1.1, where 1e-05 is a text; with it come values of --config."""
    module = OUTER.format(snakefile=str(ROOT / "workflow/Snakefile"))
    (tmp_path / "Snakefile").write_text(
        module.replace("lab.yaml", "config.yaml").replace('config["decoding"]', "config")
    )
    shutil.copy2(ROOT / "config/config.yaml", tmp_path)
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--config", "train={lr: 2e-4}", "--", "poster.txt"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "decoding_evaluate" in result.stdout


def test_the_command_of_the_configuration_page_starts(tmp_path: Path) -> None:
    (line,) = re.findall(r"^snakemake .*", (ROOT / "config/README.md").read_text(), re.MULTILINE)
    (tmp_path / "my.yaml").write_text("simulate: {minutes: 1}\n")
    command = [sys.executable, "-m", *line.split(), "--dry-run", "--snakefile", str(ROOT / "Snakefile")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


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
