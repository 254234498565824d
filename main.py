"""Run the workflow from one config file: ``python main.py --config config.toml``.

Checks the config, the sample sheet and the raw files, writes the resolved config to
``results/config.json`` and runs Snakemake with it.  Other arguments are passed on to Snakemake:
its options, or files under ``results/`` to make instead of everything.  A config with a
``sweep`` runs every combination.  One run per folder at a time; leftovers of a killed run are
cleared up first.
Exit codes (see docs/reliability.md): 0; 2 for a bad input; the code of the stage that failed;
5 after Ctrl-C; else Snakemake's.
"""

from __future__ import annotations

import sys


def _end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An interrupt that comes as this file is loaded, before anything has begun, ends it without a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        raise SystemExit(5)
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _end_quietly  # before what takes time: the other imports

import argparse
import gc
import io
import os
import platform
import shlex
import signal
import subprocess
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import TracebackType

HOME = Path(__file__).resolve().parent
SCRIPTS = HOME / "workflow" / "scripts"
sys.path.insert(0, str(HOME / "src"))

from pipeline.errors import EXIT_BAD_INPUT, EXIT_CANNOT_WRITE, EXIT_INTERRUPTED, InputError, Problem, StageFailureError


def _without_environment(missing: str) -> Problem:
    """What to say where this Python lacks the project's packages: its environment is not active, or not made."""
    activate = HOME / ".venv" / "bin" / "activate"
    there = f". {shlex.quote(str(activate))}" if activate.is_file() else f"make -C {shlex.quote(str(HOME))} run"
    fix = f"{'Activate it' if activate.is_file() else 'Build it, and run the default config'}: {there}"
    return Problem(sys.executable, "", f"a Python without {missing}", "that of the project's environment", fix)


try:
    if sys.version_info < (3, 11):  # noqa: UP036  (somebody's system Python)
        raise ModuleNotFoundError(name=f"what Python 3.11 has (it is {platform.python_version()})")
    if find_spec("snakemake") is None:
        raise ModuleNotFoundError(name="snakemake")
    from pipeline.artifacts.files import write_text
    from pipeline.config.combinations import combinations
    from pipeline.config.loader import parse_override
    from pipeline.doctor.preflight import check_raw_files
    from pipeline.run.failures import exit_code, failures, written_logs
    from pipeline.run.ownership import owned_folder, stop_jobs
    from pipeline.run.plan import RESOLVED_CONFIG, load_plan
    from pipeline.run.summary import closing_summary
    from pipeline.run.sweep import run_sweep, sweep_summary
except ModuleNotFoundError as error:
    print(_without_environment(str(error.name)), file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)

#: Options that ask for Snakemake's own output, or with which the stages' lines do not reach this terminal.
OWN_OUTPUT = {
    "--verbose", "--printshellcmds", "-p", "--quiet", "-q", "--logger", "--executor", "-e",
    "--profile", "--jobs", "-j", "--summary", "--report",
}  # fmt: skip


