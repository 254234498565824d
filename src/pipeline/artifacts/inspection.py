"""Inspection of an artifact: its contents as text, and a check of its digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from pipeline.artifacts.core import Artifact, opened_any, recomputed_digest
from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem

SUMMARY_ROWS = 100_000


def describe(path: Path) -> str:
    """Attributes, tree and a summary of each array.

    Raises :class:`InputError` where ``path`` is no artifact; the fix does not suggest deleting the user's file.
    """
    if problem := file_problem(path, str(path), ""):
        raise InputError(problem)
    if not h5py.is_hdf5(path):
        fix = "Name an artifact: an .h5 file below results/"
        raise InputError(Problem(str(path), "format", "another format", "HDF5", fix))
    with opened_any(path) as artifact:
        lines = [str(path)]
        lines += [f"  {name:24} {_short(value)}" for name, value in _header(artifact).items()]
        lines += list(_tree(artifact, artifact.file, 1))
    return "\n".join(lines)


def verify(path: Path) -> None:
    """Read all arrays and compare with the recorded content digest.

    Raises :class:`InputError` where they differ or where data is damaged.
    """
    with opened_any(path) as artifact:
        recorded, found = artifact.content_digest, recomputed_digest(artifact)
        if recorded != found:
            fix = f"Delete the file and rerun the stage {artifact.attribute('stage')}"
            raise InputError(Problem(str(path), "content_digest", f"content {found[:12]}", recorded[:12], fix))


def _header(artifact: Artifact) -> dict[str, object]:
    return {name: artifact.attribute(name) for name in artifact.file.attrs}


def _short(value: object, width: int = 100) -> str:
    text = str(value)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _tree(artifact: Artifact, group: h5py.Group, depth: int) -> Iterator[str]:
    for name in group:
        item = group[name]
        if isinstance(item, h5py.Group):
            yield f"{'  ' * depth}{name}/"
            yield from _tree(artifact, item, depth + 1)
        else:
            yield f"{'  ' * depth}{name:18} {_array_line(artifact, item)}"


def _array_line(artifact: Artifact, dataset: h5py.Dataset) -> str:
    dims = ", ".join(f"{label} {n}" for label, n in zip(artifact.dimensions(dataset.name), dataset.shape, strict=True))
    own = artifact.attributes(dataset.name)
    about = " ".join(str(own[key]) for key in ("units",) if key in own)
    rate = f" at {own['sampling_rate_hz']:.6g} Hz" if "sampling_rate_hz" in own else ""
    return f"({dims}) {dataset.dtype} {about}{rate}  {_values(artifact, dataset)}".rstrip()


def _values(artifact: Artifact, dataset: h5py.Dataset) -> str:
    values = artifact.read(dataset.name, 0, SUMMARY_ROWS)
    part = f" (first {SUMMARY_ROWS} rows)" if len(dataset) > SUMMARY_ROWS else ""
    if not values.size:
        return "empty"
    if values.dtype.kind == "S":
        shown = [v.decode() for v in values[:4].tolist()]
        return ", ".join(shown) + (" …" if len(values) > len(shown) else "")
    numbers = values.astype(np.float64)
    return f"min {numbers.min():.4g}, mean {numbers.mean():.4g}, max {numbers.max():.4g}{part}"
