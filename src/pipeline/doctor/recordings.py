"""Checks of one recording as in the stages ingest, align and contamination, without writing anything.

All blocks go through the same scans as in ingest, so that the same recordings are refused.  The lag
between brain and sound and the contamination result come from an excerpt in the middle
(:data:`EXCERPT_S`) and are preliminary: the stages use the whole recording.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.artifacts.aligned import AlignedInfo
from pipeline.config.align import AlignStage
from pipeline.config.contamination import ContaminationCheck
from pipeline.config.ingest import IngestConfig
from pipeline.errors import InputError, Problem
from pipeline.evaluation.contamination import check_contamination
from pipeline.raw.arrays import ArrayReader
from pipeline.raw.recording import RawRecording, blocks, opened_raw
from pipeline.raw.scan import AudioScan, NeuralReport, NeuralScan
from pipeline.raw.sheet import RecordingRow
from pipeline.signal.blocks import array_reader
from pipeline.signal.clock import (
    LagEstimate,
    audio_to_neural_s,
    common_frames,
    feature_energy,
    neural_audio_lag,
    neural_to_audio_s,
    sound_envelope,
)
from pipeline.signal.features.stack import Features
from pipeline.signal.reference import Reference, bad_channels, selected_channels
from pipeline.signal.resample import resampled_length, resampler_support_s

EXCERPT_S = 90.0
EXCERPT_BYTES = 1 << 28
HINT_SURROGATES = 1000

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """The part of the config that a recording is looked at with."""

    sheet: str
    ingest: IngestConfig
    align: AlignStage
    contamination: ContaminationCheck


@dataclass
class Examined:
    """What was found.  ``info`` is what align would say of it, None where there is no way to know."""

    row: RecordingRow
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    n_samples: int = 0
    n_channels: int = 0
    n_sound: int = 0
    n_columns: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    lag: LagEstimate | None = None
    contamination: str = ""
    info: AlignedInfo | None = None


def examine(row: RecordingRow, settings: Settings) -> Examined:
    """Look at one recording.  Problems are collected, none is raised."""
    found = Examined(row)
    try:
        with opened_raw(row, row.files(), settings.ingest, settings.sheet) as recording:
            found.warnings = recording.warnings
            found.n_samples, found.n_channels = recording.neural.n_samples, recording.neural.n_channels
            found.n_sound = recording.sound.n_samples if recording.sound else 0
            _look(found, recording, settings)
    except InputError as error:
        found.problems += error.problems
    return found


def _look(found: Examined, recording: RawRecording, settings: Settings) -> None:
    row, neural, sound = found.row, recording.neural, recording.sound
    report = _scanned(neural, row, settings)
    found.problems += report.problems
    if sound is not None and row.audio_rate_hz is not None:
        scan = AudioScan(settings.ingest, row.audio_rate_hz)
        for block in blocks(sound):
            scan.update(block)
        found.problems += scan.problems(str(sound.path))
    channels = recording.channel_table(row.eeg_rate_hz, report.bad)
    found.info = _aligned_info(row, recording, channels, report, settings.align)
    if found.problems:
        return
    excerpt, start = _excerpt(neural, row.eeg_rate_hz)
    names, referenced, found.bad = _chosen(excerpt, row.eeg_rate_hz, channels, settings.align)
    features = Features(settings.align.align, settings.align.mel, row.eeg_rate_hz)
    found.n_columns = len(features.names(names))
    if sound is not None and row.audio_rate_hz is not None:
        sound_excerpt = _sound_excerpt(sound, row, start, len(excerpt))
        found.lag = _lag(features, referenced, sound_excerpt, row, start, settings.align)
        found.contamination = _hint(excerpt, sound_excerpt, row, start, settings)


def _scanned(neural: ArrayReader, row: RecordingRow, settings: Settings) -> NeuralReport:
    scan = NeuralScan(settings.ingest, neural.n_channels, row.eeg_rate_hz, neural.units)
    for block in blocks(neural):
        scan.update(block)
    return scan.finish(str(neural.path))


def _excerpt(neural: ArrayReader, rate_hz: float) -> tuple[Array, int]:
    """A stretch in the middle, its few missing samples set to zero, and its first sample."""
    most = EXCERPT_BYTES // (4 * neural.n_channels)
    length = min(neural.n_samples, round(EXCERPT_S * rate_hz), most)
    start = (neural.n_samples - length) // 2
    return np.nan_to_num(neural.read(start, start + length), nan=0.0, posinf=0.0, neginf=0.0), start


def _chosen(
    excerpt: Array, rate_hz: float, channels: dict[str, list[Any]], stage: AlignStage
) -> tuple[list[str], Array, dict[str, str]]:
    """Names and samples after choice of channels and re-referencing, and why channels are bad."""
    config = stage.align
    chosen = selected_channels(channels["name"], channels["region"], config.channels)
    judged = {k: [v for v, keep in zip(values, chosen, strict=True) if keep] for k, values in channels.items()}
    samples = excerpt[:, chosen]
    verdicts = bad_channels(array_reader(samples), len(samples), rate_hz, config.channels, judged["status"])
    reasons = zip(judged["name"], verdicts, judged["status_description"], strict=True)
    bad = {
        name: v.reason if declared in ("", "n/a") else declared for name, v, declared in reasons if v.status == "bad"
    }
    if len(bad) == len(verdicts):
        fix = "Check the recording, or relax align.channels."
        raise InputError(Problem("channels", "", f"all {len(bad)} bad", "a good channel", fix))
    good = [v.status == "good" for v in verdicts]
    reference = Reference.build(config.reference, judged["name"], good, judged.get("group"))
    return list(reference.names), reference.apply(samples), bad


# --- brain beside sound --------------------------------------------------------------------------------


def _clock(row: RecordingRow) -> tuple[float, float]:
    return row.audio_offset_s, row.audio_drift_ppm


def _sound_excerpt(sound: ArrayReader, row: RecordingRow, start: int, length: int) -> tuple[npt.NDArray[Any], int]:
    """The sound of samples ``start`` … of the brain, as stored, and its first sample."""
    assert row.audio_rate_hz
    times_s = np.array([start, start + length]) / row.eeg_rate_hz
    a, b = np.rint(neural_to_audio_s(times_s, *_clock(row)) * row.audio_rate_hz).astype(int)
    a, b = max(0, int(a)), min(sound.n_samples, int(b))
    return sound.read(a, max(a, b))[:, 0], a


def _lag(
    features: Features,
    samples: Array,
    sound_excerpt: tuple[npt.NDArray[Any], int],
    row: RecordingRow,
    start: int,
    stage: AlignStage,
) -> LagEstimate | None:
    """The lag between brain and sound on the excerpt, as align estimates it on everything."""
    assert row.audio_rate_hz
    sound, first = sound_excerpt
    config, rate_hz = stage.align, row.eeg_rate_hz
    audio_s = (first / row.audio_rate_hz, (first + len(sound) - 1) / row.audio_rate_hz)
    at_s = np.arange(round(audio_s[0] * config.feature_rate_hz) + 1, int(audio_s[1] * config.feature_rate_hz))
    times_s = at_s / config.feature_rate_hz
    neural_s = audio_to_neural_s(times_s, *_clock(row)) - start / rate_hz
    inside = (neural_s >= 0) & (neural_s <= (len(samples) - 1) / rate_hz)
    if inside.sum() < 2:
        return None
    parts = features.blocks(array_reader(samples), len(samples), neural_s[inside], stage.causal)
    values = features.amplitudes(np.concatenate([block for _, block in parts]))
    energy = feature_energy(array_reader(values), len(values))
    envelope = sound_envelope(array_reader(sound), len(sound), row.audio_rate_hz, times_s[inside] - audio_s[0])
    return neural_audio_lag(energy, envelope, config.feature_rate_hz, config.clock.max_lag_s, config.clock.segment_s)


def _hint(
    excerpt: Array, sound_excerpt: tuple[npt.NDArray[Any], int], row: RecordingRow, start: int, settings: Settings
) -> str:
    """What the contamination check says of the excerpt."""
    assert row.audio_rate_hz
    sound, first = sound_excerpt
    factor = 1 + row.audio_drift_ppm * 1e-6
    found = check_contamination(
        excerpt,
        row.eeg_rate_hz,
        sound,
        row.audio_rate_hz,
        settings.contamination.model_copy(update={"surrogates": HINT_SURROGATES}),
        recording=row.recording,
        is_raw=settings.align.align.input_is_raw,
        audio_modified=row.audio_modified,
        audio_offset_s=row.audio_offset_s + first / row.audio_rate_hz * factor - start / row.eeg_rate_hz,
        audio_drift_ppm=row.audio_drift_ppm,
    )
    return found.result + (f" (P {found.p:.2g})" if found.p is not None else f" ({found.reason})")


# --- what align will say ---------------------------------------------------------------------------------


def _aligned_info(
    row: RecordingRow,
    recording: RawRecording,
    channels: dict[str, list[Any]],
    report: NeuralReport,
    stage: AlignStage,
) -> AlignedInfo:
    """The attributes of the aligned recording, from headers and tables alone."""
    config, mel_rate_hz = stage.align, stage.mel.sample_rate_hz
    neural, sound, events = recording.neural, recording.sound, recording.events
    source_hz = row.audio_rate_hz if sound and row.audio_rate_hz else float(mel_rate_hz)
    n_sound = sound.n_samples if sound else 0
    last_s = (neural.n_samples - 1) / row.eeg_rate_hz
    audio_s = n_sound / source_hz if sound else None
    first, last = common_frames(last_s, audio_s, _clock(row), config.feature_rate_hz, config.margin_s)
    past_s, future_s = Features(config, stage.mel, row.eeg_rate_hz).support_s(stage.causal)
    annotations = recording.annotation_table(report.missing_annotations(row.eeg_rate_hz))
    onset_s = neural_to_audio_s(np.array(annotations["onset"], float), *_clock(row))
    return AlignedInfo(
        recording=row.recording,
        subject=row.subject,
        session=row.session or "",
        simulated=row.simulated,
        causal=stage.causal,
        has_audio=sound is not None,
        audio_modified=row.audio_modified,
        feature_rate_hz=config.feature_rate_hz,
        first_feature=first,
        n_features=max(0, last - first + 1),
        audio_rate_hz=mel_rate_hz,
        n_audio=resampled_length(n_sound, source_hz, mel_rate_hz) if sound else 0,
        eeg_rate_hz=row.eeg_rate_hz,
        n_eeg=neural.n_samples,
        source_audio_rate_hz=source_hz,
        audio_offset_s=row.audio_offset_s,
        audio_drift_ppm=row.audio_drift_ppm,
        support_past_s=past_s,
        support_future_s=future_s,
        audio_support_s=resampler_support_s(source_hz, mel_rate_hz) if sound else 0.0,
        whole_recording_operations=["bad-channel rule"] if config.channels.find_bad else [],
        events={
            "onset": list(events.onset_s) if events else [],
            "duration": list(events.duration_s) if events else [],
            "trial_type": list(events.label) if events else [],
        },
        annotations=annotations | {"onset": onset_s.tolist()},
        channels=channels,
        content_digest="",
    )
