"""Chaos: faults at random moments, each followed by starting the run again: ``python tests/chaos.py``.

A tiny simulated subject goes through the whole workflow once, undisturbed; its content
digests are what every later run has to reach.  Then, for each fault, the outputs of one
stage are deleted (now and then with all that is made from them), ``main.py`` makes them
again, and the fault strikes: a signal to a job, to Snakemake, to ``main.py`` or to all of
them, a disk that fills up or a limit on file sizes, damage to a file.  ``main.py`` is
then simply started again; only where it names a damaged file, that file is deleted first, as it says.

A fault is *survived* when that run ends well and every output is whole and has its
reference digest, *lost* when not, and *partial* when between fault and restart a
half-written file lay where the next stage would have believed it.  Ends with code 1
unless all were survived.  The seed decides faults and moments (how far a run has come
by then also depends on the machine).
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME / "src"))

from pipeline.errors import EXIT_BAD_INPUT, InputError  # noqa: E402
from pipeline.provenance.freshness import content_of, damage, described  # noqa: E402
from pipeline.provenance.outputs import Output  # noqa: E402
from pipeline.run.plan import load_plan  # noqa: E402

CONFIG = """\
fold: 0
simulate: {minutes: 0.6, channels: 6, noisy_channels: 0}
split: {folds: 2, validation_fraction: 0.2}
model: {preset: tiny, networks: 2}
train: {max_steps: 6, steps_per_epoch: 2}
predict: {importance: false, attention_windows: 1}
export: {audio: predicted}
vocode: {iterations: 1, inversion_steps: 1}
evaluate: {bootstrap: 100, report: false, stoi: false}
"""
DISK_BYTES = 256 << 20
PATIENCE_S = 600.0
ONWARDS = 0.1  # share of rounds that also make what lies behind the stage
SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT}
VICTIMS = ("job", "snakemake", "main", "all")
DAMAGE = ("bit flip", "cut", "zeros", "emptied")
KINDS = [f"{name} {victim}" for name in SIGNALS for victim in VICTIMS]
KINDS += ["KILL all", "KILL job", "full disk", "full disk", "file size"]
KINDS += [f"{how} of an input" for how in DAMAGE] + ["bit flip of a checkpoint", "cut of a checkpoint"]
WHEN = ("at any time", "while the job runs", "while it writes")


@dataclass
class Outcome:
    """What one fault did."""

    kind: str
    when: str
    stage: str
    hit: bool = False
    code: int = 0
    attempts: int = 0
    partial: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "lost" if self.lost else "partial" if self.partial else "survived"

    def __str__(self) -> str:
        why = "; ".join(self.lost or self.partial)
        ended = f"exit {self.code}, {self.attempts} restart(s)"
        return f"{self.kind:24} {self.when:20} {self.stage:14} {self.verdict:9} {ended} {why}".rstrip()


class Chaos:
    """A finished run in ``work`` and the means to disturb it."""

    def __init__(self, work: Path, seed: int, is_small_disk: bool) -> None:
        self.work, self.random, self.is_small_disk = work, random.Random(seed), is_small_disk
        (work / "config.yaml").write_text(CONFIG)
        os.chdir(work)
        self.outputs = load_plan(HOME, [Path("config.yaml")], [], is_job=False).outputs()
        self.stages = list(dict.fromkeys(output.stage for output in self.outputs))
        if code := self.start([]).wait(PATIENCE_S):
            raise SystemExit(f"the undisturbed run ended with {code}:\n{self.printed()[-3000:]}")
        self.reference = self.digests()
        self.seconds: dict[str, float] = {}

    # --- looking

    def digests(self) -> dict[str, str | None]:
        """Content digest of each output; None where it is missing or unreadable."""
        return {output.path: content_of(output.described_by) for output in self.outputs}

    def broken(self, spared: Path | None = None) -> list[str]:
        """Outputs at their final places that are not whole, without the one that was damaged on purpose."""
        return [o.path for o in self.outputs if Path(o.path) != spared and Path(o.path).exists() and _is_broken(o)]

    def wrong(self) -> list[str]:
        """Outputs that are missing, damaged, or other than those of the undisturbed run; temporary files left."""
        found = self.digests()
        paths = [o.path for o in self.outputs if found[o.path] != self.reference[o.path] or damage(o)]
        return paths + [str(p) for p in Path("results").rglob("*.tmp")]

    def printed(self) -> str:
        return Path("said.log").read_text(errors="replace")

    # --- doing

    def start(self, targets: list[str], limit: int | None = None) -> subprocess.Popen[bytes]:
        """``main.py`` for these targets, in a process group of its own."""
        command = [sys.executable, str(HOME / "main.py"), "--config", "config.yaml", "--cores", "2", *targets]
        prepare = None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with Path("said.log").open("wb") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"}, preexec_fn=prepare,
            )  # fmt: skip

    def processes(self) -> dict[str, list[psutil.Process]]:
        """What runs in this folder, by its part; ``all`` of them."""
        found: dict[str, list[psutil.Process]] = {name: [] for name in VICTIMS}
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and process.cwd() == str(self.work):
                    words = process.cmdline()
                    is_job = any(word.startswith(str(HOME / "workflow/scripts")) for word in words)
                    part = "job" if is_job else "snakemake" if "snakemake" in words else "main"
                    if is_job or part in words or str(HOME / "main.py") in words:
                        found[part].append(process)
                    found["all"].append(process)
        return found

    def round(self, kind: str) -> Outcome:
        """One fault, and what became of it."""
        stages = ["train"] if kind.endswith("checkpoint") else self.stages
        stage = self.random.choice(stages)
        outcome = Outcome(kind, self.random.choice(WHEN), stage)
        outputs = [o for o in self.outputs if o.stage == stage]
        if self.random.random() < ONWARDS:
            outputs = self.outputs[self.outputs.index(outputs[0]) :]
            outcome.stage += " onwards"
        damaged = self._disturbed_run(outcome, outputs)
        outcome.partial = self.broken(damaged)
        self._restart(outcome, [o.path for o in outputs], damaged)
        return outcome

    def _disturbed_run(self, outcome: Outcome, outputs: list[Output]) -> Path | None:
        """Make ``outputs`` again under the fault; returns the file that was damaged on purpose, if one was."""
        for output in outputs:
            _remove(output)
        targets, damaged, undo = [o.path for o in outputs], None, _nothing
        if outcome.kind.endswith("an input"):
            candidates = [o for o in self.outputs if o not in outputs and Path(o.path).is_file()]
            damaged = Path(self.random.choice(candidates).path) if candidates else None
        limit = self.random.randrange(20_000, 3_000_000) if outcome.kind == "file size" else None
        if damaged is not None:
            self._damage(damaged, outcome.kind)
            outcome.hit, outcome.when = True, "before the run"
        started = time.monotonic()
        run = self.start(targets, limit)
        if limit is not None:
            outcome.when = f"{limit / 1e6:.1f} MB"
        elif damaged is None:
            undo = self._strike(outcome, run, started)
        outcome.code = self._end_of(run)
        outcome.hit = outcome.hit or outcome.code != 0
        undo()
        if outcome.kind.endswith("a checkpoint"):
            for file in sorted(Path("results/train").glob("*/fold*/*/runs/*/*.ckpt")):
                self._damage(file, outcome.kind)
        return damaged

    def _strike(self, outcome: Outcome, run: subprocess.Popen[bytes], started: float) -> Callable[[], None]:
        """Wait for the moment, then do what the kind of fault says; returns what undoes it."""
        self._await_moment(outcome, run, started)
        if run.poll() is not None:
            return _nothing
        outcome.hit = True
        if outcome.kind == "full disk":
            return self._fill_disk()
        name, _, victim = outcome.kind.partition(" ")
        number = SIGNALS.get(name, signal.SIGKILL)
        victims = self.processes()["job" if victim not in VICTIMS else victim]
        for process in victims:
            with suppress(psutil.Error):
                process.send_signal(number)
        outcome.hit = bool(victims)
        return _nothing

    def _await_moment(self, outcome: Outcome, run: subprocess.Popen[bytes], started: float) -> None:
        share = self.random.random()
        if outcome.kind.endswith("a checkpoint"):
            self._wait_while(run, lambda: not _checkpoints())
            return
        if outcome.when == "at any time":
            stop = started + share * self.seconds.get(outcome.stage, 5.0)
            self._wait_while(run, lambda: time.monotonic() < stop)
            return
        self._wait_while(run, lambda: not self.processes()["job"])
        if outcome.when == "while the job runs":
            time.sleep(3 * share**2)
        else:
            self._wait_while(run, lambda: not any(Path("results").rglob(".*.tmp")))
            time.sleep(0.05 * share**2)

    def _wait_while(self, run: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while run.poll() is None and condition() and time.monotonic() < end:
            time.sleep(0.01)

    def _fill_disk(self) -> Callable[[], None]:
        """Leave hardly any space on the small disk; returns what frees it."""
        ballast, left = Path("ballast"), self.random.choice([0, 50_000, 500_000, 1_200_000])
        with ballast.open("wb") as file:
            size = max(0, shutil.disk_usage(".").free - left)
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(1, size))
        return lambda: ballast.unlink(missing_ok=True)

    def _damage(self, file: Path, kind: str) -> None:
        """Another file in its place, so that names elsewhere of the same data keep it."""
        content = bytearray(file.read_bytes())
        place = self.random.randrange(max(1, len(content)))
        match kind.split(" of ")[0]:
            case "bit flip":
                content[place] ^= 1 << self.random.randrange(8)
            case "cut":
                del content[place:]
            case "zeros":
                content[place : place + 4096] = bytes(len(content[place : place + 4096]))
            case "emptied":
                content.clear()
        file.unlink()
        file.write_bytes(content)

    def _end_of(self, run: subprocess.Popen[bytes]) -> int:
        """The exit code of ``main.py``, once nothing of it runs any more or only orphans are left."""
        try:
            return run.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return run.wait()

    def _restart(self, outcome: Outcome, targets: list[str], damaged: Path | None) -> None:
        """Start again; what is then named as damaged is deleted, and everything made again."""
        while True:
            begun = time.monotonic()
            code, wrong = self._started_again(targets), self.wrong()
            outcome.attempts += 1
            if code == 0 and not wrong:
                self.seconds.setdefault(outcome.stage, time.monotonic() - begun)
                return
            if damaged is None or not self._is_named(damaged, wrong):
                break
            damaged.unlink(missing_ok=True)
            damaged, targets = None, [output.path for output in self.outputs]
        outcome.lost = [f"exit {code}", *wrong, *self.printed().splitlines()[-3:]]
        self._mend()

    def _started_again(self, targets: list[str]) -> int:
        """The exit code of the next run; one that is refused, since an older one is still at work, is started later."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            code = self._end_of(self.start(targets))
            if code != EXIT_BAD_INPUT or "one run at a time" not in self.printed():
                return code
            time.sleep(0.5)
        return EXIT_BAD_INPUT

    def _is_named(self, file: Path, wrong: list[str]) -> bool:
        """Whether a stage that read the file says that it is damaged, or ``verify`` would."""
        errors = [line for line in self.printed().splitlines() if line.startswith("error: ")]
        return str(file) in wrong or any(str(file) in line for line in errors)

    def _mend(self) -> None:
        """After a loss: the workflow anew, so that the next fault has something to hit."""
        for processes in self.processes().values():
            for process in processes:
                with suppress(psutil.Error):
                    process.kill()
        shutil.rmtree("results", ignore_errors=True)
        shutil.rmtree(".snakemake", ignore_errors=True)
        self._end_of(self.start([]))


