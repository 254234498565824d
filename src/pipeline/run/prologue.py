"""The start of the Snakefile, before its rules: load the plan, set signal handlers.

Uses of Snakemake that are not public (docs/design.md lists them with their tests): ``config_settings`` and
``is_main_process`` of the workflow, its handlers ``_onstart``, ``_onsuccess``, ``_onerror``.
"""

from __future__ import annotations

import _thread
import gc
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from pipeline.errors import InputError
from pipeline.run.layout import bring_times_back, mark_layout
from pipeline.run.plan import Plan, load_plan
from pipeline.run.resources import resources
from pipeline.run.slurm import refuse_orphans, watch


def prepare(workflow: Any, config: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """The names that the rules use, for the Snakefile in ``home`` or another one that uses it as a module.

    Raises :class:`WorkflowError` with everything wrong with the config and the sheet.
    """
    gc.freeze()  # what was imported stays: looking through it again and again takes a fifth of a start
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
            yaml_1_1=True,
        )
        if workflow.is_main_process:
            plan.mark_stale()
            if is_module:
                plan.write_ingest_plans()
                add_handlers(plan, workflow)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    gc.freeze()  # so does the plan
    runtime = plan.config.runtime
    # What a shell line needs and no result depends on: Snakemake reruns nothing where a resource is another.
    in_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    command = {
        "python": "python" if in_conda else sys.executable,
        "scripts": str(home / "workflow" / "scripts"),
        "log_level": runtime.log_level,
        "accelerator": runtime.accelerator,
    }
    return {
        "PLAN": plan,
        "RUNTIME": runtime,
        "resources_of": lambda *job: {**resources(*job), **command},
        "start": start,
    }


def add_handlers(plan: Plan, workflow: Any) -> None:
    """What the Snakefile does at start and end, in a workflow that uses it as a module.

    Snakemake runs the handlers of the outermost Snakefile alone; these run before the ones that it has by now.
    """
    ours = {"start": lambda: start(plan, workflow), "success": plan.stale, "error": plan.print_failures}
    for event, run in ours.items():
        theirs = getattr(workflow, f"_on{event}")
        setattr(workflow, f"_on{event}", lambda log, run=run, theirs=theirs: (run(), theirs(log)))


def start(plan: Plan, workflow: Any) -> None:
    """Before the first job.  Raises :class:`WorkflowError` where Slurm jobs of a killed run are still at work."""
    try:
        refuse_orphans()
    except InputError as error:
        raise WorkflowError(str(error)) from None
    mark_layout()
    bring_times_back()
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
