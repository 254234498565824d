"""The trials of one session from raw arrays: checked, described, and copied a block at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.core import ArtifactWriter, Provenance, StreamedArray
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.recording import Table, create_recording, write_tables
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.artifacts.trials import joined, within, write_trial_table
from pipeline.config.canonical import with_rows
from pipeline.config.ingest import IngestStage
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.raw.agreement import session_problems
from pipeline.raw.arrays import ArrayReader
from pipeline.raw.recording import RawRecording, TableReader, block_starts, blocks, opened_raw, session_differences
from pipeline.raw.scan import AudioScan, NeuralReport, NeuralScan, silence_problems
from pipeline.raw.sessions import Session, SessionPlan
from pipeline.raw.sheet import RecordingRow
from pipeline.stage import Stage

SIMULATED_SIDECAR = "provenance.json"
SHEET = "recordings.tsv"
Digests = dict[str, dict[str, str]]


@dataclass
class Copied:
    """What is known of a session's trials once they are copied; ``raw`` and ``neural`` are by recording."""

    scan: NeuralScan | None = None
    loudest: float = 0.0
    problems: list[Problem] = field(default_factory=list)
    raw: dict[str, RawRecording] = field(default_factory=dict)
    neural: dict[str, StreamedArray] = field(default_factory=dict)


def ingest(stage: Stage[IngestStage]) -> str:
    plan = SessionPlan.read(stage.file("plan"), stage.options["digest"])
    stage.hide_folders(path for own in plan.files.values() for path in own.values())
    before = _statuses(plan)
    session, digests = plan.session, _checked_content(plan)
    with create_recording(stage.file("output"), _provenance(stage, plan, digests)) as writer:
        copied = _copy_trials(writer, stage, plan)
        report = _judged(copied, session, stage)
        for number, stream in enumerate(copied.neural.values()):
            if report.has_gaps(number):
                report.repair(stream.dataset, number)
                stream.rehash()
        _write_tables(writer, session, copied.raw, report)
        _write_attributes(writer, session, copied.raw)
        _refuse_changed(before, _statuses(plan))
    seconds, trials = report.n_samples / session.trials[0].eeg_rate_hz, len(session.trials)
    shape = f"({report.n_samples}, {len(report.sd)})"
    return f"{trials} trial(s), {shape} {seconds:.1f} s, {len(report.bad)} bad → {stage.file('output')}"


def _statuses(plan: SessionPlan) -> dict[Path, tuple[int, ...]]:
    """What changes with any change of a raw file, though its size and modification time were restored."""
    found = {path: path.stat() for own in plan.files.values() for path in own.values() if path.is_file()}
    return {path: (status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns) for path, status in found.items()}


def _refuse_changed(before: Mapping[Path, object], after: Mapping[Path, object]) -> None:
    """Raise :class:`InputError` for raw files that are not what was hashed before they were copied."""
    fix = "Wait until the file is written, then start again"
    raise_if_any(
        Problem(str(path), "", "a change while it was read", "the same content until the end", fix)
        for path in sorted(before)
        if before[path] != after.get(path)
    )


def _provenance(stage: Stage[IngestStage], plan: SessionPlan, digests: Digests) -> Provenance:
    rows = plan.session.rows_json
    inputs = [
        (row.recorded_path(column, str(path)), digests[row.recording][column])
        for row in plan.session.trials
        for column, path in plan.files[row.recording].items()
    ]
    # A table may serve all trials of a session.
    given = stage.provenance(list(dict.fromkeys(inputs)))
    return replace(given, config_json=with_rows(given.config_json, rows))


def _checked_content(plan: SessionPlan) -> Digests:
    """sha256 of each raw file; refused where it is not the content that the run was planned with, or that was made."""
    paths = {path for own in plan.files.values() for path in own.values()}
    fix = "Put the raw file back"
    raise_if_any(Problem(str(p), "", "no such file", "a raw file", fix) for p in sorted(paths) if not p.is_file())
    found = {path: file_sha256(path) for path in paths}
    planned = {plan.files[r][c]: sha for r, own in plan.content.items() for c, sha in own.items()}
    planned = planned or _simulated_content(paths)
    raise_if_any(
        Problem(
            str(path),
            "sha256",
            found[path][:12],
            f"{planned[path][:12]}, its content when the run started",
            "Wait until the file is written, then start again",
        )
        for path in sorted(paths & planned.keys())
        if found[path] != planned[path]
    )
    return {r: {c: found[path] for c, path in own.items()} for r, own in plan.files.items()}


