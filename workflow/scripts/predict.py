"""The command of the stage predict."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.predict import PredictStage
from pipeline.stage import run_stage
from pipeline.stages.predict import predict

if __name__ == "__main__":
    run_stage(
        predict,
        PredictStage,
        files=["model", "ridge", "windows", "mel", "aligned", "output"],
        options=["fold", "accelerator"],
        code=CODE,
    )
