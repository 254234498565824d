"""Which frequencies a feature keeps: Butterworth band-pass and mains notches, as magnitude responses.

The closed form is that of the bilinear transform: with ``W = tan(pi f / rate)`` and the edges ``W1, W2``
mapped alike, a Butterworth band-pass of order ``N`` has ``|H|^2 = 1 / (1 + u^2N)`` with
``u = (W^2 - W1 W2) / (W (W2 - W1))``, and the band-stop the same with ``1 / u``. Run forwards and
backwards (``sosfiltfilt``) a filter multiplies each frequency by exactly that real number.
"""

from __future__ import annotations

import numpy as np

from pipeline.config.align import AlignConfig
from pipeline.errors import Problem, raise_if_any

# The project's definition of filter support: until the impulse response stays below this part of its peak.
SUPPORT_LEVEL = 1e-3
# Mains harmonics are notched where the band-pass still lets through more than this part of them.
_PASSBAND_POWER = 1e-3

BandHz = tuple[float, float]


def kept_bands_hz(config: AlignConfig, rate_hz: float) -> list[BandHz]:
    """The bands that the configured feature keeps; none for ``features: none``.

    Raises:
        InputError: a band does not fit below half of ``rate_hz``, or ``features: none`` is missing for
            input that is too slow for any band.
    """
    if config.features == "none":
        return []
    raw = config.features == "raw"
    bands = [config.raw_band_hz] if raw else list(config.bands)
    field = "align.raw_high_hz" if raw else "align.bands"
    raise_if_any(
        Problem(
            "config",
            field,
            f"[{low_hz:g}, {high_hz:g}] Hz with a recording at {rate_hz:g} Hz",
            f"an upper edge below half of the rate, {rate_hz / 2:g} Hz",
            f"lower the upper edge in {field}, use a recording of a higher rate, "
            "or set align.features: none where the input already is a feature",
        )
        for low_hz, high_hz in bands
        if high_hz >= rate_hz / 2
    )
    return bands


def notches_hz(band: BandHz, rate_hz: float, config: AlignConfig) -> list[BandHz]:
    """The notches that a band needs: at the mains frequency and harmonics in it or on its slopes."""
    if config.line_noise_hz == 0:
        return []
    half = config.notch_width_hz / 2
    harmonics = np.arange(1, int(rate_hz / 2 / config.line_noise_hz) + 1) * config.line_noise_hz
    harmonics = harmonics[harmonics + half < rate_hz / 2]
    in_passband = band_pass_power(harmonics, band, rate_hz, config.filter_order) > _PASSBAND_POWER
    return [(float(h) - half, float(h) + half) for h in harmonics[in_passband]]


def zero_phase_response(frequencies_hz: np.ndarray, band: BandHz, rate_hz: float, config: AlignConfig) -> np.ndarray:
    """What band-pass and notches, run forwards and backwards, multiply each frequency by (float64).

    For ``features: raw`` a cosine slope also ends everything at half of the feature rate.
    """
    order = config.filter_order
    response = band_pass_power(frequencies_hz, band, rate_hz, order)
    for notch in notches_hz(band, rate_hz, config):
        response = response * _band_stop_power(frequencies_hz, notch, rate_hz, order)
    if config.features == "raw":
        nyquist_hz = config.feature_rate_hz / 2
        slope = np.clip((nyquist_hz - frequencies_hz) / (nyquist_hz - band[1]), 0, 1)
        response = response * (0.5 - 0.5 * np.cos(np.pi * slope))
    return response


def band_pass_power(frequencies_hz: np.ndarray, band: BandHz, rate_hz: float, order: int) -> np.ndarray:
    """``|H|^2`` of the Butterworth band-pass of ``order`` (float64)."""
    return _butterworth_power(*_detuning(frequencies_hz, band, rate_hz), order)


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
