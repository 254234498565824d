"""The version of what lies in ``results/``: a folder of an earlier one is refused, not mixed with."""

from __future__ import annotations

from pipeline.artifacts.files import write_text
from pipeline.artifacts.paths import RESULTS
from pipeline.errors import InputError, Problem

VERSION = "3"
MARKER = RESULTS / ".layout"
#: Folders that only a run makes.
MADE_BY_RUNS = ("recordings", "aligned", "mel", "windows", "train", "predictions")


def refuse_earlier_layout() -> None:
    """Raise :class:`InputError` where ``results/`` holds artifacts of an earlier version."""
    found = MARKER.read_text(encoding="utf-8").strip() if MARKER.is_file() else "1"
    if found != VERSION and any((RESULTS / name).is_dir() for name in MADE_BY_RUNS):
        fix = (
            f"Move it away (mv {RESULTS} {RESULTS}-old) and start again; docs/renamed.md says what is called otherwise"
        )
        raise InputError(Problem(str(RESULTS), "", f"results of layout {found}", f"layout {VERSION}", fix))


def mark_layout() -> None:
    """Say which version ``results/`` holds from now on."""
    if not MARKER.is_file():
        write_text(MARKER, f"{VERSION}\n")
