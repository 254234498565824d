"""The lines that ``main.py`` prints of Snakemake: the jobs to run, and each failed job with its log file.

A logger plugin of Snakemake, chosen with ``--logger stages``; the stages print their own lines.
Snakemake's commands and reasons go to ``.snakemake/log/`` as usual, and to the terminal with
``--verbose``, ``--printshellcmds`` or ``--quiet``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

#: Printed by Snakemake after a job's failure, which has its own line by then.
ECHOES = ("CalledProcessError", "At least one job did not complete", "Exiting because a job execution failed")


class LogHandler(LogHandlerBase):
    """Prints one line for each message that :func:`line_of` keeps."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    #: The line of the counts, which Snakemake sends twice in a dry run; and whether the rule ``all`` is among them.
    counts, targets = "", 0

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == LogEvent.RUN_INFO:
            self.targets = record.__dict__["stats"].get("all", 0)
        line = line_of(record, bool(self.common_settings.dryrun), self.targets)
        if getattr(record, "event", None) == LogEvent.RUN_INFO:
            line, self.counts = ("" if line == self.counts else line), line
        if line:
            print(line, file=sys.stderr, flush=True)


def line_of(record: logging.LogRecord, is_dry: bool = False, targets: int = 0) -> str:
    """What to print for a message of Snakemake's; empty for nothing.  ``targets``: jobs that run nothing (``all``)."""
    event = getattr(record, "event", None)
    if event == LogEvent.RUN_INFO:
        return (_table if is_dry else _jobs)(record.__dict__["stats"])
    if event == LogEvent.PROGRESS:
        done, total = record.__dict__["done"], record.__dict__["total"] - targets
        return f"{done} of {total} jobs done" if done <= total else ""
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


def _table(counts: Mapping[str, int]) -> str:
    """Of a dry run: a line for each stage, and how to get Snakemake's own list with the reasons."""
    named = {rule: n for rule, n in counts.items() if rule not in ("all", "total")}
    if not named:
        return ""
    wide = max(len(rule) for rule in named)
    lines = [f"{'stage':{wide}}  jobs", *(f"{rule:{wide}}  {n:4d}" for rule, n in named.items())]
    return "\n".join([*lines, f"{sum(named.values())} job(s) would run; with --verbose: each of them, and why"])


def _failure(record: logging.LogRecord) -> str:
    attributes = record.__dict__
    logs = ", ".join(map(str, attributes.get("log") or []))
    return f"failed: {attributes['rule_name']}; its log: {logs or 'none'}"
