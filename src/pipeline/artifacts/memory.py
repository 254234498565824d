"""A cache of values computed from files, such as digests, valid until the file changes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.artifacts.files import read_json, write_text
from pipeline.errors import CannotWriteError

#: A file that changed this recently may change again within the resolution of its modification time.
SETTLED_NS = 2_000_000_000


def remembered(
    files: Mapping[str, Path | str],
    store: Path | None,
    find: Callable[[str, Any], Any],
    *,
    trust: bool = False,
    keep: bool = True,
    check: Callable[[Mapping[str, Any]], None] = lambda found: None,
) -> dict[str, Any]:
    """``find(name, file)`` of each of ``files``, by name; a JSON value.

    A value in ``store`` is used where size, modification time and inode of the file are still
    the same; with ``trust`` always.  A file that changed a moment ago is read again next time.
    ``check`` gets all values before they are stored, and may raise; without ``keep`` none are.
    """
    known = _stored(store)
    entries = {name: _entry(name, file, known.get(name), find, trust) for name, file in files.items()}
    found = {name: value for name, (_, value) in entries.items()}
    check(found)
    if store is not None and entries != known and keep and not trust:
        with suppress(CannotWriteError):  # a read-only tree can be looked at; the values are found again
            write_text(store, json.dumps(entries, sort_keys=True, indent=0) + "\n")
    return found


def _stored(store: Path | None) -> dict[str, list[Any]]:
    if store is not None and store.is_file():
        with suppress(ValueError, TypeError):
            stored = dict(read_json(store))
            return {name: entry for name, entry in stored.items() if isinstance(entry, list) and len(entry) == 2}
    return {}


def _entry(
    name: str, file: Path | str, known: list[Any] | None, find: Callable[[str, Any], Any], trust: bool
) -> list[Any]:
    """The file's size, time and inode (None where it changed too recently), and its value."""
    if known and trust:
        return known
    status = os.stat(file)  # noqa: PTH116  (of thousands of files, named as text)
    signature = [status.st_size, status.st_mtime_ns, status.st_ino]
    if known and known[0] == signature:
        return known
    settled = time.time_ns() - status.st_mtime_ns > SETTLED_NS
    return [signature if settled else None, find(name, file)]
