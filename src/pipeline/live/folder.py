"""A folder of files that is there whole or not at all, and replaces nothing but an earlier one of its kind."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.artifacts.files import file_sha256, fsync_folder, write_text, writing
from pipeline.errors import InputError, Problem

#: The file in such a folder that lists the others with their sha256.
LIST = "files.json"


def write_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` into the folder ``out``, with a list of them.

    Raises :class:`InputError` where ``out`` is a link, a file, or a folder with anything that this did not write.
    """
    refuse_foreign(out)
    token = secrets.token_hex(4)
    made, earlier = (out.with_name(f".{out.name}.{token}.{what}") for what in ("tmp", "old"))
    try:
        with writing(out):
            made.mkdir(parents=True)
            for name, content in files.items():
                (made / name).write_bytes(content)
            digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
            write_text(made / LIST, json.dumps(digests, indent=1) + "\n")
            if out.exists():
                out.rename(earlier)
            made.rename(out)
            fsync_folder(out.parent)
    finally:
        if not out.exists() and earlier.exists():
            earlier.rename(out)
        for left in (made, earlier):
            shutil.rmtree(left, ignore_errors=True)


def refuse_foreign(out: Path) -> None:
    """Raise :class:`InputError` unless ``out`` is free, or an earlier folder of ours as it was written."""
    if not out.exists() and not out.is_symlink():
        return
    digests: object = None
    with suppress(OSError, ValueError):
        digests = json.loads((out / LIST).read_text(encoding="utf-8"))
    if not out.is_symlink() and isinstance(digests, dict) and not _changed(out, digests):
        return
    got = "a link" if out.is_symlink() else "something that export did not write, or that was changed since"
    raise InputError(Problem(str(out), "", got, "a new folder, or one of an earlier export", "Name another folder"))


def _changed(out: Path, digests: Mapping[str, str]) -> bool:
    there = {path.name: path for path in out.iterdir()}
    if set(there) != {*digests, LIST}:
        return True
    return any(there[name].is_symlink() or file_sha256(there[name]) != digest for name, digest in digests.items())
