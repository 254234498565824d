"""Neural features and sound on the audio clock: features at the feature rate, sound at the mel's rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.artifacts.aligned import create_aligned
from pipeline.artifacts.core import Artifact, ArtifactWriter, ClosedDataset
from pipeline.artifacts.recording import Table, open_recording, read_tables, write_tables
from pipeline.artifacts.trials import trial_rows, within, write_trial_table
from pipeline.config.align import AlignStage
from pipeline.errors import InputError, Problem
from pipeline.raw.modality import source
from pipeline.signal.blocks import Reader, array_reader, joined_reader
from pipeline.signal.clock import audio_to_neural_s, common_frames, neural_to_audio_s
from pipeline.signal.features.stack import Features
from pipeline.signal.lag import feature_energy, neural_audio_lag, sound_envelope
from pipeline.signal.reference import ChannelVerdict, Reference, bad_channels, selected_channels
from pipeline.signal.resample import resample_blocks, resampled_length, resampler_support_s
from pipeline.stage import Stage

AUDIO_BLOCK = 1 << 16  # what stays in a core's cache


@dataclass(frozen=True)
class Trial:
    """A trial of the session: its row in the table of trials, and its arrays."""

    row: dict[str, Any]
    eeg: ClosedDataset
    sound: ClosedDataset | None

    @property
    def name(self) -> str:
        return str(self.row["recording"])

    @property
    def clock(self) -> tuple[float, float]:
        """Offset [s] and drift [ppm] of the neural clock."""
        return self.row["audio_offset_s"], self.row["audio_drift_ppm"]

    def place(self, name: str) -> str:
        """Where an array of the trial lies."""
        return within(self.name, name)


def align(stage: Stage[AlignStage]) -> str:
    path = stage.file("recording")
    with open_recording(path) as recording:
        trials = _trials(recording)
        tables = read_tables(recording)
        channels = tables["channels"]
        chosen = selected_channels(channels["name"], channels.get("region"), stage.config.align.channels)
        own = recording.attributes(trials[0].place("eeg/data"))
        rate_hz, eeg_units = own["sampling_rate_hz"], own["units"]
        source_hz = _source_audio_rate_hz(stage, recording, trials)
        readers = [_choosing(array_reader(trial.eeg), chosen) for trial in trials]
        judged = {
            name: [v for v, keep in zip(values, chosen, strict=True) if keep] for name, values in channels.items()
        }
        # Each trial's length is known once it is read, and it is read once here.
        lengths = (len(trial.eeg) for trial in trials)
        verdicts = bad_channels(
            zip(readers, lengths, strict=True), rate_hz, stage.config.align.channels, judged["status"]
        )
        _refuse_all_bad(recording, verdicts)
        features = Features(stage.config.align, stage.config.mel, rate_hz)
        good = [v.status == "good" for v in verdicts]
        reference = Reference.build(stage.config.align.reference, judged["name"], good, judged.get("group"))
        with create_aligned(stage.file("output"), stage.provenance([(path, recording.content_digest)])) as writer:
            columns, units = features.names(reference.names), features.units(eeg_units, len(reference.names))
            writer.table("features", {"name": columns, "units": units}, "channel")
            rows = []
            for trial, read in zip(trials, readers, strict=True):
                row = _write_features(writer, stage, trial, source_hz, features, _referenced(read, reference), units)
                rows.append({**trial.row, **row, **_write_audio(writer, stage, trial, source_hz)})
            write_trial_table(writer, rows)
            writer.scale("features/name", *((trial.place("features/data"), 1) for trial in trials))
            tables["channels"] = _judged_table(channels, chosen, verdicts)
            tables["annotations"] = _on_audio_clock(tables["annotations"], trials)
            write_tables(writer, tables)
            _write_attributes(writer, stage, recording, features, rate_hz, reference)
            lag = _write_lag(writer, stage, features, rows, source(recording.attribute("modality")))
    shape = (sum(row["n_features"] for row in rows), len(columns))
    return f"features {shape}, {good.count(False)} bad channel(s), {lag} → {stage.file('output')}"


def _trials(recording: Artifact) -> list[Trial]:
    rows = trial_rows(recording)
    return [
        Trial(
            row,
            recording.closed_dataset(within(row["recording"], "eeg/data")),
            recording.closed_dataset(within(row["recording"], "audio/data")) if row["has_audio"] else None,
        )
        for row in rows
    ]


def _choosing(read: Reader, chosen: np.ndarray) -> Reader:
    return read if chosen.all() else lambda start, stop: read(start, stop)[:, chosen]


def _referenced(read: Reader, reference: Reference) -> Reader:
    return lambda start, stop: reference.apply(read(start, stop))


def _refuse_all_bad(recording: Artifact, verdicts: list[ChannelVerdict]) -> None:
    if all(v.status == "bad" for v in verdicts):
        reasons = ", ".join(sorted({v.reason for v in verdicts}))
        fix = "Check the recording, or relax align.channels"
        problem = Problem(
            str(recording.attribute("session")), "channels", f"all bad ({reasons})", "a good channel", fix
        )
        raise InputError(problem)


def _source_audio_rate_hz(stage: Stage[AlignStage], recording: Artifact, trials: Sequence[Trial]) -> float:
    """Rate of the recorded sound, the same in all trials of a session; the mel's where there is none."""
    with_sound = next((trial for trial in trials if trial.sound is not None), None)
    if with_sound is None:
        return float(stage.config.mel.sample_rate_hz)
    return float(recording.attributes(with_sound.place("audio/data"))["sampling_rate_hz"])


