"""Inject faults into the cluster of ``local_slurm.py``, and write down what happened: ``faults.py [NAME ...]``.

Each fault meets a training job of the default workflow in a folder of its own, once it has written a
checkpoint.  A row of the table in docs/cluster.md is printed for each: what was done, how the
run ended, after how many seconds training was at work again or the run had ended, whether
the folder holds one whole result, and how much of the training was done twice.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import local_slurm

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
fold: 0
simulate: {minutes: 1.5, channels: 8, dead_channels: 1, noisy_channels: 1}
split: {folds: 3, validation_fraction: 0.2}
model: {preset: tiny}
train: {max_steps: 480, steps_per_epoch: 20, patience: 100}
predict: {importance: false}
vocode: {iterations: 4}
evaluate: {bootstrap: 100, report: false, stoi: false}
"""
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
SNAKEMAKE += ["--profile", str(ROOT / "profiles/slurm"), "--latency-wait", "5"]
SNAKEMAKE += ["--slurm-init-seconds-before-status-checks", "2"]
PATIENCE_S = 420.0


@dataclass
class Trial:
    """A run of the workflow in ``folder``, whose training is under way."""

    folder: Path
    run: subprocess.Popen[bytes]

    def start(self, *options: str) -> None:
        """Start Snakemake (again); its words are added to run.log."""
        with (self.folder / "run.log").open("ab") as log:
            command = [*SNAKEMAKE, *options, "--until", "train", "--", "results/eval.json"]
            self.run = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return (self.folder / "run.log").read_text()

    def training(self) -> list[str]:
        """The Slurm jobs that train here, running."""
        return [number for number, state in self.queue() if state == "RUNNING"]

    def queue(self) -> list[tuple[str, str]]:
        """Number and state of the training jobs here."""
        listed = _said("squeue", "--noheader", "--format", "%A|%T|%Z|%k").splitlines()
        rows = [row.split("|") for row in listed]
        return [(n, state) for n, state, folder, what in rows if folder == str(self.folder) and "rule_train" in what]

    def steps(self) -> str:
        """What the log of the training says last."""
        found = sorted(self.folder.glob("logs/train/**/*.log"))
        return found[0].read_text() if found else ""

    def wait_for_training(self) -> None:
        _until(lambda: bool(list(self.folder.glob("results/train/**/last.ckpt"))) or self.run.poll() is not None)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def cancelled(trial: Trial) -> None:
    """`scancel` of the training job"""
    subprocess.run(["scancel", *trial.training()], check=True)


def out_of_time(trial: Trial) -> None:
    """time limit reached (set to the minute that the job has run)"""
    for number in trial.training():
        subprocess.run(["scontrol", "update", f"JobId={number}", "TimeLimit=1"], check=True)


def signal_before_the_limit(trial: Trial) -> None:
    """SIGTERM to the steps of the job, as `--signal=TERM@120` sends it before the limit"""
    for number in trial.training():
        subprocess.run(["scancel", "--signal=TERM", number], check=True)


def node_crash(trial: Trial) -> None:
    """slurmd of the node and all its processes killed; the node back after 20 s"""
    for number in trial.training():
        subprocess.run(["scancel", "--signal=KILL", "--full", number], check=False)
    local_slurm.stop("gpu1", kill=True)
    time.sleep(20)
    local_slurm.start("gpu1", ["slurmd", "-D", "-N", "gpu1"])


def requeued(trial: Trial) -> None:
    """`scontrol requeue` of the training job"""
    for number in trial.training():
        subprocess.run(["scontrol", "requeue", number], check=True)


def controller_outage(trial: Trial) -> None:
    """slurmctld killed, back after 40 s"""
    local_slurm.stop("slurmctld", kill=True)
    time.sleep(40)
    local_slurm.start("slurmctld", ["slurmctld", "-D"])


def preempted(trial: Trial) -> None:
    """preempted: a job of a partition of higher rank takes the whole node for 15 s (grace time 15 s)"""
    subprocess.run(
        ["sbatch", "-p", "gpu", "-c", "8", "-t", "1", "--output=/dev/null", "--wrap", "sleep 15"], check=True, cwd="/"
    )


