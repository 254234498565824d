"""Training runs by content: ``results/train/{subject}/fold{k}/runs/{digest}/``.

The digest names everything that a trained model depends on, so a finished run is
found again whenever the same training is asked for, and an unfinished one resumed.
Snakemake knows nothing of these folders and never deletes them.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.artifacts.files import atomic_path
from pipeline.artifacts.sidecar import damaged_files
from pipeline.config.canonical import digest
from pipeline.errors import InputError, StageFailureError

DIGEST_CHARACTERS = 16
MODEL, METRICS, SIDECAR = "model.ckpt", "metrics.csv", "model.json"


def run_digest(inputs: Iterable[str], config_json: str, code: Mapping[str, str], job: Sequence[object]) -> str:
    """Name of a training run from the content of its inputs, its config, its code, and which fold and variant it is."""
    return digest([list(inputs), config_json, dict(code), list(job)])[:DIGEST_CHARACTERS]


def is_finished(run: Path) -> bool:
    """Whether the run holds its released model, undamaged: what vouches for it is written last."""
    with suppress(InputError):
        return not damaged_files(run / SIDECAR)
    return False


def publish(run: Path, outputs: Iterable[Path]) -> None:
    """Copy what the run holds to where the workflow expects it."""
    for output in outputs:
        with atomic_path(output) as temporary:
            shutil.copyfile(run / output.name, temporary)


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
