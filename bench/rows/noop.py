"""What a run costs that has nothing to do, for 1 subject and for 2 000 jobs.

Lays out the outputs of a finished run as empty files and has Snakemake record them as made, so that
36 subjects x 10 folds take a minute to prepare and not days; a run with nothing to do looks at times,
names and records, never into the files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import HOME, Contender, Figure, Measured, Run

if TYPE_CHECKING:
    from pipeline.provenance.outputs import Output

TITLE = "no-op workflow: `snakemake results/eval.json` with nothing to do"
#: Subjects and folds of each run; the second makes about 2 000 jobs.
SIZES = {"1 subject": (1, 1), "2 000 jobs": (36, 10)}
ALONE = 'rule one:\n    output: "one"\n    shell: "touch {output}"\n'
#: Snakemake with a --touch that does not sleep 0.1 s for each job.
TOUCH = (
    "import sys; from snakemake.executors.touch import Executor; Executor.SLEEPING_TIME = 0;"
    "from snakemake.cli import main; main(sys.argv[1:])"
)
CONTENT = "0" * 64
ARGUMENTS = ["--snakefile", str(HOME / "Snakefile"), "--configfile", "config.json", "--cores", "2", "results/eval.json"]


def prepare(work: Path) -> None:
    alone = work / "alone"
    alone.mkdir(exist_ok=True)
    (alone / "Snakefile").write_text(ALONE)
    _snakemake(alone, ["--cores", "1"])
    for name, (subjects, folds) in SIZES.items():
        jobs = lay_out(work / name, subjects, folds)
        (work / name / "jobs").write_text(str(jobs))


def lay_out(folder: Path, subjects: int, folds: int) -> int:
    """A finished run in ``folder``, all files empty; returns its number of jobs."""
    from pipeline.run.layout import mark_layout
    from pipeline.run.plan import load_plan

    folder.mkdir(parents=True, exist_ok=True)
    if (folder / ".snakemake").exists():
        return int((folder / "jobs").read_text())
    config = {
        "fold": "all" if folds > 1 else 0,
        "simulate": {"subjects": subjects},
        "split": {"folds": max(2, folds)},
        "export": {"audio": "none"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    before = Path.cwd()
    os.chdir(folder)
    try:
        plan = load_plan(HOME, [Path("config.json")], [], is_job=False)
        outputs = plan.outputs()
        files = {*plan.raw_files, *plan.evaluated(), "results/scores.tsv", "results/report.html"}
        for file in files | {o.path for o in outputs} | {o.described_by for o in outputs}:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).touch()
        mark_layout()
        subprocess.run([sys.executable, "-c", TOUCH, "--touch", *ARGUMENTS], check=True, stderr=subprocess.DEVNULL)
        _index(outputs)
    finally:
        os.chdir(before)
    return len(outputs)


def _index(outputs: list[Output]) -> None:
    """Say of the empty files what outputs that are up to date say of themselves, as an earlier start would have."""
    from pipeline.artifacts.memory import SETTLED_NS, remembered
    from pipeline.config.canonical import digest
    from pipeline.provenance.freshness import INDEX

    said = {
        o.described_by: {
            "output": "",
            "config": digest(o.config_json),
            "code": digest(dict(o.code)),
            "inputs": [[path, CONTENT] for path in o.inputs],
            "content": CONTENT,
            "parts": {},
        }
        for o in outputs
    }
    INDEX.unlink(missing_ok=True)
    time.sleep(1.5e-9 * SETTLED_NS)  # what changed a moment ago would be looked into again
    remembered({name: Path(name) for name in said}, INDEX, lambda name, _: said[name])


def nothing_to_do(folder: Path) -> None:
    """One run; ends the benchmark where there was something to do."""
    shown = _snakemake(folder, ARGUMENTS)
    if "Nothing to be done" not in shown:
        raise SystemExit(f"there was something to do:\n{shown[-2000:]}")


def _snakemake(folder: Path, arguments: list[str]) -> str:
    command = [sys.executable, "-m", "snakemake", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stderr + done.stdout


def _run(name: str) -> Callable[[Path], Run]:
    return lambda work: lambda: nothing_to_do(work / name)


def alone(work: Path) -> Run:
    return lambda: _snakemake(work / "alone", ["--cores", "1"])


def judge(m: Measured) -> list[Figure]:
    jobs = int((m.work / "2 000 jobs" / "jobs").read_text())
    return [
        Figure("1 subject, CPU [s]", m["1 subject"].cpu, "<=", 1.3),
        Figure("of it Snakemake alone [s]", m["Snakemake alone"].cpu),
        Figure(f"{jobs} jobs, CPU [s]", m["2 000 jobs"].cpu, "<=", 4.0),
    ]


CONTENDERS = (
    Contender("1 subject", _run("1 subject")),
    Contender("2 000 jobs", _run("2 000 jobs")),
    Contender("Snakemake alone", alone),
)
