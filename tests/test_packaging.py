"""What ``make`` installs: pinned, hashed, and its licences listed."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
SLURM_LOCK = (ROOT / "tools/slurm.lock").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Packages whose modules go by another name.
PACKAGE_OF = {"yaml": "pyyaml", "sklearn": "scikit-learn"}


def pins(text: str) -> dict[str, str]:
    """Version by normalised name."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_lock_holds_every_pin_and_no_other() -> None:
    assert pins(LOCK + SLURM_LOCK) == pins((ROOT / "constraints.txt").read_text()), "run: make lock"
    assert all(name.startswith("snakemake-executor-plugin-slurm") for name in pins(SLURM_LOCK))


def test_every_locked_package_has_hashes_and_no_place() -> None:
    blocks = re.split(r"\n(?=\S)", (LOCK + SLURM_LOCK).strip())
    assert len(blocks) == len(pins(LOCK + SLURM_LOCK))
    for block in blocks:
        assert re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", block), block[:200]


def test_what_the_project_needs_is_locked() -> None:
    """But for what users install of their own, and tests skip without."""
    needed = declared(*set(PROJECT["optional-dependencies"]) - {"docs", "xarray"})
    assert needed - {"torch"} <= set(pins(LOCK + SLURM_LOCK))


def declared(*extras: str) -> set[str]:
    """Normalised names of what the project needs to run, and of what its ``extras`` add."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ]", text)[0]).lower() for text in texts}


def imported(*places: str) -> set[str]:
    """Normalised names of the packages that the modules in ``places`` import, at the top or in a function."""
    files = [f for place in places for f in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))]
    names = {name.split(".")[0] for file in files for name in modules_imported(file)}
    inside = [f for f in files if f.is_relative_to(ROOT / "src")]  # these are named from their package's root
    own = {f.relative_to(ROOT / "src").parts[0] for f in inside}
    own |= {name for f in set(files) - set(inside) for name in (f.stem, f.parent.name)}
    return {PACKAGE_OF.get(n, n.replace("_", "-")) for n in names - own - set(sys.stdlib_module_names)}


def modules_imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_what_a_run_needs_is_what_its_code_imports() -> None:
    """Extras are for some formats, some scores, tables and arrays of other libraries, live use and export."""
    used = imported("src", "workflow/scripts", "main.py")
    optional = declared("import", "scores", "api", "xarray", "live", "export") - declared()
    extras = {"mne", "mne-bids", "pyxdf", "librosa", "pocketsphinx", "pandas", "xarray", "h5netcdf"}
    assert optional == extras | {"pylsl", "sounddevice", "onnx", "onnxruntime"}
    beside_a_consumer = {"decoder"}
    assert used - optional - beside_a_consumer == declared()


def test_what_tests_and_benchmarks_import_is_in_their_extras() -> None:
    own = {"pipeline", "bench", "snakemake-logger-plugin-stages"}
    assert imported("tests") - own <= declared("test")
    assert imported("bench") - own <= declared("bench")


def test_templates_and_style_sheets_are_part_of_the_package() -> None:
    package = ROOT / "src/pipeline"
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["pipeline"]
    listed = {file for pattern in globs for file in package.glob(pattern)}
    others = {file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert {package / "report/page.html.j2", package / "report/page.css"} <= others == listed


def test_make_installs_nothing_unchecked_but_torch_by_its_version() -> None:
    installs = re.findall(r"pip install (.*)", MAKEFILE.replace("\\\n", ""))
    unchecked = [line for line in installs if "--require-hashes" not in line]
    what = [line.split(" 2> ")[0].split()[-1] for line in unchecked]
    assert what == ["$(TORCH)", "$(TORCH)", ".", "$(TORCH)"]
    assert "--no-deps --no-build-isolation" in unchecked[2]
    assert re.search(r"^TORCH \?= torch==[0-9.]+$", MAKEFILE, re.MULTILINE)


def test_the_licence_of_every_locked_package_is_listed() -> None:
    rows = re.findall(r"^\| ([a-z0-9_.-]+) \| (\S+) \| (.+) \|$", (ROOT / "docs/licences.md").read_text(), re.MULTILINE)
    listed = {name: version for name, version, _ in rows if name != "package"}
    torch = re.findall(r"torch==([0-9.]+)", MAKEFILE)[-1]
    assert listed == {**pins(LOCK + SLURM_LOCK), "torch": torch}, "run: make licences"


def makefile_targets() -> tuple[set[str], set[str]]:
    """Targets of rules whose names hold no variable, and those that are declared phony."""
    targets: set[str] = set()
    phony: set[str] = set()
    for names, needed in re.findall(r"^([\w .$()/-]+):(?!=)(.*)$", MAKEFILE, re.MULTILINE):
        phony |= set(needed.split()) if names.strip() == ".PHONY" else set()
        targets |= {name for name in names.split() if not name.startswith((".", "$"))}
    return targets, phony


def test_targets_that_make_no_file_of_their_name_are_phony() -> None:
    """A folder of the name (``docs``) would make such a target up to date for good."""
    targets, phony = makefile_targets()
    assert {"run", "docs", "test"} <= targets
    assert targets == phony


def printed(*arguments: str) -> list[str]:
    """The commands of a dry ``make run`` that concern torch, of an environment that is not there yet."""
    command = ["make", "-n", "run", "VENV=/nowhere", *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in ("TORCH", "GPU", "MAKEFLAGS")}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    return [line for line in result.stdout.splitlines() if "torch" in line]


@pytest.mark.skipif(sys.platform != "linux", reason="PyPI's torch is a build for CUDA on Linux alone")
def test_make_run_takes_torch_for_cpus_where_pypi_has_it_for_cuda() -> None:
    (line,) = printed()
    first, otherwise = line.split("||")
    assert "--index-url https://download.pytorch.org/whl/cpu torch==2.13.0" in first
    assert "--timeout 5 --retries 0" in first
    assert "does not answer" in otherwise
    assert "pip install --quiet torch==2.13.0;" in otherwise


def test_make_run_takes_torch_for_a_gpu_or_the_one_that_is_named() -> None:
    assert not any("download.pytorch.org" in line for line in printed("GPU=1"))
    assert "/nowhere/bin/python -m pip install --quiet torch==2.13.0" in printed("GPU=1")
    (line,) = printed("TORCH=torch==2.13.0 --index-url https://example.org/cu999")
    assert line == "/nowhere/bin/python -m pip install --quiet torch==2.13.0 --index-url https://example.org/cu999"


@pytest.mark.skipif(sys.platform != "linux", reason="PyPI's torch is a build for CUDA on Linux alone")
def test_where_pytorchs_index_does_not_answer_pip_goes_on_and_says_so(tmp_path: Path) -> None:
    python, log = tmp_path / "bin/python", tmp_path / "log"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" >> {log}\ncase "$*" in *--index-url*) exit 1;; esac\n')
    python.chmod(0o755)
    command = ["make", f"{tmp_path}/.ready", f"VENV={tmp_path}", f"PYTHON={python}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "https://download.pytorch.org/whl/cpu does not answer" in result.stdout
    calls = [line for line in log.read_text().splitlines() if "torch==" in line]
    assert len(calls) == 2
    assert calls[1] == "-m pip install --quiet torch==2.13.0"


@pytest.mark.parametrize("has_environment", [True, False])
def test_main_says_how_to_activate_the_environment(tmp_path: Path, has_environment: bool) -> None:
    for name in ("main.py", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    main = tmp_path / "copy.py"
    main.write_text((ROOT / "main.py").read_text())
    if has_environment:
        (tmp_path / ".venv/bin").mkdir(parents=True)
        (tmp_path / ".venv/bin/activate").touch()
    command = [sys.executable, "-I", "-S", str(main), "--config", "config.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    fix = f"Activate it: . {tmp_path}/.venv/bin/activate" if has_environment else f"make -C {tmp_path} run"
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {sys.executable}: got a Python without ")
    assert result.stderr.rstrip().endswith(fix)
