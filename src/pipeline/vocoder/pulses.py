"""Source and filter: pulses of one pitch through the spectrum behind the mel, (frames, n_mels) in nats -> (samples,).

A predicted mel is smoother than speech, and has no harmonics that phases could be fitted to: Griffin-Lim makes noise of
it, which wavers within a frame in every band.  Pulses at a steady rate do not (the channel vocoder's source of voiced
sounds: H. Dudley, Remaking Speech, JASA 11:169, 1939).
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.vocoder.griffin_lim import FRAMES_AT_ONCE, GriffinLim, Waveform


class Pulses:
    """Sound that is voiced at ``pitch_hz`` throughout; spectrum, frames and padding are those of ``griffin_lim``."""

    def __init__(self, griffin_lim: GriffinLim, pitch_hz: float) -> None:
        self.griffin_lim, self.pitch_hz = griffin_lim, pitch_hz
        self.sample_rate_hz = griffin_lim.sample_rate_hz

    def __call__(self, log_mel: NDArray[np.float32]) -> Waveform:
        """Sound of a mel, as long as Griffin-Lim's."""
        own, n_frames = self.griffin_lim, len(log_mel)
        source = self.source(own.n_fft + (n_frames - 1) * own.hop_length)
        padded = np.zeros_like(source)
        for start in range(0, n_frames, FRAMES_AT_ONCE):
            magnitude = own.magnitude(np.exp(log_mel[start : start + FRAMES_AT_ONCE].astype(np.float32)))
            first = start * own.hop_length
            here = slice(first, first + own.n_fft + (len(magnitude) - 1) * own.hop_length)
            frames = scipy.fft.irfft(magnitude * own.transform(source[here]), own.n_fft, axis=1)
            padded[here] += own.added(frames * own.window)
        padded /= own.weight(n_frames)
        return padded[own.padding : len(padded) - own.padding]

    def source(self, n_samples: int) -> Waveform:
        """Pulses whose windowed spectrum has a mean square of 1."""
        period, power = self.sample_rate_hz / self.pitch_hz, np.square(self.griffin_lim.window).sum()
        pulses = np.zeros(n_samples, np.float32)
        pulses[np.arange(0, n_samples, period).astype(np.intp)] = np.sqrt(period / power)
        return pulses
