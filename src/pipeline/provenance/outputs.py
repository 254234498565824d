"""What a workflow should leave, and what Snakemake knows of it.

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
#: Tells this module's markers from Snakemake's own, whose other fields it leaves alone.
OURS = "made from something else"
MAX_NAME = 255


@dataclass(frozen=True)
class Output:
    """One output of one job, and what it should have been made from.

    ``path`` is what Snakemake knows it by, ``described_by`` the file that says what it
    was made from; ``inputs`` are described outputs and raw files.
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
    """Tell Snakemake that these outputs, and no others, are not to be kept.

    In the way it tells itself of unfinished ones; markers of an earlier call go, since
    the config that made those outputs stale may have been set back.
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
    """By stage and digest of its code: the older code that it counts as."""
    return json.loads(ACCEPTED.read_text(encoding="utf-8")) if ACCEPTED.is_file() else {}


def _name(path: str) -> Path:
    """Where Snakemake's file persistence keeps what it knows of ``path``, long names in pieces."""
    name = base64.urlsafe_b64encode(path.encode()).decode()
    size = MAX_NAME - 1
    pieces = [name[i : i + size] for i in range(0, len(name), size)]
    return Path(*(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
