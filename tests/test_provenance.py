"""Code fingerprints: what counts and what does not, on a scratch copy of the package."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.sidecar import write_sidecar
from pipeline.errors import InputError, Problem
from pipeline.provenance.fingerprint import PACKAGE_ROOT, code_fingerprints
from pipeline.provenance.runs import MODEL, SIDECAR, find_or_make

STAGES = sorted(p.stem for p in (ROOT / "workflow/scripts").glob("*.py"))
HEAVY = {"torch", "pytorch_lightning", "librosa"}


def fingerprint(copy: Path, stage: str) -> dict[str, str]:
    """The fingerprint that the scratch copy gives itself."""
    code = (
        "import json, sys; from pathlib import Path; from pipeline.provenance.fingerprint import code_fingerprints;"
        f"print(json.dumps(code_fingerprints([Path('workflow/scripts/{stage}.py')])['{stage}']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env={"PYTHONPATH": str(copy / "src")}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for part in ("src", "workflow"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tmp_path


def edit(copy: Path, file: str, old: str, new: str) -> None:
    path = copy / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_comments_docstrings_formatting_and_descriptions_do_not_count(copy: Path) -> None:
    before = fingerprint(copy, "mel")
    path = copy / "src/pipeline/signal/mel.py"
    path.write_text("# a comment\n" + path.read_text().replace('"""', '"""Another word. ', 1) + "\n\n\n")
    grid = copy / "src/pipeline/config/mel_grid.py"
    grid.write_text(grid.read_text().replace("Rate of the audio", "The audio's rate"))
    assert fingerprint(copy, "mel") == before


def test_an_edit_is_seen_by_the_stages_that_import_it_and_by_name(copy: Path) -> None:
    before = {stage: fingerprint(copy, stage) for stage in ("mel", "ingest", "align")}
    path = copy / "src/pipeline/signal/mel.py"
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    after = {stage: fingerprint(copy, stage) for stage in before}
    assert {k for k in after["mel"] if after["mel"][k] != before["mel"][k]} == {"pipeline.signal.mel"}
    assert after["ingest"] == before["ingest"]
    assert after["align"] == before["align"]


def test_files_beside_a_module_under_its_name_count(copy: Path) -> None:
    """Whatever their endings; neither copies that an editor left of the module, nor files of another name."""
    before = fingerprint(copy, "evaluate")
    folder = copy / "src/pipeline/report"
    for name in ("page.css", "page.html.j2", "page.py.orig", "pages.css"):
        (folder / name).write_text("changed")
    after = fingerprint(copy, "evaluate")
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"pipeline.report.page/css", "pipeline.report.page/html.j2"}


@pytest.mark.parametrize("stage", STAGES)
def test_the_closure_is_what_the_stage_really_imports(stage: str) -> None:
    """Run the script's imports and compare: a module that got in another way would escape the fingerprint."""
    script = ROOT / "workflow/scripts" / f"{stage}.py"
    imports = "\n".join(
        ast.unparse(node)
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__"
    )
    code = f"{imports}\nimport sys; print('\\n'.join(m for m in sys.modules if m.split('.')[0] == 'pipeline'))"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) <= set(code_fingerprints([script])[stage])


def test_no_module_is_imported_in_a_way_that_escapes_the_closure() -> None:
    """But for the public functions, which no stage reaches, and the packages that they may do without."""
    public = {PACKAGE_ROOT / "__init__.py", PACKAGE_ROOT / "api.py"}
    plugins = PACKAGE_ROOT / "plugins.py"  # whose modules have fingerprints of their own: test_plugins.py
    scripts = sorted((ROOT / "workflow/scripts").glob("*.py"))
    assert not any("pipeline.api" in closure for closure in code_fingerprints(scripts).values())
    for file in set(PACKAGE_ROOT.rglob("*.py")) - {*public, plugins}:
        for node in ast.walk(ast.parse(file.read_text())):
            name = getattr(getattr(node, "func", None), "id", getattr(getattr(node, "func", None), "attr", ""))
            assert not (
                isinstance(node, ast.Call)
                and name in {"__import__", "import_module", "exec", "eval"}
                and "model.eval" not in ast.unparse(node)
                and not ast.unparse(node).endswith(".eval()")
            ), file


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"train", "predict"}))
def test_stages_without_a_network_import_no_torch(stage: str) -> None:
    assert imported_at_start(stage, HEAVY) == []


def test_evaluate_starts_without_what_only_its_page_needs() -> None:
    assert imported_at_start("evaluate", {"matplotlib", "jinja2"}) == []


@pytest.mark.parametrize("stage", ["ingest", "window", "contamination"])
def test_stages_that_neither_filter_nor_solve_start_without_scipy(stage: str) -> None:
    assert imported_at_start(stage, {"scipy"}) == []


