"""Atomic writing: a file is complete under its name or not there.  Errors state why it cannot be written."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import platform
import re
import resource
import secrets
import shutil
import stat
import time
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.config.checks import kind_of
from pipeline.errors import CannotWriteError

#: Space kept free beyond the arrays [bytes]: headers, names, the log.
RESERVE_BYTES = 1 << 20
_FIXES = {
    errno.ENOSPC: "Free space on its disk",
    errno.EDQUOT: "Free space in your quota",
    errno.EFBIG: "Raise the limit (ulimit -f)",
    errno.EROFS: "Make the folder writable",
    errno.EACCES: "Make the folder writable",
    errno.EPERM: "Make the folder writable",
    errno.ELOOP: "Remove the link",
}
A_DAY_S = 86_400.0
#: Errors that only writing raises.
WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def writing(path: Path, errors: Container[int] = _FIXES) -> Iterator[None]:
    """Turn a failed write into a :class:`CannotWriteError` with ``path`` and a fix."""
    try:
        yield
    except OSError as error:
        code = error.errno
        if code is None or code not in errors:
            raise
        raise CannotWriteError(path, os.strerror(code).lower(), "a place to write", _FIXES[code]) from error


def require_space(folder: Path, size: int, file_size: int = 0) -> None:
    """Raise :class:`CannotWriteError` unless ``size`` bytes more fit, in a file of ``file_size`` bytes in the end.

    HDF5 crashes the process after a failed write, so the space is checked beforehand.
    """
    free, needed = shutil.disk_usage(folder).free, size + RESERVE_BYTES
    if free < needed:
        fix = _FIXES[errno.ENOSPC]
        raise CannotWriteError(folder, f"{free / 1e6:.1f} MB of free space", f"at least {needed / 1e6:.1f} MB", fix)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    needed = max(size, file_size) + RESERVE_BYTES
    if limit != resource.RLIM_INFINITY and limit < needed:
        got, expected = f"a limit of {limit / 1e6:.1f} MB on the size of files", f"at least {needed / 1e6:.1f} MB"
        raise CannotWriteError(folder, got, expected, _FIXES[errno.EFBIG])


def fsync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block succeeds.

    Leftovers of killed writers of the same path are removed first, and none of
    another that is at work; on an exception the temporary file is removed and ``path`` stays as it was.  Raises
    :class:`CannotWriteError` where there is no space, no permission, or something else than a file.
    """
    path = Path(path)
    _refuse_other_than_file(path)  # among them a path without a name, as . is one
    temporary = path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            if _is_left(leftover):
                leftover.unlink(missing_ok=True)
        temporary.touch(exist_ok=False)
    try:
        with writing(path, WRITE_ERRORS):
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        fsync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _refuse_other_than_file(path: Path) -> None:
    """Raise :class:`CannotWriteError` for a device, a FIFO or a folder, itself or behind a link: none is replaced."""
    with suppress(OSError):  # nothing there; a link to nothing, or in a circle, is replaced
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise CannotWriteError(path, kind_of(mode), "a file, or no file yet", "Name another file")


@cache
def _host() -> str:
    """This host in the names of files that do not stay, without its own name."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _is_left(temporary: Path) -> bool:
    """Whether the writer of a temporary file has ended; of another host's, it is taken to have after a day."""
    host, _, pid = temporary.name.rsplit(".", 2)[1].rpartition("-")[0].partition("-")
    if host == _host() and pid.isdecimal():
        return not _is_alive(int(pid))
    with suppress(FileNotFoundError):
        return not pid or time.time() - temporary.stat().st_mtime > A_DAY_S
    return False


@contextmanager
def locked(path: Path, busy: Exception) -> Iterator[None]:
    """Hold the lock file ``path`` within the block; raises ``busy`` where another process holds it.

    The lock ends with the process.  Where the file system has none, a file that exists stands for it, with
    this host and process in it.  A link is not followed.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with os.fdopen(handle), ExitStack() as stack:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise busy from None
            stack.enter_context(_owner_file(path.with_name(f"{path.name}.owner"), busy))
        yield


@contextmanager
def _owner_file(path: Path, busy: Exception) -> Iterator[None]:
    with suppress(FileNotFoundError, ValueError):
        owner, pid = path.read_text(encoding="ascii").split()
        if owner == _host() and not _is_alive(int(pid)):
            path.unlink()
    try:
        with path.open("x", encoding="ascii") as owner_file:
            owner_file.write(f"{_host()} {os.getpid()}\n")
    except FileExistsError:
        raise busy from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically, UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """What a JSON file holds.  Raises OSError, or ValueError for anything else, also for brackets without end."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("values that nest too deep") from None


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def is_digest(value: object) -> bool:
    """Whether a value read from a file is the text of a digest, which may name a folder."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{1,64}", value) is not None


def are_inputs(value: object) -> bool:
    """Whether a value read from a file is a list of paths with their digests."""
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and is_digest(pair[1]) for pair in value
    )
