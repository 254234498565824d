"""``python -m pipeline live``: decode a recording of the run as if it were recorded now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo, aligned_trials
from pipeline.artifacts.mel import read_mels
from pipeline.config.ensemble import ModelSettings
from pipeline.errors import InputError, Problem
from pipeline.live.decoder import Clock, LiveDecoder
from pipeline.live.montage import Montage
from pipeline.live.replay import Session, chunks, play, write_mel, write_wav
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


def replay(
    plan: Plan,
    model_file: Path,
    recording: str,
    *,
    chunk_s: float,
    paced: bool,
    look_ahead: int,
    wav: Path | None,
    mel: Path | None,
    score: bool,
    say: Callable[[str], None],
) -> Session:
    """Play a recording of the sheet to a model.

    Raises :class:`InputError` where there is no such recording, or where it does not fit the model.
    """
    row = _row(plan, recording)
    trials = {info.recording: info for info in aligned_trials(paths.aligned(row.session_name))}
    info = trials[recording]
    model, meta = load_model(model_file)
    subject = _subject(info, meta["subjects"])
    names = meta["feature_names"][meta["subjects"][subject]]
    montage = Montage.of_session(paths.aligned(info.session), names)
    clock = Clock(info.audio_offset_s, info.audio_drift_ppm, info.first_feature)
    decoder = LiveDecoder(model, ModelSettings.model_validate(meta["config"]), montage, subject, clock)
    griffin_lim = GriffinLim(mel_filter_bank(plan.config.mel), plan.config.mel, plan.config.vocode)
    session = Session(decoder, StreamingGriffinLim(griffin_lim, look_ahead))
    for earlier in _before(plan, row) if decoder.config.train.normalisation == "causal_running" else ():
        _settle(plan, decoder, earlier, trials[earlier.recording])
    with opened_raw(row, row.files(), plan.config.ingest, str(plan.config.data.sheet)) as raw:
        order = montage.order_of(raw.channel_names)
        size = max(1, round(chunk_s * montage.rate_hz))
        source = (chunk[:, order] for chunk in chunks(raw.neural.read, raw.neural.n_samples, size))
        play(session, source, montage.rate_hz, paced=paced, say=say)
    say(session.line())
    if wav is not None:
        write_wav(wav, session.sound, griffin_lim.sample_rate_hz)
    if mel is not None:
        write_mel(mel, session.mel)
    if score:
        say(_score(session, info))
    return session


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


def _subject(info: AlignedInfo, subjects: list[str]) -> int:
    if info.subject not in subjects:
        got = f"a recording of {info.subject}"
        raise InputError(Problem("--replay", "", got, f"one of {', '.join(subjects)}", "Name a model of this subject"))
    return subjects.index(info.subject)


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
