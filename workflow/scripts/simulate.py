"""Make the raw arrays and the sample sheet of the simulated subject."""

from __future__ import annotations

from pipeline.config.simulate import SimulateStage
from pipeline.simulate import simulate
from pipeline.stage import Stage, run_stage


def main(stage: Stage[SimulateStage]) -> str:
    folder = stage.files["output"][0].parent
    config = stage.config.simulate
    simulate(config, folder)
    return f"{config.subjects} subject(s) × {config.recordings} recording(s) of {config.minutes:g} min in {folder}"


run_stage(main, SimulateStage, files=["output"])
