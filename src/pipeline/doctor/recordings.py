"""Checks of one session as in the stages ingest, align and contamination, without writing anything.

All blocks go through the same scans as in ingest, so that the same recordings are refused.  The lag
between the signal and sound and the contamination result come from excerpts of its trials
(:data:`EXCERPT_S`) and are preliminary: the stages use the whole session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.artifacts.aligned import AlignedInfo
from pipeline.config.align import AlignStage
from pipeline.config.contamination import ContaminationCheck
from pipeline.config.ingest import IngestConfig
from pipeline.doctor.suggestions import other_channels, suggestions
from pipeline.errors import InputError, Problem
from pipeline.evaluation.contamination import check_contamination
from pipeline.evaluation.leak_spectra import SignalPair
from pipeline.raw.agreement import session_problems
from pipeline.raw.arrays import ArrayReader
from pipeline.raw.recording import RawRecording, TableReader, blocks, opened_raw, session_differences
from pipeline.raw.scan import AudioScan, NeuralScan, silence_problems
from pipeline.raw.sessions import Session
from pipeline.raw.sheet import RecordingRow
from pipeline.signal.blocks import array_reader
from pipeline.signal.clock import audio_to_neural_s, common_frames, neural_to_audio_s
from pipeline.signal.features.stack import Features
from pipeline.signal.lag import LagEstimate, feature_energy, neural_audio_lag, sound_envelope
from pipeline.signal.reference import Reference, bad_channels, declared_use, selected_channels
from pipeline.signal.resample import resampled_length, resampler_support_s

EXCERPT_S = 90.0
EXCERPT_BYTES = 1 << 28

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """The part of the config that a recording is looked at with, and whether the run has no other session."""

    sheet: str
    ingest: IngestConfig
    align: AlignStage
    contamination: ContaminationCheck
    one_session: bool


@dataclass
class Examined:
    """What was found of a session.  ``infos`` is what align would say of its trials, as far as there is a way to know.

    ``lengths_s`` and ``sounds_s`` are those of the trials by recording; samples and columns are of all together.
    """

    session: Session
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    suggestions: list[str] = field(default_factory=list)
    n_samples: int = 0
    n_channels: int = 0
    n_sound: int = 0
    n_columns: int = 0
    lengths_s: dict[str, float] = field(default_factory=dict)
    sounds_s: dict[str, float] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    lag: LagEstimate | None = None
    contamination: str = ""
    infos: list[AlignedInfo] = field(default_factory=list)

    @property
    def row(self) -> RecordingRow:
        """What the sheet says of the first trial, and of all where they share it."""
        return self.session.trials[0]


@dataclass
class Excerpts:
    """Stretches of the trials that lag and contamination are estimated from, filled up to :data:`EXCERPT_S`."""

    samples: list[Array] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    rows: list[RecordingRow] = field(default_factory=list)
    sounds: list[tuple[npt.NDArray[Any], int] | None] = field(default_factory=list)

    def missing_s(self, rate_hz: float) -> float:
        """How much there is still room for."""
        return EXCERPT_S - sum(map(len, self.samples)) / rate_hz


@dataclass
class _Looking:
    """What gathers while the trials of a session pass by."""

    scan: NeuralScan | None = None
    loudest: float = 0.0
    excerpts: Excerpts = field(default_factory=Excerpts)
    first: dict[str, RawRecording] = field(default_factory=dict)
    tables: list[tuple[RecordingRow, RawRecording]] = field(default_factory=list)
    lengths: dict[str, int] = field(default_factory=dict)


def examine(session: Session, settings: Settings) -> Examined:
    """Look at one session, trial by trial.  Problems are collected, none is raised."""
    found, looking, tables = Examined(session), _Looking(), TableReader()
    for row in session.trials:
        try:
            with opened_raw(row, row.files(), settings.ingest, settings.sheet, tables) as recording:
                found.warnings += recording.warnings
                found.problems += session_differences(row, recording, looking.first)
                looking.first = looking.first or {row.recording: recording}
                _look(found, looking, row, recording, settings)
        except InputError as error:
            found.problems += error.problems
    found.warnings = list(dict.fromkeys(found.warnings))
    n_sound = {row.recording: raw.sound.n_samples for row, raw in looking.tables if raw.sound}
    tolerance_s = settings.ingest.duration_tolerance_s
    found.problems += session_problems(session.trials, looking.lengths, n_sound, tolerance_s, settings.sheet)
    try:
        _judge(found, looking, settings)
    except InputError as error:
        found.problems += error.problems
    return found


def _look(found: Examined, looking: _Looking, row: RecordingRow, recording: RawRecording, settings: Settings) -> None:
    """Let the samples of a trial pass by."""
    neural, sound = recording.neural, recording.sound
    looking.scan = looking.scan or NeuralScan(settings.ingest, neural.n_channels, row.eeg_rate_hz, neural.units)
    looking.lengths[row.recording] = neural.n_samples
    looking.tables.append((row, recording))
    found.n_samples, found.n_channels = found.n_samples + neural.n_samples, neural.n_channels
    found.lengths_s[row.recording] = neural.n_samples / row.eeg_rate_hz
    if found.problems:
        return
    for block in blocks(neural):
        looking.scan.update(block)
    looking.scan.end_trial()
    if sound is not None and row.audio_rate_hz is not None:
        scan = AudioScan(settings.ingest, row.audio_rate_hz)
        for block in blocks(sound):
            scan.update(block)
        loudest = scan.finish()
        found.n_sound += sound.n_samples
        found.sounds_s[row.recording] = sound.n_samples / row.audio_rate_hz
        found.problems += scan.problems(str(sound.path))
        if silence_problems("", loudest, settings.ingest) and len(found.session.trials) > 1:
            found.warnings.append(f"{row.recording}: the sound is silent")
        looking.loudest = max(looking.loudest, loudest)
    _take_excerpt(looking.excerpts, row, recording)


def _take_excerpt(excerpts: Excerpts, row: RecordingRow, recording: RawRecording) -> None:
    """Of a trial, a stretch in the middle, as long as there is room for one of a second at least."""
    missing_s = excerpts.missing_s(row.eeg_rate_hz)
    if missing_s < 1.0:
        return
    samples, start = _excerpt(recording.neural, row.eeg_rate_hz, missing_s)
    excerpts.samples.append(samples)
    excerpts.starts.append(start)
    excerpts.rows.append(row)
    sound = recording.sound
    excerpts.sounds.append(None if sound is None else _sound_excerpt(sound, row, start, len(samples)))


def _judge(found: Examined, looking: _Looking, settings: Settings) -> None:
    """What all trials of the session say together."""
    if looking.scan is None:
        return
    alone = len(found.session.trials) == 1
    neural = looking.tables[0][1].neural
    report = looking.scan.finish(str(neural.path) if alone else found.session.name)
    was_read = not found.problems
    if looking.excerpts.samples:  # else no sample was read, since the first trial has a problem
        found.problems += report.problems
    if found.sounds_s and was_read:
        sound = next(raw.sound for _, raw in looking.tables if raw.sound)
        name = str(sound.path) if alone else found.session.name
        found.problems += silence_problems(name, looking.loudest, settings.ingest)
    rate_hz = found.row.eeg_rate_hz
    found.suggestions = suggestions(
        found.row.modality, rate_hz, settings.align.align, looking.excerpts.samples if was_read else ()
    )
    channels = looking.tables[0][1].channel_table(rate_hz, report.bad)
    used = declared_use(channels, settings.align.align.channels)
    found.suggestions += other_channels(
        [name for name, use in zip(channels["name"], used, strict=True) if use == "used"], found.row.modality
    )
    for number, (row, recording) in enumerate(looking.tables):
        annotations = recording.annotation_table(report.missing_annotations(rate_hz, number))
        found.infos.append(_aligned_info(row, recording, channels, annotations, settings.align))
    if found.problems:
        return
    excerpts = looking.excerpts
    names, referenced, found.bad = _chosen(excerpts.samples, rate_hz, channels, settings.align)
    features = Features(settings.align.align, settings.align.mel, rate_hz)
    found.n_columns = len(features.names(names))
    if found.sounds_s:
        found.lag = _lag(features, referenced, excerpts, settings.align)
        found.contamination = _hint(excerpts, found.session.name, settings, channels)


def _excerpt(neural: ArrayReader, rate_hz: float, length_s: float) -> tuple[Array, int]:
    """A stretch in the middle, its few missing samples set to zero, and its first sample."""
    most = EXCERPT_BYTES // (4 * neural.n_channels)
    length = min(neural.n_samples, round(length_s * rate_hz), most)
    start = (neural.n_samples - length) // 2
    return np.nan_to_num(neural.read(start, start + length), nan=0.0, posinf=0.0, neginf=0.0), start


def _chosen(
    excerpts: Sequence[Array], rate_hz: float, channels: dict[str, list[Any]], stage: AlignStage
) -> tuple[list[str], list[Array], dict[str, str]]:
    """Names and samples after choice of channels and re-referencing, and why channels are bad."""
    config = stage.align
    chosen = selected_channels(channels["name"], channels["region"], config.channels)
    judged = {k: [v for v, keep in zip(values, chosen, strict=True) if keep] for k, values in channels.items()}
    samples = [excerpt[:, chosen] for excerpt in excerpts]
    trials = [(array_reader(part), len(part)) for part in samples]
    verdicts = bad_channels(trials, rate_hz, config.channels, judged["status"])
    reasons = zip(judged["name"], verdicts, judged["status_description"], strict=True)
    bad = {
        name: v.reason if declared in ("", "n/a") else declared for name, v, declared in reasons if v.status == "bad"
    }
    if len(bad) == len(verdicts):
        fix = "Check the recording, or relax align.channels."
        raise InputError(Problem("channels", "", f"all {len(bad)} bad", "a good channel", fix))
    good = [v.status == "good" for v in verdicts]
    reference = Reference.build(config.reference, judged["name"], good, judged.get("group"))
    return list(reference.names), [reference.apply(part) for part in samples], bad


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


def _lag(features: Features, referenced: Sequence[Array], excerpts: Excerpts, stage: AlignStage) -> LagEstimate | None:
    """The lag between signal and sound on the excerpts, as align estimates it on everything."""
    series = [
        one
        for samples, sound, row, start in zip(referenced, excerpts.sounds, excerpts.rows, excerpts.starts, strict=True)
        if sound is not None and (one := _beside_sound(features, samples, sound, row, start, stage))
    ]
    if not series:
        return None
    config = stage.align
    values, envelope = (np.concatenate(parts) for parts in zip(*series, strict=True))
    energy = feature_energy(array_reader(values), len(values))
    lengths = config.clock.max_lag_s, config.clock.segment_s
    unknown = "not estimated on excerpts of trials" if len(series) > 1 else ""
    return neural_audio_lag(energy, envelope, config.feature_rate_hz, *lengths, drift_unknown=unknown)


def _beside_sound(
    features: Features,
    samples: Array,
    sound_excerpt: tuple[npt.NDArray[Any], int],
    row: RecordingRow,
    start: int,
    stage: AlignStage,
) -> tuple[Array, Array] | None:
    """Features (frame, column) of an excerpt and the envelope of its sound (frame,); None without common time."""
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
    return values, sound_envelope(array_reader(sound), len(sound), row.audio_rate_hz, times_s[inside] - audio_s[0])


def _hint(excerpts: Excerpts, session: str, settings: Settings, channels: dict[str, list[Any]]) -> str:
    """What the contamination check says of the excerpts."""
    pairs = []
    for samples, sound, row, start in zip(
        excerpts.samples, excerpts.sounds, excerpts.rows, excerpts.starts, strict=True
    ):
        if sound is not None and row.audio_rate_hz:
            factor = 1 + row.audio_drift_ppm * 1e-6
            offset_s = row.audio_offset_s + sound[1] / row.audio_rate_hz * factor - start / row.eeg_rate_hz
            pairs.append(SignalPair(samples, sound[0], offset_s, row.audio_drift_ppm))
    row = next(row for row in excerpts.rows if row.audio)
    assert row.audio_rate_hz
    found = check_contamination(
        pairs,
        row.eeg_rate_hz,
        row.audio_rate_hz,
        settings.contamination,
        recording=session,
        line_noise_hz=settings.align.align.line_noise_hz,
        is_raw=settings.align.align.input_is_raw,
        audio_modified=row.audio_modified,
        channels=dict(zip(channels["name"], declared_use(channels, settings.align.align.channels), strict=True)),
    )
    if found.p is None:
        return f"{found.result} ({found.reason})"
    level = "none of them" if found.detectable_db is None else f"one of {found.detectable_db:g} dB"
    exclude = settings.align.align.channels.exclude if settings.one_session else None
    remedy = f"; {replace(found, exclude=exclude).remedy()}" if found.result == "suspect" else ""
    reason = f"{found.reason}; " if found.reason else ""
    return f"{found.result} ({reason}P {found.p:.2g}; of leaks added here {level} shows{remedy})"


# --- what align will say ---------------------------------------------------------------------------------


def _aligned_info(
    row: RecordingRow,
    recording: RawRecording,
    channels: dict[str, list[Any]],
    annotations: dict[str, list[Any]],
    stage: AlignStage,
) -> AlignedInfo:
    """What align will say of a trial, from headers and tables alone."""
    config, mel_rate_hz = stage.align, stage.mel.sample_rate_hz
    neural, sound, events = recording.neural, recording.sound, recording.events
    source_hz = row.audio_rate_hz if sound and row.audio_rate_hz else float(mel_rate_hz)
    n_sound = sound.n_samples if sound else 0
    last_s = (neural.n_samples - 1) / row.eeg_rate_hz
    audio_s = n_sound / source_hz if sound else None
    first, last = common_frames(last_s, audio_s, _clock(row), config.feature_rate_hz, config.margin_s)
    past_s, future_s = Features(config, stage.mel, row.eeg_rate_hz).support_s(stage.causal)
    onset_s = neural_to_audio_s(np.array(annotations["onset"], float), *_clock(row))
    return AlignedInfo(
        recording=row.recording,
        subject=row.subject,
        session=row.session_name,
        text=row.text or "",
        speaker=row.speaker or "",
        modality=row.modality,
        events_are=row.events_are or "",
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
