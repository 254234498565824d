"""Check every raw file of a plan before anything is written or started.

Headers, lengths and tables are checked here, for all recordings at once; the samples themselves
by the stage ingest.
"""

from __future__ import annotations

from pipeline.config.ingest import IngestConfig
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.raw.agreement import session_problems
from pipeline.raw.recording import RawRecording, TableReader, opened_raw, session_differences
from pipeline.raw.sessions import Session
from pipeline.run.plan import Plan


def check_raw_files(plan: Plan) -> None:
    """Raise :class:`InputError` with every problem of the user's raw files; nothing where they are simulated."""
    if plan.is_simulated:
        return
    sheet = str(plan.config.data.sheet)
    problems: list[Problem] = []
    for session in plan.sessions.values():
        if plan.deleted and not plan.deleted.keys().isdisjoint(plan.raw_of(session.name)):
            continue  # its recording was made, and holds what there is
        problems += _session_problems(session, plan.config.ingest, sheet)
    raise_if_any(problems)
    plan.refuse_copies()


def _session_problems(session: Session, config: IngestConfig, sheet: str) -> list[Problem]:
    problems: list[Problem] = []
    tables, first = TableReader(), dict[str, RawRecording]()
    n_neural, n_sound = dict[str, int](), dict[str, int]()
    for row in session.trials:
        try:
            with opened_raw(row, row.files(), config, sheet, tables) as recording:
                problems += session_differences(row, recording, first)
                first = first or {row.recording: recording}
                n_neural[row.recording] = recording.neural.n_samples
                if recording.sound:
                    n_sound[row.recording] = recording.sound.n_samples
        except InputError as error:
            problems += error.problems
    return problems + session_problems(session.trials, n_neural, n_sound, config.duration_tolerance_s, sheet)
