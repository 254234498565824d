"""Sidecars: JSON files with the provenance of outputs that are no HDF5 artifacts.

A model, sound, text or raw arrays get one.  It has the fields of an artifact's header, the
sha256 of each file and a digest of all this, so that damage is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import versions
from pipeline.artifacts.files import are_inputs, file_sha256, is_digest, read_json, write_text
from pipeline.artifacts.paths import is_own_place
from pipeline.config.canonical import digest
from pipeline.errors import InputError, Problem, raise_if_any

if TYPE_CHECKING:
    from pipeline.artifacts.core import Provenance  # h5py, which a start that opens no artifact should not wait for


def write_sidecar(
    path: Path,
    stage: str,
    files: Iterable[Path],
    provenance: Provenance,
    content_digest: str | None = None,
    **more: Any,
) -> None:
    """Write the sidecar of ``files`` in the folder of ``path``; call it last, when all files are complete."""
    provenance.check()
    digests = {file.name: file_sha256(file) for file in sorted(files)}
    whole = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    values = {
        "stage": stage,
        "config_json": provenance.config_json,
        "code_fingerprint": dict(provenance.code),
        "inputs": sorted(map(list, provenance.inputs)),
        "output": provenance.output,
        "content_digest": content_digest or whole,
        "files": digests,
        "versions": {**versions.installed(), **provenance.plugins},
        **more,
    }
    values["digest"] = digest(values)
    write_text(path, json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read the fields. Raises :class:`InputError` where there is none or it cannot be read."""
    try:
        values = read_json(path)
        missing = {"stage", "config_json", "code_fingerprint", "inputs", "content_digest", "files"} - set(values)
        if missing:
            raise ValueError(f"no {', '.join(sorted(missing))}")
        if values.pop("digest", None) != digest(values):
            raise ValueError("values that do not match their digest")
        if any(Path(name).name != name for name in values["files"]):
            raise ValueError("files elsewhere")
        is_whole = is_digest(values["content_digest"]) and are_inputs(values["inputs"])
        if not (is_whole and isinstance(values["code_fingerprint"], dict)):
            raise ValueError("digests that are none")
        if not _is_own_place(path, Path(values.get("output", ""))):
            raise ValueError(f"written for {values['output']}")
    except (OSError, ValueError, TypeError) as error:
        fix = "Rerun the stage that makes it"
        raise InputError(
            Problem(str(path), "", f"no provenance ({error})", "what the output was made from", fix)
        ) from None
    return {"versions": {}, **values}  # earlier outputs do not say


def _is_own_place(path: Path, output: Path) -> bool:
    """Whether a sidecar lies where its stage wrote ``output``, in that itself, or in a run that is published there."""
    folders = [path.parent, *path.parents[2:3]] if path.parent.parent.name == "runs" else [path.parent]
    places = (output, output.parent)
    return any(is_own_place(folder, str(p)) for folder in folders for p in places) or output == Path()


def sidecar_contents(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """Sidecars, each with the content digest of what it describes."""
    return [(path, str(read_sidecar(path)["content_digest"])) for path in paths]


def damaged_files(path: Path) -> list[str]:
    """Names of files of the sidecar that are missing or differ from what was written."""
    described = read_sidecar(path)["files"]
    return [n for n, sha in described.items() if not (path.parent / n).is_file() or file_sha256(path.parent / n) != sha]


def refuse_damaged(path: Path) -> None:
    """Raise :class:`InputError` where a file that the sidecar describes is missing or damaged."""
    fix = f"Rerun the stage {read_sidecar(path)['stage']}"
    raise_if_any(
        Problem(str(path.parent / name), "sha256", "another content, or none", "what was written", fix)
        for name in damaged_files(path)
    )
