"""One recording from raw arrays: checked, described, and copied a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.artifacts.core import ArtifactWriter
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.recording import Table, create_recording, write_tables
from pipeline.config.ingest import IngestStage
from pipeline.data.arrays import ArrayReader
from pipeline.data.bids import Annotations
from pipeline.data.raw import RawRecording, opened_raw
from pipeline.data.scan import AudioScan, NeuralReport, NeuralScan
from pipeline.data.sheet import RecordingRow
from pipeline.errors import Problem, raise_if_any
from pipeline.stage import Stage, run_stage

BLOCK_BYTES = 1 << 23


def main(stage: Stage[IngestStage]) -> str:
    # Paths of a row are relative to the sheet; what Snakemake hands over has them resolved.
    row = RecordingRow.from_json(stage.options["row"], Path())
    raw = dict(zip(row.files(), stage.files["raw"], strict=True))
    digests = _checked_content(raw, stage.options["content"].split())
    with opened_raw(row, raw, stage.config.ingest, "recordings.tsv") as given:
        neural = given.neural
        inputs = [(path, digests[column]) for column, path in raw.items()]
        with create_recording(stage.file("output"), stage.provenance(inputs)) as writer:
            report = _copy_neural(writer, stage, row, neural)
            problems = list(report.problems)
            problems += _copy_sound(writer, stage, row, given.sound)
            raise_if_any(problems)
            _write_tables(writer, row, given, report)
            _write_facts(writer, row, given)
    seconds = neural.n_samples / row.eeg_rate_hz
    return f"({neural.n_samples}, {neural.n_channels}) {seconds:.1f} s, {len(report.bad)} bad → {stage.file('output')}"


def _checked_content(raw: dict[str, Path], expected: list[str]) -> dict[str, str]:
    """sha256 of each raw file; refused where it is not the content that the run was planned with."""
    found = {column: file_sha256(path) for column, path in raw.items()}
    planned = dict(zip(raw, expected, strict=True)) if expected else found
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


def _blocks(reader: ArrayReader) -> Iterator[np.ndarray]:
    step = max(1, BLOCK_BYTES // (4 * reader.n_channels))
    return (reader.read(a, min(a + step, reader.n_samples)) for a in range(0, reader.n_samples, step))


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
    for block in _blocks(reader):
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
    for block in _blocks(reader):
        scan.update(block)
        stream.append(block[:, 0])
    return scan.problems(str(reader.path))


def _write_tables(writer: ArtifactWriter, row: RecordingRow, given: RawRecording, report: NeuralReport) -> None:
    columns = {"channels": _channel_table(given, report, row)}
    if given.electrodes:
        columns["electrodes"] = {k: list(v) for k, v in asdict(given.electrodes).items()}
    if given.events is not None:
        columns["events"] = {
            "onset": list(given.events.onset_s),
            "duration": list(given.events.duration_s),
            "trial_type": list(given.events.label),
        }
    columns["annotations"] = _annotation_table(given.annotations, report.missing_annotations(row.eeg_rate_hz))
    write_tables(writer, columns)
    writer.scale("channels/name", ("eeg/data", 1))


def _annotation_table(given: Annotations | None, found: Annotations) -> Table:
    both = [found] if given is None else [given, found]
    columns = {"onset": "onset_s", "duration": "duration_s", "description": "description"}
    return {column: [v for table in both for v in getattr(table, name)] for column, name in columns.items()}


def _channel_table(given: RawRecording, report: NeuralReport, row: RecordingRow) -> Table:
    """BIDS columns, with what the scan found and each channel's region and shaft."""
    n = given.neural.n_channels
    if given.channels is not None:
        table = {name: list(values) for name, values in asdict(given.channels).items()}
    else:
        missing, unknown = ["n/a"] * n, [float("nan")] * n
        table = {
            "name": given.channel_names,
            "type": list(missing),
            "units": [given.neural.units] * n,
            "sampling_frequency": [row.eeg_rate_hz] * n,
            "low_cutoff": list(unknown),
            "high_cutoff": list(unknown),
            "status": ["good"] * n,
            "status_description": list(missing),
        }
    for channel, reason in report.bad.items():
        table["status"][channel], table["status_description"][channel] = "bad", reason
    electrodes = given.electrodes
    regions = dict(zip(electrodes.name, electrodes.region, strict=True)) if electrodes else {}
    table["region"] = [regions.get(name, "n/a") for name in table["name"]]
    return table


def _write_facts(writer: ArtifactWriter, row: RecordingRow, given: RawRecording) -> None:
    writer.facts(
        subject=row.subject,
        recording=row.recording,
        session=row.session or "",
        task=row.task or "",
        simulated=row.simulated,
        has_audio=given.sound is not None,
        audio_modified=row.audio_modified,
        audio_offset_s=row.audio_offset_s,
        audio_drift_ppm=row.audio_drift_ppm,
        eeg_source_dtype=str(given.neural.dtype),
        audio_source_dtype=str(given.sound.dtype) if given.sound else None,
    )


run_stage(main, IngestStage, files=["raw", "output"], options=["row", "content"])
