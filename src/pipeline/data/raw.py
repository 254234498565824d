"""The raw files of one recording, opened together and checked as far as headers and tables tell.

Used by the stage ingest, and before a run for all recordings at once, so that a wrong
file is named before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.config.ingest import IngestConfig
from pipeline.data.arrays import ArrayReader, open_audio, open_neural
from pipeline.data.bids import (
    Annotations,
    Channels,
    Electrodes,
    Events,
    read_annotations,
    read_channels,
    read_electrodes,
    read_events,
)
from pipeline.data.scan import check_pair
from pipeline.data.sheet import RecordingRow
from pipeline.errors import InputError, Problem, raise_if_any

T = TypeVar("T")


@dataclass(frozen=True)
class RawRecording:
    """Readers of both arrays, and the tables; None where the row names no such file."""

    neural: ArrayReader
    sound: ArrayReader | None
    channels: Channels | None
    electrodes: Electrodes | None
    events: Events | None
    annotations: Annotations | None

    @property
    def channel_names(self) -> list[str]:
        """From the channel table, else ``ch001``, ``ch002``, …"""
        if self.channels is not None:
            return list(self.channels.name)
        return [f"ch{i + 1:03d}" for i in range(self.neural.n_channels)]


@contextmanager
def opened_raw(row: RecordingRow, raw: Mapping[str, Path], config: IngestConfig, sheet: str) -> Iterator[RawRecording]:
    """Open the files ``raw`` (by column) of a row of ``sheet``.

    Raises :class:`InputError` with the problems of all of them.
    """
    problems: list[Problem] = []
    with ExitStack() as closing:

        def tried(column: str, read: Callable[[Path], T]) -> T | None:
            if column in raw:
                try:
                    return read(raw[column])
                except InputError as error:
                    problems.extend(error.problems)
            return None

        neural = tried("eeg", lambda path: open_neural(path, row.eeg_layout, row.eeg_units, row.eeg_gain_uv))
        sound = tried("audio", lambda path: open_audio(path, row.audio_channel))
        for reader in filter(None, (neural, sound)):
            closing.enter_context(reader)
        n_channels = neural.n_channels if neural else None
        channels = tried("channels", lambda path: read_channels(path, n_channels))
        electrodes, events = tried("electrodes", read_electrodes), tried("events", read_events)
        annotations = tried("annotations", read_annotations)
        if neural and (sound or "audio" not in raw):
            problems += check_pair(row, neural, sound, config, sheet)
        raise_if_any(problems)
        assert neural is not None
        yield RawRecording(neural, sound, channels, electrodes, events, annotations)
