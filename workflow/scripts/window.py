"""The command of the stage window."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.window import WindowStage
from pipeline.stage import run_stage
from pipeline.stages.window import window

if __name__ == "__main__":
    run_stage(window, WindowStage, files=["aligned", "output"], code=CODE)
