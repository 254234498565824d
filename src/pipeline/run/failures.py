"""The failed jobs of a run, found from the last lines of their logs.

The last line of a stage's log states how it ended (:mod:`pipeline.stage`); a log without it
belongs to a job that was killed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

LOGS = Path("logs")
_ENDED = re.compile(r" \w+: (?:exit code (?P<code>\d+)|done in .*)$")
_TAIL_BYTES = 4096
_ALMOST_FULL_BYTES = 16 << 20


@dataclass(frozen=True)
class Failure:
    """A job that did not finish; ``exit_code`` is None where it was killed."""

    log: Path
    exit_code: int | None
    last_error: str

    def __str__(self) -> str:
        if self.exit_code is None:
            return f"error: {self.log}: the job was ended from outside (killed, or out of memory), or crashed"
        return self.last_error or f"error: {self.log}: exit code {self.exit_code}"


def written_logs() -> dict[Path, tuple[int, int]]:
    """The logs that lie here, each with what changes when it is written; clocks may be wrong."""
    return {log: (status.st_ino, status.st_ctime_ns) for log in LOGS.rglob("*.log") if (status := log.stat())}


def failures(before: Mapping[Path, object]) -> list[Failure]:
    """Of all jobs whose logs were written after :func:`written_logs` was ``before``, in the order of their names."""
    logs = [log for log, status in sorted(written_logs().items()) if status != before.get(log)]
    return [failure for log in logs if (failure := _failure(log))]


def exit_code(found: Iterable[Failure], otherwise: int) -> int:
    """The code of a run: that of its failed jobs where they agree."""
    codes = {failure.exit_code for failure in found}
    return next(iter(codes)) or otherwise if len(codes) == 1 else otherwise


def almost_full() -> list[str]:
    """A line where the disk of the working directory has hardly any space left: it explains much."""
    free = shutil.disk_usage(".").free
    hint = f"error: .: got {free / 1e6:.1f} MB of free space. Fix: Free space on its disk, then start again"
    return [hint] if free < _ALMOST_FULL_BYTES else []


def _failure(log: Path) -> Failure | None:
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = handle.read().decode("utf-8", "replace").splitlines()
    ended = _ENDED.search(lines[-1]) if lines else None
    if ended and ended["code"] is None:
        return None
    errors = [line[line.index("error: ") :] for line in lines if " ERROR error: " in line]
    return Failure(log, int(ended["code"]) if ended else None, "\n".join(errors))