def _simulated_content(paths: set[Path]) -> dict[Path, str]:
    """sha256 of the raw files as the stage simulate wrote them; nothing where another made them."""
    sidecars = {path: path.with_name(SIMULATED_SIDECAR) for path in paths}
    known = {sidecar: read_sidecar(sidecar)["files"] for sidecar in set(sidecars.values()) if sidecar.is_file()}
    return {p: known[sidecar][p.name] for p, sidecar in sidecars.items() if p.name in known.get(sidecar, {})}


def _copy_trials(writer: ArtifactWriter, stage: Stage[IngestStage], plan: SessionPlan) -> Copied:
    """Copy every trial, and collect what is wrong with any of them."""
    copied, tables = Copied(), TableReader()
    trials = plan.session.trials
    several = len(trials) > 1
    for row in stage.progress(trials, "trials") if several else trials:
        try:
            with opened_raw(row, plan.files[row.recording], stage.config.ingest, SHEET, tables) as recording:
                for text in recording.warnings:
                    stage.log.warning("warning: %s: %s", row.recording, text)
                _copy_trial(writer, stage, plan, row, recording, copied)
        except InputError as error:
            copied.problems += error.problems
    return copied


def _copy_trial(
    writer: ArtifactWriter,
    stage: Stage[IngestStage],
    plan: SessionPlan,
    row: RecordingRow,
    recording: RawRecording,
    copied: Copied,
) -> None:
    reader = recording.neural
    if copied.scan is None:
        copied.scan = NeuralScan(stage.config.ingest, reader.n_channels, row.eeg_rate_hz, reader.units)
    copied.problems += session_differences(row, recording, copied.raw)
    copied.raw[row.recording] = recording
    if copied.problems:
        return
    copied.neural[row.recording] = _copy_neural(writer, stage, row, reader, copied.scan)
    if recording.sound is not None and row.audio_rate_hz is not None:
        scan = _copy_sound(writer, stage, row, recording.sound, row.audio_rate_hz)
        loudest = scan.finish()
        copied.problems += scan.problems(str(recording.sound.path))
        if len(plan.session.trials) > 1 and silence_problems("", loudest, stage.config.ingest):
            stage.log.warning("warning: %s: the sound is silent", row.recording)
        copied.loudest = max(copied.loudest, loudest)


def _copy_neural(
    writer: ArtifactWriter, stage: Stage[IngestStage], row: RecordingRow, reader: ArrayReader, scan: NeuralScan
) -> StreamedArray:
    units = "µV" if reader.units == "uV" else reader.units
    stream = writer.stream(
        within(row.recording, "eeg/data"),
        (reader.n_samples, reader.n_channels),
        np.float32,
        ["time", "channel"],
        gzip=stage.config.ingest.compression == "gzip",
        units=units,
        sampling_rate_hz=row.eeg_rate_hz,
    )
    for block in stage.progress(blocks(reader), "blocks of signal", len(block_starts(reader))):
        scan.update(block)
        stream.append(block)
    scan.end_trial()
    return stream


def _copy_sound(
    writer: ArtifactWriter, stage: Stage[IngestStage], row: RecordingRow, reader: ArrayReader, rate_hz: float
) -> AudioScan:
    config = stage.config.ingest
    scan = AudioScan(config, rate_hz)
    dtype = reader.read(0, 1).dtype
    stream = writer.stream(
        within(row.recording, "audio/data"),
        (reader.n_samples,),
        dtype,
        ["time"],
        gzip=config.compression == "gzip",
        units="1/32768 of full scale" if dtype == np.int16 else "full scale",
        sampling_rate_hz=rate_hz,
    )
    for block in stage.progress(blocks(reader), "blocks of sound", len(block_starts(reader))):
        scan.update(block)
        stream.append(block[:, 0])
    return scan


