"""The documentation and what stands beside the code: built without a warning, without a request to anyone, valid."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from pipeline.raw.sheet import COLUMNS

PAGES = sorted(p.name for p in (ROOT / "docs").glob("*.md"))


@pytest.mark.skipif(not importlib.util.find_spec("mkdocs"), reason="MkDocs is not installed: make docs")
def test_the_pages_build_and_ask_nothing_of_the_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert {"index.html", "configuration.html", "signal.html"} <= {p.name for p in pages}
    for page in pages:
        loaded = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)', page.read_text())
        assert loaded == [], page
        assert not re.search(r":(class|func|meth|mod):", page.read_text()), f"{page}: names as Sphinx writes them"


def test_every_page_has_one_title_and_says_what_it_is_for() -> None:
    for name in PAGES:
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1, name


def test_every_column_of_the_sheet_is_explained() -> None:
    explained = (ROOT / "docs/import.md").read_text()
    rows = [line.split("|")[1] for line in explained.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(COLUMNS) <= named


def test_the_citation_file_holds_what_the_format_requires() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "seeg-to-audio developers"}]
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert citation["version"] == version[1]
    assert citation["license"] == "BSD-3-Clause"


def test_issue_templates_and_hooks_are_whole() -> None:
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"):
        content = yaml.safe_load(form.read_text())
        assert {"name", "description", "body"} <= set(content), form
        assert all(part["type"] == "markdown" or part["attributes"]["label"] for part in content["body"])
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    assert {"ruff", "ruff-format", "mypy", "snakefmt"} == {hook["id"] for hook in repo["hooks"]}
