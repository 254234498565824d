"""How a stage runs as a command: options, config, log, progress, exit code.

A script calls :func:`run_stage` with the stage's function and the names of its files; each name
becomes an option.  The function gets a :class:`Stage`.  A bad input ends the job with exit code 2
and its problems, a known failure with a code of its own (:mod:`pipeline.errors`), any other with
1 and one line; the traceback is in the log.  The last line of a log states how the job ended; a
log without such a line belongs to a job that was killed.

The code of a run is that of its start: where a module of a stage is edited meanwhile, the stage ends and publishes
nothing.  It compares the code before it is imported and again before an output appears under its name.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from tqdm import tqdm

from pipeline import plugins
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.files import WRITE_ERRORS, writing
from pipeline.config.base import Section
from pipeline.errors import (
    EXIT_BAD_INPUT,
    EXIT_OUT_OF_MEMORY,
    InputError,
    Problem,
    StageFailureError,
    is_out_of_memory,
    printable,
)
from pipeline.provenance.fingerprint import code_now
from pipeline.provenance.outputs import counted_as

C = TypeVar("C", bound=Section)
T = TypeVar("T")
#: To the log file only.
DETAILS = "details"
CLEAR_LINE = "\r\033[K"
LINE_EVERY_S = 30.0
#: From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Stage(Generic[C]):
    """Arguments, config and log of a running stage.

    ``files`` maps each declared name to its paths; ``code`` is the code fingerprint of the run, empty where the
    stage was started by hand without one.
    """

    name: str
    config: C
    code: dict[str, str]
    files: dict[str, list[Path]]
    options: dict[str, str]
    log: logging.Logger

    def file(self, name: str) -> Path:
        """The single path of the option ``name``."""
        (path,) = self.files[name]
        return path

    def progress(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """``items``, with a progress bar on a terminal, else with a line now and then.

        ``total`` is their number where ``len`` is not defined.
        """
        total = len(items) if isinstance(items, Sized) else total
        if sys.stderr.isatty():
            yield from tqdm(items, f"{self.name}: {what}", total, leave=False)
            return
        last_line_s = time.monotonic()
        for done, item in enumerate(items):
            if time.monotonic() - last_line_s > LINE_EVERY_S:
                last_line_s = time.monotonic()
                self.log.info("%s: %d of %s %s", self.name, done, total or "all", what)
            yield item

    @contextmanager
    def counter(self, what: str) -> Iterator[Callable[[int, int], None] | None]:
        """A progress bar for work that counts its own steps: call it with (done, total) of one piece after the other.

        None without a terminal.  A piece that is resumed starts with ``done`` above 1.
        """
        if not sys.stderr.isatty():
            yield None
            return
        with tqdm(desc=f"{self.name}: {what}", total=0, leave=False) as bar:

            def count(done: int, total: int) -> None:
                if done <= bar.n or bar.total != total:
                    bar.reset(total)
                    bar.n = bar.initial = done - 1
                    bar.refresh()
                bar.update(done - bar.n)

            yield count

    def hide_folders(self, files: Iterable[Path]) -> None:
        """Keep the folders of these files, too, out of the log file."""
        for handler in logging.getLogger().handlers:
            if isinstance(handler.formatter, _WithoutFolders):
                handler.formatter.folders = _folders(files) + handler.formatter.folders

    def provenance(self, inputs: Sequence[tuple[Path | str, str]]) -> Provenance:
        """What the stage's artifact is made from: ``inputs`` are paths with their sha256."""
        pairs = [(str(path), sha256) for path, sha256 in inputs]
        output = self.files["output"][0]
        written_for = "" if output.is_absolute() else str(output)
        config_json = self.config.canonical_json()
        used = plugins.versions(json.loads(config_json))
        return Provenance(config_json, self.code, pairs, written_for, self.refuse_edits, used)

    def refuse_edits(self, now: Mapping[str, str] | None = None) -> None:
        """Raise :class:`InputError` where the code is ``now``, or on the disk, another than the run started with."""
        if not self.code:
            return
        found = counted_as(self.name, dict(code_now(sys.argv[0], self.config.canonical_json()) if now is None else now))
        edited = sorted(name for name in {*found, *self.code} if found.get(name) != self.code.get(name))
        if edited:
            got, fix = "an edit while the run was at work", "Start again, so that the stage runs with one version"
            raise InputError(Problem(", ".join(edited[:3]), "code", got, "the code that the run started with", fix))


def run_stage(
    work: Callable[[Stage[C]], str],
    config_type: type[C],
    files: Sequence[str],
    options: Sequence[str] = (),
    *,
    code: Mapping[str, str] | None = None,
    reuse_memory: bool = False,
) -> NoReturn:
    """Run ``work`` as a command; it returns a one-line summary of the result.

    ``code`` is the fingerprint that the script found before it imported anything else.  ``reuse_memory`` is for work
    that goes block by block, or trial by trial.
    """
    if reuse_memory:
        _reuse_memory()
    arguments = _parser(files, options).parse_args()
    name = Path(sys.argv[0]).stem
    folders = _folders(path for f in files for path in getattr(arguments, f))
    try:
        with writing(arguments.log):
            log = _logger(name, arguments.log, arguments.log_level, folders, job_of(getattr(arguments, files[-1])[0]))
    except StageFailureError as error:
        print(f"error: {error}", file=sys.stderr)
        _exit(error.exit_code)
    first, *others = getattr(arguments, files[-1])
    started = time.perf_counter()
    log.info("%s: start, for %s%s", name, first, f" and {len(others)} more" if others else "")
    try:
        with writing(arguments.log.parent, WRITE_ERRORS):
            stage = Stage(
                name=name,
                config=config_type.from_json(arguments.config),
                code=dict(item.rsplit(":", 1) for item in arguments.code),
                files={f: getattr(arguments, f) for f in files},
                options={o: getattr(arguments, o) for o in options},
                log=log,
            )
            stage.refuse_edits(code)
            outcome = work(stage)
    except (Exception, SystemExit) as error:  # sys.exit(0) of a plug-in would say that the stage is done
        _exit(_report_error(error, log, arguments.log))
    log.info("%s: done in %.1f s: %s", name, time.perf_counter() - started, outcome)
    _exit(0)


