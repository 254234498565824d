"""The command of the stage evaluate."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.evaluate import EvaluateStage
from pipeline.stage import run_stage
from pipeline.stages.evaluate import evaluate

if __name__ == "__main__":
    run_stage(evaluate, EvaluateStage, files=["folds", "variants", "output"], options=["sound", "pooled"], code=CODE)
