"""Sound from mel frames as they come: real-time spectrogram inversion with look-ahead.

RTISI-LA (X. Zhu, G. T. Beauregard, L. Wyse: Real-time signal estimation from modified short-time Fourier transform
magnitude spectra, IEEE TASLP 15:1645, 2007, doi:10.1109/TASL.2007.899236): the newest ``look_ahead + 1`` frames are
inverted together, beside the sound that is out already, and the oldest of them is then final.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.vocoder.griffin_lim import TINY, GriffinLim

Waveform = NDArray[np.float32]
LOOK_AHEAD = 2  # frames
_DRAWN = np.float32(0.01)  # share of a frame's magnitude with drawn phases, before the first iteration


class StreamingGriffinLim:
    """:class:`~pipeline.vocoder.griffin_lim.GriffinLim` without the future beyond ``look_ahead`` frames.

    ``push`` takes log-mel frames (frame, band) [nats] and gives the samples that became final, a hop for each frame
    after the first ``look_ahead``; ``finish`` gives the rest.  Together they are as long as offline, and however the
    frames are cut, they are the same.
    """

    def __init__(self, vocoder: GriffinLim, look_ahead: int = LOOK_AHEAD, iterations: int = 8) -> None:
        self.vocoder, self.look_ahead, self.iterations = vocoder, look_ahead, iterations
        self.sample_rate_hz, self.hop = vocoder.sample_rate_hz, vocoder.hop_length
        self.reads = look_ahead + 1
        self.length = (look_ahead + 1) * self.hop + vocoder.n_fft - self.hop
        # What the squared windows of an endless row of frames add up to, from any frame's first sample on.
        overlap = -(-vocoder.n_fft // self.hop)
        weight = vocoder.weight(2 * overlap + look_ahead + 1)
        self.weight = weight[overlap * self.hop :][: self.length]
        self.reset()

    def reset(self) -> None:
        """Begin another sound."""
        self._final = np.zeros(self.length, np.float32)  # weighted sum of the frames that are final, from here on
        self._magnitudes = np.zeros((0, self.vocoder.n_fft // 2 + 1), np.float32)
        self._spectra = np.zeros((0, self.vocoder.n_fft // 2 + 1), np.complex64)
        self._rng = np.random.default_rng(self.vocoder.config.seed)
        self._skip = self.vocoder.padding  # samples before the mel's first

    @property
    def latency_samples(self) -> tuple[int, int]:
        """How long after a frame's centre its first and last sample of sound come out, at most, without computing.

        The sample at a frame's centre is final when frames up to ``n_fft / 2`` after it and the look-ahead are there.
        """
        half = self.vocoder.n_fft // 2
        return half - self.hop + self.look_ahead * self.hop, half + self.look_ahead * self.hop

    def push(self, log_mel: NDArray[np.float32]) -> Waveform:
        """Samples that the frames make final."""
        mel = np.exp(log_mel.astype(np.float32))
        # Row by row: products of several rows round otherwise, and phases are sensitive to that.
        return self._cut([self._next(self.vocoder.magnitude(mel[i : i + 1])[0]) for i in range(len(mel))])

    def finish(self) -> Waveform:
        """The samples that still wait, at the sound's end."""
        parts = []
        while len(self._magnitudes):
            self._iterate()
            parts.append(self._finalised())
        rest = self._final[: self.vocoder.n_fft - self.hop] / self.weight[: self.vocoder.n_fft - self.hop]
        sound = self._cut([*parts, rest[: len(rest) - self.vocoder.padding]])
        self.reset()
        return sound

    def _cut(self, parts: list[Waveform]) -> Waveform:
        sound = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        skipped = min(self._skip, len(sound))
        self._skip -= skipped
        return sound[skipped:]

    def _next(self, magnitude: NDArray[np.float32]) -> Waveform:
        self._magnitudes = np.concatenate([self._magnitudes, magnitude[None]])
        known = self._sound()
        start = len(self._spectra) * self.hop
        first = scipy.fft.rfft(known[start : start + self.vocoder.n_fft] * self.vocoder.window)
        # Where the sound so far says nothing of the phase, it is drawn.
        angle = self._rng.uniform(0, 2 * np.pi, len(magnitude)).astype(np.float32)
        first = first + _DRAWN * magnitude * np.exp(1j * angle)
        self._spectra = np.concatenate([self._spectra, _with_magnitude(first, magnitude)[None]])
        if len(self._magnitudes) <= self.look_ahead:
            return np.zeros(0, np.float32)
        self._iterate()
        return self._finalised()

    def _iterate(self) -> None:
        for _ in range(self.iterations):
            sound = self._sound()
            frames = np.lib.stride_tricks.sliding_window_view(sound, self.vocoder.n_fft)[:: self.hop]
            rebuilt = scipy.fft.rfft(frames[: len(self._magnitudes)] * self.vocoder.window, axis=1)
            self._spectra = _with_magnitude(rebuilt, self._magnitudes)

    def _sound(self) -> Waveform:
        """The sound from the oldest frame that is not final on, by all frames so far."""
        total = self._final.copy()
        for i, frame in enumerate(self._framed(self._spectra)):
            total[i * self.hop : i * self.hop + self.vocoder.n_fft] += frame
        return total / self.weight

    def _framed(self, spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
        framed: NDArray[np.float32] = scipy.fft.irfft(spectra, self.vocoder.n_fft, axis=1) * self.vocoder.window
        return framed

    def _finalised(self) -> Waveform:
        """Make the oldest frame final, and give the hop of sound that nothing will change any more."""
        self._final[: self.vocoder.n_fft] += self._framed(self._spectra[:1])[0]
        out = self._final[: self.hop] / self.weight[: self.hop]
        self._final = np.concatenate([self._final[self.hop :], np.zeros(self.hop, np.float32)])
        self._magnitudes, self._spectra = self._magnitudes[1:], self._spectra[1:]
        return out


def _with_magnitude(spectrum: NDArray[np.complex64], magnitude: NDArray[np.float32]) -> NDArray[np.complex64]:
    """The phases of a spectrum with another magnitude."""
    scaled: NDArray[np.complex64] = (spectrum * (magnitude / (np.abs(spectrum) + TINY))).astype(np.complex64)
    return scaled
