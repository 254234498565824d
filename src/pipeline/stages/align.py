"""Neural features and sound on the audio clock: features at the feature rate, sound at the mel's rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import h5py
import numpy as np

from pipeline.artifacts.aligned import create_aligned
from pipeline.artifacts.core import Artifact, ArtifactWriter
from pipeline.artifacts.recording import Table, open_recording, read_tables, write_tables
from pipeline.config.align import AlignStage
from pipeline.errors import InputError, Problem
from pipeline.signal.blocks import Reader, array_reader
from pipeline.signal.clock import (
    audio_to_neural_s,
    common_frames,
    feature_energy,
    neural_audio_lag,
    neural_to_audio_s,
    sound_envelope,
)
from pipeline.signal.features.stack import Features
from pipeline.signal.reference import ChannelVerdict, Reference, bad_channels, selected_channels
from pipeline.signal.resample import resample_blocks, resampled_length, resampler_support_s
from pipeline.stage import Stage

AUDIO_BLOCK = 1 << 16  # what stays in a core's cache


def align(stage: Stage[AlignStage]) -> str:
    path = stage.file("recording")
    with open_recording(path) as recording:
        tables = read_tables(recording)
        channels = tables["channels"]
        chosen = selected_channels(channels["name"], channels.get("region"), stage.config.align.channels)
        eeg = recording.dataset("eeg/data")
        rate_hz = recording.attributes("eeg/data")["sampling_rate_hz"]
        read = _choosing(array_reader(eeg), chosen)
        judged = {
            name: [v for v, keep in zip(values, chosen, strict=True) if keep] for name, values in channels.items()
        }
        verdicts = bad_channels(read, len(eeg), rate_hz, stage.config.align.channels, judged["status"])
        _refuse_all_bad(recording, verdicts)
        features = Features(stage.config.align, stage.config.mel, rate_hz)
        good = [v.status == "good" for v in verdicts]
        reference = Reference.build(stage.config.align.reference, judged["name"], good, judged.get("group"))
        with create_aligned(stage.file("output"), stage.provenance([(path, recording.content_digest)])) as writer:
            shape = _write_features(writer, stage, recording, features, _referenced(read, reference), reference.names)
            _write_audio(writer, stage, recording)
            tables["channels"] = _judged_table(channels, chosen, verdicts)
            tables["annotations"] = _on_audio_clock(tables["annotations"], recording)
            write_tables(writer, tables)
            _write_attributes(writer, stage, recording, features, reference)
            lag = _write_lag(writer, stage, features)
    return f"features {shape}, {good.count(False)} bad channel(s), {lag} → {stage.file('output')}"


def _choosing(read: Reader, chosen: np.ndarray) -> Reader:
    return read if chosen.all() else lambda start, stop: read(start, stop)[:, chosen]


def _referenced(read: Reader, reference: Reference) -> Reader:
    return lambda start, stop: reference.apply(read(start, stop))


def _refuse_all_bad(recording: Artifact, verdicts: list[ChannelVerdict]) -> None:
    if all(v.status == "bad" for v in verdicts):
        reasons = ", ".join(sorted({v.reason for v in verdicts}))
        fix = "Check the recording, or relax align.channels"
        problem = Problem(
            str(recording.attribute("recording")), "channels", f"all bad ({reasons})", "a good channel", fix
        )
        raise InputError(problem)


def _frame_numbers(stage: Stage[AlignStage], recording: Artifact) -> tuple[int, int]:
    """First and last k of the feature times k / rate: where there is brain, near the sound."""
    config = stage.config.align
    n, eeg_rate_hz = len(recording.dataset("eeg/data")), recording.attributes("eeg/data")["sampling_rate_hz"]
    audio_length_s = None
    if recording.attribute("has_audio"):
        audio_length_s = len(recording.dataset("audio/data")) / recording.attributes("audio/data")["sampling_rate_hz"]
    first, last = common_frames(
        (n - 1) / eeg_rate_hz, audio_length_s, _clock(recording), config.feature_rate_hz, config.margin_s
    )
    if last < first:
        name, fix = str(recording.attribute("recording")), "Check audio_offset_s: t_neural = t_audio + audio_offset_s"
        got = f"{recording.attribute('audio_offset_s'):g} s, which leaves no common time"
        raise InputError(Problem(name, "audio_offset_s", got, "brain and sound that overlap", fix))
    return first, last


def _clock(recording: Artifact) -> tuple[float, float]:
    return recording.attribute("audio_offset_s"), recording.attribute("audio_drift_ppm")


def _write_features(
    writer: ArtifactWriter,
    stage: Stage[AlignStage],
    recording: Artifact,
    features: Features,
    read: Reader,
    names: list[str],
) -> tuple[int, int]:
    config = stage.config.align
    first, last = _frame_numbers(stage, recording)
    times_s = np.arange(first, last + 1) / config.feature_rate_hz
    neural_s = audio_to_neural_s(times_s, *_clock(recording))
    columns = features.names(names)
    units = features.units(recording.attributes("eeg/data")["units"], len(names))
    shape = (len(times_s), len(columns))
    stream = writer.stream(
        "features/data",
        shape,
        np.float32,
        ["time", "channel"],
        units=units[0] if len(set(units)) == 1 else "by column",
        sampling_rate_hz=config.feature_rate_hz,
    )
    n_samples = len(recording.dataset("eeg/data"))
    extracted = features.blocks(read, n_samples, neural_s, stage.config.causal)
    for start, block in stage.progress(extracted, "blocks of features"):
        if start != stream.filled:
            raise RuntimeError(f"features came out of order: row {start} after {stream.filled}")
        stream.append(block)
    writer.array("features/time", times_s, ["time"], units="s")
    writer.table("features", {"name": columns, "units": units}, "channel")
    writer.scale("features/time", ("features/data", 0))
    writer.scale("features/name", ("features/data", 1))
    writer.attributes(first_feature=first, n_features=len(times_s), feature_rate_hz=config.feature_rate_hz)
    return shape


def _write_audio(writer: ArtifactWriter, stage: Stage[AlignStage], recording: Artifact) -> None:
    rate_hz = stage.config.mel.sample_rate_hz
    source_hz = n_out = support_s = None
    if recording.attribute("has_audio"):
        sound = recording.dataset("audio/data")
        source_hz = recording.attributes("audio/data")["sampling_rate_hz"]
        support_s = resampler_support_s(source_hz, rate_hz)
        n_out = resampled_length(len(sound), source_hz, rate_hz)
        stream = writer.stream(
            "audio/data", (n_out,), np.float32, ["time"], units="full scale", sampling_rate_hz=float(rate_hz)
        )
        for block in resample_blocks(_blocks(sound), source_hz, rate_hz):
            stream.append(block)
    writer.attributes(
        has_audio=bool(recording.attribute("has_audio")),
        audio_rate_hz=rate_hz,
        n_audio=n_out or 0,
        source_audio_rate_hz=float(source_hz or rate_hz),
        audio_support_s=float(support_s or 0.0),
    )


def _blocks(sound: h5py.Dataset) -> Iterator[np.ndarray]:
    return (sound[start : start + AUDIO_BLOCK] for start in range(0, len(sound), AUDIO_BLOCK))


def _judged_table(channels: Table, chosen: np.ndarray, verdicts: list[ChannelVerdict]) -> Table:
    """The channel table with the status that was used and why."""
    table = {name: list(values) for name, values in channels.items()}
    for i, verdict in zip(np.flatnonzero(chosen), verdicts, strict=True):
        table["status"][i] = verdict.status
        if verdict.reason:
            table["status_description"][i] = verdict.reason
    table["used"] = [bool(c) and s == "good" for c, s in zip(chosen, table["status"], strict=True)]
    return table


def _on_audio_clock(annotations: Table, recording: Artifact) -> Table:
    """Annotations are marked on the neural clock."""
    if not annotations:
        return annotations
    onset_s = neural_to_audio_s(np.array(annotations["onset"], float), *_clock(recording))
    return annotations | {"onset": onset_s.tolist()}


def _write_attributes(
    writer: ArtifactWriter, stage: Stage[AlignStage], recording: Artifact, features: Features, reference: Reference
) -> None:
    config, causal = stage.config.align, stage.config.causal
    eeg_rate_hz = recording.attributes("eeg/data")["sampling_rate_hz"]
    past_s, future_s = features.support_s(causal)
    names = ("recording", "subject", "session", "simulated", "audio_modified", "audio_offset_s", "audio_drift_ppm")
    writer.attributes(
        **{name: recording.attribute(name) for name in names},
        causal=causal,
        features=[entry.kind for entry in config.features],
        reference=reference.method,
        channels_without_reference=len(reference.dropped),
        eeg_rate_hz=eeg_rate_hz,
        n_eeg=len(recording.dataset("eeg/data")),
        support_past_s=past_s,
        support_future_s=future_s,
        whole_recording_operations=["bad-channel rule"] if config.channels.find_bad else [],
    )


def _write_lag(writer: ArtifactWriter, stage: Stage[AlignStage], features: Features) -> str:
    """Lag and residual drift, estimated from what was just written and reported, never applied."""
    if "audio/data" not in writer.file:
        return "no sound"
    config = stage.config.align
    times_s, sound = writer.file["features/time"][:], writer.file["audio/data"]
    rate_hz = stage.config.mel.sample_rate_hz
    inside = (times_s >= 0) & (times_s <= (len(sound) - 1) / rate_hz)
    rows = np.flatnonzero(inside)
    written = writer.file["features/data"]

    def read(start: int, stop: int) -> np.ndarray:
        return features.amplitudes(written[rows[0] + start : rows[0] + stop])

    energy = feature_energy(read, len(rows))
    envelope = sound_envelope(array_reader(sound), len(sound), rate_hz, times_s[inside])
    lag = neural_audio_lag(energy, envelope, config.feature_rate_hz, config.clock.max_lag_s, config.clock.segment_s)
    writer.attributes(**{f"neural_audio_{name}": value for name, value in asdict(lag).items()})
    if lag.lag_s is None:
        return f"no lag estimate ({lag.reason})"
    return f"brain leads by {1e3 * lag.lag_s:.0f} ms (confidence {lag.confidence:.2f})"
