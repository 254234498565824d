"""``python -m pipeline live``: decode a stream, or a recording of the run as if it were recorded now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo, aligned_trials
from pipeline.config.ensemble import ModelSettings
from pipeline.config.mel import MelConfig
from pipeline.data.groups import WHOLE, group_index, model_groups
from pipeline.errors import InputError, Problem
from pipeline.live.decoder import Clock, LiveDecoder
from pipeline.live.listen import listen
from pipeline.live.lsl import LslSink, LslSource
from pipeline.live.montage import Montage, montage_session, refuse_other_mel
from pipeline.live.replay import Session, chunks, play
from pipeline.live.score import score_lines
from pipeline.live.sinks import ClockFile, MelSink, Sink, SoundDevice, WavSink
from pipeline.live.stream import Description, Mending
from pipeline.model.device import device_of
from pipeline.model.ensemble import Ensemble
from pipeline.model.model_file import load_model
from pipeline.raw.recording import blocks, opened_raw
from pipeline.raw.sheet import RecordingRow
from pipeline.run.plan import Plan
from pipeline.signal.mel import mel_filter_bank
from pipeline.signal.mel_frames import n_frames
from pipeline.vocoder.base import StreamingVocoder
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.hifigan import HifiGan, StreamingHifiGan
from pipeline.vocoder.hifigan_config import checkpoint_files
from pipeline.vocoder.pulses import Pulses
from pipeline.vocoder.streaming import LOOK_AHEAD, StreamingGriffinLim


@dataclass(frozen=True)
class Outputs:
    """Where mel, sound and their times go; the vocoder, by default the config's, and the frames that it looks ahead."""

    vocoder: str | None = None
    look_ahead: int | None = None
    wav: Path | None = None
    mel: Path | None = None
    clock: Path | None = None
    lsl: str | None = None
    sound_device: str | None = None  # empty: the default one

    def open(
        self, session: Session, mel: MelConfig, closing: ExitStack, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Give a session its sinks, which are closed with the stack; ``now`` is the clock of ``clock``."""
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
        session.sinks = made
        if self.clock is not None:
            session.clock_file = ClockFile(self.clock, now)
            closing.callback(session.clock_file.close)


def replay(
    plan: Plan,
    model_file: Path,
    recording: str,
    outputs: Outputs,
    say: Callable[[str], None],
    *,
    seconds: float | None = None,
    chunk_s: float = 0.02,
    paced: bool = True,
    score: Callable[[str], None] | None = None,
) -> None:
    """Play a recording of the sheet, or its first ``seconds``, to a model; ``score`` is told the lines of its score.

    Raises :class:`InputError` where there is no such recording, or where it does not fit the model.
    """
    row = _row(plan, recording)
    before = _before(plan, row)
    trials = _trials(row.session_name, [recording, *(earlier.recording for earlier in before)])
    info = trials[recording]
    model, meta = load_model(model_file)
    refuse_other_mel(plan.config.mel, meta)
    decoder = _decoder(model, meta, info, _clock(info), info.session)
    for earlier in before if decoder.config.train.normalisation == "causal_running" else ():
        _settle(plan, decoder, earlier, trials[earlier.recording])
    session = _session(plan, decoder, outputs, say, in_time=paced, keep=score is not None)
    with opened_raw(row, row.files(), plan.config.ingest, str(plan.config.data.sheet)) as raw:
        montage = decoder.montage
        order = montage.order_of(raw.channel_names)
        size = max(1, round(chunk_s * montage.rate_hz))
        n = raw.neural.n_samples if seconds is None else round(min(raw.neural.n_samples, seconds * montage.rate_hz))
        source = (chunk[:, order] for chunk in chunks(raw.neural.read, n, size))
        with ExitStack() as closing:
            outputs.open(session, plan.config.mel, closing)
            play(session, source, montage.rate_hz, paced=paced, say=say)
    say(session.line())
    if score is not None:
        for line in score_lines(session, info):
            score(line)


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
    session = _session(plan, decoder, outputs, say)  # before samples come, which would wait
    source = LslSource(name, say=say)
    Mending(decoder.montage, Description.of(source), say)  # refuses a stream that does not fit
    with ExitStack() as closing:
        outputs.open(session, plan.config.mel, closing, source.now)
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


def _session(
    plan: Plan, decoder: LiveDecoder, outputs: Outputs, say: Callable[[str], None],
    *, in_time: bool = True, keep: bool = False,
) -> Session:  # fmt: skip
    """Says what a step costs; raises :class:`InputError` where that is too much to be ``in_time``."""
    session = Session(decoder, _vocoder(plan, outputs, decoder.stepper.step_frames), keep=keep)
    cost_ms, lasts_ms = 1e3 * session.fastest_step_s(), 1e3 * session.step_lasts_s
    say(f"decoding and vocoding a step of {lasts_ms:.0f} ms takes {cost_ms:.1f} ms at best")
    if in_time and cost_ms > lasts_ms:
        fix = "Take --vocoder pulses or griffin_lim, a smaller generator, a GPU, or of a replay --speed max"
        got, expected = f"{cost_ms:.0f} ms of computing for a step", f"at most the {lasts_ms:.0f} ms that it lasts"
        raise InputError(Problem("live", "", got, expected, fix))
    return session


def _vocoder(plan: Plan, outputs: Outputs, step_frames: int) -> StreamingVocoder:
    config = plan.config
    kind = outputs.vocoder or config.vocode.vocoder
    if kind != "hifigan":
        griffin_lim = GriffinLim(mel_filter_bank(config.mel), config.mel, config.vocode)
        if kind == "pulses":
            return Pulses(griffin_lim, config.vocode.pitch_hz)
        return StreamingGriffinLim(griffin_lim, LOOK_AHEAD if outputs.look_ahead is None else outputs.look_ahead)
    checkpoint, _, shape = checkpoint_files(config.vocode, config.mel)
    hifigan = HifiGan(checkpoint, shape, device_of(config.runtime.accelerator))
    return StreamingHifiGan(hifigan, outputs.look_ahead, step_frames)


def _row(plan: Plan, recording: str) -> RecordingRow:
    found = next((row for row in plan.rows if row.recording == recording), None)
    if found is None:
        known = [row.recording for row in plan.rows if row.audio]
        fix = f"Name one of {', '.join(known[:10])}{' …' if len(known) > 10 else ''}"
        raise InputError(Problem("--replay", "", recording, "a recording of the run's sheet", fix))
    return found


def _trials(session: str, recordings: list[str]) -> dict[str, AlignedInfo]:
    """The aligned trials of a session.  Raises :class:`InputError` where these are not all among them."""
    file = paths.aligned(session)
    trials = {info.recording: info for info in aligned_trials(file)}
    if missing := [name for name in recordings if name not in trials]:
        fix = "Start main.py again: the sheet has changed since"
        raise InputError(Problem("--replay", "", f"{missing[0]}, which {file} lacks", "an aligned recording", fix))
    return trials


def _before(plan: Plan, row: RecordingRow) -> list[RecordingRow]:
    """The trials of the session before this one, over which normalisation runs offline too."""
    trials = plan.sessions[row.session_name].trials
    return list(trials[: trials.index(row)])


def _settle(plan: Plan, decoder: LiveDecoder, row: RecordingRow, info: AlignedInfo) -> None:
    """Let a decoder see a trial, and begin the next one."""
    clock, length = decoder.clock, n_frames(info.n_audio, plan.config.mel) if info.has_audio else None
    decoder.reset(Clock(info.audio_offset_s, info.audio_drift_ppm, info.first_feature, length))
    with opened_raw(row, row.files(), plan.config.ingest, str(plan.config.data.sheet)) as raw:
        order = decoder.montage.order_of(raw.channel_names)
        for chunk in blocks(raw.neural):
            decoder.push(chunk[:, order])
    decoder.reset(clock)


def _refuse_other_subject(info: AlignedInfo, subjects: list[str]) -> None:
    if info.subject not in subjects:
        got = f"a recording of {info.subject}"
        raise InputError(Problem("--replay", "", got, f"one of {', '.join(subjects)}", "Name a model of this subject"))
