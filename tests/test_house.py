"""The layout of the source tree: packages, layers of imports, stages, and renamed keys."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bench.__main__ import ROWS

from conftest import ROOT, snakemake
from pipeline.config.loader import all_keys, load_config, parse_override
from pipeline.config.renamed import REMOVED, RENAMED, RENAMED_VALUES
from pipeline.config.stages import STAGES
from pipeline.errors import InputError

TABLE = (ROOT / "docs" / "renamed.md").read_text()
PACKAGE = ROOT / "src" / "pipeline"


def test_imports_run_down() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    result = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "1 kept, 0 broken" in result.stdout


def test_few_packages_and_few_loose_modules() -> None:
    assert len([p for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()]) <= 18
    assert {p.name for p in PACKAGE.glob("[!_]*.py")} <= {"api.py", "cli.py", "plugins.py", "stage.py", "errors.py"}


def test_every_row_of_the_benchmarks_is_run() -> None:
    files = (ROOT / "bench" / "rows").glob("*.py")
    assert sorted(ROWS) == sorted(p.stem for p in files if "\nTITLE = " in p.read_text())


def test_a_stage_is_a_module_and_its_script_only_calls_it() -> None:
    modules = {p.stem for p in (PACKAGE / "stages").glob("[!_]*.py")}
    scripts = {p.stem: p.read_text() for p in (ROOT / "workflow" / "scripts").glob("*.py")}
    assert modules == set(scripts) == set(STAGES)
    for name, text in scripts.items():
        assert len(text.splitlines()) <= 20
        assert f"from pipeline.stages.{name} import {name}" in text


@pytest.mark.parametrize("old", RENAMED)
def test_a_key_of_an_earlier_version_is_refused_with_its_new_name(old: str, tmp_path: Path) -> None:
    nested: object = {"some": "value"}
    for part in reversed(old.split(".")):
        nested = {part: nested}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(nested))
    with pytest.raises(InputError) as refused:
        load_config([file])
    (problem,) = refused.value.problems
    assert problem.field == old
    assert problem.fix == f"Write {RENAMED[old]}"


@pytest.mark.parametrize("old", REMOVED)
def test_a_key_that_is_gone_is_refused_with_the_reason(old: str) -> None:
    with pytest.raises(InputError) as refused:
        load_config([], [parse_override(f"{old}=1")])
    (problem,) = refused.value.problems
    assert (problem.field, problem.fix) == (old, f"Remove it: {REMOVED[old]}")
    assert f"`{old}`" in TABLE


@pytest.mark.parametrize(("key", "value"), RENAMED_VALUES)
def test_a_value_of_an_earlier_version_is_refused_with_its_new_form(key: str, value: str) -> None:
    with pytest.raises(InputError) as refused:
        load_config([], [parse_override(f"{key}={value}")])
    (problem,) = refused.value.problems
    assert problem.field == key
    assert problem.fix == f"Write {RENAMED_VALUES[key, value]}"
    load_config([], [parse_override(RENAMED_VALUES[key, value].replace(": ", "=", 1))])


def test_the_published_table_holds_every_renamed_key() -> None:
    rows = re.findall(r"^\| `([\w.]+)`.* \| `([^`|]+)` \|$", TABLE, re.MULTILINE)
    values = re.findall(r"^\| `([\w.]+): (\w+)` \| `([^`|]+)` \|$", TABLE, re.MULTILINE)
    assert RENAMED.items() <= set(rows)
    assert {(key, old, new) for (key, old), new in RENAMED_VALUES.items()} <= set(values)
    sections = {key.split(".")[0] for key in all_keys()}
    assert {re.split(r"[^\w.]", new)[0] for new in RENAMED.values()} <= {*all_keys(), *sections}
    assert not set(RENAMED) & {*all_keys(), *sections}


def test_results_of_an_earlier_version_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("fold: 0\n")
    old = tmp_path / "results" / "recordings" / "sim01_run01.h5"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of an earlier version")
    result = snakemake(tmp_path, "results/eval.json")
    assert result.returncode == 1
    assert "results: got results of layout 1, expected layout 3. Fix: Move it away" in result.stdout
    assert old.read_bytes() == b"of an earlier version"
    assert sorted(p.name for p in (tmp_path / "results").iterdir()) == ["recordings"]
