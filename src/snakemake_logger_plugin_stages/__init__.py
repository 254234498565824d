"""What ``main.py`` shows of a run: the jobs to come, and failures by their log; the stages speak for themselves.

A logger plugin of Snakemake, chosen with ``--logger stages``.  Snakemake's own account with
commands and reasons goes to ``.snakemake/log/`` as ever, and to the terminal where an option
asks for it (``--verbose``, ``--printshellcmds``, ``--quiet``).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

#: Said at a job's failure, which has been told of by then.
ECHOES = ("CalledProcessError", "At least one job did not complete", "Exiting because a job execution failed")


class LogHandler(LogHandlerBase):
    """Prints a line where there is something to say."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        if line := line_of(record):
            print(line, file=sys.stderr, flush=True)


def line_of(record: logging.LogRecord) -> str:
    """What to print for a message of Snakemake's; empty for nothing."""
    event = getattr(record, "event", None)
    if event == LogEvent.RUN_INFO:
        return _jobs(record.__dict__["stats"])
    if event == LogEvent.JOB_ERROR:
        return _failure(record)
    text = record.getMessage() if record.msg else ""
    if record.levelno >= logging.WARNING:
        return "" if any(echo in text for echo in ECHOES) else text
    return text if text.startswith("Nothing to be done") else ""


def _jobs(counts: Mapping[str, int]) -> str:
    named = {rule: n for rule, n in counts.items() if rule not in ("all", "total")}
    jobs = ", ".join(rule if n == 1 else f"{rule} ×{n}" for rule, n in named.items())
    return f"{sum(named.values())} job(s): {jobs}" if named else ""


def _failure(record: logging.LogRecord) -> str:
    facts = record.__dict__
    logs = ", ".join(map(str, facts.get("log") or []))
    return f"failed: {facts['rule_name']}; its log: {logs or 'none'}"
