"""The content of the user's raw files, by sha256, without reading them at every start.

A file is hashed anew only when its size, modification time or inode changed, so a
``touch`` costs one hash and changes nothing, and new content is noticed even when it
carries an older time (the inode or the size differs, or the time does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.memory import remembered
from pipeline.errors import InputError, Problem


def content_manifest(
    files: Iterable[Path],
    manifest: Path,
    *,
    trust: bool = False,
    check: Callable[[Mapping[str, str]], None] = lambda content: None,
) -> dict[str, str]:
    """sha256 by path (as given) of ``files``; ``manifest`` remembers them between runs.

    With ``trust`` nothing is hashed that the manifest knows: jobs of a run take what
    its main process found, and the stage ingest compares with what it reads.  ``check``
    may refuse the content by an exception, before the manifest is written.
    """
    named = {str(file): file for file in files}
    return remembered(named, manifest, lambda _, file: file_sha256(file), trust=trust, check=check)


def refuse_copies(
    arrays: Mapping[tuple[str, str, str], Path], content: Mapping[str, str], sheet: str, pooled: bool
) -> None:
    """Raise :class:`InputError` where two recordings hold the same array in different files.

    ``arrays`` are files by (subject, recording, column).  The same brain signal under two
    ids, or the same sound under two ids of one subject, would be trained on in one role and
    tested in another.  Subjects may share a sound, since they may have heard the same, unless one
    model is trained on all of them (``pooled``).
    """
    first: dict[tuple[str, ...], str] = {}
    problems = []
    for (subject, recording, column), path in arrays.items():
        owner = (subject,) if column == "audio" and not pooled else ()
        other = first.setdefault((column, content[str(path)], *owner), recording)
        if other != recording:
            got = f"the same content as {column} of {other}"
            fix = "Name the right file, or remove the recording."
            if column == "audio" and pooled:
                fix += " Subjects that heard the same cannot share a model (train.pool): it would be tested on sound"
                fix += " that it was trained on."
            problems.append(Problem(sheet, f"{recording}, {column}", got, "content of its own", fix))
    if problems:
        raise InputError(problems)
