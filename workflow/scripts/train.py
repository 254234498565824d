"""The command of the stage train."""

from pipeline.config.train import TrainStage
from pipeline.stage import run_stage
from pipeline.stages.train import train

if __name__ == "__main__":
    run_stage(
        train,
        TrainStage,
        files=["windows", "mel", "aligned", "ridge", "folds", "output"],
        options=["fold", "variant", "network", "accelerator"],
    )
