"""Rows of the referee that begin with raw arrays: sound that leaks into the recording, and copies of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.signal
import soxr

from bench.made_up import CHANNELS, FRAME_HZ, FULL_SCALE, GRID, RATE_HZ, Array, Sound, noise, spoken
from pipeline.config.contamination import ContaminationCheck
from pipeline.data.repeats import Trial, repeats_of
from pipeline.errors import InputError
from pipeline.evaluation.contamination import Contamination, check_contamination
from pipeline.evaluation.leak_spectra import SignalPair
from pipeline.signal.fingerprint import audible, fingerprint
from pipeline.signal.mel import log_mel
from pipeline.signal.mel_statistics import speech_threshold

NEURAL_HZ = 1024
HIGH_GAMMA = scipy.signal.butter(4, ContaminationCheck().band_hz, "bandpass", fs=NEURAL_HZ, output="sos")
LEAK_DB, LEAKING = -10.0, 3
"""Power of the sound over that of a channel in the band, and how many of the channels it leaks into."""
TRIALS, TRIAL_MIN = 6, 1 / 3
VOICE = slice(3, 60)


def in_band(signal: Array) -> Array:
    """The high gamma of a signal (time, …)."""
    return np.asarray(scipy.signal.sosfiltfilt(HIGH_GAMMA, signal, axis=0))


def leaky(wave: Array, seed: int) -> tuple[Array, Contamination]:
    """A raw recording (time, channel) that has nothing of the sound but a leak, and what the check says of it."""
    rng = np.random.default_rng([seed, 31])
    sound = soxr.resample(wave / FULL_SCALE, RATE_HZ, NEURAL_HZ)
    white = rng.standard_normal((len(sound), CHANNELS))
    raw = scipy.signal.lfilter([1], [1, -0.99], white, axis=0) + white
    gain = in_band(raw).std(axis=0) / in_band(sound).std() * 10 ** (LEAK_DB / 20)
    leaking = rng.permutation(CHANNELS) < LEAKING
    raw = (raw + np.where(leaking, gain, 0) * sound[:, None]).astype(np.float32)
    pair, audio = SignalPair(raw, wave), float(RATE_HZ)
    check = ContaminationCheck()
    return raw, check_contamination([pair], float(NEURAL_HZ), audio, check, recording="s00", line_noise_hz=50.0)


def high_gamma(raw: Array, frames: int) -> Array:
    """Log amplitude of the high gamma at the mel's frames, (frame, channel) float32."""
    amplitude = np.abs(scipy.signal.hilbert(in_band(raw), axis=0))
    sums = np.cumsum(np.concatenate([np.zeros((1, raw.shape[1])), amplitude]), axis=0)
    centre = np.rint(np.arange(frames) / FRAME_HZ * NEURAL_HZ).astype(int)
    first, stop = (np.clip(centre + half, 0, len(raw)) for half in (-25, 26))
    return np.log((sums[stop] - sums[first]) / (stop - first)[:, None]).astype(np.float32)


def copied(sounds: Sequence[Sound], brains: Sequence[Array], seed: int) -> tuple[list[Sound], list[Array]]:
    """The trials and a copy of the first: exact, x 0.8 or cut by a row, seed by seed."""
    gain, cut = ((1.0, 0), (0.8, 0), (1.0, 1))[seed % 3]
    wave = (gain * sounds[0].wave[cut:]).astype(np.int16)
    copy = replace(sounds[0], wave=wave, mel=log_mel(wave, RATE_HZ, GRID))
    return [*sounds, copy], [*brains, (gain * brains[0][cut:]).astype(np.float32)]


def copy_is_refused(seed: int) -> bool:
    """Whether a trial that stands under a second id too is refused with both ids."""
    sounds = [spoken(seed * 100 + k, "plain", TRIAL_MIN) for k in range(TRIALS)]
    brains = [noise(len(s.mel), np.random.default_rng([seed, k])) for k, s in enumerate(sounds)]
    both = zip(*copied(sounds, brains, seed), strict=True)
    try:
        repeats_of([trial(f"run{k}", *own) for k, own in enumerate(both)])
    except InputError as refused:
        return f"run0, run{TRIALS}" in {problem.field for problem in refused.problems}
    return False


def trial(name: str, own: Sound, brain: Array) -> Trial:
    """A trial's fingerprints, as the stage repeats takes them."""
    mel = own.mel
    sound = fingerprint(audible(mel[:, VOICE]), FRAME_HZ, mel.mean(axis=1) > speech_threshold(mel))
    standard = (brain - brain.mean(axis=0)) / brain.std(axis=0)
    return Trial(name, "s00", "", "mel.h5", False, sound, fingerprint(np.clip(standard, -3, 3), FRAME_HZ), len(mel))
