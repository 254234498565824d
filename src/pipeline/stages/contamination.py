"""Acoustic contamination of one session, on the raw signals of all its trials."""

from __future__ import annotations

from pipeline.artifacts.contamination import write_contamination
from pipeline.artifacts.core import Artifact
from pipeline.artifacts.recording import open_recording, read_tables
from pipeline.artifacts.trials import trial_rows, within
from pipeline.config.contamination import ContaminationStage
from pipeline.evaluation.contamination import check_contamination
from pipeline.evaluation.leak_spectra import SignalPair
from pipeline.signal.reference import declared_use
from pipeline.stage import Stage


def contamination(stage: Stage[ContaminationStage]) -> str:
    path = stage.file("recording")
    with open_recording(path) as recording:
        pairs, rates_hz = _pairs(recording)
        channels = read_tables(recording)["channels"]
        result = check_contamination(
            pairs,
            *rates_hz,
            stage.config.contamination,
            recording=recording.attribute("session"),
            line_noise_hz=stage.config.align.line_noise_hz,
            is_raw=stage.config.align.input_is_raw,
            audio_modified=recording.attribute("audio_modified"),
            channels=dict(zip(channels["name"], declared_use(channels, stage.config.align.channels), strict=True)),
        )
        write_contamination(stage.file("output"), vars(result), stage.provenance([(path, recording.content_digest)]))
    return f"{result.result} → {stage.file('output')}"


def _pairs(recording: Artifact) -> tuple[list[SignalPair], tuple[float, float]]:
    """Brain and sound of each trial that has both, and the session's two rates [Hz]."""
    rows = [row for row in trial_rows(recording) if row["has_audio"]]
    names = [(within(row["recording"], "eeg/data"), within(row["recording"], "audio/data")) for row in rows]
    closed = recording.closed_dataset
    pairs = [
        SignalPair(closed(eeg), closed(audio), row["audio_offset_s"], row["audio_drift_ppm"])
        for row, (eeg, audio) in zip(rows, names, strict=True)
    ]
    eeg, audio = (recording.attributes(name)["sampling_rate_hz"] for name in names[0])
    return pairs, (eeg, audio)
