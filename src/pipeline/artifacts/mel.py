"""``mel/{recording}.h5``: the continuous log-mel of a recording.

``/mel/data`` (frame, mel) float32 in nats, ``/mel/time`` frame centres on the audio
clock [s], ``/mel/frequency`` band centres [Hz].
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.artifacts.core import Provenance, Schema, create, opened

SCHEMA = Schema("mel", 2, "mel")


def write_mel(
    path: Path,
    blocks: Iterable[np.ndarray],
    times_s: np.ndarray,
    frequencies_hz: np.ndarray,
    attributes: dict[str, object],
    provenance: Provenance,
) -> None:
    """Write the mel from blocks of frames."""
    with create(path, SCHEMA, provenance) as writer:
        writer.attributes(**attributes)
        shape = (len(times_s), len(frequencies_hz))
        rate_hz = attributes["frame_rate_hz"]
        mel = writer.stream("mel/data", shape, np.float32, ["time", "mel"], units="nat", sampling_rate_hz=rate_hz)
        for block in blocks:
            mel.append(block)
        writer.array("mel/time", times_s, ["time"], units="s")
        writer.array("mel/frequency", frequencies_hz, ["mel"], units="Hz")
        writer.scale("mel/time", ("mel/data", 0))
        writer.scale("mel/frequency", ("mel/data", 1))


def read_mel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The mel (frame, mel) float32 and the frames' times (frame,) in s."""
    with opened(path, SCHEMA) as artifact:
        return artifact.read("mel/data"), artifact.read("mel/time")


def band_centres_hz(path: Path) -> np.ndarray:
    """Centre frequency of each band (band,) [Hz]."""
    with opened(path, SCHEMA) as artifact:
        return artifact.read("mel/frequency")
