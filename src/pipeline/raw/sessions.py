"""Sessions: the trials that were recorded together, and the file that tells a job of them.

A job's command line would grow with the number of trials, so rows, paths and hashes reach the stage ingest
through ``.snakemake/plan/ingest_{session}.json``, which the main process writes; the job gets its digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

from pipeline.artifacts.files import read_json
from pipeline.config.canonical import canonical, text_digest
from pipeline.errors import InputError, Problem
from pipeline.raw.sheet import RecordingRow


@dataclass(frozen=True)
class Session:
    """Rows of the sheet with equal subject and session, in the order of ``start_s`` where all have it."""

    name: str
    trials: tuple[RecordingRow, ...]

    @property
    def subject(self) -> str:
        return self.trials[0].subject

    @property
    def has_audio(self) -> bool:
        """Whether any trial has sound."""
        return any(row.audio for row in self.trials)

    @property
    def rows_json(self) -> dict[str, str]:
        """By recording, what the sheet says of each trial, where no file's place is part of it."""
        return {row.recording: row.json_text for row in self.trials}

    def files(self) -> Iterator[tuple[RecordingRow, str, str]]:
        """Row, column and path of each raw file."""
        return ((row, column, name) for row in self.trials for column, name in row.names.items())


def sessions_of(rows: Iterable[RecordingRow]) -> list[Session]:
    """The sessions of a sheet, in the order of their first rows."""
    found: dict[str, list[RecordingRow]] = {}
    for row in rows:
        found.setdefault(row.session_name, []).append(row)
    return [Session(name, tuple(_in_time(own))) for name, own in found.items()]


def _in_time(rows: Sequence[RecordingRow]) -> list[RecordingRow]:
    starts_s = {row.recording: row.start_s for row in rows if row.start_s is not None}
    return sorted(rows, key=lambda row: starts_s[row.recording]) if len(starts_s) == len(rows) else list(rows)


def overlaps(rows: Iterable[RecordingRow], n_samples: Mapping[str, int], sheet: str) -> list[Problem]:
    """Trials of a session that begin before the one before them ended; ``n_samples`` of each by recording."""
    timed = [(row.start_s, row) for row in rows if row.start_s is not None and row.recording in n_samples]
    timed.sort(key=lambda pair: pair[0])
    problems = []
    for (start_s, row), (next_s, other) in pairwise(timed):
        # What rounding to a sample or to the sheet's digits makes is no overlap.
        end_s = start_s + (n_samples[row.recording] - 1) / row.eeg_rate_hz - 1e-3
        if next_s < end_s:
            got = f"{next_s:g} s, before {row.recording} ends at {end_s:.3f} s"
            fix = "Correct start_s [s], which counts from the start of the session."
            problems.append(Problem(sheet, f"{other.recording}, start_s", got, "trials one after another", fix))
    return problems


@dataclass(frozen=True)
class SessionPlan:
    """What a job gets of a session: its trials, where their files lie, and what they held when the run started.

    ``names`` (paths) and ``content`` (sha256) are by recording and column; ``content`` is empty where the workflow
    makes the files.
    """

    session: Session
    names: dict[str, dict[str, str]]
    content: dict[str, dict[str, str]]

    @classmethod
    def of(cls, session: Session, content: Mapping[str, str]) -> Self:
        """The plan of a session; ``content`` is sha256 by path, or nothing."""
        names = {row.recording: row.names for row in session.trials}
        digests = {r: {c: content[name] for c, name in own.items()} for r, own in names.items()} if content else {}
        return cls(session, names, digests)

    @cached_property
    def files(self) -> dict[str, dict[str, Path]]:
        """The paths by recording and column."""
        return {r: {c: Path(name) for c, name in own.items()} for r, own in self.names.items()}

    @cached_property
    def digest(self) -> str:
        """Of rows and content; where the files lie is no part."""
        return text_digest(f"[{json.dumps(self.session.name)},{self._rows},{canonical(self.content)}]")

    def text(self) -> str:
        """The file's text."""
        others = {"session": self.session.name, "files": self.names, "content": self.content}
        return f'{{"rows":{self._rows},{json.dumps(others)[1:]}'

    @property
    def _rows(self) -> str:
        return f"[{','.join(self.session.rows_json.values())}]"

    @classmethod
    def read(cls, path: Path, expected: str) -> Self:
        """The plan back.  Raises :class:`InputError` where it is not the one with the digest that was ``expected``."""
        plan = cls.parse(path)
        if plan.digest != expected:
            raise _replaced(path, "another plan")
        return plan

    @classmethod
    def parse(cls, path: Path) -> Self:
        """Whatever plan ``path`` holds.  Raises :class:`InputError` where it is none."""
        try:
            values = read_json(path)
            trials = tuple(RecordingRow(**row, folder=Path()) for row in values["rows"])
            plan = cls(Session(values["session"], trials), values["files"], values["content"])
            _ = plan.files
            return plan
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _replaced(path, str(error)) from None


def _replaced(path: Path, got: str) -> InputError:
    fix = "Start the workflow again; one run at a time in a folder"
    return InputError(Problem(str(path), "digest", got, "what the run was planned with", fix))
