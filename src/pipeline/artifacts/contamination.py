"""``contamination/{session}.h5``: outcome of the acoustic contamination check.

Attributes ``result``, ``reason``, ``statistic``, ``p``, ``channel`` …; for a testable recording
also ``/matrix`` (frequency, lag), ``/frequency`` [Hz], ``/lag`` [s] and a table ``/channels`` (name, use, p).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.core import Provenance, Schema, create, opened

SCHEMA = Schema("contamination", 5, "contamination")


def write_contamination(path: Path, values: Mapping[str, Any], provenance: Provenance) -> None:
    """Write the fields of an outcome; ``matrix``, ``frequencies_hz`` and ``lags_s`` may be None, ``channels`` empty."""
    arrays = ("matrix", "frequencies_hz", "lags_s", "channels")
    with create(path, SCHEMA, provenance) as writer:
        writer.attributes(**{k: v for k, v in values.items() if k not in arrays})
        if values["channels"]:
            writer.table("channels", values["channels"], "channel")
        if values["matrix"] is not None:
            writer.array("matrix", np.asarray(values["matrix"]), ["frequency", "lag"], units="SD")
            writer.array("frequency", np.asarray(values["frequencies_hz"]), ["frequency"], units="Hz")
            writer.array("lag", np.asarray(values["lags_s"]), ["lag"], units="s")


def read_contamination(path: Path) -> dict[str, Any]:
    """Read the fields; those that were None are left out."""
    with opened(path, SCHEMA) as artifact:
        values = artifact.root_attributes() | {"channels": artifact.table("channels")}
        if "matrix" in artifact.file:
            arrays = {"matrix": "matrix", "frequencies_hz": "frequency", "lags_s": "lag"}
            values |= {name: artifact.read(array) for name, array in arrays.items()}
    return values
