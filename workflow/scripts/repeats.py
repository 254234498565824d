"""The command of the stage repeats."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.repeats import RepeatsStage
from pipeline.stage import run_stage
from pipeline.stages.repeats import repeats

if __name__ == "__main__":
    run_stage(repeats, RepeatsStage, files=["mel", "aligned", "output"], code=CODE)
