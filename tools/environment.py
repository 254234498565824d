"""Write ``workflow/envs/pipeline.yaml``: the one environment of all rules, for ``snakemake --sdm conda``.

Its pip part holds the locked version of every package that a job needs: the project's dependencies and theirs, without
Snakemake itself, which starts the jobs from an environment of its own.
Run in the environment that ``make`` builds: ``.venv/bin/python tools/environment.py`` (``make lock`` does).
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "workflow" / "envs" / "pipeline.yaml"
HEADER = """\
# Of all rules, for snakemake --sdm conda. Written by tools/environment.py from the lock.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python =3.12
  - pip =25.3
  - pip:
"""


def locked() -> dict[str, str]:
    """Version by name of every package in the lock, and of torch, which is pinned in the Makefile."""
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    torch = re.findall(r"^TORCH \?= (torch)==(\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {str(canonicalize_name(name)): version for name, version in [*pins, *torch]}


def needed() -> set[str]:
    """The names of the packages that jobs need, by the metadata of what is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pending = [Requirement(text) for text in project["dependencies"] if not text.startswith("snakemake")]
    found: set[tuple[str, str]] = set()
    while pending:
        requirement = pending.pop()
        for extra in {"", *requirement.extras}:
            if (package := (str(canonicalize_name(requirement.name)), extra)) not in found:
                found.add(package)
                asked = map(Requirement, distribution(requirement.name).requires or [])
                pending += [one for one in asked if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def environment() -> str:
    pins = locked()
    return HEADER + "".join(f"      - {name}=={pins[name]}\n" for name in sorted(needed()))


if __name__ == "__main__":
    OUTPUT.write_text(environment())