def _is_broken(output: Output) -> bool:
    """Whether an output claims to be whole and is not; without its sidecar no stage uses it."""
    if output.described_by.endswith(".json"):
        try:
            described(output.described_by)
        except InputError:
            return Path(output.described_by).is_file()
    return bool(damage(output))


def _remove(output: Output) -> None:
    """Delete an output; training also forgets its runs, or it would find them."""
    path = Path(output.path)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if output.stage in ("train", "ensemble"):
        shutil.rmtree(path.parent / "runs", ignore_errors=True)


def _checkpoints() -> list[Path]:
    return list(Path("results/train").glob("*/fold*/*/runs/*/last.ckpt"))


def _nothing() -> None:
    pass


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder, on a disk of its own that can be filled up where that may be mounted."""
    place = Path(tempfile.mkdtemp(prefix="chaos"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    is_mounted = bool(shutil.which("mount")) and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield place, is_mounted
    finally:
        os.chdir("/")
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
        shutil.rmtree(place)


def inflict(faults: int, seed: int, tell: Callable[[str], None] = print) -> list[Outcome]:
    """So many faults that hit; what became of each.  Those that came too late are printed and not counted."""
    with small_disk() as (work, is_small_disk):
        chaos = Chaos(work, seed, is_small_disk)
        kinds = KINDS if is_small_disk else [kind for kind in KINDS if kind != "full disk"]
        tell(f"reference: {len(chaos.reference)} outputs; {'' if is_small_disk else 'no '}disk to fill up; seed {seed}")
        outcomes: list[Outcome] = []
        late = 0
        while len(outcomes) < faults and late <= faults + 20:
            outcome = chaos.round(kinds[(len(outcomes) + late) % len(kinds)])
            if outcome.hit or outcome.verdict != "survived":
                outcomes.append(outcome)
                tell(f"{len(outcomes):4} {outcome}")
            else:
                late += 1
        tell(f"{late} came too late to hit anything")
        if code := chaos._end_of(chaos.start([])):
            raise SystemExit(f"the last run ended with {code}:\n{chaos.printed()[-3000:]}")
        tell(f"final digests {'differ: ' + ', '.join(chaos.wrong()) if chaos.wrong() else 'equal the undisturbed run'}")
        return outcomes


def table(outcomes: list[Outcome], name: Callable[[Outcome], str]) -> str:
    """How many of each kind, and what became of them."""
    verdicts = ("survived", "lost", "partial")
    counts = Counter((name(o), o.verdict) for o in outcomes)
    lines = [f"{'':28}" + "".join(f"{v:>10}" for v in verdicts)]
    for row in sorted({name(o) for o in outcomes}):
        lines.append(f"{row:28}" + "".join(f"{counts[row, v]:>10}" for v in verdicts))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200, help="how many have to hit")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, and inherited so
    outcomes = inflict(options.faults, options.seed, lambda line: print(line, flush=True))
    print(table(outcomes, lambda o: o.kind), table(outcomes, lambda o: o.stage.split()[0]), sep="\n\n")
    count = Counter(o.verdict for o in outcomes)
    print(f"\n{len(outcomes)} faults: {count['survived']} survived, {count['lost']} lost, {count['partial']} partial")
    return int(count["survived"] < len(outcomes))


if __name__ == "__main__":
    sys.exit(main())
