"""Atomic writing: a file is complete under its name or not there.  Errors state why it cannot be written."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import secrets
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
}
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

    Leftovers of killed writers of the same path are removed first; on an
    exception the temporary file is removed and ``path`` stays as it was.  Raises
    :class:`CannotWriteError` where there is no space or no permission.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)
        temporary.touch()
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


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically, UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
