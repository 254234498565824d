"""The content of the user's raw files, by sha256, without reading them at every start.

A file is hashed anew only when its size, modification time or inode changed, so a
``touch`` costs one hash and changes nothing, and new content is noticed even when it
carries an older time (the inode or the size differs, or the time does).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.artifacts.core import write_text


def sha256_of_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def content_manifest(files: Iterable[Path], manifest: Path, *, trust: bool = False) -> dict[str, str]:
    """sha256 by path (as given) of ``files``; ``manifest`` remembers them between runs.

    With ``trust`` nothing is hashed that the manifest knows: jobs of a run take what
    its main process found, and the stage ingest compares with what it reads.
    """
    known: dict[str, list] = json.loads(manifest.read_text()) if manifest.is_file() else {}
    current = {str(file): _entry(file, known.get(str(file)), trust) for file in files}
    if current != known and not trust:
        write_text(manifest, json.dumps(current, indent=1, sort_keys=True))
    return {name: entry[-1] for name, entry in current.items()}


def _entry(file: Path, known: list | None, trust: bool) -> list:
    if known and trust:
        return known
    stat = file.stat()
    signature = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    return known if known and known[:-1] == signature else [*signature, sha256_of_file(file)]
