"""Training by content: ``results/train/{id}/fold{k}/{network}/runs/{digest}/``, and ``…/fold{k}/runs/{digest}/``.

The digest names everything that a trained network, or an ensemble of them, depends on, so a finished run is
found again whenever the same is asked for, and an unfinished training is resumed.
Snakemake knows nothing of these folders and never deletes them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.artifacts import aligned, mel, windows
from pipeline.artifacts.core import Provenance, content_digest, part_digest
from pipeline.artifacts.files import atomic_path, locked
from pipeline.artifacts.paths import DIGEST_CHARACTERS, skip_of
from pipeline.artifacts.sidecar import damaged_files, read_sidecar
from pipeline.config.canonical import digest
from pipeline.errors import InputError, StageFailureError

MODEL, METRICS, SIDECAR = "model.ckpt", "metrics.csv", "model.json"
NETWORK, NETWORK_SIDECAR = "network.ckpt", "network.json"
LOCK = "lock"
#: What networks and ensembles read of their subjects.
DATA = {"windows": windows.SCHEMA, "mel": mel.SCHEMA, "aligned": aligned.SCHEMA}


def run_digest(inputs: Iterable[str], config_json: str, code: Mapping[str, str], job: Sequence[object]) -> str:
    """Name of a run from the content of its inputs, its config, its code, and which fold, variant and network it is."""
    return digest([list(inputs), config_json, dict(code), list(job)])[:DIGEST_CHARACTERS]


def data_contents(files: Mapping[str, Sequence[Path]]) -> list[tuple[Path, str]]:
    """The files of a stage that hold windows, mel and aligned features, each with its content digest."""
    return [(path, content_digest(path, schema)) for kind, schema in DATA.items() for path in files[kind]]


def skip_contents(ridges: Sequence[Path]) -> list[tuple[Path, str]]:
    """The ridges that networks correct, each with its digest: of the baselines, training depends on them alone."""
    return [(skip, part_digest(skip)) for skip in map(skip_of, ridges)]


def find_or_make(
    outputs: Sequence[Path], provenance: Provenance, job: Sequence[object], make: Callable[[Path], str]
) -> str:
    """Publish the run of this provenance and job to ``outputs``; returns what happened in a line.

    Where no finished run is found, ``make`` writes one into the folder that it gets, which this process owns
    meanwhile, and returns what came out.  Raises :class:`StageFailureError` where another job is at work there.
    """
    contents = (content for _, content in provenance.inputs)
    run = outputs[0].parent / "runs" / run_digest(contents, provenance.config_json, provenance.code, job)
    if is_finished(run) and _is_of(run, provenance):
        outcome = "finished already"
    else:
        with owned(run), _nothing_left_where_refused(run):
            outcome = make(run)
    publish(run, outputs)
    return f"run {run.name}: {outcome} → {outputs[0]}"


@contextmanager
def _nothing_left_where_refused(run: Path) -> Iterator[None]:
    """Remove a run's folder that holds nothing but its lock where its inputs are refused."""
    try:
        yield
    except InputError:
        if [file.name for file in run.iterdir()] == [LOCK]:
            shutil.rmtree(run)
        raise


def sidecar_of(run: Path) -> Path:
    """What vouches for a finished run of an ensemble or, else, of a network."""
    return run / SIDECAR if (run / SIDECAR).exists() else run / NETWORK_SIDECAR


def is_finished(run: Path) -> bool:
    """Whether the run holds its model or network, undamaged: what vouches for it is written last."""
    with suppress(InputError):
        return not damaged_files(sidecar_of(run))
    return False


def _is_of(run: Path, provenance: Provenance) -> bool:
    """Whether a finished run was made from this, and not put into the folder of another."""
    made = read_sidecar(sidecar_of(run))
    own, wanted = (sorted(content for _, content in inputs) for inputs in (made["inputs"], provenance.inputs))
    code = made["code_fingerprint"]
    return (own, made["config_json"], code) == (wanted, provenance.config_json, dict(provenance.code))


def publish(run: Path, outputs: Iterable[Path]) -> None:
    """Copy the run's files to the outputs of the workflow."""
    for output in outputs:
        with atomic_path(output) as temporary:
            shutil.copyfile(run / output.name, temporary)


@contextmanager
def owned(run: Path) -> Iterator[None]:
    """Lock ``run`` against a second job within the block; the lock ends with the process."""
    with locked(run / LOCK, StageFailureError(f"another job is at work in {run}", 1)):
        yield
