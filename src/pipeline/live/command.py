"""``python -m pipeline live``: decode a stream, or a recording of the run as if it were recorded now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo, aligned_trials
from pipeline.artifacts.mel import read_mels
from pipeline.config.ensemble import ModelSettings
from pipeline.config.mel import MelConfig
from pipeline.data.groups import WHOLE, group_index, model_groups
from pipeline.errors import InputError, Problem
from pipeline.live.decoder import Clock, LiveDecoder
from pipeline.live.listen import listen
from pipeline.live.lsl import LslSink, LslSource
from pipeline.live.montage import Montage, montage_session, refuse_other_mel
from pipeline.live.replay import Session, chunks, play
from pipeline.live.sinks import MelSink, Sink, SoundDevice, WavSink
from pipeline.live.stream import Description, Mending
from pipeline.model.ensemble import Ensemble
from pipeline.model.model_file import load_model
from pipeline.raw.recording import blocks, opened_raw
from pipeline.raw.sheet import RecordingRow
from pipeline.run.plan import Plan
from pipeline.signal.correlation import correlation_per_band
from pipeline.signal.mel import mel_filter_bank
from pipeline.signal.mel_frames import n_frames
from pipeline.signal.mel_statistics import active_bands
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.streaming import StreamingGriffinLim


@dataclass(frozen=True)
class Outputs:
    """Where mel and sound go, and the frames that the vocoder looks ahead."""

    look_ahead: int = 2
    wav: Path | None = None
    mel: Path | None = None
    lsl: str | None = None
    sound_device: str | None = None  # empty: the default one

    def sinks(self, mel: MelConfig, closing: ExitStack) -> list[Sink]:
        """The sinks, closed with the stack."""
        made: list[Sink] = []
        makers: list[tuple[object, Callable[[], Sink]]] = [
            (self.sound_device, lambda: SoundDevice(mel.sample_rate_hz, self.sound_device or None)),
            (self.lsl, lambda: LslSink(str(self.lsl), mel.n_mels, mel.frame_rate_hz, mel.sample_rate_hz)),
            (self.wav, lambda: WavSink(Path(str(self.wav)), mel.sample_rate_hz)),
            (self.mel, lambda: MelSink(Path(str(self.mel)), mel.n_mels)),
        ]
        for wanted, make in makers:
            if wanted is not None:
                made.append(make())
                closing.callback(made[-1].close)
        return made


def replay(
    plan: Plan,
    model_file: Path,
    recording: str,
    outputs: Outputs,
    say: Callable[[str], None],
    *,
    chunk_s: float = 0.02,
    paced: bool = True,
    score: bool = False,
) -> None:
    """Play a recording of the sheet to a model.

    Raises :class:`InputError` where there is no such recording, or where it does not fit the model.
    """
    row = _row(plan, recording)
    trials = {info.recording: info for info in aligned_trials(paths.aligned(row.session_name))}
    info = trials[recording]
    model, meta = load_model(model_file)
    refuse_other_mel(plan.config.mel, meta)
    decoder = _decoder(model, meta, info, _clock(info), info.session)
    for earlier in _before(plan, row) if decoder.config.train.normalisation == "causal_running" else ():
        _settle(plan, decoder, earlier, trials[earlier.recording])
    with opened_raw(row, row.files(), plan.config.ingest, str(plan.config.data.sheet)) as raw:
        montage = decoder.montage
        order = montage.order_of(raw.channel_names)
        size = max(1, round(chunk_s * montage.rate_hz))
        source = (chunk[:, order] for chunk in chunks(raw.neural.read, raw.neural.n_samples, size))
        with ExitStack() as closing:
            session = _session(plan, decoder, outputs, closing, keep=score)
            play(session, source, montage.rate_hz, paced=paced, say=say)
    say(session.line())
    if score:
        say(_score(session, info))


def listen_to_lsl(
    plan: Plan,
    model_file: Path,
    name: str,
    outputs: Outputs,
    say: Callable[[str], None],
    *,
    montage_of: str | None = None,
    seconds: float | None = None,
) -> None:
    """Decode the LSL stream of a name, with the montage of an aligned session.

    Raises :class:`InputError` where the stream or the session does not fit the model, before anything is written.
    """
    model, meta = load_model(model_file)
    refuse_other_mel(plan.config.mel, meta)
    info = montage_session(meta, montage_of)
    decoder = _decoder(model, meta, info, Clock(), montage_of or WHOLE)
    source = LslSource(name)
    Mending(decoder.montage, Description.of(source), say)  # refuses a stream that does not fit
    with ExitStack() as closing:
        session = _session(plan, decoder, outputs, closing)
        say(f"listening to {name}: {len(source.names)} channels at {source.rate_hz:g} Hz, montage of {info.session}")
        listen(session, source, say, seconds)
    say(session.line())


def _decoder(model: Ensemble, meta: Mapping[str, Any], info: AlignedInfo, clock: Clock, session: str) -> LiveDecoder:
    """With the montage of ``info``; samples are taken for some of ``session``, or of a new one of its subject."""
    _refuse_other_subject(info, meta["subjects"])
    montage = Montage.of_session(paths.aligned(info.session), meta["feature_names"][info.subject])
    group = group_index(model_groups(meta), info.subject, session)
    return LiveDecoder(model, ModelSettings.model_validate(meta["config"]), montage, group, clock)


def _clock(info: AlignedInfo) -> Clock:
    return Clock(info.audio_offset_s, info.audio_drift_ppm, info.first_feature)


def _session(plan: Plan, decoder: LiveDecoder, outputs: Outputs, closing: ExitStack, *, keep: bool = False) -> Session:
    griffin_lim = GriffinLim(mel_filter_bank(plan.config.mel), plan.config.mel, plan.config.vocode)
    vocoder = StreamingGriffinLim(griffin_lim, outputs.look_ahead)
    return Session(decoder, vocoder, outputs.sinks(plan.config.mel, closing), keep)


def _row(plan: Plan, recording: str) -> RecordingRow:
    found = next((row for row in plan.rows if row.recording == recording), None)
    if found is None:
        fix = "Name a recording of the sheet"
        raise InputError(Problem("--replay", "", recording, "a recording of the run's sheet", fix))
    return found


def _before(plan: Plan, row: RecordingRow) -> list[RecordingRow]:
    """The trials of the session before this one, over which normalisation runs offline too."""
    trials = plan.sessions[row.session_name].trials
    return list(trials[: trials.index(row)])


def _settle(plan: Plan, decoder: LiveDecoder, row: RecordingRow, info: AlignedInfo) -> None:
    """Let a decoder see a trial, and begin the next one."""
    clock, length = decoder.clock, n_frames(info.n_audio, plan.config.mel) if info.has_audio else None
    decoder.clock = Clock(info.audio_offset_s, info.audio_drift_ppm, info.first_feature, length)
    decoder.reset()
    with opened_raw(row, row.files(), plan.config.ingest, str(plan.config.data.sheet)) as raw:
        order = decoder.montage.order_of(raw.channel_names)
        for chunk in blocks(raw.neural):
            decoder.push(chunk[:, order])
    decoder.clock = clock
    decoder.reset()


def _refuse_other_subject(info: AlignedInfo, subjects: list[str]) -> None:
    if info.subject not in subjects:
        got = f"a recording of {info.subject}"
        raise InputError(Problem("--replay", "", got, f"one of {', '.join(subjects)}", "Name a model of this subject"))


def _score(session: Session, info: AlignedInfo) -> str:
    """Mean correlation over time of the live mel with the true one, where there is sound."""
    if not info.has_audio:
        return "no score: the recording has no sound"
    true, _ = next(iter(read_mels(paths.mel(info.session), [info.recording])))
    first = session.decoder.first_frame
    n = min(len(session.mel), len(true) - first)
    target, bands = true[first : first + n], active_bands(true)
    r = np.nanmean(correlation_per_band(session.mel[:n], target)[bands])
    return f"r {r:.3f} over {n} frames with the true mel, training frames among them"
