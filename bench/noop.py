"""What a run costs that has nothing to do: ``python bench/noop.py [--subjects 1 100] [--repeat 5]``.

Lays out the outputs of a finished run as empty files and has Snakemake record them as
made, so that 100 subjects × 10 folds take a minute to prepare and not days; a run with
nothing to do looks at times, names and records, never into the files.  Prints wall and
CPU time of ``snakemake results/eval.json``, of Snakemake alone (one job, no code of
ours), and what part is ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME / "src"))

from pipeline.plan import load_plan  # noqa: E402

ALONE = 'rule one:\n    output: "one"\n    shell: "touch {output}"\n'
#: Snakemake with a --touch that does not sleep 0.1 s for each job.
TOUCH = (
    "import sys; from snakemake.executors.touch import Executor; Executor.SLEEPING_TIME = 0;"
    "from snakemake.cli import main; main(sys.argv[1:])"
)


def main() -> None:
    """Measure and print a line for each number of subjects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(ALONE)
        run(Path(folder), ["--cores", "1"])
        report("Snakemake alone, 1 job", *measured(Path(folder), ["--cores", "1"], options.repeat))
    for subjects in options.subjects:
        with tempfile.TemporaryDirectory() as folder:
            jobs = prepare(Path(folder), subjects, options.folds if subjects > 1 else 1)
            title = f"{subjects} subject(s), {jobs} jobs"
            report(title, *measured(Path(folder), arguments(), options.repeat))


def arguments() -> list[str]:
    return ["--snakefile", str(HOME / "Snakefile"), "--configfile", "config.json", "--cores", "2", "results/eval.json"]


def prepare(work: Path, subjects: int, folds: int) -> int:
    """A finished run of so many jobs in ``work``, all files empty."""
    config = {
        "fold": "all" if folds > 1 else 0,
        "simulate": {"subjects": subjects},
        "split": {"folds": max(2, folds)},
        "export": {"audio": "none"},
    }
    (work / "config.json").write_text(json.dumps(config))
    os.chdir(work)
    plan = load_plan(HOME, [Path("config.json")], [], is_job=False)
    outputs = plan.outputs()
    files = {*plan.raw_files, *plan.evaluated(), "results/scores.tsv", "results/report.html"}
    for file in files | {o.path for o in outputs} | {o.described_by for o in outputs}:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    given = arguments()
    subprocess.run([sys.executable, "-c", TOUCH, "--touch", *given], check=True, stderr=subprocess.DEVNULL)
    return len(outputs)


def measured(work: Path, given: list[str], repeat: int) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of each run, the first one, which fills caches, left out."""
    run(work, given)
    pairs = [run(work, given) for _ in range(repeat)]
    return [wall for wall, _ in pairs], [cpu for _, cpu in pairs]


def run(work: Path, given: list[str]) -> tuple[float, float]:
    before, started = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "snakemake", *given]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=True)
    after = os.times()
    if "results/eval.json" in given and "Nothing to be done" not in done.stderr + done.stdout:
        raise SystemExit(f"there was something to do:\n{done.stderr[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, cpu


def report(title: str, wall: list[float], cpu: list[float]) -> None:
    """Median (smallest … largest) of both."""
    shown = (f"{statistics.median(x):.2f} ({min(x):.2f} … {max(x):.2f})" for x in (wall, cpu))
    print(f"{title:32} wall {next(shown)} s   CPU {next(shown)} s", flush=True)


if __name__ == "__main__":
    main()
