"""One run in a folder at a time, and recovery after a run that was killed.

A run holds a lock file that the operating system releases when its process ends, in any way.
If the lock is free but Snakemake's own locks are still there, an earlier run was killed: its
remaining jobs, here and in Slurm's queue, are ended first, then the locks are cleared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from pipeline.artifacts.files import locked, writing
from pipeline.artifacts.paths import RESULTS
from pipeline.errors import CannotWriteError, InputError, Problem
from pipeline.run.layout import LOGS, SNAKEMAKE, WRITTEN, refuse_links
from pipeline.run.slurm import ControllerSilentError, cancel_jobs_here, jobs_here, scancel

LOCK = RESULTS / ".run.lock"
SNAKEMAKE_LOCKS = SNAKEMAKE / "locks"
#: Folders of Snakemake's that it does not say why it cannot write to.
SNAKEMAKES = [SNAKEMAKE_LOCKS, SNAKEMAKE / "metadata", SNAKEMAKE / "incomplete"]
LOCK_NAME = re.compile(r"\d+\.(input|output)\.lock")
PATIENCE_S = 20.0


@contextmanager
def owned_folder(scripts: Path, *, dry: bool = False) -> Iterator[list[str]]:
    """Hold the working directory for one run; yields what had to be done to recover it, nothing where ``dry``.

    ``scripts`` is the folder of the stage scripts, by which jobs are recognised.  Raises
    :class:`InputError` where another run is at work here or a folder is a link, :class:`CannotWriteError`
    where nothing can be written.
    """
    refuse_links()
    for folder in WRITTEN:
        with writing(folder):
            folder.mkdir(exist_ok=True)
    for folder in (*WRITTEN, *SNAKEMAKES, *LOGS.rglob("*")):
        if folder.is_dir() and not os.access(folder, os.W_OK):
            raise CannotWriteError(folder, "a read-only folder", "one to write to", "Make it writable")
    with locked(LOCK, InputError(_busy("another main.py"))):
        if any(_is_snakemake(_command(p)) for p in _here()):
            raise InputError(_busy("a snakemake"))
        yield [] if dry else _recovered(scripts)


def stop_jobs(scripts: Path) -> None:
    """Send SIGTERM to every job in this folder, in Slurm too."""
    with suppress(ControllerSilentError):
        scancel(jobs_here())
    for job in [p for p in _here() if _is_job(p, scripts)]:
        with suppress(psutil.NoSuchProcess):
            job.terminate()


def _recovered(scripts: Path) -> list[str]:
    """End the jobs of a killed run and clear its locks; says what was done."""
    done = []
    locks = [lock for lock in SNAKEMAKE_LOCKS.glob("*") if LOCK_NAME.fullmatch(lock.name)]
    if cancelled := _cancelled(was_killed=bool(locks)):
        done.append(f"cancelled {cancelled} Slurm job(s) that a killed run had left")
    orphans = [p for p in _here() if _is_job(p, scripts)]
    if orphans:
        _end(orphans)
        done.append(f"ended {len(orphans)} job(s) that a killed run had left")
    if locks:
        for lock in locks:
            lock.unlink(missing_ok=True)
        done.append("cleared the locks of a killed run; its unfinished outputs are made again")
    return done


def _cancelled(was_killed: bool) -> int:
    """How many of a killed run's Slurm jobs had to be cancelled."""
    try:
        return len(cancel_jobs_here())
    except ControllerSilentError:
        if not was_killed:
            return 0
        fix = "Wait until scontrol ping answers, so that jobs of the killed run can be ended first"
        raise InputError(Problem(".", "", "a killed run, and no answer from Slurm", "an answer", fix)) from None


def _here() -> Iterator[psutil.Process]:
    """Processes that work in this folder, without this one and those that started it."""
    own = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    folder = str(Path.cwd())
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.cwd() == folder:
                yield process
        except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
            continue


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return []


def _is_snakemake(command: list[str]) -> bool:
    """Whether a process is Snakemake itself, working in the folder that it was started in.

    One with ``--mode`` is no run but a job of one, started by it on this node.
    """
    started = any(Path(part).name == "snakemake" for part in command[:3])
    return started and not {"--directory", "-d", "--mode"} & set(command)


def _is_job(process: psutil.Process, scripts: Path) -> bool:
    return any(part.startswith(f"{scripts}{os.sep}") for part in _command(process))


def _end(processes: list[psutil.Process]) -> None:
    """SIGTERM first, so that training writes its checkpoint; then SIGKILL."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=PATIENCE_S)


def _busy(what: str) -> Problem:
    return Problem(".", "", f"{what} at work in this folder", "one run at a time", "Wait for it, or end it")
