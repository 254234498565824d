"""Make the raw arrays and the sample sheet of the simulated subject."""

from __future__ import annotations

from pipeline.artifacts.sidecar import write_sidecar
from pipeline.config.simulate import SimulateStage
from pipeline.simulation.subject import write_subjects
from pipeline.stage import Stage


def simulate(stage: Stage[SimulateStage]) -> str:
    folder = stage.files["output"][0].parent
    config = stage.config.simulate
    inputs = list(zip(stage.files["speech"], stage.options["content"].split(), strict=True))
    sheet = write_subjects(config, folder)
    sidecar = sheet.with_name("provenance.json")
    files = [p for p in folder.iterdir() if p.is_file() and p != sidecar and not p.name.startswith(".")]
    write_sidecar(sidecar, "simulate", files, stage.provenance(inputs))
    each = f"{config.minutes:g} min" if config.trials is None else f"{config.trials} trials of {config.trial_s:g} s"
    return f"{config.subjects} subject(s) × {config.recordings} recording(s) of {each} in {folder}"
