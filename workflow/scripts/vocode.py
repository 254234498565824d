"""The command of the stage vocode."""

from pipeline.config.vocode import VocodeStage
from pipeline.stage import run_stage
from pipeline.stages.vocode import vocode

if __name__ == "__main__":
    run_stage(vocode, VocodeStage, files=["predictions", "aligned", "checkpoint", "output"], options=["accelerator"])
