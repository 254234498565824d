"""``windows/{subject}.h5``: the index of windows and blocks, without copies of data.

``/recordings`` lists the trials, the session that each lies in, and its usable mel frames; a window crosses no
trial's border, and where a trial is shorter the window's frames beyond its ``stop_frame`` do not count.
``/windows`` has one row per window (recording, start_frame) and ``/windows/role``
(window, fold): 0 unused, 1 train, 2 validation, 3 test.  ``/blocks`` lists the
contiguous stretches of each fold and role in mel frames; ``/spans`` lists, per fold and role,
the raw samples of brain signal and sound that the role depends on.  ``/events`` and ``/bad`` are
the events and bad intervals of the recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.artifacts.aligned import Event
from pipeline.artifacts.core import Provenance, Schema, create, opened
from pipeline.config.variants import Fold

SCHEMA = Schema("windows", 3, "window")
ROLE_CODES = {"train": 1, "validation": 2, "test": 3}
ROLE_NAMES = {code: name for name, code in ROLE_CODES.items()}


@dataclass(frozen=True)
class BlockRow:
    """Mel frames ``start:stop`` of recording number ``recording`` in one role of one fold."""

    fold: Fold
    role: str
    recording: int
    start: int
    stop: int


@dataclass(frozen=True)
class SpanRow:
    """Raw samples ``start:stop`` of one signal (``neural`` or ``audio``) that a role depends on."""

    fold: Fold
    role: str
    recording: int
    signal: Literal["neural", "audio"]
    start: int
    stop: int
    rate_hz: float


@dataclass(frozen=True)
class EventRow(Event):
    """An event of recording number ``recording``."""

    recording: int


@dataclass(frozen=True)
class BadRow:
    """Mel frames ``start:stop`` of recording number ``recording`` under a BAD annotation."""

    recording: int
    start: int
    stop: int


@dataclass(frozen=True)
class Windows:
    """The windows of a subject.

    ``recordings`` are its trials, ``sessions`` the session of each, ``usable`` (trial, 2) the first of its mel frames
    with brain and sound and the first after them, ``texts`` what was said and ``speakers`` who spoke, as far as the
    sheet tells;
    ``starts`` (window, 2): recording number and first mel frame;
    ``roles`` (window, fold): role codes.
    """

    subject: str
    recordings: tuple[str, ...]
    sessions: tuple[str, ...]
    usable: np.ndarray
    texts: tuple[str, ...]
    speakers: tuple[str, ...]
    folds: tuple[Fold, ...]
    starts: np.ndarray
    roles: np.ndarray
    blocks: tuple[BlockRow, ...]
    spans: tuple[SpanRow, ...]
    events: tuple[EventRow, ...]
    bad: tuple[BadRow, ...]
    attributes: dict[str, Any]

    @property
    def session_names(self) -> list[str]:
        """Each session once, in order."""
        return list(dict.fromkeys(self.sessions))

    def trials_of(self, session: str) -> list[str]:
        """The trials of a session, in order."""
        return [r for r, s in zip(self.recordings, self.sessions, strict=True) if s == session]

    def events_of(self) -> dict[int, list[EventRow]]:
        """The events of each trial, by its number."""
        found: dict[int, list[EventRow]] = {}
        for event in self.events:
            found.setdefault(event.recording, []).append(event)
        return found

    def of(self, fold: Fold, role: str) -> np.ndarray:
        """(window, 2) recording number and first frame of a role's windows in a fold."""
        return self.starts[self.roles[:, self.folds.index(fold)] == ROLE_CODES[role]]

    def blocks_of(self, fold: Fold, role: str) -> list[BlockRow]:
        """The blocks of a role in a fold."""
        return [b for b in self.blocks if b.fold == fold and b.role == role]


def write_windows(path: Path, windows: Windows, provenance: Provenance) -> None:
    """Write the index."""
    with create(path, SCHEMA, provenance) as writer:
        writer.attributes(subject=windows.subject, **windows.attributes)
        names = {"name": windows.recordings, "session": windows.sessions}
        names |= {"text": windows.texts, "speaker": windows.speakers}
        writer.table("recordings", {name: list(values) for name, values in names.items()}, "recording")
        writer.array("recordings/start_frame", windows.usable[:, 0], ["recording"], units="mel frame")
        writer.array("recordings/stop_frame", windows.usable[:, 1], ["recording"], units="mel frame")
        writer.array("folds", np.array(windows.folds, np.int64), ["fold"])
        writer.array("windows/recording", windows.starts[:, 0], ["window"])
        writer.array("windows/start_frame", windows.starts[:, 1], ["window"], units="mel frame")
        writer.array("windows/role", windows.roles, ["window", "fold"], codes=str(ROLE_NAMES))
        writer.table("blocks", _columns(windows.blocks, BlockRow), "block")
        writer.table("spans", _columns(windows.spans, SpanRow), "span")
        writer.table("events", _columns(windows.events, EventRow), "event")
        writer.table("bad", _columns(windows.bad, BadRow), "bad")


def read_windows(path: Path) -> Windows:
    """Read the index."""
    with opened(path, SCHEMA) as artifact:
        recording, start = artifact.read("windows/recording"), artifact.read("windows/start_frame")
        attributes = artifact.root_attributes()
        trials = artifact.table("recordings")
        return Windows(
            subject=artifact.name_of_files("subject", attributes.pop("subject")),
            recordings=tuple(artifact.name_of_files("recordings", n) for n in trials["name"]),
            sessions=tuple(artifact.name_of_files("recordings", n) for n in trials["session"]),
            usable=np.array([trials["start_frame"], trials["stop_frame"]], np.int64).T,
            texts=tuple(trials["text"]),
            speakers=tuple(trials["speaker"]),
            folds=tuple(artifact.read("folds").tolist()),
            starts=np.stack([recording, start], axis=1),
            roles=artifact.read("windows/role"),
            blocks=tuple(_rows(artifact.table("blocks"), BlockRow)),
            spans=tuple(_rows(artifact.table("spans"), SpanRow)),
            events=tuple(_rows(artifact.table("events"), EventRow)),
            bad=tuple(_rows(artifact.table("bad"), BadRow)),
            attributes=attributes,
        )


def _columns(rows: Sequence[Any], kind: type) -> dict[str, list[Any]]:
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}


def _rows(columns: dict[str, list[Any]], kind: type) -> list[Any]:
    return [kind(*values) for values in zip(*(columns[field.name] for field in fields(kind)), strict=True)]
