"""Acoustic contamination of one recording, on its raw signals (Roussel et al. 2020)."""

from __future__ import annotations

from pipeline.artifacts.contamination import write_contamination
from pipeline.artifacts.recording import open_recording
from pipeline.config.contamination import ContaminationStage
from pipeline.evaluation.contamination import check_contamination
from pipeline.stage import Stage


def contamination(stage: Stage[ContaminationStage]) -> str:
    path = stage.file("recording")
    with open_recording(path) as recording:
        result = check_contamination(
            recording.dataset("eeg/data"),
            recording.attributes("eeg/data")["sampling_rate_hz"],
            recording.dataset("audio/data"),
            recording.attributes("audio/data")["sampling_rate_hz"],
            stage.config.contamination,
            recording=recording.attribute("recording"),
            is_raw=stage.config.align.input_is_raw,
            audio_modified=recording.attribute("audio_modified"),
            audio_offset_s=recording.attribute("audio_offset_s"),
            audio_drift_ppm=recording.attribute("audio_drift_ppm"),
        )
        write_contamination(stage.file("output"), vars(result), stage.provenance([(path, recording.content_digest)]))
    return f"{result.result} → {stage.file('output')}"
