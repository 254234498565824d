"""Make the raw arrays and the sample sheet of the simulated subject."""

from __future__ import annotations

from pipeline.artifacts.sidecar import write_sidecar
from pipeline.config.simulate import SimulateStage
from pipeline.simulate import simulate
from pipeline.stage import Stage, run_stage


def main(stage: Stage[SimulateStage]) -> str:
    folder = stage.files["output"][0].parent
    config = stage.config.simulate
    inputs = list(zip(stage.files["speech"], stage.options["content"].split(), strict=True))
    sheet = simulate(config, folder)
    note = sheet.with_name("provenance.json")
    files = [p for p in folder.iterdir() if p.is_file() and p != note and not p.name.startswith(".")]
    write_sidecar(note, "simulate", files, stage.provenance(inputs))
    return f"{config.subjects} subject(s) × {config.recordings} recording(s) of {config.minutes:g} min in {folder}"


run_stage(main, SimulateStage, files=["speech", "output"], options=["content"])