def _judged(copied: Copied, session: Session, stage: Stage[IngestStage]) -> NeuralReport:
    """What the scans of all trials say together.  Raises :class:`InputError` with all problems of the session."""
    n_neural = {r: raw.neural.n_samples for r, raw in copied.raw.items()}
    n_sound = {r: raw.sound.n_samples for r, raw in copied.raw.items() if raw.sound}
    tolerance_s = stage.config.ingest.duration_tolerance_s
    problems = [*copied.problems, *session_problems(session.trials, n_neural, n_sound, tolerance_s, SHEET)]
    if copied.scan is None:
        raise InputError(problems)
    first = next(iter(copied.raw.values()))
    alone = len(session.trials) == 1
    report = copied.scan.finish(str(first.neural.path) if alone else session.name)
    problems = [*report.problems, *problems]
    if not copied.problems and session.has_audio:
        sound = next(raw.sound for raw in copied.raw.values() if raw.sound)
        problems += silence_problems(str(sound.path) if alone else session.name, copied.loudest, stage.config.ingest)
    raise_if_any(problems)
    return report


def _write_tables(
    writer: ArtifactWriter, session: Session, raw: Mapping[str, RawRecording], report: NeuralReport
) -> None:
    rate_hz = session.trials[0].eeg_rate_hz
    first = next(iter(raw.values()))
    columns: dict[str, Table] = {"channels": _channel_table(raw, rate_hz, report)}
    if first.electrodes:
        columns["electrodes"] = {k: list(v) for k, v in asdict(first.electrodes).items()}
    events = {r: one.events for r, one in raw.items()}
    columns["events"] = joined(
        {
            r: {"onset": list(e.onset_s), "duration": list(e.duration_s), "trial_type": list(e.label)} if e else {}
            for r, e in events.items()
        }
    )
    columns["annotations"] = joined(
        {
            r: one.annotation_table(report.missing_annotations(rate_hz, number))
            for number, (r, one) in enumerate(raw.items())
        }
    )
    write_tables(writer, columns)
    writer.scale("channels/name", *((within(r, "eeg/data"), 1) for r in raw))


def _channel_table(raw: Mapping[str, RawRecording], rate_hz: float, report: NeuralReport) -> Table:
    """The first trial's channels; bad is what the table of any trial calls bad, or what the scan found."""
    first, *others = raw.values()
    table = first.channel_table(rate_hz, {})
    for other in others:
        if other.channels is None or other.channels is first.channels:
            continue
        for i, (status, reason) in enumerate(
            zip(other.channels.status, other.channels.status_description, strict=True)
        ):
            if status == "bad":
                table["status"][i], table["status_description"][i] = status, reason
    for channel, reason in report.bad.items():
        table["status"][channel], table["status_description"][channel] = "bad", reason
    return table


def _write_attributes(writer: ArtifactWriter, session: Session, raw: Mapping[str, RawRecording]) -> None:
    row = session.trials[0]
    sounds = [one.sound for one in raw.values() if one.sound]
    write_trial_table(writer, [_trial_row(row, raw[row.recording]) for row in session.trials])
    writer.attributes(
        subject=row.subject,
        session=session.name,
        modality=row.modality,
        events_are=row.events_are or "",
        simulated=row.simulated,
        audio_modified=next((row.audio_modified for row in session.trials if row.audio), row.audio_modified),
        eeg_source_dtype=str(raw[row.recording].neural.dtype),
        audio_source_dtype=str(sounds[0].dtype) if sounds else None,
    )


def _trial_row(row: RecordingRow, recording: RawRecording) -> dict[str, Any]:
    return {
        "recording": row.recording,
        "task": row.task or "",
        "text": row.text or "",
        "speaker": row.speaker or "",
        "start_s": np.nan if row.start_s is None else row.start_s,
        "has_audio": recording.sound is not None,
        "audio_offset_s": row.audio_offset_s,
        "audio_drift_ppm": row.audio_drift_ppm,
    }
