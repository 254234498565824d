"""Versions of Python and of the packages that decide numbers, as each output records them.

They are read from the packages' metadata, so that a stage imports nothing for it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("numpy", "scipy", "torch", "librosa", "soxr")


@cache
def installed() -> Mapping[str, str]:
    """Version by name, ``python`` first; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def version_now(package: str) -> str:
    """The installed version of a package, plug-ins among them; ``none`` where it is not installed."""
    if package in ("python", *PACKAGES):
        return installed().get(package, "none")
    with suppress(PackageNotFoundError):
        return version(package)
    return "none"


def counted(recorded: Iterable[Mapping[str, str]]) -> dict[str, dict[str, int]]:
    """By package and version: how many outputs were made with it."""
    counts: dict[str, dict[str, int]] = {}
    for versions in recorded:
        for package, made_with in versions.items():
            of_package = counts.setdefault(package, {})
            of_package[made_with] = of_package.get(made_with, 0) + 1
    return {package: dict(sorted(of_package.items())) for package, of_package in sorted(counts.items())}
