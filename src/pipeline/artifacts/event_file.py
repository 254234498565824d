"""TensorBoard event files with curves and pictures.

TensorBoard's own writer puts the host name and process id into the file's name, which would
identify the machine; these files are named after the epoch that they start with.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]


class EventFile:
    """One event file in ``folder``; a run that resumes writes another beside it."""

    def __init__(self, folder: Path, first_epoch: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"events.out.tfevents.{first_epoch:010d}"
        self.writer = RecordWriter(path.open("wb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point per named curve."""
        self._summary(step, [Summary.Value(tag=name, simple_value=value) for name, value in values.items()])

    def images(self, step: int, images: Mapping[str, NDArray[np.float32]]) -> None:
        """Pictures of (row, column) arrays, row 0 at the bottom."""
        self._summary(step, [Summary.Value(tag=name, image=_image(array)) for name, array in images.items()])

    def _summary(self, step: int, values: list[Summary.Value]) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        self.writer.write(event.SerializeToString())
        self.writer.flush()


def _image(array: NDArray[np.float32]) -> Summary.Image:
    from matplotlib.image import imsave  # imported here since evaluate writes no pictures and starts sooner without it

    png = io.BytesIO()
    imsave(png, array, cmap="magma", origin="lower", format="png")
    height, width = array.shape
    return Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png.getvalue())
