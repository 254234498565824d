"""Recordings that a model's data hold twice: copies are refused, and repeated stretches of sound listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.artifacts.aligned import aligned_trials, read_features
from pipeline.artifacts.core import content_digest
from pipeline.artifacts.mel import frame_grid, read_mels
from pipeline.artifacts.repeats import write_repeats
from pipeline.config.repeats import RepeatsStage
from pipeline.data.repeats import Trial, repeats_of
from pipeline.signal.fingerprint import Fingerprint, audible, fingerprint
from pipeline.signal.mel_statistics import speech_threshold
from pipeline.stage import Stage

VOICE_HZ = (100.0, 3600.0)
"""Bands that sound of every rate from 8 kHz on holds."""
CLIP_STANDARD_DEVIATIONS = 3.0


def repeats(stage: Stage[RepeatsStage]) -> str:
    pairs = list(zip(stage.files["mel"], stage.files["aligned"], strict=True))
    trials = [trial for mel, aligned in pairs for trial in _trials(mel, aligned)]
    found = repeats_of(trials)
    inputs = [(path, content_digest(path)) for pair in pairs for path in pair]
    simulated = any(trial.simulated for trial in trials)
    write_repeats(stage.file("output"), found, simulated, stage.provenance(inputs))
    if found:
        first = found[0]
        text = "warning: %d stretches of sound occur twice, the first in %s and %s; eval.json says what is tested of it"
        stage.log.warning(text, len(found), first.recording, first.other_recording)
    return f"{len(found)} repeated stretches of sound in {len(trials)} trial(s) → {stage.file('output')}"


def _trials(mel: Path, aligned: Path) -> Iterator[Trial]:
    """The trials of a session."""
    infos = [info for info in aligned_trials(aligned) if info.has_audio]
    names = [info.recording for info in infos]
    sounds, lengths = _sounds(mel, names)
    for info, sound, length, features in zip(infos, sounds, lengths, read_features(aligned, names), strict=True):
        yield Trial(
            recording=info.recording,
            subject=info.subject,
            text=info.text,
            file=str(mel),
            simulated=info.simulated,
            sound=sound,
            brain=_brain(features, info.feature_rate_hz),
            mel_frames=length,
        )


def _sounds(mel: Path, names: list[str]) -> tuple[list[Fingerprint], list[int]]:
    """Fingerprints of the trials' sound, and their mel frames; only speech counts, by the energy of the session."""
    bands_hz, rate_hz = frame_grid(mel)
    chosen = np.flatnonzero((bands_hz >= VOICE_HZ[0]) & (bands_hz <= VOICE_HZ[1]))
    voice = slice(chosen[0], chosen[-1] + 1) if len(chosen) else slice(None)
    loudness = [log_mel.mean(axis=1) for log_mel, _ in read_mels(mel, names)]
    threshold = speech_threshold(np.concatenate(loudness)[:, None])
    mels = (log_mel for log_mel, _ in read_mels(mel, names))
    prints = [
        fingerprint(audible(m[:, voice]), rate_hz, own > threshold) for m, own in zip(mels, loudness, strict=True)
    ]
    return prints, [len(own) for own in loudness]


def _brain(features: np.ndarray, rate_hz: float) -> Fingerprint:
    """The fingerprint of a trial's features, each column standardised, so that its unit and gain do not matter."""
    centred = features - features.mean(axis=0)
    scaled = centred / np.maximum(centred.std(axis=0), np.finfo(np.float32).tiny)
    return fingerprint(np.clip(scaled, -CLIP_STANDARD_DEVIATIONS, CLIP_STANDARD_DEVIATIONS), rate_hz)
