"""The command of the stage simulate."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.simulate import SimulateStage
from pipeline.stage import run_stage
from pipeline.stages.simulate import simulate

if __name__ == "__main__":
    run_stage(simulate, SimulateStage, files=["speech", "output"], options=["content"], code=CODE)
