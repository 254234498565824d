"""Write ``docs/licences.md``: every locked package, its version and its licence, as its own metadata states it.

Run in the environment that ``make`` builds: ``.venv/bin/python tools/licences.py``.
"""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "docs" / "licences.md"
HEADER = """\
# Licences of the dependencies

seeg-to-audio itself is BSD-3-Clause and carries no code of others. What `make` installs beside it, with the
licence that each package states of itself (written by `tools/licences.py`; nothing of it is redistributed here).
A CUDA build of torch brings NVIDIA's libraries along, under NVIDIA's own licence.

| package | version | licence |
|---|---|---|
"""


def locked() -> dict[str, str]:
    """Version by name of every package in the locks, and of torch, which is pinned in the Makefile."""
    locks = "".join((ROOT / lock).read_text() for lock in ("requirements.lock", "tools/slurm.lock"))
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", locks, re.MULTILINE)
    torch = re.findall(r"^TORCH \?= (torch)==(\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return dict(sorted([*pins, *torch]))


def licence(package: str) -> str:
    """What an installed package states: an expression, classifiers, a text, or the title of its licence file."""
    installed = distribution(package)
    about = installed.metadata
    if expression := next(iter(about.get_all("License-Expression", [])), ""):
        return expression
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier", []) if c.startswith("License :: ")]
    named = ", ".join(c for c in classifiers if c != "OSI Approved")
    texts = about.get_all("License", [])
    texts += [f.read_text() for f in installed.files or () if re.search("licen[cs]e", f.name, re.IGNORECASE)]
    titles = [text.strip().splitlines()[0] for text in texts if text.strip()]
    return named or next(iter(titles), "not stated")


def table() -> str:
    """The page."""
    rows = (f"| {name} | {version} | {licence(name)} |" for name, version in locked().items())
    return HEADER + "\n".join(rows) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(table(), encoding="utf-8")
