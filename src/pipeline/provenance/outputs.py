"""The outputs of a workflow, and Snakemake's records of them.

Snakemake keeps a record of each output below ``.snakemake/metadata`` and a marker of
each unfinished one below ``.snakemake/incomplete``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import paths

ACCEPTED = paths.RESULTS / ".accepted.json"
RECORDS = Path(".snakemake/metadata")
MARKERS = Path(".snakemake/incomplete")
#: Text of this module's markers, by which they differ from Snakemake's own; other fields stay as they are.
OURS = "made from something else"
MAX_NAME = 255


@dataclass(frozen=True)
class Output:
    """One output of one job, with the config, code and inputs that it should be made from.

    ``path`` is its name in Snakemake, ``described_by`` the file with its provenance; ``inputs`` are
    such files of other outputs, and raw files.
    """

    path: str
    stage: str
    described_by: str
    config_json: str
    code: Mapping[str, str]
    inputs: tuple[str, ...]


def without_record(outputs: Iterable[Output]) -> list[Output]:
    """Outputs that exist and that Snakemake has no record of (``.snakemake`` was deleted)."""
    return [o for o in outputs if not (RECORDS / _name(o.path)).is_file() and Path(o.path).exists()]


def mark_for_rerun(stale: Iterable[str]) -> None:
    """Have Snakemake make these outputs again, and no others.

    They are marked like Snakemake's unfinished outputs.  Markers of an earlier call are removed,
    since those outputs may be up to date again.
    """
    for marker in MARKERS.rglob("*"):
        if marker.is_file() and OURS in marker.read_text():
            marker.unlink()
    for path in stale:
        marker = MARKERS / _name(path)
        if not marker.exists():
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text(json.dumps({"external_jobid": None, "reason": OURS}))


def accepted() -> dict[str, dict[str, dict[str, str]]]:
    """Accepted code, by stage and digest of its present code: the older code that it counts as equal to."""
    return json.loads(ACCEPTED.read_text(encoding="utf-8")) if ACCEPTED.is_file() else {}


def _name(path: str) -> Path:
    """The file of Snakemake's record of ``path``; long names are split into pieces."""
    name = base64.urlsafe_b64encode(path.encode()).decode()
    size = MAX_NAME - 1
    pieces = [name[i : i + size] for i in range(0, len(name), size)]
    return Path(*(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