def _frame_numbers(stage: Stage[AlignStage], trial: Trial, eeg_rate_hz: float, source_hz: float) -> tuple[int, int]:
    """First and last k of the feature times k / rate: where there is signal, near the sound."""
    config = stage.config.align
    audio_length_s = None if trial.sound is None else len(trial.sound) / source_hz
    last_s = (len(trial.eeg) - 1) / eeg_rate_hz
    first, last = common_frames(last_s, audio_length_s, trial.clock, config.feature_rate_hz, config.margin_s)
    if last < first:
        fix = "Check audio_offset_s: t_neural = t_audio + audio_offset_s"
        got = f"{trial.clock[0]:g} s, which leaves no common time"
        raise InputError(Problem(trial.name, "audio_offset_s", got, "neural recording and sound that overlap", fix))
    return first, last


def _times_s(stage: Stage[AlignStage], first: int, n: int) -> np.ndarray:
    """Times (n,) of a trial's features on its audio clock."""
    return np.arange(first, first + n) / stage.config.align.feature_rate_hz


def _write_features(
    writer: ArtifactWriter,
    stage: Stage[AlignStage],
    trial: Trial,
    source_hz: float,
    features: Features,
    read: Reader,
    units: list[str],
) -> dict[str, Any]:
    """Write the features of a trial; returns its columns of the table of trials."""
    config = stage.config.align
    first, last = _frame_numbers(stage, trial, features.rate_hz, source_hz)
    times_s = _times_s(stage, first, last - first + 1)
    neural_s = audio_to_neural_s(times_s, *trial.clock)
    stream = writer.stream(
        trial.place("features/data"),
        (len(times_s), len(units)),
        np.float32,
        ["time", "channel"],
        units=units[0] if len(set(units)) == 1 else "by column",
        sampling_rate_hz=config.feature_rate_hz,
    )
    n_samples = len(trial.eeg)
    extracted = features.blocks(read, n_samples, neural_s, stage.config.causal)
    for start, block in stage.progress(extracted, "blocks of features"):
        if start != stream.filled:
            raise RuntimeError(f"features came out of order: row {start} after {stream.filled}")
        stream.append(block)
    writer.array(trial.place("features/time"), times_s, ["time"], units="s")
    writer.scale(trial.place("features/time"), (trial.place("features/data"), 0))
    return {"first_feature": first, "n_features": len(times_s), "n_eeg": n_samples}


def _write_audio(writer: ArtifactWriter, stage: Stage[AlignStage], trial: Trial, source_hz: float) -> dict[str, Any]:
    """Write the sound of a trial at the mel's rate; returns its columns of the table of trials."""
    rate_hz = stage.config.mel.sample_rate_hz
    if trial.sound is None:
        return {"n_audio": 0, "source_audio_rate_hz": float(rate_hz), "audio_support_s": 0.0}
    n_out = resampled_length(len(trial.sound), source_hz, rate_hz)
    stream = writer.stream(
        trial.place("audio/data"), (n_out,), np.float32, ["time"], units="full scale", sampling_rate_hz=float(rate_hz)
    )
    for block in resample_blocks(_blocks(trial.sound), source_hz, rate_hz):
        stream.append(block)
    support_s = float(resampler_support_s(source_hz, rate_hz))
    return {"n_audio": n_out, "source_audio_rate_hz": source_hz, "audio_support_s": support_s}


