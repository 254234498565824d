"""The tool of ``make mutants``: which edits it makes, and that an edited module is imported in place of its file."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from mutants import MODULES, ROOT, Edited, forked, sampled

SOURCE = '''\
def f(x: int = 1) -> bool:
    """At least 1."""
    assert x, f"{x + 1}"
    return not x < 2.5 and -x in (0, 0.0)
'''


def test_edits_change_comparisons_signs_numbers_and_logic() -> None:
    found = {said.partition(": ")[2] for said, _ in sampled(SOURCE, 100, "")}
    assert found == {
        "1 -> 2", "not x < 2.5 and -x in (0, 0.0) -> not x < 2.5 or -x in (0, 0.0)", "not x < 2.5 -> x < 2.5",
        "x < 2.5 -> x <= 2.5", "x < 2.5 -> x >= 2.5", "2.5 -> 5.0", "-x in (0, 0.0) -> -x not in (0, 0.0)",
        "-x -> x", "0 -> 1", "0.0 -> 1.0",
    }  # fmt: skip
    assert sampled(SOURCE, 3, "a") == sampled(SOURCE, 3, "a") != sampled(SOURCE, 3, "b")


def test_an_edited_module_is_imported_in_place_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "example_of_a_module.py"
    file.write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()

    def ends_with(source: str) -> int:
        sys.meta_path.insert(0, Edited(file.stem, file, source))
        return int(importlib.import_module(file.stem).f(3))

    codes = {said.partition(": ")[2]: forked(lambda s=s: ends_with(s), 20) for said, s in sampled(SOURCE, 100, "")}
    assert codes["2.5 -> 5.0"] == 0
    assert codes["-x in (0, 0.0) -> -x not in (0, 0.0)"] == 1
    assert forked(lambda: ends_with("while True: pass"), 0) < 0
    assert file.read_text() == SOURCE
    assert file.stem not in sys.modules


def test_every_module_and_its_tests_exist() -> None:
    for module, (files, _) in MODULES.items():
        assert (ROOT / "src/pipeline" / f"{module.replace('.', '/')}.py").is_file()
        assert all((ROOT / f"tests/test_{file}.py").is_file() for file in files.split())
