"""Training runs by content: ``results/train/{subject}/fold{k}/runs/{digest}/``.

The digest names everything that a trained model depends on, so a finished run is
found again whenever the same training is asked for, and an unfinished one resumed.
Snakemake knows nothing of these folders and never deletes them.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.core import atomic_path
from pipeline.artifacts.paths import RESULTS
from pipeline.errors import StageFailureError
from pipeline.provenance import digest

DIGEST_CHARACTERS = 16
MODEL, METRICS, NOTE = "model.ckpt", "metrics.csv", "model.json"


def run_digest(inputs: Iterable[str], config_json: str, code: Mapping[str, str], job: Sequence[object]) -> str:
    """Name of a training run from the content of its inputs, its config, its code, and which fold and variant it is."""
    return digest([list(inputs), config_json, dict(code), list(job)])[:DIGEST_CHARACTERS]


def is_finished(run: Path) -> bool:
    """Whether the run holds its released model: what vouches for it is written last."""
    return (run / NOTE).is_file()


def publish(run: Path, outputs: Iterable[Path]) -> None:
    """Copy what the run holds to where the workflow expects it."""
    for output in outputs:
        with atomic_path(output) as temporary:
            shutil.copyfile(run / output.name, temporary)


def find_run(train_folder: Path, prefix: str) -> Path:
    """The finished run whose digest begins with ``prefix``."""
    found = [run for run in sorted(train_folder.glob(f"*/fold*/runs/{prefix}*")) if is_finished(run)]
    if len(found) != 1:
        known = sorted(run.name for run in train_folder.glob("*/fold*/runs/*") if is_finished(run))
        message = f"{len(found)} finished runs begin with {prefix!r}; known: {', '.join(known) or 'none'}"
        raise StageFailureError(message, 1)
    return found[0]


@dataclass(frozen=True)
class Run:
    """One training run on disk; ``val_loss`` is the best so far."""

    folder: Path
    subject: str
    fold: str
    state: str
    val_loss: float | None
    size_bytes: int
    in_use: bool


def list_runs(train_folder: Path = RESULTS / "train") -> list[Run]:
    """All runs, by subject, fold and digest."""
    return [_described_run(folder) for folder in sorted(train_folder.glob("*/fold*/runs/*")) if folder.is_dir()]


def runs_table(runs: Iterable[Run]) -> str:
    """A line per run: digest, subject, fold, state, best validation loss, size, whether it is in use."""
    lines = [f"{'digest':18}{'subject':14}{'fold':8}{'state':13}{'val_loss':>10}{'MB':>8}  in use"]
    for r in runs:
        loss = "" if r.val_loss is None else f"{r.val_loss:.4f}"
        used = "yes" if r.in_use else ""
        size = f"{r.size_bytes / 1e6:.1f}"
        lines.append(f"{r.folder.name:18}{r.subject:14}{r.fold:8}{r.state:13}{loss:>10}{size:>8}  {used}")
    return "\n".join(line.rstrip() for line in lines)


def prune(runs: Iterable[Run]) -> None:
    """Remove runs.  Raises :class:`StageFailureError` where one is being trained."""
    for run in runs:
        with owned(run.folder):
            shutil.rmtree(run.folder)


def _described_run(folder: Path) -> Run:
    finished = is_finished(folder)
    published = folder.parents[1] / NOTE
    note = json.loads((folder / NOTE).read_text(encoding="utf-8")) if finished else {}
    return Run(
        folder=folder,
        subject=folder.parents[2].name,
        fold=folder.parents[1].name,
        state="finished" if finished else "unfinished",
        val_loss=note.get("best_val_loss"),
        size_bytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        in_use=not finished or (published.is_file() and published.read_bytes() == (folder / NOTE).read_bytes()),
    )


@contextmanager
def owned(run: Path) -> Iterator[None]:
    """Keep any second job out of ``run`` while the block lasts; the lock goes with the process."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("w") as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StageFailureError(f"another job is training in {run}", 1) from None
        yield