def main() -> int:
    """Check, write the resolved config, run, summarise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal of ASCII shows what it can
    arguments, for_snakemake = _parser().parse_known_args()
    # --config and --set take several values, and targets after them look like more of them.
    after = [str(path) for path in arguments.config[1:] if _targets([str(path)]) and path != RESOLVED_CONFIG]
    configs = [path for path in arguments.config if str(path) not in after]
    settings = [text for text in arguments.set if not _targets([text])]
    stray = [word for word in for_snakemake[:1] if not word.startswith("-") and not _targets([word])]
    # First, as options that take many values would take them.
    for_snakemake = [*after, *_targets(arguments.set), *for_snakemake]
    dry, targets = bool({"-n", "--dry-run"} & set(for_snakemake)), _targets(for_snakemake)
    # The config of a dry run is not the one that results/ was made with.
    file = RESOLVED_CONFIG.with_name(".dry_run.json") if dry else RESOLVED_CONFIG
    command = _command(file, arguments.cores, for_snakemake)
    try:
        if problem := _cores_problem(arguments.cores) or _slurm_problem(for_snakemake):
            raise InputError(problem)
        if stray:
            expected, fix = "an option, or a file under results/", "Correct it; main.py --help lists main.py's options"
            raise InputError(Problem("command line", "", stray[0], expected, fix))
        plan = load_plan(HOME, configs, list(map(parse_override, settings)), is_job=False)
        check_raw_files(plan)
        sweep = [] if targets else combinations(plan.config)
        with owned_folder(SCRIPTS, dry=dry) as recovered:
            for action in recovered:
                print(action, file=sys.stderr)
            if sweep:
                code = run_sweep(HOME, sweep, lambda: _snakemake(command), file, dry=dry)
            else:
                write_text(file, plan.config.model_dump_json(indent=1) + "\n")
                code = _snakemake(command)
    except InputError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except StageFailureError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; start again to go on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    stops_early = any(other.split("=")[0] in ("--until", "-U", "--omit-from", "-O") for other in for_snakemake)
    wants_scores = (not targets and not stops_early) or "results/eval.json" in targets
    if not dry and (sweep or (code == 0 and wants_scores)):
        if not sweep and (stale := plan.stale()):
            fix = "Fix: Start again"
            print(*stale, f"error: results/eval.json: got scores of other results. {fix}", sep="\n", file=sys.stderr)
            return EXIT_BAD_INPUT
        try:
            print(sweep_summary() if sweep else closing_summary(), flush=True)
        except OSError as error:  # `main.py … | head` closes the pipe early; a full disk
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if not isinstance(error, BrokenPipeError):
                got, fix = str(error.strerror), "The results are there; see seeg-to-audio summary"
                print(Problem("standard output", "", got, "a place to write", fix), file=sys.stderr)
                return EXIT_CANNOT_WRITE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", type=Path, nargs="+", action="extend", required=True, help=".toml, .yaml or .json; later ones win"
    )
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="e.g. train.lr=1e-3")
    parser.add_argument("--cores", help="cores to use (default: all here; on a cluster as many as there are)")
    return parser


def _cores_problem(cores: str | None) -> Problem | None:
    """With 0 Snakemake waits for ever, and with less it finds no job that it could start."""
    if cores in (None, "all") or (cores.isdecimal() and int(cores) > 0):
        return None
    return Problem("--cores", "", cores, "1 or more, or all", "Leave it out for all cores of this machine")


def _slurm_problem(others: list[str]) -> Problem | None:
    """Without its plugin Snakemake knows no executor slurm, and prints all its options instead.

    A user's own profile named ``slurm`` may be of another executor.
    """
    pairs = [o.split("=", 1) if "=" in o else [o, after] for o, after in pairwise([*others, ""])]
    places = {"--profile": ("profiles", "slurm"), "--executor": ("slurm",), "-e": ("slurm",)}
    wanted = [option for option, value in pairs if option in places and Path(value).parts[-2:] == places[option]]
    if not wanted or find_spec("snakemake_executor_plugin_slurm"):
        return None
    fix = f"Install it: make -C {shlex.quote(str(HOME))} slurm"
    return Problem(wanted[0], "", "slurm without its plugin", "the package snakemake-executor-plugin-slurm", fix)


def _command(config: Path, cores: str | None, others: list[str]) -> list[str]:
    is_local = not any(o.split("=")[0] in ("--profile", "--executor") for o in others)
    cores = cores or (str(os.cpu_count() or 1) if is_local else None)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(HOME / "Snakefile")]
    if not any(other.split("=")[0] in OWN_OUTPUT for other in others):
        command += ["--logger", "stages"]
    # Some options take many values: nothing but an option may follow them.
    command += ["--configfile", str(config), *(["--cores", cores] if cores else [])]
    # By its full path, since a folder "default" in the working directory would hide it.
    command += ["--workflow-profile", str(HOME / "profiles" / "default"), *others]
    return command if _targets(others) else [*command, "--", "all"]


def _snakemake(command: list[str]) -> int:
    """Run it; returns the exit code of the stage that failed.  Raises :class:`KeyboardInterrupt` after a signal."""
    before, signals = written_logs(), []
    # Where the logger is found, also without an installation; and nothing in the working directory, where
    # anybody's files may lie, as Python would otherwise look there first.
    search = os.pathsep.join(filter(None, [str(HOME / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONSAFEPATH": "1"}
    if not _has_cache():
        environment["XDG_CACHE_HOME"] = str(Path(".snakemake/cache").absolute())
    running = subprocess.Popen(command, env=environment)

    def end(number: int, frame: object) -> None:
        """On SIGINT or SIGTERM: Snakemake starts no more jobs, and running ones get SIGTERM; training saves first."""
        signals.append(number)
        running.send_signal(signal.SIGTERM)
        stop_jobs(SCRIPTS)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    code = running.wait()
    if code and signals:
        raise KeyboardInterrupt
    return exit_code(failures(before), otherwise=code if code > 0 else 128 - code) if code else 0


def _has_cache() -> bool:
    """Whether Snakemake, which ends without a cache, can write where it would lay it."""
    given = os.environ.get("XDG_CACHE_HOME")
    place = Path(given or Path.home())
    folders = [place, *([] if given else [place := place / ".cache"]), place / "snakemake"]
    there = [folder for folder in folders if os.access(folder, os.F_OK)]
    return folders[0] in there and all(folder.is_dir() and os.access(folder, os.W_OK) for folder in there)


def _targets(others: list[str]) -> list[str]:
    """Files to make instead of everything."""
    return [other for other in others if other.startswith("results/")]


if __name__ == "__main__":
    gc.freeze()  # what was imported stays: looking through it again and again takes a fifth of a start
    sys.exit(main())
