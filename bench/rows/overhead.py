"""What a job costs before its work begins: the stage script up to its first read, and Snakemake's part.

A stage is started on inputs that are not there, which it finds out when its work begins.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.harness import HOME, Contender, Figure, Measured, Run

TITLE = "overhead per stage job"
#: The files and options that each stage without torch is started with.
STAGES = {
    "ingest": ["--plan", "none.json", "--digest", "none"],
    "align": ["--recording", "none.h5"],
    "mel": ["--aligned", "none.h5"],
    "window": ["--aligned", "none.h5"],
    "contamination": ["--recording", "none.h5"],
    "repeats": ["--mel", "none.h5", "--aligned", "none.h5"],
    "ridge": ["--windows", "none.h5", "--mel", "none.h5", "--aligned", "none.h5", "--folds", "--fold", "0"],
    "vocode": ["--checkpoint", "--predictions", "none.h5", "--aligned", "none.h5"],
    "evaluate": ["--folds", "s/fold0", "--variants", "--pooled", "False", "--sound", "False"],
}
JOBS = 40
RULES = """
rule all:
    input: expand("out/{{i}}", i=range({n}))
rule one:
    output: "out/{{i}}"
    log: "logs/{{i}}"
    shell: "touch {{output}}"
"""


def prepare(work: Path) -> None:
    (work / "config.json").write_text("{}")


def _stage(name: str) -> Callable[[Path], Run]:
    def start(work: Path) -> Run:
        from pipeline.config.loader import load_config
        from pipeline.config.stages import stage_json

        command = [sys.executable, str(HOME / f"workflow/scripts/{name}.py"), *STAGES[name]]
        command += ["--config", stage_json(name, load_config([work / "config.json"])), "--log", str(work / "log")]
        command += ["--output", str(work / "out")]

        def run() -> None:
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            if f"{name}: start" not in done.stderr or done.returncode not in (1, 2):
                raise SystemExit(f"{name} did not start, or did something: {done.stdout}{done.stderr}")

        return run

    return start


def _jobs(n: int) -> Callable[[Path], Run]:
    """Snakemake with ``n`` jobs that do nothing, with the project's profile."""

    def start(work: Path) -> Run:
        folder = work / f"{n}"
        folder.mkdir(exist_ok=True)
        (folder / "Snakefile").write_text(RULES.format(n=n))
        profile = ["--workflow-profile", str(HOME / "profiles/default")]
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--forceall", *profile]
        return lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True)

    return start


def judge(m: Measured) -> list[Figure]:
    per_job = (m[f"Snakemake, {JOBS} jobs"].cpu - m["Snakemake, 1 job"].cpu) / (JOBS - 1)
    stages = [Figure(f"{name}, start to first work, CPU [s]", m[name].cpu, "<=", 0.5) for name in STAGES]
    return [*stages, Figure("Snakemake per job, CPU [s]", per_job, "<=", 0.25)]


CONTENDERS = (
    *(Contender(name, _stage(name)) for name in STAGES),
    Contender("Snakemake, 1 job", _jobs(1)),
    Contender(f"Snakemake, {JOBS} jobs", _jobs(JOBS)),
)
