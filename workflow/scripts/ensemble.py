"""The command of the stage ensemble."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.ensemble import EnsembleStage
from pipeline.stage import run_stage
from pipeline.stages.ensemble import ensemble

if __name__ == "__main__":
    run_stage(
        ensemble,
        EnsembleStage,
        files=["networks", "windows", "mel", "aligned", "ridge", "folds", "scores", "output"],
        options=["fold", "variant"],
        code=CODE,
    )
