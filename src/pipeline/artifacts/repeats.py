"""``repeats/{id}.h5``: stretches of sound that a model's recordings hold twice.

``/matches`` has one row per pair of stretches: ``recording``, ``start_frame`` and ``stop_frame``, the same with
``other_`` before it, in mel frames, and ``r``, how alike their fingerprints are.  A recording may match itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipeline.artifacts.core import Provenance, Schema, create, opened

SCHEMA = Schema("repeats", 1, "repeats")


@dataclass(frozen=True)
class Repeat:
    """Mel frames ``start_frame:stop_frame`` of one recording sound as ``other_…`` of another, or of the same."""

    recording: str
    start_frame: int
    stop_frame: int
    other_recording: str
    other_start_frame: int
    other_stop_frame: int
    r: float

    def turned(self) -> Repeat:
        """The same seen from the other recording."""
        own = self.recording, self.start_frame, self.stop_frame
        return Repeat(self.other_recording, self.other_start_frame, self.other_stop_frame, *own, self.r)


def write_repeats(path: Path, repeats: Sequence[Repeat], simulated: bool, provenance: Provenance) -> None:
    """Write the matches."""
    with create(path, SCHEMA, provenance) as writer:
        writer.attributes(n_matches=len(repeats), simulated=simulated)
        if repeats:
            rows = [asdict(repeat) for repeat in repeats]
            writer.table("matches", {f.name: [row[f.name] for row in rows] for f in fields(Repeat)}, "match")


def read_repeats(path: Path) -> list[Repeat]:
    """Read the matches."""
    with opened(path, SCHEMA) as artifact:
        columns = artifact.table("matches")
        return [Repeat(*row) for row in zip(*(columns.get(f.name, []) for f in fields(Repeat)), strict=True)]
