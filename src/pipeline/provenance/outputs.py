"""The outputs of a workflow, and Snakemake's records of them.

Snakemake keeps a record of each output below ``.snakemake/metadata`` and a marker of
each unfinished one below ``.snakemake/incomplete``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.artifacts import paths
from pipeline.artifacts.files import file_sha256, read_json
from pipeline.config.canonical import digest
from pipeline.errors import InputError, Problem

ACCEPTED = paths.RESULTS / ".accepted.json"
RECORDS = Path(".snakemake/metadata")
MARKERS = Path(".snakemake/incomplete")
#: Text of this module's markers, by which they differ from Snakemake's own; other fields stay as they are.
OURS = "made from something else"
MAX_NAME = 255
_ACCEPTED = TypeAdapter(dict[str, dict[str, dict[str, str]]])
#: Of Snakemake's records; one of an older format is not read.
FORMAT = 6


@dataclass(frozen=True)
class Output:
    """One output of one job, with the config, code and inputs that it should be made from.

    ``path`` is its name in Snakemake, ``described_by`` the file with its provenance; ``inputs`` are
    such files of other outputs, and raw files, ``after`` outputs that it only waits for.  ``params`` are those that
    Snakemake compares besides the code.
    """

    path: str
    stage: str
    described_by: str
    config_json: str
    code: Mapping[str, str]
    inputs: tuple[str, ...]
    params: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def mark_for_rerun(stale: Iterable[Output]) -> None:
    """Have Snakemake make these outputs again, and no others.

    They are marked like Snakemake's unfinished outputs, but for those that it makes again for a reason of its own,
    which it then states.  Markers of an earlier call are removed, since those outputs may be up to date again.
    """
    for marker in MARKERS.rglob("*"):
        if marker.is_file() and OURS in marker.read_text():
            marker.unlink()
    for output in stale:
        marker = MARKERS / _name(output.path)
        if not marker.exists() and not _is_known_to_change(output):
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text(json.dumps({"external_jobid": None, "reason": OURS}))


def _is_known_to_change(output: Output) -> bool:
    """Whether Snakemake's own record has other code or another config."""
    params = _record(output.path).get("params")
    wanted = [*(f"{module}:{code}" for module, code in output.code.items()), *output.params]
    return params is not None and not {repr(value) for value in wanted} <= set(params)


def vouch_for(fresh: Iterable[Output], files_of: Callable[[str], Iterable[str]]) -> None:
    """Let Snakemake compare inputs that are newer than fresh outputs by content where it has no record of these.

    ``files_of`` are the files of an output, or of an input, by the file that describes it.
    """
    for output in fresh:
        made = [path for path in {output.path, *files_of(output.described_by)} if Path(path).exists()]
        if not made or _record(output.path):
            continue
        oldest_ns = min(Path(path).stat().st_mtime_ns for path in made)
        inputs = {file for path in (*output.inputs, *output.after) for file in files_of(path) if Path(file).is_file()}
        newer = sorted(file for file in inputs if Path(file).stat().st_mtime_ns > oldest_ns)
        if newer:
            checksums = {file: f"sha256:{file_sha256(Path(file))}" for file in newer}
            for path in made:
                record = RECORDS / _name(path)
                record.parent.mkdir(parents=True, exist_ok=True)
                record.write_text(json.dumps({"record_format_version": FORMAT, "input_checksums": checksums}))


def _record(path: str) -> dict[str, Any]:
    """What Snakemake knows of an output."""
    try:
        return dict(read_json(RECORDS / _name(path)))
    except (OSError, ValueError):
        return {}


def accepted() -> dict[str, dict[str, dict[str, str]]]:
    """Accepted code, by stage and digest of its present code: the older code that it counts as equal to.

    Raises :class:`InputError` where the file is damaged.
    """
    if not ACCEPTED.is_file():
        return {}
    try:
        return _ACCEPTED.validate_json(ACCEPTED.read_bytes(), strict=True)
    except ValueError:
        fix = "Delete it; what was accepted is then accepted again, or runs again"
        raise InputError(Problem(str(ACCEPTED), "", "damaged JSON", "what accept wrote", fix)) from None


def counted_as(stage: str, code: dict[str, str]) -> dict[str, str]:
    """The code of a stage, or the older one that was accepted for it."""
    return accepted().get(stage, {}).get(digest(code), code)


def _name(path: str) -> Path:
    """The file of Snakemake's record of ``path``; long names are split into pieces."""
    name = base64.urlsafe_b64encode(path.encode()).decode()
    size = MAX_NAME - 1
    pieces = [name[i : i + size] for i in range(0, len(name), size)]
    return Path(*(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
