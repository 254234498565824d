"""``aligned/{recording}.h5``: neural features and sound on the audio clock.

``/features/data`` (time, channel) float32 with the frame centres in ``/features/time`` [s],
``/audio/data`` (time,) float32 at the mel's rate, and the tables of the recording: channels with
their good or bad status, annotations on the audio clock.  Attributes record the processing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artifacts.core import Artifact, ArtifactWriter, Provenance, Schema, create, opened
from pipeline.artifacts.recording import Table, read_tables

SCHEMA = Schema("aligned", 2, "align")


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
    """An aligned recording without its arrays.

    Times in s on the audio clock.  ``support_past_s`` and ``support_future_s`` bound the neural
    samples that a feature depends on, before and after its time; ``audio_support_s`` the raw audio
    samples that a resampled one depends on, on either side.
    """

    recording: str
    subject: str
    session: str
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
    """A writer for the aligned recording; the stage streams features and audio into it."""
    with create(path, SCHEMA, provenance) as writer:
        yield writer


@contextmanager
def open_aligned(path: Path) -> Iterator[Artifact]:
    """The aligned recording for reading."""
    with opened(path, SCHEMA) as artifact:
        yield artifact


def aligned_info(path: Path) -> AlignedInfo:
    """Attributes and tables of an aligned recording."""
    with open_aligned(path) as artifact:
        names = AlignedInfo.__dataclass_fields__.keys() - {"events", "annotations", "channels", "content_digest"}
        tables = read_tables(artifact)
        return AlignedInfo(
            **{name: artifact.attribute(name) for name in names},
            events=tables["events"],
            annotations=tables["annotations"],
            channels=tables["channels"],
            content_digest=artifact.content_digest,
        )


def read_features(path: Path) -> np.ndarray:
    """Features (time, channel) float32."""
    with open_aligned(path) as artifact:
        return artifact.read("features/data")


def feature_columns(path: Path) -> list[str]:
    """Names of the features' columns."""
    with open_aligned(path) as artifact:
        return [name.decode() for name in artifact.read("features/name").tolist()]
