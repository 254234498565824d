"""``windows/{subject}.h5``: the index of windows and blocks, without copies of data.

``/recordings`` lists the trials, the session that each lies in, and its usable mel frames; a window crosses no
trial's border, and where a trial is shorter the window's frames beyond its ``stop_frame`` do not count.
``/windows`` has one row per window (recording, start_frame) and ``/windows/role``
(window, fold, inner_fold): 0 unused, 1 train, 2 validation, 3 test.  The inner folds of a fold test the same blocks and
validate on other parts of the rest.  ``/blocks`` lists the contiguous stretches of each of them and role in mel
frames; ``/spans`` lists, for the same, the raw samples of brain signal and sound that they depend on.  ``/events`` and
``/bad`` are the events and bad intervals of the recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.artifacts.aligned import Event
from pipeline.artifacts.core import Provenance, Schema, create, opened
from pipeline.config.variants import Fold

SCHEMA = Schema("windows", 4, "window")
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
    inner_fold: int = 0


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
    inner_fold: int = 0


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
    ``roles`` (window, fold): role codes.  These and ``blocks`` and ``spans`` are of the first inner fold of each fold,
    ``further`` has the others'.
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
    further: tuple[Windows, ...] = ()

    @property
    def inner_folds(self) -> list[Windows]:
        """The index with roles, blocks and spans of each inner fold."""
        return [replace(self, further=()), *self.further]

    def with_inner_folds(self, roles: np.ndarray, blocks: Sequence[BlockRow], spans: Sequence[SpanRow]) -> Windows:
        """The index with the ``roles`` (window, fold, inner fold), blocks and spans of all inner folds."""
        parts = [
            replace(
                self,
                roles=roles[:, :, k],
                blocks=tuple(b for b in blocks if b.inner_fold == k),
                spans=tuple(s for s in spans if s.inner_fold == k),
            )
            for k in range(roles.shape[2])
        ]
        return replace(parts[0], further=tuple(parts[1:]))

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
        parts = windows.inner_folds
        roles = np.stack([part.roles for part in parts], axis=2)
        writer.array("windows/role", roles, ["window", "fold", "inner_fold"], codes=str(ROLE_NAMES))
        writer.table("blocks", _columns([row for part in parts for row in part.blocks], BlockRow), "block")
        writer.table("spans", _columns([row for part in parts for row in part.spans], SpanRow), "span")
        writer.table("events", _columns(windows.events, EventRow), "event")
        writer.table("bad", _columns(windows.bad, BadRow), "bad")


def read_windows(path: Path) -> Windows:
    """Read the index."""
    with opened(path, SCHEMA) as artifact:
        recording, start = artifact.read("windows/recording"), artifact.read("windows/start_frame")
        attributes = artifact.root_attributes()
        trials = artifact.table("recordings")
        whole = Windows(
            subject=artifact.name_of_files("subject", attributes.pop("subject")),
            recordings=tuple(artifact.name_of_files("recordings", n) for n in trials["name"]),
            sessions=tuple(artifact.name_of_files("recordings", n) for n in trials["session"]),
            usable=np.array([trials["start_frame"], trials["stop_frame"]], np.int64).T,
            texts=tuple(trials["text"]),
            speakers=tuple(trials["speaker"]),
            folds=tuple(artifact.read("folds").tolist()),
            starts=np.stack([recording, start], axis=1),
            roles=np.zeros((len(start), 0), np.uint8),
            blocks=(),
            spans=(),
            events=tuple(_rows(artifact.table("events"), EventRow)),
            bad=tuple(_rows(artifact.table("bad"), BadRow)),
            attributes=attributes,
        )
        blocks, spans = _rows(artifact.table("blocks"), BlockRow), _rows(artifact.table("spans"), SpanRow)
        return whole.with_inner_folds(artifact.read("windows/role"), blocks, spans)


def _columns(rows: Sequence[Any], kind: type) -> dict[str, list[Any]]:
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}


def _rows(columns: dict[str, list[Any]], kind: type) -> list[Any]:
    return [kind(*values) for values in zip(*(columns[field.name] for field in fields(kind)), strict=True)]
