"""Spectra of a session's brain and sound at the few frequencies that the contamination check compares."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.evaluation.types import Values

WINDOW_S, FRAME_RATE_HZ = 0.4, 16.0
BLOCK_S = 20.0
LEVEL_BLOCKS = 10
TAPER = (0.35875, 0.48829, 0.14128, 0.01168)
"""Blackman–Harris window (Harris 1978): 92 dB below a line that is four bins away."""
HALF_LOBE_HZ = len(TAPER) / WINDOW_S

Frames = NDArray[np.float32]
Spectrum = NDArray[np.complex64]
Places = NDArray[np.intp]


class Signal(Protocol):
    """An array or a file-backed one: sliced along time, a block at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: slice, /) -> Any: ...


@dataclass(frozen=True)
class SignalPair:
    """Brain (time, channel) and sound (time,) or (time, 1) of one trial: t_neural = t_audio (1 + drift) + offset."""

    neural: Signal
    audio: Signal
    audio_offset_s: float = 0.0
    audio_drift_ppm: float = 0.0


@dataclass(frozen=True)
class Session:
    """The sound's spectrum beside the brain, trial after trial (frames, frequencies), and where each block lies."""

    spectra: Spectra
    sound: Spectrum
    blocks: Sequence[tuple[SignalPair, Places]]

    @classmethod
    def of(cls, trials: Sequence[SignalPair], audio_rate_hz: float, spectra: Spectra) -> Session:
        """Read the sound of all trials."""
        heard, blocks, step = [], [], int(BLOCK_S * FRAME_RATE_HZ)
        for trial in trials:
            frames, spectrum = spectra.of_sound(trial, resampled_audio(trial.audio, audio_rate_hz, spectra.rate_hz))
            heard.append(spectrum)
            blocks += [(trial, frames[first : first + step]) for first in range(0, len(frames), step)]
        return cls(spectra, np.concatenate(heard), blocks)

    def brain(self, count: int | None = None) -> Iterator[tuple[Places, Spectrum]]:
        """Spectra (frames, channels, frequencies) of the blocks, or of ``count`` spread evenly, and where they lie."""
        ends = np.cumsum([len(frames) for _, frames in self.blocks])
        chosen = np.unique(np.linspace(0, len(ends) - 1, min(count or len(ends), len(ends))).round().astype(int))
        for trial, frames, end in ((*self.blocks[i], ends[i]) for i in chosen):
            yield np.arange(end - len(frames), end), self.spectra.of_brain(trial, frames)

    def background(self) -> Values:
        """Mean power (channel, frequency) of noise with the median power of the brain, which spikes do not move.

        Where a channel is 0 for a while it counts by the rest.
        """
        # In float64, since a sample of 1e30 is finite and its power in float32 is not.
        found = np.concatenate([power(spectra.astype(np.complex128)) for _, spectra in self.brain(LEVEL_BLOCKS)])
        return np.asarray(np.ma.median(np.ma.masked_equal(found, 0), axis=0).filled(0) / np.log(2))


class Spectra:
    """Spectra at the frequencies that are compared: a product with so few is cheaper than an FFT."""

    def __init__(self, rate_hz: float, frequencies_hz: Values) -> None:
        self.rate_hz, self.window = rate_hz, round(WINDOW_S * rate_hz)
        turns = np.arange(self.window) / self.window
        taper = sum((-1) ** k * a * np.cos(2 * np.pi * k * turns) for k, a in enumerate(TAPER))
        basis = taper[:, None] * np.exp(-2j * np.pi * np.outer(np.arange(self.window) / rate_hz, frequencies_hz))
        self.basis = basis.astype(np.complex64).view(np.float32)

    def of(self, series: Frames, starts: Places) -> Spectrum:
        """(frames, frequencies): the spectrum of the window at each start of a series (time,); 0 of a constant one."""
        windows = np.lib.stride_tricks.sliding_window_view(series - series.mean(), self.window)
        changes = np.cumsum(np.diff(series, prepend=series[:1]) != 0)
        varies = changes[starts + self.window - 1] > changes[starts]
        return np.asarray((windows[starts] @ self.basis).view(np.complex64) * varies[:, None])

    def starts(self, frames: Places) -> Places:
        """First sample of each frame of the brain."""
        return np.rint(frames * self.rate_hz / FRAME_RATE_HZ).astype(np.intp)

    def of_sound(self, trial: SignalPair, sound: Frames) -> tuple[Places, Spectrum]:
        """Numbers of the frames of the brain that have sound beside them, and the sound's spectra there."""
        n = math.floor((trial.neural.shape[0] - self.window) / self.rate_hz * FRAME_RATE_HZ) + 1
        frames = np.arange(max(n, 0))
        clock = (self.starts(frames) - trial.audio_offset_s * self.rate_hz) / (1 + trial.audio_drift_ppm * 1e-6)
        starts = np.rint(clock).astype(np.intp)
        heard = (starts >= 0) & (starts + self.window <= len(sound))
        if not heard.any():
            return frames[:0], np.zeros((0, self.basis.shape[1] // 2), np.complex64)
        return frames[heard], self.of(sound, starts[heard])

    def of_brain(self, trial: SignalPair, frames: Places) -> Spectrum:
        """(frames, channels, frequencies)."""
        starts = self.starts(frames)
        samples = np.asarray(trial.neural[int(starts[0]) : int(starts[-1]) + self.window], dtype=np.float32)
        return np.stack([self.of(series, starts - starts[0]) for series in samples.T], axis=1)


def compared_hz(rate_hz: float, band_hz: tuple[float, float], line_noise_hz: float = 0.0) -> Values:
    """Frequencies inside the band [Hz], two bins apart, without those whose window holds a harmonic of the mains."""
    steps = np.arange(0, rate_hz / 2, 2 / WINDOW_S)
    inside = (steps >= band_hz[0]) & (steps <= band_hz[1])
    if line_noise_hz:
        inside &= np.abs(steps - np.rint(steps / line_noise_hz) * line_noise_hz) >= HALF_LOBE_HZ
    return np.asarray(steps[inside])


def resampled_audio(audio: Signal, audio_rate_hz: float, rate_hz: float) -> Frames:
    """Mono audio at the neural rate, read a block at a time."""
    stream = soxr.ResampleStream(audio_rate_hz, rate_hz, 1, dtype="float32")
    step = int(BLOCK_S * audio_rate_hz)
    total = audio.shape[0]
    blocks = []
    for start in range(0, total, step):
        block = np.asarray(audio[start : start + step], dtype=np.float32).reshape(min(step, total - start), -1)
        blocks.append(stream.resample_chunk(np.ascontiguousarray(block[:, 0]), last=start + step >= total))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def power(spectrum: Spectrum) -> Frames:
    """Squared magnitude."""
    return np.asarray(spectrum.real**2 + spectrum.imag**2)
