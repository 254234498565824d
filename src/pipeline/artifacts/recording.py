"""``recordings/{session}.h5``: the trials of one session as they were found, checked and described.

Per trial ``/trials/{recording}/eeg/data`` (time, channel) float32 in the declared unit and ``…/audio/data`` (time,)
in the dtype of the source; ``/trial_table`` with each trial's clock, start and text; ``/channels`` with BIDS columns,
``/electrodes``, ``/events`` and ``/annotations`` (with a column ``recording``) where there are any: onsets in s, of
events on the trial's audio clock, of annotations on its neural one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.artifacts.core import Artifact, ArtifactWriter, Provenance, Schema, create, opened

SCHEMA = Schema("recording", 3, "ingest")

Table = dict[str, list]


@contextmanager
def create_recording(path: Path, provenance: Provenance) -> Iterator[ArtifactWriter]:
    """A writer for the session; the stage streams ``eeg/data`` and ``audio/data`` of each trial into it."""
    with create(path, SCHEMA, provenance) as writer:
        yield writer


@contextmanager
def open_recording(path: Path) -> Iterator[Artifact]:
    """The session for reading in blocks."""
    with opened(path, SCHEMA) as artifact:
        yield artifact


def read_tables(artifact: Artifact) -> dict[str, Table]:
    """The tables that travel with a session; an absent one is empty."""
    return {name: artifact.table(name) for name in ("channels", "electrodes", "events", "annotations")}


def write_tables(writer: ArtifactWriter, tables: dict[str, Table]) -> None:
    """Write the tables that have columns."""
    dims = {"channels": "channel", "electrodes": "electrode", "events": "event", "annotations": "annotation"}
    for name, columns in tables.items():
        if columns:
            writer.table(name, columns, dims[name])
