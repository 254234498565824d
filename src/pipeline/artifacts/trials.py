"""Trials within an artifact of a session: a group ``/trials/{recording}`` each, and a row in ``/trial_table``.

The table is in the order of the trials; HDF5 lists groups by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.artifacts.core import Artifact, ArtifactWriter

TABLE = "trial_table"


def within(recording: str, name: str) -> str:
    """Where an array of a trial lies, as ``trials/{recording}/{name}``."""
    return f"trials/{recording}/{name}"


def write_trial_table(writer: ArtifactWriter, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one row per trial; all rows have the same keys, ``recording`` among them."""
    writer.table(TABLE, {name: [row[name] for row in rows] for name in rows[0]}, "trial")


def trial_rows(artifact: Artifact) -> list[dict[str, Any]]:
    """The rows back.  Raises :class:`InputError` where an id could leave its folder."""
    table = artifact.table(TABLE)
    names = [artifact.name_of_files(TABLE, name) for name in table["recording"]]
    return [{n: values[i] for n, values in table.items()} | {"recording": r} for i, r in enumerate(names)]


def rows_of(table: Mapping[str, list[Any]]) -> dict[str, dict[str, list[Any]]]:
    """A session's table with a column ``recording``, cut into the trials' own tables."""
    others = [name for name in table if name != "recording"]
    found: dict[str, dict[str, list[Any]]] = {}
    for i, recording in enumerate(table.get("recording", [])):
        own = found.setdefault(recording, {name: [] for name in others})
        for name in others:
            own[name].append(table[name][i])
    return found


def joined(tables: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    """Tables of equal columns by recording as one, with the column ``recording``; nothing where there is none."""
    named = {recording: table for recording, table in tables.items() if table}
    if not named:
        return {}
    columns = list(next(iter(named.values())))
    rows = {name: [v for table in named.values() for v in table[name]] for name in columns}
    return rows | {"recording": [r for r, table in named.items() for _ in table[columns[0]]]}