def imported_at_start(stage: str, modules: set[str]) -> list[str]:
    """Which of ``modules`` a stage's script imports before it does anything."""
    script = ROOT / "workflow/scripts" / f"{stage}.py"
    imports = "\n".join(
        ast.unparse(node)
        for node in ast.parse(script.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    code = f"{imports}\nimport sys; print(*(m for m in {modules!r} if m in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_an_ensemble_is_weighed_without_lightning() -> None:
    names = "('torch', 'pytorch_lightning')"
    code = f"import pipeline.training.weighing, sys; print(*(m for m in {names} if m in sys.modules))"
    environment = {"PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["torch"], result.stderr


# --- runs by content -----------------------------------------------------------------------------------


def test_a_run_is_made_once_at_an_address_that_stays(tmp_path: Path) -> None:
    """The address is that of earlier versions, so that what they trained is found."""
    made_from = Provenance('{"x":1}', {"m": "c"}, [("w.h5", "a"), ("m.h5", "b")])
    made = []

    def make(run: Path) -> str:
        made.append(run.name)
        (run / MODEL).write_bytes(b"weights")
        write_sidecar(run / SIDECAR, "ensemble", [run / MODEL], made_from)
        return "made"

    outputs, job = [tmp_path / MODEL, tmp_path / SIDECAR], [0, "full", "0-corrector"]
    assert find_or_make(outputs, made_from, job, make).startswith("run 4834e020e00395fb: made")
    outputs[0].unlink()
    assert find_or_make(outputs, made_from, job, make).startswith("run 4834e020e00395fb: finished already")
    assert (outputs[0].read_bytes(), made) == (b"weights", ["4834e020e00395fb"])
    (tmp_path / "runs/4834e020e00395fb" / MODEL).write_bytes(b"damaged")
    find_or_make(outputs, made_from, job, make)
    find_or_make(outputs, made_from, [1, *job[1:]], make)
    assert made[1] == made[0] != made[2]


def test_a_run_in_the_folder_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    outputs, job = [tmp_path / MODEL, tmp_path / SIDECAR], [0, "full", "0-corrector"]

    def found_or_made(made_from: Provenance) -> str:
        def make(run: Path) -> str:
            (run / MODEL).write_text(made_from.config_json)
            write_sidecar(run / SIDECAR, "ensemble", [run / MODEL], made_from)
            return "made"

        outcome = find_or_make(outputs, made_from, job, make)
        assert outputs[0].read_text() == made_from.config_json
        return outcome

    first, *others = (
        Provenance(config, {"m": code}, [("w.h5", content)])
        for config, code, content in (("{}", "c", "a"), ("{1}", "c", "a"), ("{}", "d", "a"), ("{}", "c", "b"))
    )
    found_or_made(first)
    (own,) = (tmp_path / "runs").iterdir()
    for other in others:
        found_or_made(other)
        (there,) = (run for run in (tmp_path / "runs").iterdir() if run != own)
        shutil.rmtree(own)
        there.rename(own)
        assert "made" in found_or_made(first)
        assert "finished already" in found_or_made(first)


def test_a_run_that_was_refused_leaves_no_folder_and_one_that_had_begun_stays(tmp_path: Path) -> None:
    outputs, job, begun = [tmp_path / MODEL, tmp_path / SIDECAR], [0, "full", "0-corrector"], []

    def refuse(run: Path) -> str:
        begun.extend((run / name).write_text("") for name in ("last.ckpt",) if job[0])
        raise InputError(Problem("model.ckpt", "seen", "a trial", "none", "Name another"))

    for fold in (0, 1):
        job[0] = fold
        with pytest.raises(InputError, match="seen"):
            find_or_make(outputs, Provenance(), job, refuse)
        assert len(list((tmp_path / "runs").iterdir())) == len(begun) == fold


FINGERPRINT = """
import json, sys
from pathlib import Path
from pipeline.provenance.fingerprint import code_fingerprints
print(json.dumps(code_fingerprints(sorted(Path(sys.argv[1]).glob("*.py"))), sort_keys=True))
"""


def other_pythons() -> list[str]:
    """Interpreters of other versions here, installed by the system or by pyenv."""
    found = []
    for minor in (11, 12, 13):
        command = shutil.which(f"python3.{minor}")
        places = [command] if command else []
        places += [str(p) for p in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")]
        found += places[-1:] if minor != sys.version_info.minor else []
    return found


def test_every_python_has_the_same_fingerprints() -> None:
    """``ast.dump`` of 3.12 names a field more than that of 3.11."""
    if not (others := other_pythons()):
        pytest.skip("one version of Python is here")
    environment = {"PYTHONPATH": str(ROOT / "src")}
    dumps = [
        subprocess.run(
            [python, "-c", FINGERPRINT, str(ROOT / "workflow/scripts")],
            env=environment,
            capture_output=True,
            check=True,
        ).stdout
        for python in (sys.executable, *others)
    ]
    assert len(set(dumps)) == 1
    assert len(json.loads(dumps[0])) == len(STAGES)
