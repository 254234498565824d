"""Source and filter: pulses of one pitch through the spectrum behind the mel, (frames, n_mels) in nats -> (samples,).

A predicted mel is smoother than speech, and has no harmonics that phases could be fitted to: Griffin-Lim makes noise of
it, which wavers within a frame in every band.  Pulses at a steady rate do not (the channel vocoder's source of voiced
sounds: H. Dudley, Remaking Speech, JASA 11:169, 1939).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.vocoder.griffin_lim import FRAMES_AT_ONCE, GriffinLim, Waveform


class Pulses:
    """Sound that is voiced at ``pitch_hz`` throughout; spectrum, frames and padding are those of ``griffin_lim``.

    It needs no frames to come: ``push``, ``finish`` and ``reset`` (:class:`~pipeline.vocoder.base.StreamingVocoder`)
    give the sound of a call.
    """

    reads = 1

    def __init__(self, griffin_lim: GriffinLim, pitch_hz: float) -> None:
        self.griffin_lim, self.pitch_hz = griffin_lim, pitch_hz
        self.sample_rate_hz, self.hop = griffin_lim.sample_rate_hz, griffin_lim.hop_length
        self.reset()

    def __call__(self, log_mel: NDArray[np.float32]) -> Waveform:
        """Sound of a mel, as long as Griffin-Lim's."""
        own = Pulses(self.griffin_lim, self.pitch_hz)
        parts = [own.push(log_mel[start : start + FRAMES_AT_ONCE]) for start in range(0, len(log_mel), FRAMES_AT_ONCE)]
        return np.concatenate([*parts, own.finish()])

    def reset(self) -> None:
        """Begin another sound."""
        self._n_out = 0  # samples, padding included
        # What the frames so far add to the samples to come: their sound, and their squared windows.
        self._sound, self._weight = np.zeros((2, self.griffin_lim.n_fft - self.hop), np.float32)

    def push(self, log_mel: NDArray[np.float32]) -> Waveform:
        """The samples that the frames make final, a hop of each."""
        own, count = self.griffin_lim, len(log_mel)
        if not count:
            return np.zeros(0, np.float32)
        source = own.transform(self.source(self._n_out, own.n_fft + (count - 1) * self.hop))
        magnitude = own.magnitude(np.exp(log_mel.astype(np.float32)))
        sound = own.added(scipy.fft.irfft(magnitude * source, own.n_fft, axis=1) * own.window)
        weight = own.added(np.broadcast_to(own.window**2, (count, own.n_fft)))
        sound[: len(self._sound)] += self._sound
        weight[: len(self._weight)] += self._weight
        final = count * self.hop
        self._sound, self._weight = sound[final:], weight[final:]
        return self._out(sound[:final], weight[:final])

    def finish(self) -> Waveform:
        """The samples that still wait, at the sound's end."""
        rest = self._out(self._sound, self._weight)
        self.reset()
        return rest[: max(len(rest) - self.griffin_lim.padding, 0)]

    def _out(self, sound: Waveform, weight: Waveform) -> Waveform:
        """Samples that are final, without the padding before the mel's first."""
        skipped = max(self.griffin_lim.padding - self._n_out, 0)
        self._n_out += len(sound)
        weight = np.maximum(weight, 1e-3, dtype=np.float32)
        return (sound / weight)[skipped:]

    def source(self, start: int, count: int) -> Waveform:
        """``count`` samples, from ``start`` on, of pulses whose windowed spectrum has a mean square of 1."""
        period, power = self.sample_rate_hz / self.pitch_hz, np.square(self.griffin_lim.window).sum()
        places = (np.arange(math.floor(start / period), (start + count) / period) * period).astype(np.intp) - start
        pulses = np.zeros(count, np.float32)
        pulses[places[(places >= 0) & (places < count)]] = np.sqrt(period / power)
        return pulses
