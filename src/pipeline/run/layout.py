"""What lies in ``results/``: a folder of an earlier version is refused, not mixed with; so are links out of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.artifacts.files import write_text
from pipeline.artifacts.paths import RESULTS
from pipeline.errors import InputError, Problem, raise_if_any

VERSION = "3"
#: The folders that a run writes to.
LOGS, SNAKEMAKE = Path("logs"), Path(".snakemake")
WRITTEN = (RESULTS, LOGS, SNAKEMAKE)
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


def bring_times_back() -> None:
    """Date what lies in ``results/`` and is dated in the future as of now: a clock was ahead when it was written.

    Snakemake fails each job that reads it, since what the job makes is older.  What it holds decides what runs again.
    """
    now_ns = time.time_ns()
    for entry in _entries(RESULTS):
        with suppress(OSError):
            if entry.stat(follow_symlinks=False).st_mtime_ns > now_ns and not entry.is_symlink():
                os.utime(entry, ns=(now_ns, now_ns))


def refuse_links() -> None:
    """Raise :class:`InputError` where a folder that a run writes to or clears up is a link to elsewhere.

    ``results`` and ``logs`` themselves may be links, to a larger disk.
    """
    found = [link for folder in WRITTEN for link in _links(folder)]
    found += [SNAKEMAKE] if SNAKEMAKE.is_symlink() else []
    fix = "Remove the link; to keep results on another disk, link the folder results itself"
    raise_if_any(Problem(str(link), "", "a link to elsewhere", "a folder or file of this run", fix) for link in found)


def _links(folder: Path) -> Iterator[Path]:
    """Links to folders below ``folder``, and of log files, which are not replaced but written to, all links."""
    for entry in _entries(folder):
        with suppress(OSError):
            if entry.is_symlink() and (folder == LOGS or entry.is_dir()):
                yield Path(entry.path)


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """All that lies below a folder; no link is followed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)
