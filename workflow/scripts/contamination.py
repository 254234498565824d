"""The command of the stage contamination."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.contamination import ContaminationStage
from pipeline.stage import run_stage
from pipeline.stages.contamination import contamination

if __name__ == "__main__":
    run_stage(contamination, ContaminationStage, files=["recording", "output"], code=CODE, reuse_memory=True)
