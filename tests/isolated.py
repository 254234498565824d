"""Commands of the project, each in a process of its own with bounded time and memory, at the price of a fork.

A server imports what commands import and forks for each request, so that a crash, a loop without end or a claim of all
memory is an outcome as any other.  ``python tests/isolated.py`` is the server: a line of JSON for a command, one back.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
#: What a command may take: seconds of processor time, seconds at all, and bytes beyond those of the server.
CPU_S, WALL_S, MEMORY_BYTES = 20, 120, 2 << 30


@dataclass(frozen=True)
class Ended:
    """How a command ended: its code (minus the signal that killed it), what it printed to stderr, what it took."""

    code: int
    errors: str
    cpu_s: float
    memory_bytes: int


class Isolated:
    """The server and its one client.  Also a context manager."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])}
        environment["OMP_NUM_THREADS"] = "1"  # a fork has no other threads, and would wait for them
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, folder: Path, way: str, *arguments: str, cpu_s: int = CPU_S) -> Ended:
        """``way`` is a function of :data:`WAYS`; the command runs in ``folder`` and is ended after ``cpu_s``."""
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps([cpu_s, str(folder), way, *arguments]) + "\n")
        self._server.stdin.flush()
        return Ended(*json.loads(self._server.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait()


# --- the server -----------------------------------------------------------------------------------------


def _main(arguments: Sequence[str]) -> object:
    """``main.py`` as far as the start of Snakemake."""
    spec = importlib.util.spec_from_file_location("main", ROOT / "main.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._snakemake = lambda *_: 0
    sys.argv = ["main.py", *arguments]
    return module.main()


def _pipeline(arguments: Sequence[str]) -> object:
    from pipeline import cli

    sys.argv = ["seeg-to-audio", *arguments]
    return cli.command()


def _stage(arguments: Sequence[str]) -> object:
    """A stage with the config of the folder; its log goes to nobody."""
    from pipeline.config.loader import load_config
    from pipeline.config.stages import stage_json

    name, *others = arguments
    sys.argv = [
        f"{name}.py",
        "--config",
        stage_json(name, load_config([Path("my.yaml")])),
        "--log",
        os.devnull,
        *others,
    ]
    return runpy.run_path(str(ROOT / f"workflow/scripts/{name}.py"), run_name="__main__")


def _ingest(arguments: Sequence[str]) -> object:
    """The stage ingest of the first row of a sheet."""
    from pipeline.raw.sessions import Session, SessionPlan
    from pipeline.raw.sheet import read_sheet

    row = read_sheet(Path(arguments[0]))[0]
    plan = SessionPlan.of(Session(row.session_name, (row,)), {})
    file = Path(tempfile.mkdtemp()) / "plan.json"
    file.write_text(plan.text())
    return _stage(["ingest", "--plan", str(file), "--digest", plan.digest, "--output", arguments[1]])


def _python(arguments: Sequence[str]) -> object:
    exec(arguments[0])
    return 0


WAYS: dict[str, Callable[[Sequence[str]], object]] = {
    "python": _python,
    "main": _main,
    "pipeline": _pipeline,
    "stage": _stage,
    "ingest": _ingest,
}


def _run(cpu_s: int, folder: str, way: str, arguments: Sequence[str]) -> int:
    """In the child: the command; its exit code."""
    os.chdir(folder)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (4 * used + MEMORY_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    signal.alarm(WALL_S)
    try:
        return int(str(WAYS[way](arguments) or 0))
    except SystemExit as leaving:
        return int(str(leaving.code or 0))
    except BaseException:
        traceback.print_exc()
        return 1


def _forked(cpu_s: int, folder: str, way: str, *arguments: str) -> tuple[int, str, float, int]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = _run(cpu_s, folder, way, arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status, used = os.wait4(child, 0)
        said.seek(0)
        errors = said.read().decode(errors="replace")
    taken = (used.ru_maxrss - before) * 1024
    return os.waitstatus_to_exitcode(status), errors, used.ru_utime + used.ru_stime, taken


def _serve() -> None:
    replies = os.fdopen(os.dup(1), "w")
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    for module in PRELOADED:
        if importlib.util.find_spec(module.partition(".")[0]):
            importlib.import_module(module)
    for line in sys.stdin:
        print(json.dumps(_forked(*json.loads(line))), file=replies, flush=True)


PRELOADED = (
    "h5py", "scipy.io", "scipy.signal", "soundfile", "soxr", "mne", "mne.io", "pyxdf", "mne_bids", "matplotlib.pyplot",
    "pipeline.cli", "pipeline.doctor.command", "pipeline.doctor.preflight", "pipeline.run.plan", "pipeline.run.sweep",
    "pipeline.importing.command", "pipeline.stages.ingest", "pipeline.stages.align", "pipeline.stages.mel",
    "pipeline.stages.window", "pipeline.report.plots", "pipeline.artifacts.inspection", "pipeline.run.new_sheet",
    "pipeline.live.command", "pipeline.live.export", "pipeline.training.checkpoint", "onnxruntime",
)  # fmt: skip

if __name__ == "__main__":
    _serve()
