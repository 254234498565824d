"""Archive of finished results: ``results/archive/{digest}/``.

Snakemake deletes a job's outputs before it runs and after it fails.  So scores and report of a
finished run are copied into the archive, under the digest of the evaluation, before anything
starts, and its predictions hard-linked: they take no space until the rerun writes new ones.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from pathlib import Path

from pipeline.artifacts.paths import EVALUATION_SIDECAR, RESULTS
from pipeline.artifacts.sidecar import damaged_files, read_sidecar
from pipeline.errors import InputError
from pipeline.provenance.freshness import content_of

ARCHIVE = RESULTS / "archive"
#: How many evaluations are kept, the newest.
KEPT = 3
DIGEST_CHARACTERS = 16
NAME = re.compile(f"[0-9a-f]{{{DIGEST_CHARACTERS}}}")


def keep_results() -> Path | None:
    """Archive the finished results, if there are any, and drop the oldest archive; returns where they are."""
    try:
        sidecar = read_sidecar(EVALUATION_SIDECAR)
        folder = ARCHIVE / str(sidecar["content_digest"])[:DIGEST_CHARACTERS]
        if not folder.is_dir():
            if damaged_files(EVALUATION_SIDECAR):
                return None
            scored = [path for path, digest in sidecar["inputs"] if _is_prediction(path) and content_of(path) == digest]
            _keep([EVALUATION_SIDECAR, *map(RESULTS.joinpath, sidecar["files"]), *map(Path, scored)], folder)
    except InputError:
        return None
    _make_newest(folder)
    for old in kept()[KEPT:]:
        shutil.rmtree(old)
    return folder


def kept() -> list[Path]:
    """The archived evaluations, newest first."""
    folders = [p for p in ARCHIVE.glob("*") if NAME.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    return sorted(folders, key=lambda folder: (folder.stat().st_mtime_ns, folder.name), reverse=True)


def _make_newest(folder: Path) -> None:
    """Date it after all others, whatever the clock says now and said when they were made."""
    others_ns = [other.stat().st_mtime_ns + 1 for other in kept() if other != folder]
    now_ns = max([time.time_ns(), *others_ns])
    os.utime(folder, ns=(now_ns, now_ns))


def kept_line() -> list[str]:
    """The line that is printed after a failure: where the earlier results are."""
    return [f"the earlier results are kept in {folder}" for folder in kept()[:1]]


def _is_prediction(path: str) -> bool:
    return "predictions" in Path(path).parts


def _link_or_copy(file: Path, place: Path) -> None:
    try:
        os.link(file, place)
    except OSError:  # a file system without hard links
        shutil.copy2(file, place)


def _keep(files: list[Path], folder: Path) -> None:
    """All ``files``, by their places under ``results/``, in ``folder``; whole or not at all."""
    ARCHIVE.mkdir(parents=True, exist_ok=True)
    part = ARCHIVE / f".{secrets.token_hex(8)}.tmp"
    part.mkdir()
    try:
        for file in files:
            place = part / file.relative_to(RESULTS)
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".h5":
                _link_or_copy(file, place)
            else:  # people edit such files in place, which would change the archived one with it
                shutil.copy2(file, place)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
