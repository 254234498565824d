"""The command of the stage contamination."""

from pipeline.config.contamination import ContaminationStage
from pipeline.stage import run_stage
from pipeline.stages.contamination import contamination

if __name__ == "__main__":
    run_stage(contamination, ContaminationStage, files=["recording", "output"])