def _reuse_memory() -> None:
    """Have glibc keep what is freed for the next block: given back to the system, it would come again page by page.

    Limits of what goes back and of what is asked for on its own [bytes]; the second is the highest that there is.
    """
    with suppress(OSError, AttributeError):  # another C library
        c_library = ctypes.CDLL(None)
        c_library.mallopt(M_TRIM_THRESHOLD, 64 << 20)
        c_library.mallopt(M_MMAP_THRESHOLD, 32 << 20)


def _report_error(error: BaseException, log: logging.Logger, file: Path) -> int:
    """Log the error; returns the exit code, which is the last line of the log."""
    details = logging.getLogger(DETAILS)
    if not isinstance(error, InputError | StageFailureError) and (problem := plugins.raised_in(error)):
        details.error("%s", traceback.format_exc())
        error = InputError(problem)
    if isinstance(error, InputError):
        code = EXIT_BAD_INPUT
        for problem in error.problems:
            log.error("%s", problem)
    elif isinstance(error, StageFailureError):
        code = error.exit_code
        log.error("error: stage %s: %s", log.name, error)
    else:
        code = EXIT_OUT_OF_MEMORY if is_out_of_memory(error) else 1
        details.error("%s", traceback.format_exc())
        log.error("error: stage %s failed: %s: %s. Traceback: %s", log.name, type(error).__name__, error, file)
    details.error("%s: exit code %d", log.name, code)
    return code


def _exit(code: int) -> NoReturn:
    """End at once: tearing down an interpreter with torch in it takes longer than some stages.

    HDF5 would crash there after a failed write.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _parser(files: Sequence[str], options: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config", required=True, help="the stage's config as canonical JSON")
    parser.add_argument("--code", nargs="*", default=[], help="the code fingerprint as module:hash")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--log-level", default="info")
    for name in files:
        parser.add_argument(f"--{name}", type=Path, nargs="*", required=True)
    for name in options:
        # Snakemake quotes an empty text as nothing at all.
        parser.add_argument(f"--{name}", nargs="?", default="", const="")
    return parser


class _Printable(logging.Formatter):
    """Log lines whose names of channels, words and files cannot steer a terminal; ``prefix`` comes before each."""

    prefix = ""

    def format(self, record: logging.LogRecord) -> str:
        return self.prefix + printable(super().format(record), but="\n\t")


class _OfJob(_Printable):
    """Lines of one of several jobs on one terminal: ``train sub01 fold0 0-corrector: epoch 3 …``."""

    def __init__(self, text: str, stage: str, job: str) -> None:
        super().__init__(text)
        self.start, self.named = f"{stage}: ", f"{stage} {job}: " if job else f"{stage}: "

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        start = f"{self.prefix}{self.start}"
        return f"{self.prefix}{self.named}{text[len(start) :]}" if text.startswith(start) else text


class _WithoutFolders(_Printable):
    """Log lines without this machine's folders, which may hold a person's name; logs go into bug reports."""

    def __init__(self, text: str, folders: Iterable[str]) -> None:
        super().__init__(text)
        self.folders = list(folders)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for folder in self.folders:
            text = text.replace(f"{folder}{os.sep}", "")
        return text


def job_of(output: Path) -> str:
    """Variant, subject or session, fold and network of a job, from where its output lies; empty outside results/."""
    parts = list(output.parts)
    if "results" not in parts:
        return ""
    parts = parts[parts.index("results") + 1 :]
    variant = parts[1:2] if parts[:1] == ["variants"] else []
    own = parts[2 * len(variant) + 1 :]
    if own and Path(own[-1]).suffix:
        stem = Path(own[-1]).stem
        own = own[:-1] if stem in ("network", "model", "recordings") else [*own[:-1], stem]
    return " ".join([*variant, *own])


def _folders(files: Iterable[Path]) -> list[str]:
    """Folders that a message may name, the deepest first: of the files, the code, the interpreter and the user."""
    elsewhere = {f.parent for f in files if f.is_absolute() or ".." in f.parts}
    own = {Path.cwd(), Path(__file__).parents[2], Path(sys.prefix), Path(sys.base_prefix), Path.home()}
    return sorted((str(folder) for folder in elsewhere | own if folder != Path("/")), key=len, reverse=True)


def _logger(name: str, file: Path, level: str, folders: Iterable[str], job: str = "") -> logging.Logger:
    """Lines to the terminal and, with times but without folders, to the log file; tracebacks only to the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(file, mode="w", encoding="utf-8")
    to_file.setFormatter(_WithoutFolders("%(asctime)s %(levelname)s %(message)s", folders))
    to_terminal = logging.StreamHandler()
    # A line takes the place of a progress bar.
    for_terminal = _OfJob("%(message)s", name, job)
    for_terminal.prefix = CLEAR_LINE if sys.stderr.isatty() else ""
    to_terminal.setFormatter(for_terminal)
    to_terminal.addFilter(logging.Filter(name))
    logging.raiseExceptions = False  # a full disk takes no log lines, which is no failure of the stage
    root = logging.getLogger()
    root.handlers[:] = [to_file, to_terminal]
    root.setLevel(level.upper())
    return logging.getLogger(name)
