"""The command of the stage simulate."""

from pipeline.config.simulate import SimulateStage
from pipeline.stage import run_stage
from pipeline.stages.simulate import simulate

if __name__ == "__main__":
    run_stage(simulate, SimulateStage, files=["speech", "output"], options=["content"])
