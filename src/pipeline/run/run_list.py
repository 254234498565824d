"""The runs of networks and ensembles on disk, for people: ``python -m pipeline runs``.

Not part of :mod:`pipeline.provenance.runs`, which the stage train imports, so that a change here
does not rerun training.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.files import read_json
from pipeline.artifacts.paths import DIGEST_CHARACTERS, RESULTS, fold_of
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.config.variants import FINAL, FULL
from pipeline.errors import InputError, Problem
from pipeline.provenance.freshness import content_of
from pipeline.provenance.outputs import Output
from pipeline.provenance.runs import (
    METRICS,
    MODEL,
    SIDECAR,
    is_finished,
    owned,
    run_digest,
    sidecar_of,
)

#: Of models, then of networks.
PATTERNS = tuple(
    f"{variant}train/*/{fold}/{network}runs/*"
    for variant in ("", "variants/*/")
    for network in ("", "*-*/")
    for fold in ("fold*", FINAL)
)


@dataclass(frozen=True)
class Run:
    """One training run on disk, or an ensemble, whose ``network`` is empty.

    ``state`` is finished, unfinished or, of a run that was damaged or moved here from another folder, unusable.
    ``model`` is the name of a finished ensemble, its content digest; ``val_loss`` is the best so far, None before the
    first epoch's end and of the final model.
    """

    folder: Path
    model: str
    subject: str
    fold: str
    variant: str
    network: str
    state: str
    val_loss: float | None
    size_bytes: int
    in_use: bool


def wanted_runs(outputs: Iterable[Output], initial: Mapping[str, str]) -> Iterator[str]:
    """Digests of the runs that the present config asks for, as far as their inputs are there.

    ``initial`` is the sha256, by what provenance calls them, of the models that training starts from.
    """
    for output in outputs:
        if output.stage in ("train", "ensemble"):
            contents = [initial.get(file) or content_of(file) for file in output.inputs]
            if None not in contents:
                yield run_digest(map(str, contents), output.config_json, output.code, _job(Path(output.path)))


def _job(path: Path) -> list[object]:
    """Fold, variant and, of a network, its name."""
    variant = path.parts[2] if path.parts[1] == "variants" else FULL
    fold, *network = path.parts[path.parts.index("train") + 2 : -1]
    return [fold_of(fold), variant, *network]


def list_runs(wanted: Iterable[str] = (), results: Path = RESULTS) -> list[Run]:
    """All runs, by variant, subject, fold, network and digest.

    In use are those whose model is published, and the digests in ``wanted``: what the
    present config would train, or go on training.
    """
    names = set(wanted)
    folders = [folder for pattern in PATTERNS for folder in sorted(results.glob(pattern)) if _is_own(folder)]
    return [_run(folder, results, names) for folder in folders]


def _is_own(folder: Path) -> bool:
    """Whether a run lies here, and is no link to elsewhere: a run may be removed."""
    return folder.is_dir() and not folder.is_symlink()


def runs_table(runs: Iterable[Run]) -> str:
    """A line per run."""
    head = f"{'run':18}{'model':18}{'subject':14}{'fold':8}{'variant':17}{'network':13}{'state':12}{'val_loss':>10}"
    lines = [f"{head}{'MB':>8}  in use"]
    for r in runs:
        loss = "" if r.val_loss is None else f"{r.val_loss:.4f}"
        size, used = f"{r.size_bytes / 1e6:.1f}", "yes" if r.in_use else ""
        name = f"{r.folder.name:18}{r.model[:DIGEST_CHARACTERS]:18}{r.subject:14}{r.fold:8}{r.variant:17}{r.network:13}"
        lines.append(f"{name}{r.state:12}{loss:>10}{size:>8}  {used}".rstrip())
    return "\n".join(lines)


def prune(runs: Iterable[Run]) -> None:
    """Remove runs and their curves.  Raises :class:`StageFailureError` where a job is at work in one."""
    from pipeline.artifacts.event_file import folders_of  # imports TensorBoard

    for run in runs:
        with owned(run.folder):
            for shown in folders_of(run.folder.parents[1], run.folder.name):
                shutil.rmtree(shown)
            shutil.rmtree(run.folder)


def _run(folder: Path, results: Path, wanted: set[str]) -> Run:
    finished, own = is_finished(folder), sidecar_of(folder)
    published = folder.parents[1] / own.name
    is_published = finished and published.is_file() and published.read_bytes() == own.read_bytes()
    parts = folder.relative_to(results).parts
    subject, fold, *network = parts[parts.index("train") + 1 : -2]
    return Run(
        folder=folder,
        model=str(_sidecar(folder)["content_digest"]) if finished and not network else "",
        subject=subject,
        fold=fold,
        variant=parts[1] if parts[0] == "variants" else "",
        network="".join(network),
        state="finished" if finished else "unusable" if own.exists() else "unfinished",
        val_loss=_val_loss(folder),
        size_bytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        in_use=is_published or folder.name in wanted,
    )


def _val_loss(folder: Path) -> float | None:
    """Of what was released, none for the final model; of an unfinished network, the smallest so far."""
    if is_finished(folder):
        loss = _sidecar(folder).get("best_val_loss")
        return None if loss is None else float(loss)
    metrics = folder / METRICS
    return min(_losses(metrics), default=None) if metrics.is_file() else None


def _sidecar(folder: Path) -> dict[str, Any]:
    return dict(read_json(sidecar_of(folder)))


def _losses(file: Path) -> Iterator[float]:
    with file.open(encoding="utf-8", errors="replace", newline="") as handle, suppress(csv.Error):
        for row in csv.DictReader(handle):
            with suppress(ValueError, KeyError, TypeError):
                yield float(row["val_loss"])


def named_model(prefix: str, train_folder: Path, place: tuple[str, str] = ("--run", "")) -> Path:
    """The model whose name, or whose run's, begins with ``prefix``, or the file of that name.

    ``place`` is where a user wrote that.  Raises :class:`InputError` unless there is one.
    """
    if prefix.endswith(MODEL) and Path(prefix).is_file():
        return Path(prefix)
    runs = [run for fold in ("fold*", FINAL) for run in sorted(train_folder.glob(f"*/{fold}/runs/*"))]
    # Equal models of several runs are one.
    models: dict[str, list[Path]] = {}
    for run in (run for run in runs if (run / SIDECAR).is_file() and is_finished(run)):
        models.setdefault(str(read_sidecar(run / SIDECAR)["content_digest"]), []).append(run)
    found = [name for name, own in models.items() if any(n.startswith(prefix) for n in (name, *(r.name for r in own)))]
    if not prefix or len(found) != 1:
        names = ", ".join(name[:DIGEST_CHARACTERS] for name in found or models)
        got = f"{prefix or 'nothing'}, with which the names of {len(found)} models begin"
        expected = f"the beginning of one of {names}" if names else "a finished model, and there is none"
        raise InputError(Problem(*place, got, expected, "See seeg-to-audio runs"))
    return models[found[0]][0] / MODEL
