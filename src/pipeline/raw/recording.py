"""The raw files of one recording, opened together; their headers and tables are checked.

The stage ingest uses it, and the checks before a run, so that a wrong file is reported before
anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from pipeline.config.ingest import IngestConfig
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.raw.agreement import check_pair, outside_problems, rate_problems
from pipeline.raw.arrays import ArrayReader, open_audio, open_neural
from pipeline.raw.bids import (
    Annotations,
    Channels,
    Electrodes,
    Events,
    channel_differences,
    electrode_warnings,
    foreign_electrodes,
    read_annotations,
    read_channels,
    read_electrodes,
    read_events,
)
from pipeline.raw.sheet import RecordingRow

BLOCK_BYTES = 1 << 23
T = TypeVar("T")


class TableReader:
    """Reads tables, each file once: the trials of a session often share theirs."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, object], Any] = {}

    def __call__(self, path: Path, read: Callable[[Path], T], *key: object) -> T:
        if (path, key) not in self._known:
            self._known[path, key] = read(path)
        return cast(T, self._known[path, key])


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

    @property
    def warnings(self) -> list[str]:
        """Warnings about the tables, which do not stop a run."""
        return electrode_warnings(self.channel_names, self.electrodes.name) if self.electrodes else []

    def channel_table(self, rate_hz: float, bad: Mapping[int, str]) -> dict[str, list[Any]]:
        """BIDS columns for each channel, with what a scan found (index -> reason) and each channel's region."""
        n = self.neural.n_channels
        if self.channels is not None:
            table = {name: list(values) for name, values in asdict(self.channels).items()}
        else:
            missing, unknown = ["n/a"] * n, [float("nan")] * n
            table = {
                "name": self.channel_names,
                "type": list(missing),
                "units": [self.neural.units] * n,
                "sampling_frequency": [rate_hz] * n,
                "low_cutoff": list(unknown),
                "high_cutoff": list(unknown),
                "status": ["good"] * n,
                "status_description": list(missing),
                "group": list(missing),
            }
        for channel, reason in bad.items():
            table["status"][channel], table["status_description"][channel] = "bad", reason
        contacts = self.electrodes
        regions = dict(zip(contacts.name, contacts.region, strict=True)) if contacts else {}
        table["region"] = [regions.get(name, "n/a") for name in table["name"]]
        return table

    def annotation_table(self, found: Annotations) -> dict[str, list[Any]]:
        """Annotations of the table and those that a scan ``found``, on the neural clock."""
        both = [found] if self.annotations is None else [self.annotations, found]
        columns = {"onset": "onset_s", "duration": "duration_s", "description": "description"}
        return {column: [v for table in both for v in getattr(table, name)] for column, name in columns.items()}


def _time_of_events(row: RecordingRow, neural: ArrayReader, sound: ArrayReader | None) -> tuple[float, str]:
    """How long what events are counted in lasts [s], and what it is."""
    if sound is None or row.audio_rate_hz is None:
        return neural.n_samples / row.eeg_rate_hz, "the neural recording"
    return sound.n_samples / row.audio_rate_hz, "the sound"


def session_differences(row: RecordingRow, given: RawRecording, others: Mapping[str, RawRecording]) -> list[Problem]:
    """Problems where a trial's channels or units are not those of the session's first trial."""
    if not others:
        return []
    (name, first), *_ = others.items()
    problems = channel_differences({name: first.channel_names, row.recording: given.channel_names})
    if given.neural.units != first.neural.units:
        fix = "Correct eeg_units, or give the trial a session of its own."
        got, expected = given.neural.units, f"{first.neural.units}, as in {name}"
        problems.append(Problem(row.recording, "eeg_units", got, expected, fix))
    return problems


def block_starts(reader: ArrayReader) -> range:
    """First samples of blocks of a few MB."""
    return range(0, reader.n_samples, max(1, BLOCK_BYTES // (4 * reader.n_channels)))


def blocks(reader: ArrayReader) -> Iterator[np.ndarray]:
    """The whole array, a few MB at a time."""
    starts = block_starts(reader)
    return (reader.read(a, min(a + starts.step, reader.n_samples)) for a in starts)


@contextmanager
def opened_raw(
    row: RecordingRow, raw: Mapping[str, Path], config: IngestConfig, sheet: str, tables: TableReader | None = None
) -> Iterator[RawRecording]:
    """Open the files ``raw`` (by column) of a row of ``sheet``; ``tables`` reads what the trials share once.

    Raises :class:`InputError` with the problems of all of them.
    """
    problems: list[Problem] = []
    known = tables or TableReader()
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
        channels = tried("channels", lambda path: known(path, lambda p: read_channels(p, n_channels), n_channels))
        electrodes = tried("electrodes", lambda path: known(path, read_electrodes))
        events = tried("events", read_events)
        annotations = tried("annotations", read_annotations)
        if neural and (sound or "audio" not in raw):
            problems += check_pair(row, neural, sound, config.duration_tolerance_s, sheet)
        if channels:
            stated = zip(channels.name, channels.sampling_frequency, strict=True)
            rates = {f"channels.tsv ({name})": hz for name, hz in stated}
            problems += rate_problems(sheet, f"{row.recording}, eeg_rate_hz", row.eeg_rate_hz, rates)
        if events and neural:
            problems += outside_problems(str(raw["events"]), events.onset_s, *_time_of_events(row, neural, sound))
        raise_if_any(problems)
        assert neural is not None
        raw_recording = RawRecording(neural, sound, channels, electrodes, events, annotations)
        if electrodes is not None:
            names, named = raw_recording.channel_names, channels is not None
            raise_if_any(foreign_electrodes(raw["electrodes"], names, electrodes.name, named))
        yield raw_recording
