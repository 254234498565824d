"""TensorBoard event files with curves and pictures.

TensorBoard's own writer puts the host name and process id into the file's name, which would
identify the machine; these files are named after the epoch that they start with.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from pipeline.artifacts.files import write_text

DOTS_PER_INCH = 100
#: Names the run that a folder of event files belongs to.
OWNER = ".run"


class Picture(NamedTuple):
    """An array (row, column), row 0 at the bottom, with the names of its axes and of its values."""

    values: NDArray[np.float32]
    along_columns: str
    along_rows: str
    unit: str


def folder_for(place: Path, title: str, run: str) -> Path:
    """A folder in ``place`` that TensorBoard names after ``title``, numbered where other runs have it already.

    ``run`` is the digest of the run whose folder it is: people read the title, and each run keeps its curves.
    """
    for number in count(1):
        folder = place / (title if number == 1 else f"{title} ({number})")
        owner = folder / OWNER
        if not folder.exists():
            write_text(owner, run)
        if owner.is_file() and owner.read_text(encoding="utf-8") == run:
            return folder
    raise AssertionError


def folders_of(place: Path, run: str) -> list[Path]:
    """The folders in ``place`` that belong to a run."""
    return [owner.parent for owner in sorted(place.glob(f"*/{OWNER}")) if owner.read_text(encoding="utf-8") == run]


class EventFile:
    """One event file in ``folder``; a run that resumes writes another beside it, a new one (``is_first``) none."""

    def __init__(self, folder: Path, first_epoch: int, is_first: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in folder.glob("events.out.tfevents.*") if is_first else ():
            earlier.unlink()
        path = folder / f"events.out.tfevents.{first_epoch:010d}"
        self.writer = RecordWriter(path.open("wb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point per named curve."""
        self._summary(step, [Summary.Value(tag=name, simple_value=value) for name, value in values.items()])

    def images(self, step: int, images: Mapping[str, Picture]) -> None:
        """Pictures with their axes, by name."""
        self._summary(step, [Summary.Value(tag=name, image=_image(name, one)) for name, one in images.items()])

    def _summary(self, step: int, values: list[Summary.Value]) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        self.writer.write(event.SerializeToString())
        self.writer.flush()


def _image(name: str, picture: Picture) -> Summary.Image:
    # Imported here since evaluate writes no pictures and starts sooner without it.
    from pipeline.artifacts.pictures import Figure

    figure = Figure(figsize=(5.0, 2.8), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(picture.values, cmap="magma", origin="lower", aspect="auto", interpolation="nearest")
    axes.set(title=name, xlabel=picture.along_columns, ylabel=picture.along_rows)
    figure.colorbar(image, label=picture.unit)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    width, height = (round(inches * DOTS_PER_INCH) for inches in figure.get_size_inches())
    return Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png.getvalue())