def _blocks(sound: ClosedDataset) -> Iterator[np.ndarray]:
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


def _on_audio_clock(annotations: Table, trials: Sequence[Trial]) -> Table:
    """Annotations are marked on the neural clock."""
    if not annotations:
        return annotations
    clocks = {trial.name: trial.clock for trial in trials}
    pairs = zip(annotations["onset"], annotations["recording"], strict=True)
    onset_s = [float(neural_to_audio_s(np.array(onset, float), *clocks[name])) for onset, name in pairs]
    return annotations | {"onset": onset_s}


def _write_attributes(
    writer: ArtifactWriter,
    stage: Stage[AlignStage],
    recording: Artifact,
    features: Features,
    eeg_rate_hz: float,
    reference: Reference,
) -> None:
    config, causal = stage.config.align, stage.config.causal
    past_s, future_s = features.support_s(causal)
    names = ("subject", "session", "modality", "events_are", "simulated", "audio_modified")
    writer.attributes(
        **{name: recording.attribute(name) for name in names},
        causal=causal,
        features=[entry.kind for entry in config.features],
        feature_rate_hz=config.feature_rate_hz,
        audio_rate_hz=stage.config.mel.sample_rate_hz,
        reference=reference.method,
        channels_without_reference=len(reference.dropped),
        eeg_rate_hz=eeg_rate_hz,
        support_past_s=past_s,
        support_future_s=future_s,
        whole_recording_operations=["bad-channel rule"] if config.channels.find_bad else [],
    )


def _write_lag(
    writer: ArtifactWriter, stage: Stage[AlignStage], features: Features, rows: Sequence[Mapping[str, Any]], signal: str
) -> str:
    """Lag and residual drift of the session, estimated from what was just written and reported, never applied.

    ``signal`` is what the text calls the source.
    """
    with_audio = [row for row in rows if row["has_audio"]]
    if not with_audio:
        return "no sound"
    config = stage.config.align
    parts: list[tuple[Reader, int]] = []
    envelopes, times_s = [], []
    for row in with_audio:
        own_s, rows_read, envelope = _beside_sound(writer, stage, features, row)
        parts.append(rows_read)
        envelopes.append(envelope)
        times_s.append(own_s + row["start_s"])
    energy = feature_energy(joined_reader(parts), sum(n for _, n in parts))
    session_s, several = np.concatenate(times_s), len(with_audio) > 1
    lag = neural_audio_lag(
        energy,
        np.concatenate(envelopes),
        config.feature_rate_hz,
        config.clock.max_lag_s,
        config.clock.segment_s,
        times_s=session_s if several else None,
        drift_unknown="start_s of the trials is not known" if several and np.isnan(session_s).any() else "",
    )
    writer.attributes(**{f"neural_audio_{name}": value for name, value in asdict(lag).items()})
    if lag.lag_s is None:
        return f"no lag estimate ({lag.reason})"
    return f"{signal} leads by {1e3 * lag.lag_s:.0f} ms (confidence {lag.confidence:.2f})"


def _beside_sound(
    writer: ArtifactWriter, stage: Stage[AlignStage], features: Features, row: Mapping[str, Any]
) -> tuple[np.ndarray, tuple[Reader, int], np.ndarray]:
    """Times of a trial's features within its sound, a reader of them with their number, the sound's envelope there."""
    times_s = _times_s(stage, row["first_feature"], row["n_features"])
    sound = writer.rows(within(row["recording"], "audio/data"))
    rate_hz = stage.config.mel.sample_rate_hz
    inside = (times_s >= 0) & (times_s <= (len(sound) - 1) / rate_hz)
    rows = np.flatnonzero(inside)
    written = within(row["recording"], "features/data")

    def read(start: int, stop: int) -> np.ndarray:
        return features.amplitudes(writer.rows(written)[rows[0] + start : rows[0] + stop])

    envelope = sound_envelope(array_reader(sound), len(sound), rate_hz, times_s[inside])
    return times_s[inside], (read, len(rows)), envelope
