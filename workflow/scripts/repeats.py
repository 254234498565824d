"""The command of the stage repeats."""

from pipeline.config.repeats import RepeatsStage
from pipeline.stage import run_stage
from pipeline.stages.repeats import repeats

if __name__ == "__main__":
    run_stage(repeats, RepeatsStage, files=["mel", "aligned", "output"])
