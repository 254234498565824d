"""Snakemake without its second of imports: each call forks from one process that has them.

The forked process has imported nothing of this project, so the Snakefile that it is
given imports the modules that lie beside it: a scratch copy runs its own code.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["snakemake.cli"])


def forked_snakemake(source: Path, work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``snakemake ARGUMENTS`` of the workflow in ``source``, in ``work``; output is in ``.stdout``."""
    command = ["--snakefile", str(source / "Snakefile"), "--cores", "2", *arguments]
    log = work.with_name(f"{work.name}.out")
    process = CONTEXT.Process(target=_run, args=(command, str(work), str(log)))
    process.start()
    process.join()
    return subprocess.CompletedProcess(command, int(process.exitcode or 0), log.read_text())


def _run(command: list[str], work: str, log: str) -> None:
    os.chdir(work)
    os.environ["OMP_NUM_THREADS"] = "1"
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
    from snakemake.cli import main

    main(command)
