"""Checks of paths and ids in the user's input."""

from __future__ import annotations

import os
import re
import stat
from difflib import get_close_matches
from pathlib import Path

from pipeline.errors import Problem

_SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
#: Snakemake refuses names that end in 20 repeats of the same.
_PERIODIC = re.compile(r"(.+?)\1{19}$")


def file_problem(
    named: Path | str, file: str, field: str, status: os.stat_result | None = None, *, may_be_empty: bool = False
) -> Problem | None:
    """The problem of a path, ``named``, that is no readable file with content; of a missing one the fix names a
    similar file.

    ``file`` and ``field`` locate the problem: the path itself, or the table cell that names it.  ``status`` is the
    file's where it is known.
    """
    try:
        status = status or Path(named).stat()
    except FileNotFoundError:
        path = Path(named)
        if path.is_symlink():
            return Problem(file, field, f"{path.name}, a link to nothing", "a file", "Correct the link.")
        return Problem(file, field, f"{path.name}, which is missing", "a file", _nearest(path))
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "an impossible path"
        return Problem(file, field, f"{Path(named).name} ({what})", "a readable file", "Correct the path.")
    mode, size = status.st_mode, status.st_size
    if not stat.S_ISREG(mode):
        got = f"{Path(named).name}, {kind_of(mode)}"
        return Problem(file, field, got, "a file", "Name the file itself.")
    if not os.access(named, os.R_OK):
        return Problem(file, field, f"{Path(named).name} (no permission)", "a readable file", "Allow reading it.")
    if size == 0 and not may_be_empty:
        fix = "Copy or export the file again."
        return Problem(file, field, f"{Path(named).name}, an empty file", "a file with content", fix)
    return None


def kind_of(mode: int) -> str:
    """What something that is no file is, by its status."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"Check the path: there is no folder {folder.name}."
    try:
        near = get_close_matches(path.name, sorted(p.name for p in folder.iterdir()), 1, 0.5)
    except OSError:
        near = []
    return f"Did you mean {near[0]}?" if near else "Check the path."


def id_problem(name: str, file: str, field: str) -> Problem | None:
    """The problem of a ``name`` that is no id.  Ids become file names: no slash, nothing that reads as an option."""
    if _SAFE_ID.fullmatch(name) and ".." not in name:
        return None
    proposed = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9_.-]+", "_", name)).strip("-._")[:80]
    expected = "at most 80 letters, digits, - _ . (not first: - .)"
    return Problem(file, field, name, expected, f"Write {proposed}." if proposed else "Choose another id.")


def periodic_problem(name: str, file: str, field: str) -> Problem | None:
    """The problem of a ``name`` of files that Snakemake takes for one that grows without end."""
    repeated = _PERIODIC.search(name)
    if repeated is None:
        return None
    return Problem(file, field, name, f"a name that does not end in 20 times {repeated[1]}", "Choose another id.")
