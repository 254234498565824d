"""``mel/{session}.h5``: the continuous log-mel of each trial of a session.

``/trials/{recording}/mel/data`` (frame, mel) float32 in nats, ``…/mel/time`` frame centres on the trial's audio
clock [s], ``/mel/frequency`` band centres [Hz].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.artifacts.core import Provenance, Schema, create, opened
from pipeline.artifacts.trials import trial_rows, within, write_trial_table

SCHEMA = Schema("mel", 3, "mel")


class TrialMel(NamedTuple):
    """A trial's mel to be written, as blocks of frames, and the frames' times (frame,) [s]."""

    recording: str
    blocks: Iterable[np.ndarray]
    times_s: np.ndarray


def write_mel(
    path: Path,
    trials: Iterable[TrialMel],
    frequencies_hz: np.ndarray,
    attributes: Mapping[str, object],
    provenance: Provenance,
) -> int:
    """Write the mel of each trial; returns the number of frames in all."""
    with create(path, SCHEMA, provenance) as writer:
        writer.attributes(**attributes)
        writer.array("mel/frequency", frequencies_hz, ["mel"], units="Hz")
        rows: list[dict[str, Any]] = []
        for trial in trials:
            data, time = within(trial.recording, "mel/data"), within(trial.recording, "mel/time")
            shape, rate_hz = (len(trial.times_s), len(frequencies_hz)), attributes["frame_rate_hz"]
            mel = writer.stream(data, shape, np.float32, ["time", "mel"], units="nat", sampling_rate_hz=rate_hz)
            for block in trial.blocks:
                mel.append(block)
            writer.array(time, trial.times_s, ["time"], units="s")
            writer.scale(time, (data, 0))
            rows.append({"recording": trial.recording, "n_frames": shape[0]})
        write_trial_table(writer, rows)
        writer.scale("mel/frequency", *((within(row["recording"], "mel/data"), 1) for row in rows))
    return sum(row["n_frames"] for row in rows)


def read_mels(path: Path, recordings: Iterable[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Mel (frame, mel) float32 and the frames' times (frame,) in s of each of these trials."""
    with opened(path, SCHEMA) as artifact:
        for recording in recordings:
            yield artifact.read(within(recording, "mel/data")), artifact.read(within(recording, "mel/time"))


def mel_trials(path: Path) -> list[str]:
    """The trials that have a mel, in their order."""
    with opened(path, SCHEMA) as artifact:
        return [row["recording"] for row in trial_rows(artifact)]


def band_centres_hz(path: Path) -> np.ndarray:
    """Centre frequency of each band (band,) [Hz]."""
    with opened(path, SCHEMA) as artifact:
        return artifact.read("mel/frequency")


def frame_grid(path: Path) -> tuple[np.ndarray, float]:
    """Centre frequency of each band (band,) and frames per second [Hz]."""
    with opened(path, SCHEMA) as artifact:
        return artifact.read("mel/frequency"), float(artifact.attribute("frame_rate_hz"))
