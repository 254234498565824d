"""The command of the stage train."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.train import TrainStage
from pipeline.stage import run_stage
from pipeline.stages.train import train

if __name__ == "__main__":
    run_stage(
        train,
        TrainStage,
        files=["windows", "mel", "aligned", "ridge", "folds", "init", "output"],
        options=["fold", "variant", "network", "accelerator"],
        code=CODE,
    )
