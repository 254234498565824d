"""Check every raw file of a plan before anything is written or started.

Headers, lengths and tables are checked here, for all recordings at once; the samples themselves
by the stage ingest.
"""

from __future__ import annotations

from pipeline.errors import Problem, raise_if_any
from pipeline.raw.headers import header_problems
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
        problems += header_problems(session, plan.config.ingest, sheet)
    raise_if_any(problems)
    plan.refuse_copies()