def snakemake_killed(trial: Trial) -> None:
    """Snakemake killed (SIGKILL), its job lives on; then `recover` and the same command"""
    trial.run.kill()
    trial.run.wait()
    trial.start()
    trial.run.wait()  # refused: the folder is locked
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    recovered = subprocess.run(
        [sys.executable, "-m", "pipeline", "recover"],
        cwd=trial.folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    print(recovered.stdout, file=sys.stderr)
    trial.start()


def out_of_memory(trial: Trial) -> None:
    """first try with 300 MB of memory; Slurm kills it"""


def drained(trial: Trial) -> None:
    """node set to drain for 30 s after the job was requeued"""
    subprocess.run(["scontrol", "update", "NodeName=gpu1", "State=DRAIN", "Reason=trial"], check=True)
    requeued(trial)
    time.sleep(30)
    subprocess.run(["scontrol", "update", "NodeName=gpu1", "State=RESUME"], check=True)


def signal_by_the_timer(trial: Trial) -> None:
    """a time limit of three minutes, two of them after the signal of the profile, `--signal=TERM@120`"""


def impossible(trial: Trial) -> None:
    """a time limit above the partition's, which Slurm keeps pending for ever"""


FAULTS: dict[str, tuple[Callable[[Trial], None], list[str]]] = {
    "cancelled": (cancelled, []),
    "told": (signal_before_the_limit, []),
    "requeued": (requeued, []),
    "killed": (snakemake_killed, []),
    "preempted": (preempted, ["--set-resources", "train:slurm_partition=spare"]),
    "controller": (controller_outage, []),
    "crash": (node_crash, []),
    "drained": (drained, []),
    "memory": (out_of_memory, ["--set-resources", "train:slurm_partition=gpu", "train:mem_mb=attempt*300"]),
    "impossible": (impossible, ["--set-resources", "train:slurm_partition=gpu", "train:runtime=100000"]),
    "time": (out_of_time, []),
    "timer": (
        signal_by_the_timer,
        [
            *("--set-resources", "train:slurm_partition=gpu", "train:runtime=attempt*3"),
            "train:slurm_extra='--signal=TERM@120'",
        ],
    ),
}
BEFORE = {"memory", "impossible", "timer"}  # faults that strike before a checkpoint is there
LONG = {"timer"}  # those that take a training of more than a minute


def trial_of(name: str, prepared: Path) -> str:
    """Run one fault; its row of the table."""
    inject, options = FAULTS[name]
    folder = Path(mkdtemp(prefix=f"fault-{name}-", dir=prepared.parent))
    subprocess.run(["cp", "-a", f"{prepared}/.", str(folder)], check=True)
    if name in LONG:
        (folder / "config.yaml").write_text(
            CONFIG.replace("max_steps: 480, steps_per_epoch: 20, patience: 100", "max_steps: 1600, patience: 9999")
        )
    trial = Trial(folder, subprocess.Popen(["true"]))
    started = time.monotonic()
    trial.start(*options)
    if name not in BEFORE:
        trial.wait_for_training()
    struck = time.monotonic()
    inject(trial)
    ended = _until(lambda: trial.run.poll() is not None)
    seconds = time.monotonic() - (started if name in BEFORE else struck)
    whole = (folder / "results/train/sim01/fold0/0-corrector/network.ckpt").is_file()
    runs = len(list(folder.glob("results/train/sim01/fold0/0-corrector/runs/*")))
    jobs = len(re.findall(r"submitted with SLURM jobid", trial.log))
    outcome = f"exit {trial.run.returncode}" if ended else f"still at work after {PATIENCE_S:.0f} s"
    if not ended:
        trial.run.kill()
        subprocess.run(["scancel", *[number for number, _ in trial.queue()]], check=False)
    state = "whole" if whole else "missing"
    return f"| {inject.__doc__} | {outcome}, network {state} | {jobs} | {runs} | {seconds:.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="NAME", help=", ".join(FAULTS))
    names = parser.parse_args().faults or list(FAULTS)
    home = Path(mkdtemp(prefix="slurm-faults-"))
    prepared = home / "prepared"
    prepared.mkdir()
    (prepared / "config.yaml").write_text(CONFIG)
    local = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
    target = ["results/baselines/sim01/fold0.h5"]
    subprocess.run([*local, "--cores", "2", "--", *target], cwd=prepared, check=True, capture_output=True)
    print(
        "| done | end of the run | Slurm jobs | training runs | from fault to end |\n|---|---|---|---|---|", flush=True
    )
    for name in names:
        print(trial_of(name, prepared), flush=True)


if __name__ == "__main__":
    main()
