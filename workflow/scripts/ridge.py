"""The command of the stage ridge."""

from pipeline.config.ridge import RidgeStage
from pipeline.stage import run_stage
from pipeline.stages.ridge import ridge

if __name__ == "__main__":
    run_stage(ridge, RidgeStage, files=["windows", "mel", "aligned", "folds", "output"], options=["fold", "variant"])
