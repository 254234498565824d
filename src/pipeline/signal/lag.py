"""The lag between the signals of brain and sound.

The lag between feature energy and sound envelope is estimated by cross-correlation, with a confidence; it is
reported and never applied, since a lag is physiology or a clock error and the data alone cannot say which.

Sign of every lag: positive = the brain precedes the sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from pipeline.signal.blocks import Reader, read_mirrored
from pipeline.signal.framing import mean_frames
from pipeline.signal.resample import as_float32

# Changes slower than this many times the largest lag say nothing about the lag and are taken out.
_SLOWEST_IN_LAGS = 8.0
_FEWEST_SURROGATES = 19
_FEWEST_SEGMENTS = 5
_FRAMES_AT_ONCE = 4096
# A segment's lag supports the drift line when it lies within this distance of it.
_ON_LINE_S = 0.05


@dataclass(frozen=True)
class LagEstimate:
    """Lag between brain and sound, and the drift that their declared clocks leave.

    Attributes:
        lag_s: time by which the brain precedes the sound; None where it cannot be estimated.
        correlation: cross-correlation at that lag (negative: energy falls with sound).
        confidence: 0...1, how far the peak stands above the highest of unrelated shifts,
            ``1 - highest / peak``; 0 where it does not.
        p_value: share of unrelated shifts with as high a peak, ``(1 + #{peak* >= peak}) / (1 + R)``.
        drift_ppm: what to add to ``audio_drift_ppm``; None where the lag or the line through its pieces is uncertain.
        drift_se_ppm: its standard error.
        reason: why there is no lag or no drift; empty where there are both.
    """

    lag_s: float | None
    correlation: float | None
    confidence: float
    p_value: float | None
    drift_ppm: float | None
    drift_se_ppm: float | None
    reason: str


def feature_energy(read: Reader, n_frames: int) -> np.ndarray:
    """Mean over channels of the z-scored features, ``(frames,)`` float32.

    ``read`` gives ``(frames, channels)``; it is called twice for each block of a few thousand frames.
    """
    if n_frames == 0:
        return np.zeros(0, np.float32)
    spans = [(a, min(a + _FRAMES_AT_ONCE, n_frames)) for a in range(0, n_frames, _FRAMES_AT_ONCE)]
    moments = [(x.sum(axis=0, dtype=np.float64), _power(x)) for x in (read(a, b) for a, b in spans)]
    mean, power = (sum(parts) / n_frames for parts in zip(*moments, strict=True))
    spread = np.sqrt(np.maximum(power - mean**2, 0))
    varies = spread > 1e-6 * np.abs(mean)
    weights = np.divide(1.0, spread * max(varies.sum(), 1), out=np.zeros(len(mean)), where=varies)
    return np.concatenate([read(a, b) @ weights.astype(np.float32) for a, b in spans]) - np.float32(mean @ weights)


def _power(features: np.ndarray) -> np.ndarray:
    return np.einsum("tc,tc->c", features, features, dtype=np.float64)


def sound_envelope(
    read: Reader, n_samples: int, rate_hz: float, times_s: np.ndarray, length_s: float = 0.05
) -> np.ndarray:
    """Mean absolute sound over ``length_s`` around each of the increasing times, ``(frames,)`` float32.

    ``read`` gives ``(samples,)``, int16 or float; beyond its ends the sound is mirrored.
    """
    framing = mean_frames(rate_hz, length_s)
    first = framing.first_samples(times_s)
    out = np.empty(len(times_s), np.float32)
    for a in range(0, len(times_s), 1024):
        b = min(a + 1024, len(times_s))
        start, stop = int(first[a]), int(first[b - 1]) + framing.taps
        rectified = np.abs(as_float32(read_mirrored(read, start, stop, n_samples)))
        sums = np.concatenate([[0.0], np.cumsum(rectified, dtype=np.float64)])
        own = first[a:b] - start
        out[a:b] = (sums[own + framing.taps] - sums[own]) / framing.taps
    return out


def neural_audio_lag(
    feature_energy: np.ndarray,
    envelope: np.ndarray,
    rate_hz: float,
    max_lag_s: float,
    segment_s: float = 30.0,
    times_s: np.ndarray | None = None,
    drift_unknown: str = "",
) -> LagEstimate:
    """Lag and residual drift from two series on the same frames.

    The cross-correlation at every circular shift is computed at once. Its highest magnitude within
    ``max_lag_s`` of shift 0 is compared with that within ``max_lag_s`` of shifts farther away, where the
    two are unrelated but as smooth as they are. Drift is a Theil-Sen line through the lags of segments.

    Args:
        feature_energy: ``(frames,)``.
        envelope: ``(frames,)``.
        rate_hz: frames per second.
        max_lag_s: largest lag looked for.
        segment_s: length of a segment, shortened where there would be fewer than five.
        times_s: when in the session each frame was, ``(frames,)``, where the frames are those of several trials
            laid end to end; None: they follow one another.
        drift_unknown: why no drift can be known, if so.
    """
    if feature_energy.shape != envelope.shape or feature_energy.ndim != 1:
        raise ValueError(f"series of shapes {feature_energy.shape} and {envelope.shape}, expected one length")
    max_lag = round(max_lag_s * rate_hz)
    windows = (len(envelope) - 2 * max_lag - 1) // (2 * max_lag + 1)
    if max_lag < 1 or windows < _FEWEST_SURROGATES:
        return _no_lag(f"shorter than {(_FEWEST_SURROGATES + 1) * 2 * max_lag_s:g} s")
    brain, sound = (_fast_part(series, max_lag) for series in (feature_energy, envelope))
    if not (brain.any() and sound.any()):
        return _no_lag("one of the two is constant")
    correlation = _circular_correlation(brain, sound)
    near = np.concatenate([correlation[-max_lag:], correlation[: max_lag + 1]])
    far = np.abs(correlation[max_lag + 1 :][: windows * (2 * max_lag + 1)]).reshape(windows, -1).max(axis=1)
    lag, height = _peak(near)
    p_value = (1 + int((far >= abs(height)).sum())) / (1 + windows)
    confidence = max(0.0, 1.0 - float(far.max()) / abs(height))
    lag_s = (lag - max_lag) / rate_hz
    drift, error, reason = (None, None, "the lag is not above chance")
    if confidence > 0 and drift_unknown:
        reason = drift_unknown
    elif confidence > 0:
        drift, error, reason = _drift_ppm(brain, sound, rate_hz, max_lag_s, segment_s, times_s)
    return LagEstimate(lag_s, height, confidence, p_value, drift, error, reason)


def _no_lag(reason: str) -> LagEstimate:
    return LagEstimate(None, None, 0.0, None, None, None, reason)


def _fast_part(series: np.ndarray, max_lag: int) -> np.ndarray:
    """The series with unit norm, without changes slower than a few lags (zero where it is constant)."""
    width = int(_SLOWEST_IN_LAGS * max_lag) | 1
    padded = np.pad(series.astype(np.float64), width // 2, mode="reflect")
    sums = np.cumsum(np.concatenate([[0.0], padded]))
    fast = series - (sums[width:] - sums[:-width]) / width
    norm = float(np.linalg.norm(fast))
    return fast / norm if norm > 1e-9 * np.linalg.norm(series) else np.zeros(len(series))


def _circular_correlation(brain: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """``sum_t brain[t] sound[t + lag]`` at every circular lag."""
    n = len(brain)
    return fft.irfft(np.conj(fft.rfft(brain)) * fft.rfft(sound), n)


def _peak(correlation: np.ndarray) -> tuple[float, float]:
    """Place (between samples, by a parabola) and signed height of the largest magnitude."""
    at = int(np.argmax(np.abs(correlation)))
    height = float(correlation[at])
    if not 0 < at < len(correlation) - 1:
        return float(at), height
    before, after = correlation[at - 1], correlation[at + 1]
    bend = before - 2 * height + after
    return at + (0.5 * float((before - after) / bend) if bend else 0.0), height


def _drift_ppm(
    brain: np.ndarray,
    sound: np.ndarray,
    rate_hz: float,
    max_lag_s: float,
    segment_s: float,
    frame_times_s: np.ndarray | None,
) -> tuple[float | None, float | None, str]:
    """Residual drift, its standard error, and the reason where there is none.

    With the audio clock declared too slow by ``d``, sound at time ``T`` is compared with brain activity at
    ``T (1 + d)``: the lag falls by ``d`` a second.
    """
    length = int(min(segment_s * rate_hz, len(brain) / _FEWEST_SEGMENTS))
    n_segments = len(brain) // length
    max_lag = round(max_lag_s * rate_hz)
    lags_s = np.array([_segment_lag(brain, sound, i * length, length, max_lag) for i in range(n_segments)]) / rate_hz
    times_s = (np.arange(n_segments) + 0.5) * length / rate_hz
    if frame_times_s is not None:
        times_s = frame_times_s[: n_segments * length].reshape(n_segments, length).mean(axis=1)
    slope, residuals_s = _theil_sen(times_s, lags_s)
    on_line = np.abs(residuals_s) < _ON_LINE_S
    if on_line.mean() < 0.5 or on_line.sum() < _FEWEST_SEGMENTS:
        return None, None, "the segments' lags lie on no line"
    spread = times_s[on_line] - times_s[on_line].mean()
    error = residuals_s[on_line].std(ddof=2) / np.sqrt((spread**2).sum())
    return -1e6 * slope, 1e6 * float(error), ""


def _segment_lag(brain: np.ndarray, sound: np.ndarray, start: int, length: int, max_lag: int) -> float:
    """Lag in frames of one segment of the brain against all of the sound around it."""
    piece = brain[start : start + length]
    around = np.zeros(length + 2 * max_lag)
    a, b = max(0, start - max_lag), min(len(sound), start + length + max_lag)
    around[a - start + max_lag : b - start + max_lag] = sound[a:b]
    size = fft.next_fast_len(len(around) + length, real=True)
    correlation = fft.irfft(np.conj(fft.rfft(piece, size)) * fft.rfft(around, size), size)[: 2 * max_lag + 1]
    return _peak(correlation)[0] - max_lag


def _theil_sen(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Median slope of all pairs, and residuals about the line through the median."""
    i, j = np.triu_indices(len(x), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))
    rest = y - slope * x
    return slope, rest - np.median(rest)
