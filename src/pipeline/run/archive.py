"""Archive of finished results: ``results/archive/{digest}/``.

Snakemake deletes a job's outputs before it runs and after it fails.  So scores, report and
predictions of a finished run are hard-linked into the archive, under the digest of the
evaluation, before anything starts.  The links take no space until the rerun writes new files.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pipeline.artifacts.paths import EVALUATION_SIDECAR, RESULTS
from pipeline.artifacts.sidecar import damaged_files, read_sidecar
from pipeline.errors import InputError
from pipeline.provenance.freshness import content_of

ARCHIVE = RESULTS / "archive"
#: How many evaluations are kept, the newest.
KEPT = 3
DIGEST_CHARACTERS = 16


def keep_results() -> Path | None:
    """Archive the finished results, if there are any, and drop the oldest archive; returns where they are."""
    try:
        sidecar = read_sidecar(EVALUATION_SIDECAR)
        folder = ARCHIVE / str(sidecar["content_digest"])[:DIGEST_CHARACTERS]
        if folder.is_dir():
            os.utime(folder)
        elif damaged_files(EVALUATION_SIDECAR):
            return None
        else:
            scored = [path for path, digest in sidecar["inputs"] if _is_prediction(path) and content_of(path) == digest]
            _link([EVALUATION_SIDECAR, *map(RESULTS.joinpath, sidecar["files"]), *map(Path, scored)], folder)
    except InputError:
        return None
    for old in kept()[KEPT:]:
        shutil.rmtree(old)
    return folder


def kept() -> list[Path]:
    """The archived evaluations, newest first."""
    folders = [p for p in ARCHIVE.glob("*") if p.is_dir() and not p.name.startswith(".")]
    return sorted(folders, key=lambda folder: (folder.stat().st_mtime_ns, folder.name), reverse=True)


def kept_line() -> list[str]:
    """The line that is printed after a failure: where the earlier results are."""
    return [f"the earlier results are kept in {folder}" for folder in kept()[:1]]


def _is_prediction(path: str) -> bool:
    return "predictions" in Path(path).parts


def _link(files: list[Path], folder: Path) -> None:
    """All ``files``, by their places under ``results/``, in ``folder``; whole or not at all."""
    part = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(part, ignore_errors=True)
    for file in files:
        place = part / file.relative_to(RESULTS)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # a file system without hard links
            shutil.copy2(file, place)
    part.rename(folder)
