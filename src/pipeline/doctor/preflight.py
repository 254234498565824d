"""Check every raw file of a plan before anything is written or started.

Headers, lengths and tables are checked here, for all recordings at once; the samples themselves
by the stage ingest.  What passed is remembered until a row, a file, the config or the code changes.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from pipeline.artifacts.files import file_sha256, write_text
from pipeline.artifacts.memory import SETTLED_NS
from pipeline.config.canonical import digest, text_digest
from pipeline.errors import CannotWriteError, Problem, raise_if_any
from pipeline.provenance.fingerprint import PACKAGE_ROOT
from pipeline.run.plan import Plan

#: Holds the digest of what passed last.
PASSED = Path(".snakemake") / "plan" / "passed"


def check_raw_files(plan: Plan) -> None:
    """Raise :class:`InputError` with every problem of the user's raw files; nothing where they are simulated.

    Of files that the config names, a time in the future is one: Snakemake fails a job that makes something older.
    """
    raise_if_any(
        Problem(file, "", "a file that is dated in the future", "one of the past", "Date it anew: touch FILE")
        for file in plan.named_files
        if Path(file).stat().st_mtime_ns > time.time_ns()
    )
    if plan.is_simulated:
        return
    looked_at = _looked_at(plan)
    if looked_at and PASSED.is_file() and PASSED.read_bytes() == looked_at.encode():
        plan.refuse_copies()
        return
    from pipeline.raw.headers import header_problems  # numpy, which a start that looks at no raw file need not load

    sheet = str(plan.config.data.sheet)
    problems: list[Problem] = []
    for session in plan.sessions.values():
        if plan.deleted and not plan.deleted.keys().isdisjoint(plan.raw_of(session.name)):
            continue  # its recording was made, and holds what there is
        problems += header_problems(session, plan.config.ingest, sheet)
    raise_if_any(problems)
    plan.refuse_copies()
    if looked_at:
        with suppress(CannotWriteError):  # in a read-only folder all is looked at again
            write_text(PASSED, looked_at)


def _looked_at(plan: Plan) -> str:
    """Digest of all that the checks look at, files by size, modification time and inode.

    Empty where a file changed a moment ago: it may change again within the resolution of its time.
    """
    settled_ns, signatures = time.time_ns() - SETTLED_NS, []
    for row in plan.rows:
        signatures.append(row.json_text)
        for column, status in row.statuses.items():
            if status.st_mtime_ns > settled_ns:
                return ""
            own = f"{status.st_size} {status.st_mtime_ns} {status.st_ino} {status.st_dev}"
            signatures.append(f"{column} {own} {row.names[column]}")
    # The stage ingest checks by the same modules, but for the one that goes over a session.
    code = [plan.code_of("ingest"), file_sha256(PACKAGE_ROOT / "raw" / "headers.py")]
    rows = text_digest("\n".join(signatures))
    return digest([rows, sorted(plan.deleted), plan.config_json("ingest"), code])
