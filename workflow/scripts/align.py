"""The command of the stage align."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.align import AlignStage
from pipeline.stage import run_stage
from pipeline.stages.align import align

if __name__ == "__main__":
    run_stage(align, AlignStage, files=["recording", "output"], code=CODE, reuse_memory=True)
