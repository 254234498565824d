"""``recordings/{recording}.h5``: one checked recording with its tables, before any processing.

``/eeg/data`` (time, channel) float32 in the declared unit, ``/audio/data`` (time,) in the
dtype of the source, ``/channels`` with BIDS columns, and where present ``/electrodes``,
``/events`` (onsets in s on the audio clock) and ``/annotations`` (onsets in s on the neural clock).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.artifacts.core import Artifact, ArtifactWriter, Provenance, Schema, create, opened

SCHEMA = Schema("recording", 2, "ingest")

Table = dict[str, list]


@contextmanager
def create_recording(path: Path, provenance: Provenance) -> Iterator[ArtifactWriter]:
    """A writer for the recording; the stage streams ``eeg/data`` and ``audio/data`` into it."""
    with create(path, SCHEMA, provenance) as writer:
        yield writer


@contextmanager
def open_recording(path: Path) -> Iterator[Artifact]:
    """The recording for reading in blocks."""
    with opened(path, SCHEMA) as artifact:
        yield artifact


def read_tables(artifact: Artifact) -> dict[str, Table]:
    """The tables of a recording; an absent one is empty."""
    return {name: artifact.table(name) for name in ("channels", "electrodes", "events", "annotations")}


def write_tables(writer: ArtifactWriter, tables: dict[str, Table]) -> None:
    """Write the tables that have columns."""
    dims = {"channels": "channel", "electrodes": "electrode", "events": "event", "annotations": "annotation"}
    for name, columns in tables.items():
        if columns:
            writer.table(name, columns, dims[name])
