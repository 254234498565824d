"""docs/reliability.md promises nothing that no test shows."""

from __future__ import annotations

import re

from conftest import ROOT
from pipeline import errors

DOC = (ROOT / "docs/reliability.md").read_text()


def test_every_promise_names_tests_that_exist() -> None:
    rows = DOC.split("which test shows it")[1].split("\n## ")[0].splitlines()
    promises = [row for row in rows if row.startswith("| ")][1:]
    assert len(promises) > 15
    for row in promises:
        named = re.findall(r"`(tests/\w+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"\ndef {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


def test_every_exit_code_is_explained() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    explained = {int(code) for code in re.findall(r"^\| (\d) \|", DOC, re.MULTILINE)}
    assert explained == codes | {0, 1}
