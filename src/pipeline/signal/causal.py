"""Causal features: forward filters with their state carried along, nothing from the future.

Same inputs and outputs as :mod:`pipeline.signal.zero_phase`. A frame at time ``t``
depends on samples up to ``t`` only, to the bit.

The envelope is the magnitude of two all-pass filtered copies of the band that stand in quadrature
(a causal stand-in for the analytic signal), averaged over the past frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from pipeline.signal.bands import SUPPORT_LEVEL, Passband, framed, settled_after
from pipeline.signal.blocks import Reader
from pipeline.signal.framing import FrameStream, Framing

_BLOCK_SAMPLES = 8192

# O. Niemitalo's pair of all-pass chains, 90 degrees +- 0.7 apart from 0.001 to 0.499 of the rate
# (yehar.com/blog/?p=368); each section is (c - z^-2) / (1 - c z^-2), c the square of these.
_LEADING = (0.4021921162426, 0.8561710882420, 0.9722909545651, 0.9952884791278)
_LAGGING = (0.6923878, 0.9360654322959, 0.9882295226860, 0.9987488452737)


@dataclass
class _Chain:
    """A cascade of biquads over ``(samples, channels)``, its state kept between blocks."""

    sos: np.ndarray
    state: np.ndarray | None = None

    def start_at(self, sample: np.ndarray) -> None:
        """Begin as if ``sample`` ``(channels,)`` had always been there."""
        self.state = signal.sosfilt_zi(self.sos)[:, :, None] * sample

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        out, self.state = signal.sosfilt(self.sos, samples, axis=0, zi=self.state)
        return out


@dataclass
class _BandFilter:
    """One band: the filter, and for envelopes the pair in quadrature."""

    band: _Chain
    quadrature: tuple[_Chain, ...]

    def start_at(self, sample: np.ndarray) -> None:
        self.band.start_at(sample)
        for chain in self.quadrature:
            chain.start_at(np.zeros_like(sample))  # which is what a band-pass makes of a constant

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        filtered = self.band(samples)
        if not self.quadrature:
            return filtered
        leading, lagging = (chain(filtered) for chain in self.quadrature)
        return np.hypot(leading, lagging)


class CausalFrames:
    """Frames of each band's envelope, else of its signal, as samples come in; however these are cut, the same.

    ``times_s`` is that of :class:`~pipeline.signal.framing.FrameStream`.
    """

    def __init__(
        self,
        passbands: Sequence[Passband],
        framing: Framing,
        times_s: Callable[[int, int], np.ndarray],
        *,
        envelope: bool,
    ) -> None:
        self.filters = [_band_filter(band, envelope) for band in passbands]
        self.frames = FrameStream(framing, times_s)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The frames ``(frames, bands * channels)`` float32 that ``samples`` ``(samples, channels)`` complete."""
        samples = np.asarray(samples, np.float64)
        if self.frames.n_samples == 0 and len(samples):
            for band in self.filters:
                band.start_at(samples[0])
        return self.frames.push(np.concatenate([band(samples) for band in self.filters], axis=1, dtype=np.float32))


def causal_frames(
    read: Reader,
    passbands: Sequence[Passband],
    framing: Framing,
    frame_times_s: np.ndarray,
    *,
    envelope: bool,
    block_samples: int = _BLOCK_SAMPLES,
) -> Iterator[tuple[int, np.ndarray]]:
    """The frames at these times of a recording, ``(start, (frames, bands * channels))``.

    Every ``block_samples`` gives the same.
    """
    stream = CausalFrames(passbands, framing, lambda a, b: frame_times_s[a:b], envelope=envelope)
    last_samples = framing.first_samples(frame_times_s) + framing.taps - 1
    end = int(last_samples[-1]) + 1 if len(frame_times_s) else 0
    done = 0
    for start in range(0, end, block_samples):
        block = stream.push(read(start, min(start + block_samples, end)))
        if len(block):
            yield done, block
        done += len(block)


def causal_support_s(passbands: Sequence[Passband], framing: Framing, *, envelope: bool) -> float:
    """How far a frame depends on the past: until its response to an impulse stays below 1e-3 of its peak [s]."""
    longest = 0
    for band in passbands:
        impulse = np.zeros((int(band.rate_hz * max(8.0, 64.0 / band.narrowest_hz)), 1))
        impulse[0] = 1.0
        filtered = _band_filter(band, envelope)
        filtered.start_at(np.zeros(1))
        response = framed(np.abs(filtered(impulse)[:, 0]), framing.taps)
        longest = max(longest, settled_after(response, SUPPORT_LEVEL))
    return longest / framing.rate_hz


def _band_filter(band: Passband, envelope: bool) -> _BandFilter:
    parts = [_butterworth(band)]
    parts += [
        signal.butter(band.order, notch, "bandstop", fs=band.rate_hz, output="sos") for notch in band.notches_hz()
    ]
    if band.end_hz is not None and 2 * band.end_hz < band.rate_hz:
        parts.append(signal.cheby2(8, 60, band.end_hz, fs=band.rate_hz, output="sos"))
    pair = (_all_pass(_LEADING), _all_pass(_LAGGING, delay=True)) if envelope else ()
    return _BandFilter(_Chain(np.concatenate(parts)), pair)


def _butterworth(band: Passband) -> np.ndarray:
    if band.low_hz == 0:
        return np.asarray(signal.butter(band.order, band.high_hz, "lowpass", fs=band.rate_hz, output="sos"))
    return np.asarray(signal.butter(band.order, (band.low_hz, band.high_hz), "bandpass", fs=band.rate_hz, output="sos"))


def _all_pass(coefficients: tuple[float, ...], delay: bool = False) -> _Chain:
    rows = [[c**2, 0.0, -1.0, 1.0, 0.0, -(c**2)] for c in coefficients]
    if delay:
        rows.append([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    return _Chain(np.array(rows))
