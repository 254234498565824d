"""``aligned/{session}.h5``: neural features and sound of a session's trials on one clock, the audio's.

Per trial ``/trials/{recording}/features/data`` (time, channel) float32 with the frame centres in ``…/features/time``
[s] and ``…/audio/data`` (time,) float32 at the mel's rate; ``/features/name``, ``/trial_table``, the tables of the
session (channels with the status that the bad-channel rule gave; annotations moved to the audio clock), and as
attributes everything that was done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.artifacts.core import Artifact, ArtifactWriter, Provenance, Schema, create, opened
from pipeline.artifacts.recording import Table, read_tables
from pipeline.artifacts.trials import rows_of, trial_rows, within

SCHEMA = Schema("aligned", 3, "align")


@dataclass(frozen=True)
class Event:
    """A word or another labelled interval on the audio clock of its recording [s]."""

    onset_s: float
    duration_s: float
    label: str

    @property
    def end_s(self) -> float:
        return self.onset_s + self.duration_s


@dataclass(frozen=True)
class AlignedInfo:
    """What later stages know of an aligned trial without its arrays.

    Times in s on the audio clock; ``support_*_s`` is how far the neural samples
    behind a feature reach before and after its time, ``audio_support_s`` how far
    the raw audio samples behind a resampled one reach on either side.  ``session``
    is what the session's files are called; ``text`` and ``speaker`` are empty where they are not known.
    """

    recording: str
    subject: str
    session: str
    text: str
    speaker: str
    modality: str
    events_are: str  # voice, cue, or empty where nobody said which
    simulated: bool
    causal: bool
    has_audio: bool
    audio_modified: str
    feature_rate_hz: float
    first_feature: int
    n_features: int
    audio_rate_hz: int
    n_audio: int
    eeg_rate_hz: float
    n_eeg: int
    source_audio_rate_hz: float
    audio_offset_s: float
    audio_drift_ppm: float
    support_past_s: float
    support_future_s: float
    audio_support_s: float
    whole_recording_operations: list[str]
    events: Table
    annotations: Table
    channels: Table
    content_digest: str
    electrodes: Table = field(default_factory=dict)

    def listed_events(self) -> tuple[Event, ...]:
        """The rows of the table of events."""
        columns = (self.events.get(name, []) for name in ("onset", "duration", "trial_type"))
        return tuple(Event(onset, duration, str(label)) for onset, duration, label in zip(*columns, strict=True))

    @property
    def first_time_s(self) -> float:
        """Time of the first feature."""
        return self.first_feature / self.feature_rate_hz

    @property
    def last_time_s(self) -> float:
        """Time of the last feature."""
        return (self.first_feature + self.n_features - 1) / self.feature_rate_hz


@contextmanager
def create_aligned(path: Path, provenance: Provenance) -> Iterator[ArtifactWriter]:
    """A writer for the aligned session; the stage streams features and audio of each trial into it."""
    with create(path, SCHEMA, provenance) as writer:
        yield writer


@contextmanager
def open_aligned(path: Path) -> Iterator[Artifact]:
    """The aligned session for reading."""
    with opened(path, SCHEMA) as artifact:
        yield artifact


def aligned_trials(path: Path) -> list[AlignedInfo]:
    """Facts and tables of each trial of an aligned session."""
    with open_aligned(path) as artifact:
        shared = artifact.root_attributes() | {"content_digest": artifact.content_digest}
        tables = read_tables(artifact)
        events, annotations = rows_of(tables["events"]), rows_of(tables["annotations"])
        names = AlignedInfo.__dataclass_fields__.keys()
        return [
            AlignedInfo(
                **{name: value for name, value in {**shared, **row}.items() if name in names},
                events=events.get(row["recording"], {}),
                annotations=annotations.get(row["recording"], {}),
                channels=tables["channels"],
                electrodes=tables["electrodes"],
            )
            for row in trial_rows(artifact)
        ]


def read_features(path: Path, recordings: Iterable[str]) -> Iterator[np.ndarray]:
    """Features (time, channel) float32 of each of these trials."""
    with open_aligned(path) as artifact:
        for recording in recordings:
            yield artifact.read(within(recording, "features/data"))


def feature_columns(path: Path) -> list[str]:
    """Names of the features' columns."""
    return list(feature_units(path))


def feature_units(path: Path) -> dict[str, str]:
    """The unit of each of the features' columns, by name."""
    with open_aligned(path) as artifact:
        names, units = (artifact.read(f"features/{column}").tolist() for column in ("name", "units"))
    return {name.decode(): unit.decode() for name, unit in zip(names, units, strict=True)}
