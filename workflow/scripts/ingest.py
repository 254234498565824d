"""One recording from raw arrays: checked, described, and copied a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.core import ArtifactWriter
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.recording import Table, create_recording, write_tables
from pipeline.config.ingest import IngestStage
from pipeline.data.arrays import ArrayReader, open_audio, open_neural
from pipeline.data.bids import (
    Annotations,
    Channels,
    Electrodes,
    Events,
    read_annotations,
    read_channels,
    read_electrodes,
    read_events,
)
from pipeline.data.scan import AudioScan, NeuralReport, NeuralScan, check_pair
from pipeline.data.sheet import RecordingRow
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.stage import Stage, run_stage

BLOCK_BYTES = 1 << 23


def main(stage: Stage[IngestStage]) -> str:
    # Paths of a row are relative to the sheet; what Snakemake hands over has them resolved.
    row = RecordingRow.from_json(stage.options["row"], Path())
    raw = dict(zip(row.files(), stage.files["raw"], strict=True))
    digests = _checked_content(raw, stage.options["content"].split())
    with ExitStack() as closing:
        neural, sound = _opened(row, raw, closing)
        tables = _tables(raw, neural.n_channels)
        raise_if_any(check_pair(row, neural, sound, stage.config.ingest, "recordings.tsv"))
        inputs = [(path, digests[column]) for column, path in raw.items()]
        with create_recording(stage.file("output"), stage.provenance(inputs)) as writer:
            report = _copy_neural(writer, stage, row, neural)
            problems = list(report.problems)
            problems += _copy_sound(writer, stage, row, sound)
            raise_if_any(problems)
            _write_tables(writer, row, tables, report, neural)
            _write_facts(writer, row, sound, neural)
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


def _opened(row: RecordingRow, raw: dict[str, Path], closing: ExitStack) -> tuple[ArrayReader, ArrayReader | None]:
    """Readers of both arrays; the problems of both at once."""
    problems: list[Problem] = []
    readers: dict[str, ArrayReader] = {}
    for column, opened in (
        ("eeg", lambda path: open_neural(path, row.eeg_layout, row.eeg_units, row.eeg_gain_uv)),
        ("audio", lambda path: open_audio(path, row.audio_channel)),
    ):
        if column in raw:
            try:
                readers[column] = closing.enter_context(opened(raw[column]))
            except InputError as error:
                problems += error.problems
    raise_if_any(problems)
    return readers["eeg"], readers.get("audio")


def _tables(raw: dict[str, Path], n_channels: int) -> dict[str, Any]:
    readers = {
        "channels": lambda path: read_channels(path, n_channels),
        "electrodes": read_electrodes,
        "events": read_events,
        "annotations": read_annotations,
    }
    problems: list[Problem] = []
    tables: dict[str, Any] = {}
    for name, read in readers.items():
        if name in raw:
            try:
                tables[name] = read(raw[name])
            except InputError as error:
                problems += error.problems
    raise_if_any(problems)
    return tables


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


def _write_tables(
    writer: ArtifactWriter, row: RecordingRow, tables: dict[str, Any], report: NeuralReport, reader: ArrayReader
) -> None:
    events: Events | None = tables.get("events")
    columns = {"channels": _channel_table(tables, report, row, reader)}
    if electrodes := tables.get("electrodes"):
        columns["electrodes"] = {k: list(v) for k, v in asdict(electrodes).items()}
    if events is not None:
        columns["events"] = {
            "onset": list(events.onset_s),
            "duration": list(events.duration_s),
            "trial_type": list(events.label),
        }
    columns["annotations"] = _annotation_table(tables.get("annotations"), report.missing_annotations(row.eeg_rate_hz))
    write_tables(writer, columns)
    writer.scale("channels/name", ("eeg/data", 1))


def _annotation_table(given: Annotations | None, found: Annotations) -> Table:
    both = [found] if given is None else [given, found]
    columns = {"onset": "onset_s", "duration": "duration_s", "description": "description"}
    return {column: [v for table in both for v in getattr(table, name)] for column, name in columns.items()}


def _channel_table(tables: dict[str, Any], report: NeuralReport, row: RecordingRow, reader: ArrayReader) -> Table:
    """BIDS columns, with what the scan found and each channel's region and shaft."""
    n = reader.n_channels
    given: Channels | None = tables.get("channels")
    if given is not None:
        table = {name: list(values) for name, values in asdict(given).items()}
    else:
        missing, unknown = ["n/a"] * n, [float("nan")] * n
        table = {
            "name": [f"ch{i + 1:03d}" for i in range(n)],
            "type": list(missing),
            "units": [reader.units] * n,
            "sampling_frequency": [row.eeg_rate_hz] * n,
            "low_cutoff": list(unknown),
            "high_cutoff": list(unknown),
            "status": ["good"] * n,
            "status_description": list(missing),
        }
    for channel, reason in report.bad.items():
        table["status"][channel], table["status_description"][channel] = "bad", reason
    electrodes: Electrodes | None = tables.get("electrodes")
    regions = dict(zip(electrodes.name, electrodes.region, strict=True)) if electrodes else {}
    table["region"] = [regions.get(name, "n/a") for name in table["name"]]
    return table


def _write_facts(writer: ArtifactWriter, row: RecordingRow, sound: ArrayReader | None, neural: ArrayReader) -> None:
    writer.facts(
        subject=row.subject,
        recording=row.recording,
        session=row.session or "",
        task=row.task or "",
        simulated=row.simulated,
        has_audio=sound is not None,
        audio_modified=row.audio_modified,
        audio_offset_s=row.audio_offset_s,
        audio_drift_ppm=row.audio_drift_ppm,
        eeg_source_dtype=str(neural.dtype),
        audio_source_dtype=str(sound.dtype) if sound else None,
    )


run_stage(main, IngestStage, files=["raw", "output"], options=["row", "content"])
