"""The command of the stage vocode."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.vocode import VocodeStage
from pipeline.stage import run_stage
from pipeline.stages.vocode import vocode

if __name__ == "__main__":
    run_stage(
        vocode,
        VocodeStage,
        files=["predictions", "aligned", "checkpoint", "output"],
        options=["accelerator"],
        code=CODE,
    )
