"""The Slurm jobs of this folder: end those of a killed run, report jobs that can never start.

Snakemake's executor names its jobs after its run, ``PREFIX_UUID``, and submits them from the
folder that Snakemake was started in; both identify them.  Other jobs of the user are left alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.errors import InputError, Problem

RUN_NAME = re.compile(r"(?:^|_)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
#: Why a pending job waits although it will never start as it was submitted.
HOPELESS = {"PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "InvalidAccount", "InvalidQOS"}
NO_CLUSTER = "Could not establish a configuration source"  # the commands are installed, and nothing else
QUERY_S = 30.0
GONE_S = 120.0
WATCH_S = 10.0


@dataclass(frozen=True)
class SlurmJob:
    """A job of this folder in the queue; ``what`` names the rule and its wildcards."""

    number: str
    state: str
    reason: str
    what: str

    def __str__(self) -> str:
        return f"{self.number} ({self.what})"

    @property
    def name(self) -> str:
        """The rule, or the group of rules, that ``what`` begins with."""
        return self.what.removeprefix("rule_").split("_wildcards_")[0]


class ControllerSilentError(Exception):
    """Slurm is installed and does not answer."""


def jobs_here() -> list[SlurmJob]:
    """The unfinished jobs that a Snakemake submitted from this folder; none where there is no Slurm.

    Raises :class:`ControllerSilentError`.
    """
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%A\x1f%T\x1f%r\x1f%k\x1f%j\x1f%Z"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_S, check=False)
    except (subprocess.SubprocessError, OSError) as error:
        raise ControllerSilentError(str(error)) from error
    if NO_CLUSTER in answer.stderr:
        return []
    if answer.returncode:
        raise ControllerSilentError(answer.stderr)
    here, own, found = Path.cwd(), os.environ.get("SLURM_JOB_ID"), []
    for line in answer.stdout.splitlines():
        number, state, reason, what, name, folder = line.split("\x1f")
        if number != own and RUN_NAME.search(name) and Path(folder).resolve() == here:
            found.append(SlurmJob(number, state, reason, what))
    return found


def scancel(jobs: Sequence[SlurmJob]) -> None:
    """Cancel them: Slurm sends a running job SIGTERM, and kills it after the cluster's KillWait."""
    if jobs:
        try:
            subprocess.run(["scancel", *(job.number for job in jobs)], check=False, timeout=QUERY_S)
        except (subprocess.SubprocessError, OSError) as error:
            raise ControllerSilentError(str(error)) from error


def cancel_jobs_here() -> list[SlurmJob]:
    """Cancel them and wait until the last is gone: none may write beside those of the next run.

    Raises :class:`InputError` where they do not end, and :class:`ControllerSilentError`.
    """
    cancelled = jobs_here()
    deadline = time.monotonic() + GONE_S
    left = cancelled
    while left:
        scancel(left)
        if time.monotonic() > deadline:
            fix = "Wait until squeue shows them no more, or ask those who run the cluster"
            raise InputError(Problem(".", "", f"Slurm jobs that do not end: {_named(left)}", "none", fix))
        time.sleep(1)
        left = jobs_here()
    return cancelled


def refuse_orphans() -> None:
    """Raise :class:`InputError` where jobs of an earlier run live on: a second one of each would write beside it."""
    try:
        orphans = jobs_here()
    except ControllerSilentError:
        return  # nothing can be submitted either, and says so
    if orphans:
        got = f"Slurm jobs of a run that was killed: {_named(orphans)}"
        raise InputError(Problem(".", "", got, "none", "Run seeg-to-audio recover, then start again"))


class Rule(Protocol):
    """What is needed of Snakemake's rules."""

    name: str
    group: str | None
    restart_times: int


def watch(rules: Iterable[Rule]) -> None:
    """From now on cancel jobs of this folder that can never start, and say why; ends with the process.

    Slurm keeps them pending for ever, which looks like a full queue.
    """
    if shutil.which("squeue") is not None:
        threading.Thread(target=_watch, args=(list(rules),), daemon=True).start()


def _watch(rules: Sequence[Rule]) -> None:
    while True:
        time.sleep(WATCH_S)
        with suppress(ControllerSilentError):
            cancel_hopeless(rules)


def cancel_hopeless(rules: Iterable[Rule]) -> None:
    """Cancel the pending jobs of this folder that can never start, each with its reason on the terminal.

    Their ``rules`` are not tried again in this run: the next try would request no less.
    """
    for job in jobs_here():
        if job.state == "PENDING" and job.reason in HOPELESS:
            fix = "Lower its resources, or name another partition, in profiles/slurm/profile.yaml"
            problem = Problem(
                f"Slurm job {job}", "", f"{job.reason}: it would wait for ever", "a job that can start", fix
            )
            print(problem, file=sys.stderr, flush=True)
            for rule in rules:
                # A group's job is named after the group and its rules.
                if job.name == rule.name or (rule.group and job.name.startswith(f"{rule.group}_")):
                    rule.restart_times = 0
            scancel([job])


def _named(jobs: list[SlurmJob]) -> str:
    return ", ".join(map(str, jobs[:5])) + (f" and {len(jobs) - 5} more" if len(jobs) > 5 else "")
