"""Fast Griffin-Lim: log-mel (frames, n_mels) in nats -> waveform (samples,) float32.

First the magnitude spectrum behind the mel (non-negative, by multiplicative updates from
the filters' pseudo-inverse; Lee & Seung 2001), then phases by the accelerated iteration of
Perraudin, Balazs & Søndergaard 2013.  Everything is a batched real FFT over all frames.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.config.mel import MelConfig
from pipeline.config.vocode import VocodeConfig

Waveform = NDArray[np.float32]
Magnitude = NDArray[np.float32]
TINY = np.float32(1e-8)
FRAMES_AT_ONCE = 4096
OVERLAP_FRAMES = 16


class GriffinLim:
    """The default vocoder; it needs no training.

    ``filter_bank`` is (n_mels, n_fft // 2 + 1), the one the mel was made with.  The first
    sample out belongs to the mel's first sample in, for either flavor's padding.
    """

    def __init__(self, filter_bank: NDArray[np.floating], mel: MelConfig, config: VocodeConfig) -> None:
        self.filter_bank = np.asarray(filter_bank, dtype=np.float32)
        self.inverse_bank = np.linalg.pinv(filter_bank).astype(np.float32)
        self.sample_rate_hz = mel.sample_rate_hz
        self.n_fft, self.hop_length, self.padding = mel.n_fft, mel.hop_length, mel.padding
        self.config = config
        self.window = np.zeros(mel.n_fft, np.float32)
        angle = 2 * np.pi * np.arange(mel.win_length) / mel.win_length
        first = (mel.n_fft - mel.win_length) // 2
        self.window[first : first + mel.win_length] = 0.5 - 0.5 * np.cos(angle)

    def __call__(self, log_mel: NDArray[np.float32]) -> Waveform:
        """Sound of a mel: (frames − 1) hops of ``tacotron2`` frames, frames hops of ``hifigan`` frames.

        Long mels are done in stretches that overlap by 16 frames and are faded into each
        other, so that memory stays bounded.
        """
        stride = FRAMES_AT_ONCE - OVERLAP_FRAMES
        padded = self.stretch(log_mel[:FRAMES_AT_ONCE])
        for start in range(stride, len(log_mel) - OVERLAP_FRAMES, stride):
            following = self.stretch(log_mel[start : start + FRAMES_AT_ONCE])
            padded = cross_faded(padded, following, start * self.hop_length)
        return padded[self.padding : len(padded) - self.padding]

    def stretch(self, log_mel: NDArray[np.float32]) -> Waveform:
        """Waveform of one stretch, padding on both sides included."""
        return self.griffin_lim(self.magnitude(np.exp(log_mel.astype(np.float32))))

    def magnitude(self, mel: NDArray[np.float32]) -> Magnitude:
        """Non-negative spectrum (frames, n_fft // 2 + 1) whose mel is ``mel`` (frames, n_mels)."""
        bank = self.filter_bank
        spectrum = np.maximum(mel @ self.inverse_bank.T, TINY)
        target = mel @ bank
        for _ in range(self.config.inversion_steps):
            spectrum *= target / (spectrum @ bank.T @ bank + TINY)
        return spectrum

    def griffin_lim(self, magnitude: Magnitude) -> Waveform:
        """Waveform (with padding on both sides) whose spectrogram comes close to ``magnitude``."""
        rng = np.random.default_rng(self.config.seed)
        angle = rng.uniform(0, 2 * np.pi, magnitude.shape).astype(np.float32)
        spectrum = magnitude * np.exp(1j * angle).astype(np.complex64)
        previous = np.zeros_like(spectrum)
        beta = np.float32(self.config.momentum / (1 + self.config.momentum))
        weight = self.weight(len(magnitude))
        for _ in range(self.config.iterations):
            rebuilt = self.transform(self.overlap_add(spectrum, weight))
            spectrum = rebuilt - beta * previous
            previous = rebuilt
            # Divided as real numbers: for complex ones that takes three times as long.
            spectrum *= magnitude / (np.abs(spectrum) + TINY)
        return self.overlap_add(spectrum, weight)

    def transform(self, padded: Waveform) -> NDArray[np.complex64]:
        """Short-time spectrum (frames, n_fft // 2 + 1) of a padded waveform."""
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop_length]
        spectrum: NDArray[np.complex64] = scipy.fft.rfft(frames * self.window, axis=1)
        return spectrum

    def overlap_add(self, spectrum: NDArray[np.complex64], weight: Waveform) -> Waveform:
        """Least-squares inverse of :meth:`transform`; ``weight`` is what the squared windows add up to."""
        return self.added(scipy.fft.irfft(spectrum, self.n_fft, axis=1) * self.window) / weight

    def weight(self, n_frames: int) -> Waveform:
        """What the squared windows of so many frames add up to, kept off zero at the ends."""
        squared = np.broadcast_to(self.window**2, (n_frames, self.n_fft))
        return np.maximum(self.added(squared), 1e-3, dtype=np.float32)

    def added(self, frames: NDArray[np.float32]) -> Waveform:
        """Sum of overlapping frames, a hop of each at a time."""
        hop, count = self.hop_length, len(frames)
        overlap = -(-self.n_fft // hop)
        hops = np.zeros((count + overlap - 1, hop), np.float32)
        for k in range(overlap):
            part = frames[:, k * hop : (k + 1) * hop]
            hops[k : k + count, : part.shape[1]] += part
        return hops.reshape(-1)[: self.n_fft + (count - 1) * hop]


def cross_faded(earlier: Waveform, later: Waveform, start: int) -> Waveform:
    """``later`` joined to ``earlier`` at sample ``start``, fading over the middle of what they share."""
    shared = len(earlier) - start
    ramp = np.clip(np.linspace(-0.5, 1.5, shared, dtype=np.float32), 0, 1)
    middle = earlier[start:] * (1 - ramp) + later[:shared] * ramp
    return np.concatenate([earlier[:start], middle, later[shared:]])
