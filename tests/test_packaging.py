"""What ``make`` installs: pinned, hashed, and its licences listed."""

from __future__ import annotations

import re
import tomllib

from conftest import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
SLURM_LOCK = (ROOT / "tools/slurm.lock").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


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
    needed = re.findall(r'^    "([A-Za-z0-9_-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {name.lower() for name in needed} - {"torch"} <= set(pins(LOCK + SLURM_LOCK))


def test_templates_and_style_sheets_are_part_of_the_package() -> None:
    package = ROOT / "src/pipeline"
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["pipeline"]
    listed = {file for pattern in globs for file in package.glob(pattern)}
    others = {file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert {package / "report/page.html.j2", package / "report/page.css"} <= others == listed


def test_make_installs_nothing_unchecked_but_torch_by_its_version() -> None:
    installs = re.findall(r"pip install (.*)", MAKEFILE)
    unchecked = [line for line in installs if "--require-hashes" not in line]
    assert [line.split()[-1] for line in unchecked] == ["$(TORCH)", "."]
    assert "--no-deps --no-build-isolation" in unchecked[1]
    assert re.search(r"^TORCH \?= torch==[0-9.]+$", MAKEFILE, re.MULTILINE)


def test_the_licence_of_every_locked_package_is_listed() -> None:
    rows = re.findall(r"^\| ([a-z0-9_.-]+) \| (\S+) \| (.+) \|$", (ROOT / "docs/licences.md").read_text(), re.MULTILINE)
    listed = {name: version for name, version, _ in rows if name != "package"}
    torch = re.findall(r"torch==([0-9.]+)", MAKEFILE)[-1]
    assert listed == {**pins(LOCK + SLURM_LOCK), "torch": torch}, "run: make licences"
