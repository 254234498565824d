"""What tests of ``python -m pipeline import`` share: an import that is confirmed, and what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.importing.command import import_recordings
from pipeline.importing.options import Options
from pipeline.raw.sheet import RecordingRow, read_sheet


def imported(source: Path, out: Path, **options: Any) -> list[RecordingRow]:
    """The rows of the sheet."""
    sheet = import_recordings(source, out, Options(**options), yes=True, say=lambda _: None)
    assert sheet
    return read_sheet(sheet)


def load(row: RecordingRow, column: str) -> np.ndarray:
    """An array of a row."""
    path = row.path(column)
    assert path
    return np.asarray(np.load(path))
