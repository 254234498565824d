"""Check every raw file of a plan before anything is written or started.

Headers, lengths and tables are checked here, for all recordings at once; the samples themselves
by the stage ingest.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.raw.bids import channel_differences
from pipeline.raw.recording import opened_raw
from pipeline.run.plan import Plan


def check_raw_files(plan: Plan) -> None:
    """Raise :class:`InputError` with every problem of the user's raw files; nothing where they are simulated."""
    if plan.is_simulated:
        return
    sheet = str(plan.config.data.sheet)
    problems: list[Problem] = []
    names: dict[str, dict[str, Sequence[str]]] = {}
    for row in plan.rows:
        try:
            with opened_raw(row, row.files(), plan.config.ingest, sheet) as recording:
                if row.audio:
                    names.setdefault(row.subject, {})[row.recording] = recording.channel_names
        except InputError as error:
            problems += error.problems
    for of_subject in names.values():
        problems += channel_differences(of_subject)
    raise_if_any(problems)
    plan.refuse_copies()
