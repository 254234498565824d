"""The command of the stage mel."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.mel import MelStage
from pipeline.stage import run_stage
from pipeline.stages.mel import mel

if __name__ == "__main__":
    run_stage(mel, MelStage, files=["aligned", "output"], code=CODE, reuse_memory=True)
