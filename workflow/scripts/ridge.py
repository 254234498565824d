"""The command of the stage ridge."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.ridge import RidgeStage
from pipeline.stage import run_stage
from pipeline.stages.ridge import ridge

if __name__ == "__main__":
    run_stage(
        ridge,
        RidgeStage,
        files=["windows", "mel", "aligned", "folds", "output"],
        options=["fold", "variant"],
        code=CODE,
    )
