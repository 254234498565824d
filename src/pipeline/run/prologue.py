"""The start of the Snakefile, before its rules: load the plan, set signal handlers.

Uses of Snakemake that are not public (docs/design.md lists them with their tests): ``config_settings`` and
``is_main_process`` of the workflow, the globals of a workflow that uses this one as a module.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from pipeline.config.stages import STAGES
from pipeline.errors import InputError
from pipeline.run.layout import mark_layout
from pipeline.run.plan import Plan, load_plan
from pipeline.run.resources import resources
from pipeline.run.slurm import refuse_orphans, watch


def prepare(workflow: Any, config: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """The names that the rules use, for the Snakefile in ``home`` or another one that uses it as a module.

    Raises :class:`WorkflowError` with everything wrong with the config and the sheet.
    """
    is_module = Path(workflow.basedir).resolve() not in (home.resolve(), (home / "workflow").resolve())
    os.environ["PYTHONSAFEPATH"] = "1"  # nothing is imported from the working directory
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(home / "src"), os.environ.get("PYTHONPATH")]))
    settings = workflow.config_settings
    try:
        plan = load_plan(
            home,
            # Another workflow that uses this one as a module passes its config; else the files are read strictly.
            config_files=[] if is_module else settings.configfiles or [],
            overrides=[config if is_module else settings.config or {}],
            is_job=not workflow.is_main_process,
        )
        if workflow.is_main_process:
            plan.mark_stale()
    except InputError as error:
        raise WorkflowError(str(error)) from None
    names = {
        "PLAN": plan,
        "PYTHON": sys.executable,
        "SCRIPTS": home / "workflow" / "scripts",
        "RUNTIME": plan.config.runtime,
        "CODE": {stage: plan.code(stage) for stage in STAGES},
        "resources_of": resources,
        "start": start,
    }
    if is_module:
        # Snakemake looks up what a module's commands name among the names of the workflow that uses it.
        workflow.modifier_stack[0].globals.update(names)
    return names


def start(plan: Plan, workflow: Any) -> None:
    """Before the first job.  Raises :class:`WorkflowError` where Slurm jobs of a killed run are still at work."""
    try:
        refuse_orphans()
    except InputError as error:
        raise WorkflowError(str(error)) from None
    mark_layout()
    plan.write_ingest_plans()
    plan.keep_results()
    watch(workflow.rules)
    answer_in_a_thread(signal.SIGTERM)


def answer_in_a_thread(number: int) -> None:
    """Run the handler of a signal in a thread of its own.

    Snakemake's takes a lock that the interrupted code may hold, and would wait for it for ever.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        signal.signal(number, lambda *arguments: _thread.start_new_thread(handler, arguments))
