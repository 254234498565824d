"""The sha256 of the user's raw files, kept in a manifest between runs.

A file is hashed again only when its size, modification time or inode changed.  So a ``touch``
costs one hash and reruns nothing, and new content is noticed even with an older time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.memory import remembered
from pipeline.errors import InputError, Problem


def content_manifest(
    files: Iterable[str],
    manifest: Path,
    *,
    trust: bool = False,
    check: Callable[[Mapping[str, str]], None] = lambda content: None,
) -> dict[str, str]:
    """sha256 of ``files``, by their paths; ``manifest`` keeps them between runs.

    With ``trust`` a hash in the manifest is used without a check: jobs of a run use the hashes of
    its main process, and the stage ingest compares them with the data that it reads.  ``check`` may
    refuse the content with an exception, before the manifest is written.
    """
    named = {file: file for file in files}
    return remembered(named, manifest, lambda name, _: file_sha256(Path(name)), trust=trust, check=check)


def refuse_copies(
    arrays: Mapping[tuple[str, str, str], str],
    content: Mapping[str, str],
    sheet: str,
    pooled: bool,
    texts: Mapping[str, str],
) -> None:
    """Raise :class:`InputError` where two recordings hold the same array in different files.

    ``arrays`` are files by (subject, recording, column).  The same brain signal under two
    ids, or the same sound under two ids of one subject, would be in training and in test.  A subject's trials
    of one text (``texts`` by recording) are one stimulus that was presented twice.  Subjects
    may share a sound, for example a common stimulus, unless one model is trained on all of them
    (``pooled``).
    """
    first: dict[tuple[str, ...], tuple[str, str]] = {}
    problems = []
    for (subject, recording, column), path in arrays.items():
        owner = (subject,) if column == "audio" and not pooled else ()
        whose, other = first.setdefault((column, content[path], *owner), (subject, recording))
        if other == recording:
            continue
        text = texts.get(recording, "").split()
        if not (column == "audio" and whose == subject and text and text == texts.get(other, "").split()):
            got = f"the same content as {column} of {other}"
            fix = "Name the right file, or remove the recording."
            if column == "audio" and pooled:
                fix += " Subjects with the same stimulus cannot share a model (train.pool): it would be tested on sound"
                fix += " that it was trained on."
            problems.append(Problem(sheet, f"{recording}, {column}", got, "content of its own", fix))
    if problems:
        raise InputError(problems)
