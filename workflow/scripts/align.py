"""The command of the stage align."""

from pipeline.config.align import AlignStage
from pipeline.stage import run_stage
from pipeline.stages.align import align

if __name__ == "__main__":
    run_stage(align, AlignStage, files=["recording", "output"])
