"""The tool of ``make mutants``: which edits it makes, and that an edited module is imported in place of its file."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

import mutants
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


def test_an_exception_in_a_fork_ends_the_fork() -> None:
    parent = os.getpid()
    try:
        code = forked(lambda: 1 // 0, 20)
    finally:
        if os.getpid() != parent:
            os._exit(0)
    assert code == 1


def test_an_edit_whose_tests_took_too_long_is_not_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    took_s, codes = 0.1, iter([0, -signal.SIGALRM, 1, 0])

    def ran(_: object, durations: mutants.Durations) -> int:
        durations.of["a"] = took_s
        return 0

    monkeypatch.setattr(mutants, "run_tests", ran)
    monkeypatch.setattr(mutants, "forked", lambda *_: next(codes))
    n, left = mutants.survivors("evaluation.drift", 3, 0)
    assert (n, len(left)) == (3, 2)
    assert capsys.readouterr().out.count("not known") == 1
    took_s = mutants.LONGEST_S
    with pytest.raises(SystemExit, match="each of its tests takes"):
        mutants.survivors("evaluation.drift", 3, 0)


def test_every_module_and_its_tests_exist() -> None:
    for module, (files, _) in MODULES.items():
        assert (ROOT / "src/pipeline" / f"{module.replace('.', '/')}.py").is_file()
        assert all((ROOT / f"tests/test_{file}.py").is_file() for file in files.split())
