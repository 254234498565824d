# From raw arrays to results/eval.json.  Reads and checks the config, then names the jobs;
# what a job does is in workflow/scripts, what it calls in src/pipeline.
import os
import signal
import sys
from pathlib import Path

HOME = Path(str(workflow.current_basedir))
IS_MODULE = HOME.resolve() != Path(workflow.basedir).resolve()
os.environ["PYTHONSAFEPATH"] = "1"  # nothing is imported from the working directory
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HOME / "src"), os.environ.get("PYTHONPATH")]))
sys.path.insert(0, str(HOME / "src"))

from pipeline.errors import InputError
from pipeline.config.stages import STAGES
from pipeline.run.resources import resources
from pipeline.run.plan import load_plan
from pipeline.run.signals import answer_in_a_thread
from pipeline.run.slurm import refuse_orphans, watch

try:
    PLAN = load_plan(
        HOME,
        # Another workflow that uses this one as a module hands its config over; else the files are read strictly.
        config_files=[] if IS_MODULE else workflow.config_settings.configfiles or [],
        overrides=[config if IS_MODULE else workflow.config_settings.config or {}],
        is_job=not workflow.is_main_process,
    )
except InputError as error:
    raise WorkflowError(str(error)) from None

PYTHON = sys.executable
SCRIPTS = HOME / "workflow" / "scripts"
RUNTIME = PLAN.config.runtime
CODE = {stage: PLAN.code(stage) for stage in STAGES}

if workflow.is_main_process:
    PLAN.mark_stale()

if IS_MODULE:
    # Snakemake looks up what a module's commands name among the names of the workflow that uses it.
    names = {
        "PYTHON": PYTHON,
        "SCRIPTS": SCRIPTS,
        "RUNTIME": RUNTIME,
        "CODE": CODE,
        "PLAN": PLAN,
    }
    workflow.modifier_stack[0].globals.update(names)


report: "workflow/report/workflow.rst"


onstart:
    try:
        refuse_orphans()
    except InputError as error:
        raise WorkflowError(str(error)) from None
    PLAN.keep_results()
    watch(workflow.rules)
    answer_in_a_thread(signal.SIGTERM)


onerror:
    PLAN.print_failures()


# Under a second each, so never a Slurm job of their own.
localrules:
    all,
    window,


wildcard_constraints:
    recording=PLAN.one_of(PLAN.recordings),
    subject=PLAN.one_of(PLAN.subjects),
    model_id=PLAN.one_of(PLAN.model_ids),
    variant=PLAN.one_of(PLAN.config.variants) or "none",
    fold=r"\d+",


rule all:
    default_target: True
    input:
        "results/eval.json",
        expand("results/aligned/{recording}.h5", recording=PLAN.without_audio),


if PLAN.is_simulated:

    include: "workflow/rules/simulate.smk"


include: "workflow/rules/ingest.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/mel.smk"
include: "workflow/rules/window.smk"
include: "workflow/rules/contamination.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/ridge.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/vocode.smk"
include: "workflow/rules/evaluate.smk"
