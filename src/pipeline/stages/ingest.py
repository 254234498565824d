"""One recording from raw arrays: checked, described, and copied a block at a time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.artifacts.core import ArtifactWriter
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.recording import Table, create_recording, write_tables
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.config.ingest import IngestStage
from pipeline.errors import Problem, raise_if_any
from pipeline.raw.arrays import ArrayReader
from pipeline.raw.recording import RawRecording, block_starts, blocks, opened_raw
from pipeline.raw.scan import AudioScan, NeuralReport, NeuralScan
from pipeline.raw.sheet import RecordingRow
from pipeline.stage import Stage

SIMULATED_SIDECAR = "provenance.json"


def ingest(stage: Stage[IngestStage]) -> str:
    # Paths of a row are relative to the sheet; Snakemake passes the resolved ones.
    row = RecordingRow.from_json(stage.options["row"], Path())
    raw = dict(zip(row.files(), stage.files["raw"], strict=True))
    digests = _checked_content(raw, stage.options["content"].split())
    with opened_raw(row, raw, stage.config.ingest, "recordings.tsv") as recording:
        neural = recording.neural
        for text in recording.warnings:
            stage.log.warning("warning: %s: %s", row.recording, text)
        inputs = [(row.recorded_path(column, str(path)), digests[column]) for column, path in raw.items()]
        with create_recording(stage.file("output"), stage.provenance(inputs)) as writer:
            report = _copy_neural(writer, stage, row, neural)
            problems = list(report.problems)
            problems += _copy_sound(writer, stage, row, recording.sound)
            raise_if_any(problems)
            _write_tables(writer, row, recording, report)
            _write_attributes(writer, row, recording)
    seconds = neural.n_samples / row.eeg_rate_hz
    return f"({neural.n_samples}, {neural.n_channels}) {seconds:.1f} s, {len(report.bad)} bad → {stage.file('output')}"


def _checked_content(raw: dict[str, Path], expected: list[str]) -> dict[str, str]:
    """sha256 of each raw file; refused where it is not the content that the run was planned with, or that was made."""
    found = {column: file_sha256(path) for column, path in raw.items()}
    planned = dict(zip(raw, expected, strict=True)) if expected else found | _simulated_content(raw)
    raise_if_any(
        Problem(
            str(raw[c]),
            "sha256",
            found[c][:12],
            f"{planned[c][:12]}, its content when the run started",
            "Wait until the file is written, then start again",
        )
        for c in raw
        if found[c] != planned[c]
    )
    return found


def _simulated_content(raw: dict[str, Path]) -> dict[str, str]:
    """sha256 of the raw files as the stage simulate wrote them; nothing where another made them."""
    sidecars = {column: path.with_name(SIMULATED_SIDECAR) for column, path in raw.items()}
    known = {sidecar: read_sidecar(sidecar)["files"] for sidecar in set(sidecars.values()) if sidecar.is_file()}
    return {c: known[sidecar][raw[c].name] for c, sidecar in sidecars.items() if raw[c].name in known.get(sidecar, {})}


def _copy_neural(
    writer: ArtifactWriter, stage: Stage[IngestStage], row: RecordingRow, reader: ArrayReader
) -> NeuralReport:
    config = stage.config.ingest
    scan = NeuralScan(config, reader.n_channels, row.eeg_rate_hz, reader.units)
    units = "µV" if reader.units == "uV" else reader.units
    stream = writer.stream(
        "eeg/data",
        (reader.n_samples, reader.n_channels),
        np.float32,
        ["time", "channel"],
        gzip=config.compression == "gzip",
        units=units,
        sampling_rate_hz=row.eeg_rate_hz,
    )
    for block in stage.progress(blocks(reader), "blocks of brain", len(block_starts(reader))):
        scan.update(block)
        stream.append(block)
    report = scan.finish(str(reader.path))
    if report.gaps and not report.problems:
        report.repair(stream.dataset)
        stream.rehash()
    return report


def _copy_sound(
    writer: ArtifactWriter, stage: Stage[IngestStage], row: RecordingRow, reader: ArrayReader | None
) -> list[Problem]:
    if reader is None or row.audio_rate_hz is None:
        return []
    config = stage.config.ingest
    scan = AudioScan(config, row.audio_rate_hz)
    dtype = reader.read(0, 1).dtype
    stream = writer.stream(
        "audio/data",
        (reader.n_samples,),
        dtype,
        ["time"],
        gzip=config.compression == "gzip",
        units="1/32768 of full scale" if dtype == np.int16 else "full scale",
        sampling_rate_hz=row.audio_rate_hz,
    )
    for block in stage.progress(blocks(reader), "blocks of sound", len(block_starts(reader))):
        scan.update(block)
        stream.append(block[:, 0])
    return scan.problems(str(reader.path))


def _write_tables(writer: ArtifactWriter, row: RecordingRow, recording: RawRecording, report: NeuralReport) -> None:
    columns: dict[str, Table] = {"channels": recording.channel_table(row.eeg_rate_hz, report.bad)}
    if recording.electrodes:
        columns["electrodes"] = {k: list(v) for k, v in asdict(recording.electrodes).items()}
    if recording.events is not None:
        columns["events"] = {
            "onset": list(recording.events.onset_s),
            "duration": list(recording.events.duration_s),
            "trial_type": list(recording.events.label),
        }
    columns["annotations"] = recording.annotation_table(report.missing_annotations(row.eeg_rate_hz))
    write_tables(writer, columns)
    writer.scale("channels/name", ("eeg/data", 1))


def _write_attributes(writer: ArtifactWriter, row: RecordingRow, recording: RawRecording) -> None:
    writer.attributes(
        subject=row.subject,
        recording=row.recording,
        session=row.session or "",
        task=row.task or "",
        simulated=row.simulated,
        has_audio=recording.sound is not None,
        audio_modified=row.audio_modified,
        audio_offset_s=row.audio_offset_s,
        audio_drift_ppm=row.audio_drift_ppm,
        eeg_source_dtype=str(recording.neural.dtype),
        audio_source_dtype=str(recording.sound.dtype) if recording.sound else None,
    )
