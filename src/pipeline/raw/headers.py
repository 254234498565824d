"""The headers, lengths and tables of a session's raw files, checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.config.ingest import IngestConfig
from pipeline.errors import InputError, Problem
from pipeline.raw.agreement import session_problems
from pipeline.raw.recording import RawRecording, TableReader, opened_raw, session_differences
from pipeline.raw.sessions import Session
from pipeline.raw.sheet import RecordingRow


def header_problems(
    session: Session,
    config: IngestConfig,
    sheet: str,
    also: Callable[[RecordingRow, RawRecording], Iterable[Problem]] = lambda row, recording: (),
) -> list[Problem]:
    """What is wrong with a session's raw files by their headers, lengths and tables, and what ``also`` finds."""
    problems: list[Problem] = []
    tables, first = TableReader(), dict[str, RawRecording]()
    n_neural, n_sound = dict[str, int](), dict[str, int]()
    for row in session.trials:
        try:
            with opened_raw(row, row.files(), config, sheet, tables) as recording:
                problems += session_differences(row, recording, first)
                problems += also(row, recording)
                first = first or {row.recording: recording}
                n_neural[row.recording] = recording.neural.n_samples
                if recording.sound:
                    n_sound[row.recording] = recording.sound.n_samples
        except InputError as error:
            problems += error.problems
    return problems + session_problems(session.trials, n_neural, n_sound, config.duration_tolerance_s, sheet)
