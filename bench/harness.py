"""How a row is measured: contenders take turns, each in a process of its own, by process CPU time.

A row is a module in ``bench/rows`` with

    TITLE       what is done, as the table shows it
    CONTENDERS  a tuple of :class:`Contender`, ours first
    prepare     (work) -> None: makes the input files in the folder ``work``, once
    judge       (Measured) -> list of :class:`Figure`: ratios, memory and errors with their targets

The parent starts one child per contender and has them run in turn, so that whatever else the machine
does falls on all alike.  A child sees one thread (OMP_NUM_THREADS=1), does one run to warm up (unless one run
is all that is asked for), and reports user + system time of itself and of the children it waited for.
Peak memory is the child's own (VmHWM, which, unlike ru_maxrss, begins anew when a program starts) or its
largest child's.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HOME = Path(__file__).resolve().parents[1]
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


#: What is timed.
Run = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """One way of doing a row's work.

    ``start`` gets the work folder, prepares what is not measured and returns what is; an array or a number that
    this returns is kept for :meth:`Measured.output`.  ``once``: a single run, for its memory or for its scale.
    """

    name: str
    start: Callable[[Path], Run]
    once: bool = False


@dataclass(frozen=True)
class Timing:
    """Seconds of each run and peak memory of one contender."""

    cpu_s: list[float]
    wall_s: list[float]
    peak_mb: float

    @property
    def cpu(self) -> float:
        """Median CPU time [s]."""
        return statistics.median(self.cpu_s)

    @property
    def wall(self) -> float:
        """Median wall time [s]."""
        return statistics.median(self.wall_s)


@dataclass(frozen=True)
class Measured:
    """What a row's contenders took, by name, and where their outputs lie."""

    work: Path
    timings: dict[str, Timing]

    def __getitem__(self, name: str) -> Timing:
        return self.timings[name]

    def output(self, name: str) -> np.ndarray:
        """The array that the contender returned last."""
        return np.load(self.work / f"{name}.out.npy", allow_pickle=False)

    def faster(self, ours: str, theirs: str) -> float:
        """How many times less CPU time ``ours`` takes."""
        return self[theirs].cpu / self[ours].cpu


@dataclass(frozen=True)
class Figure:
    """One number of a row; ``target`` is a bound of kind ``sign`` (``>=``, ``<=``), None: for information."""

    name: str
    value: float
    sign: str = ">="
    target: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is reached; true where there is none."""
        if self.target is None:
            return True
        return self.value >= self.target if self.sign == ">=" else self.value <= self.target


@dataclass(frozen=True)
class Result:
    """A measured row, as kept in docs/benchmarks.json."""

    title: str
    runs: int
    timings: dict[str, Timing]
    figures: list[Figure]
    load: float
    series: dict[str, list[list[float]]] = field(default_factory=dict)
    machine: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Result:
        timings = {name: Timing(**t) for name, t in values["timings"].items()}
        return cls(**values | {"timings": timings, "figures": [Figure(**f) for f in values["figures"]]})


def machine() -> str:
    """Processor, memory and versions."""
    names = ("numpy", "scipy", "torch", "librosa", "scikit-learn", "h5py", "snakemake", "soxr")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{_cpu()}, {os.cpu_count()} cores, {memory_gb:.0f} GiB; Python {python}, {versions}"


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    attributes = dict(line.split(":", 1) for line in lines if ":" in line)
    attributes = {key.strip(): value.strip() for key, value in attributes.items()}
    return f"{attributes['model name']} (family {attributes['cpu family']}, model {attributes['model']})"


def row_module(name: str) -> ModuleType:
    """The module of a row."""
    return importlib.import_module(f"bench.rows.{name}")


def measure(name: str, work: Path, runs: int) -> Result:
    """Prepare, run the contenders in turn ``runs`` times each, and judge."""
    row = row_module(name)
    work.mkdir(parents=True, exist_ok=True)
    row.prepare(work)
    timings: dict[str, list[dict[str, float]]] = {c.name: [] for c in row.CONTENDERS}
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        children = {c.name: stack.enter_context(Child(name, c, work, runs > 1)) for c in row.CONTENDERS}
        for turn in range(runs):
            for contender in row.CONTENDERS:
                if turn == 0 or not contender.once:
                    timings[contender.name].append(children[contender.name].run())
    found = {name: _timing(rows) for name, rows in timings.items()}
    measured = Measured(work, found)
    series = row.series(measured) if hasattr(row, "series") else {}
    return Result(row.TITLE, runs, found, row.judge(measured), load, series, machine())


def _timing(rows: Sequence[dict[str, float]]) -> Timing:
    return Timing([r["cpu_s"] for r in rows], [r["wall_s"] for r in rows], max(r["peak_mb"] for r in rows))


class Child:
    """A contender in a process of its own, which runs on request; made when it is ready."""

    def __init__(self, row: str, contender: Contender, work: Path, warm_up: bool) -> None:
        self.name = f"{row}, {contender.name}"
        path = os.pathsep.join([str(HOME), str(HOME / "src")])
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.child",
                row,
                contender.name,
                str(work),
                str(int(warm_up and not contender.once)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
        )
        self._answer()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def run(self) -> dict[str, float]:
        """One run: ``cpu_s``, ``wall_s``, ``peak_mb``."""
        assert self.process.stdin is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"contender {self.name} ended")
        return dict(json.loads(answer))
