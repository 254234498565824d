"""Which frequencies a feature keeps: Butterworth filters and mains notches, as magnitude responses.

The closed form is that of the bilinear transform: with ``W = tan(pi f / rate)`` and the edges ``W1, W2``
mapped alike, a Butterworth band-pass of order ``N`` has ``|H|^2 = 1 / (1 + u^2N)`` with
``u = (W^2 - W1 W2) / (W (W2 - W1))``, the band-stop the same with ``1 / u``, the low-pass with
``u = W / W2``. Run forwards and backwards (``sosfiltfilt``) a filter multiplies each frequency by exactly
that real number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import Problem, raise_if_any

# The project's definition of filter support: until the impulse response stays below this part of its peak.
SUPPORT_LEVEL = 1e-3
# Mains harmonics are notched where the filter still lets through more than this part of them.
_PASSBAND_POWER = 1e-3

BandHz = tuple[float, float]


@dataclass(frozen=True)
class Passband:
    """A band-pass, or a low-pass where ``low_hz`` is 0, with the mains notches that it needs.

    ``end_hz``: everything ends there, for a signal that is then sampled at twice as much.
    """

    low_hz: float
    high_hz: float
    rate_hz: float
    order: int
    line_noise_hz: float
    notch_width_hz: float
    end_hz: float | None = None

    @property
    def narrowest_hz(self) -> float:
        """Width of the narrowest thing in the response, which rings longest."""
        return min(self.low_hz or self.high_hz, self.high_hz - self.low_hz, self.notch_width_hz)

    def notches_hz(self) -> list[BandHz]:
        """The notches: at the mains frequency and harmonics in the band or on its slopes."""
        if self.line_noise_hz == 0:
            return []
        half = self.notch_width_hz / 2
        harmonics = np.arange(1, int(self.rate_hz / 2 / self.line_noise_hz) + 1) * self.line_noise_hz
        harmonics = harmonics[harmonics + half < self.rate_hz / 2]
        kept = harmonics[self._power(harmonics) > _PASSBAND_POWER]
        return [(float(h) - half, float(h) + half) for h in kept]

    def zero_phase_response(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """What the filters, run forwards and backwards, multiply each frequency by (float64).

        Towards ``end_hz`` a cosine slope begins at the upper edge.
        """
        response = self._power(frequencies_hz)
        for notch in self.notches_hz():
            response = response * _band_stop_power(frequencies_hz, notch, self.rate_hz, self.order)
        if self.end_hz is not None:
            slope = np.clip((self.end_hz - frequencies_hz) / (self.end_hz - self.high_hz), 0, 1)
            response = response * (0.5 - 0.5 * np.cos(np.pi * slope))
        return response

    def _power(self, frequencies_hz: np.ndarray) -> np.ndarray:
        if self.low_hz == 0:
            return low_pass_power(frequencies_hz, self.high_hz, self.rate_hz, self.order)
        return band_pass_power(frequencies_hz, (self.low_hz, self.high_hz), self.rate_hz, self.order)


def refuse_above_nyquist(passbands: Sequence[Passband]) -> None:
    """Raise :class:`InputError` where a band does not fit below half of the rate."""
    raise_if_any(
        Problem(
            "config",
            "align.features",
            f"[{p.low_hz:g}, {p.high_hz:g}] Hz with a recording at {p.rate_hz:g} Hz",
            f"an upper edge below half of the rate, {p.rate_hz / 2:g} Hz",
            "lower the upper edge, use a recording of a higher rate, "
            "or set align.features: [{kind: given}] where the input already is a feature",
        )
        for p in passbands
        if p.high_hz >= p.rate_hz / 2
    )


def band_pass_power(frequencies_hz: np.ndarray, band: BandHz, rate_hz: float, order: int) -> np.ndarray:
    """``|H|^2`` of the Butterworth band-pass of ``order`` (float64)."""
    return _butterworth_power(*_detuning(frequencies_hz, band, rate_hz), order)


def low_pass_power(frequencies_hz: np.ndarray, cutoff_hz: float, rate_hz: float, order: int) -> np.ndarray:
    """``|H|^2`` of the Butterworth low-pass of ``order`` (float64)."""
    w, w_cutoff = np.tan(np.pi * frequencies_hz / rate_hz), np.tan(np.pi * cutoff_hz / rate_hz)
    return _butterworth_power(np.abs(w), w_cutoff, order)


def _band_stop_power(frequencies_hz: np.ndarray, band: BandHz, rate_hz: float, order: int) -> np.ndarray:
    return _butterworth_power(*_detuning(frequencies_hz, band, rate_hz)[::-1], order)


def _detuning(frequencies_hz: np.ndarray, band: BandHz, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of ``u``: 0 in the middle of the band, 1 at its edges."""
    w = np.tan(np.pi * frequencies_hz / rate_hz)
    w1, w2 = (np.tan(np.pi * edge_hz / rate_hz) for edge_hz in band)
    return np.abs(w**2 - w1 * w2), np.abs(w * (w2 - w1))


def _butterworth_power(numerator: np.ndarray, denominator: np.ndarray, order: int) -> np.ndarray:
    with np.errstate(divide="ignore", over="ignore"):
        return 1.0 / (1.0 + (numerator / denominator) ** (2 * order))


def settled_after(response: np.ndarray, level: float) -> int:
    """Samples after which the magnitude ``response`` ``(samples,)`` stays below ``level`` of its peak."""
    return int(np.flatnonzero(response >= level * response.max())[-1]) + 1


def framed(response: np.ndarray, taps: int) -> np.ndarray:
    """Sums of ``taps`` consecutive values: what a frame's mean makes of the magnitude of a response."""
    sums = np.concatenate([np.zeros(taps), np.cumsum(response)])
    return sums[taps:] - sums[:-taps]
