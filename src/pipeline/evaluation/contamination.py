"""Acoustic contamination: does sound leak into the recording?  (Roussel et al. 2020, J. Neural Eng.)

Raw signals in (neural (time, channel), audio (time,) or (time, 1)), before any re-referencing, since a
common average spreads leakage.  Power spectrograms of both at the neural rate (Hamming, 200 ms,
50 frames per second) are correlated over time, audio frequency × neural frequency, for each
channel; the matrix is the maximum over channels, the statistic its mean diagonal over the
band, and surrogates shuffle its columns.  P = (1 + #{surrogate ≥ statistic}) / (1 + surrogates), which
is never 0, unlike the plain share of the paper.  The result is ``suspect``, ``no evidence`` or
``not testable``, never "clean": a leak of sound that was modified after recording cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.config.contamination import ContaminationCheck
from pipeline.evaluation.chance import p_value
from pipeline.evaluation.types import Document, Values

WINDOW_S = 0.2
FRAME_RATE_HZ = 50.0
BLOCK_S = 20.0
MIN_FRAMES = 500
#: Level of a recording's result before the others are known; evaluate decides again by the config.
ALONE_ALPHA = 0.05
Result = Literal["suspect", "no evidence", "not testable"]


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
class Contamination:
    """Outcome for one session, which ``recording`` names.

    ``matrix`` is (audio frequency, neural frequency), maximum over channels, ``channel`` the
    one with the highest mean diagonal.  ``p_adjusted`` follows from all recordings
    (:func:`corrected`).
    """

    recording: str
    result: Result
    reason: str | None = None
    statistic: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    channel: int | None = None
    frequencies_hz: Values | None = None
    matrix: Values | None = None
    audio_modified: str = "none"

    def document(self) -> Document:
        """What eval.json says of it (the matrix is in its artifact and in the report)."""
        keys = ("recording", "result", "reason", "statistic", "p", "p_adjusted", "channel", "audio_modified")
        return {key: getattr(self, key) for key in keys}


def check_contamination(
    trials: Sequence[SignalPair],
    neural_rate_hz: float,
    audio_rate_hz: float,
    config: ContaminationCheck,
    *,
    recording: str,
    is_raw: bool = True,
    audio_modified: str = "none",
) -> Contamination:
    """Check the trials of one session together; memory does not grow with a trial's length.

    ``audio_modified`` is the sheet's ``none | pitch_shifted | unknown``: of modified sound nothing can be said; of
    unknown sound only a finding counts.  Of features (not ``is_raw``) nothing can be said either.
    """
    reason = why_not(neural_rate_hz, config, is_raw, audio_modified)
    if reason:
        return Contamination(recording, "not testable", reason, audio_modified=audio_modified)
    sums = CorrelationSums()
    for trial in trials:
        for neural_power, audio_power in power_blocks(trial, audio_rate_hz, neural_rate_hz, config):
            sums.add(neural_power, audio_power)
    if sums.frames < MIN_FRAMES:
        reason = f"{sums.frames / FRAME_RATE_HZ:.1f} s of sound, {MIN_FRAMES / FRAME_RATE_HZ:.0f} s needed"
        return Contamination(recording, "not testable", reason, audio_modified=audio_modified)
    by_channel = sums.correlation()
    if not np.isfinite(by_channel).any():
        return Contamination(recording, "not testable", "a signal is constant", audio_modified=audio_modified)
    matrix = np.nanmax(np.where(np.isfinite(by_channel), by_channel, -1.0), axis=0)
    diagonals = np.nan_to_num(np.diagonal(by_channel, axis1=1, axis2=2), nan=-1.0).mean(axis=1)
    statistic, p = shuffle_test(matrix, config.surrogates, np.random.default_rng(config.seed))
    found = Contamination(
        recording=recording,
        result="no evidence",
        statistic=statistic,
        p=p,
        channel=int(diagonals.argmax()),
        frequencies_hz=band_frequencies(neural_rate_hz, config.band_hz),
        matrix=matrix,
        audio_modified=audio_modified,
    )
    return corrected([found], ALONE_ALPHA)[0]


def why_not(rate_hz: float, config: ContaminationCheck, is_raw: bool, audio_modified: str) -> str | None:
    """What makes a recording untestable before any sample is read."""
    if not is_raw:
        return "the neural data already are features (align.features: given): a leak would lie in the raw signals"
    if audio_modified == "pitch_shifted":
        return "the sound was pitch-shifted after recording: a leak of the original voice would not show"
    if rate_hz / 2 < config.band_hz[1]:
        return f"neural data at {rate_hz:g} Hz hold no signal up to {config.band_hz[1]:g} Hz (features only?)"
    if len(band_frequencies(rate_hz, config.band_hz)) < 5:
        return f"fewer than 5 frequencies lie in {config.band_hz[0]:g}–{config.band_hz[1]:g} Hz"
    return None


def shuffle_test(matrix: Values, surrogates: int, rng: np.random.Generator) -> tuple[float, float]:
    """Mean diagonal, and P of it among column shuffles: the order in place counts as one of them."""
    size = len(matrix)
    orders = rng.permuted(np.tile(np.arange(size), (surrogates, 1)), axis=1)
    null = matrix[np.arange(size), orders].mean(axis=1)
    statistic = float(np.diagonal(matrix).mean())
    return statistic, p_value(np.concatenate([[statistic], null]))


def corrected(found: Sequence[Contamination], alpha: float) -> list[Contamination]:
    """Set ``p_adjusted`` (Benjamini & Hochberg 1995 over the tested recordings) and the result."""
    tested = [c.p for c in found if c.p is not None]
    adjusted = iter(benjamini_hochberg(np.array(tested)))
    return [c if c.p is None else decided(c, float(next(adjusted)), alpha) for c in found]


def decided(found: Contamination, p_adjusted: float, alpha: float) -> Contamination:
    """Result from the corrected P; without evidence, sound of unknown history stays untestable."""
    if p_adjusted < alpha:
        return replace(found, p_adjusted=p_adjusted, result="suspect", reason=None)
    if found.audio_modified == "unknown":
        reason = "no evidence, but the sound may have been modified after recording"
        return replace(found, p_adjusted=p_adjusted, result="not testable", reason=reason)
    return replace(found, p_adjusted=p_adjusted, result="no evidence", reason=None)


def benjamini_hochberg(p: Values) -> Values:
    """Adjusted P values: the smallest false discovery rate at which each would be rejected."""
    order = np.argsort(p)[::-1]
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1)
    return adjusted


def window_samples(rate_hz: float) -> int:
    """Samples of the 200 ms window."""
    return round(WINDOW_S * rate_hz)


def band_frequencies(rate_hz: float, band_hz: tuple[float, float]) -> Values:
    """Centre frequencies of the spectrogram's bins inside the band [Hz]."""
    window = window_samples(rate_hz)
    bins = np.arange(window // 2 + 1) * rate_hz / window
    return np.asarray(bins[(bins >= band_hz[0]) & (bins <= band_hz[1])])


def resampled_audio(audio: Signal, audio_rate_hz: float, rate_hz: float) -> NDArray[np.float32]:
    """Mono audio at the neural rate, read a block at a time."""
    stream = soxr.ResampleStream(audio_rate_hz, rate_hz, 1, dtype="float32")
    step = int(BLOCK_S * audio_rate_hz)
    total = audio.shape[0]
    blocks = []
    for start in range(0, total, step):
        block = np.asarray(audio[start : start + step], dtype=np.float32).reshape(min(step, total - start), -1)
        blocks.append(stream.resample_chunk(np.ascontiguousarray(block[:, 0]), last=start + step >= total))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def power_blocks(
    trial: SignalPair, audio_rate_hz: float, rate_hz: float, config: ContaminationCheck
) -> Iterator[tuple[Values, Values]]:
    """Powers of the same moments: neural (frames, channels, frequencies), audio (frames, frequencies)."""
    neural, audio = trial.neural, resampled_audio(trial.audio, audio_rate_hz, rate_hz)
    window = window_samples(rate_hz)
    frequencies = band_frequencies(rate_hz, config.band_hz)
    phase = 2 * np.pi * np.outer(np.arange(window) / rate_hz, frequencies)
    taper = np.hamming(window)[:, None]
    basis = np.concatenate([taper * np.cos(phase), taper * np.sin(phase)], axis=1).astype(np.float32)
    offset_s, stretch = trial.audio_offset_s, 1 + trial.audio_drift_ppm * 1e-6
    frames = int((neural.shape[0] - window) / rate_hz * FRAME_RATE_HZ) + 1
    starts = np.rint(np.arange(max(frames, 0)) * rate_hz / FRAME_RATE_HZ).astype(np.intp)
    audio_starts = np.rint((starts - offset_s * rate_hz) / stretch).astype(np.intp)
    inside = (audio_starts >= 0) & (audio_starts + window <= len(audio))
    starts, audio_starts = starts[inside], audio_starts[inside]
    step = int(BLOCK_S * FRAME_RATE_HZ)
    for first in range(0, len(starts), step):
        at, audio_at = starts[first : first + step], audio_starts[first : first + step]
        stretch_of = np.asarray(neural[int(at[0]) : int(at[-1]) + window], dtype=np.float32)
        yield powers(stretch_of, at - at[0], basis), powers(audio[:, None], audio_at, basis)[:, 0]


def powers(signal: NDArray[np.float32], starts: NDArray[np.intp], basis: NDArray[np.float32]) -> Values:
    """Spectral power at each start, (frames, channels, frequencies), as one product with the basis.

    Only the band's frequencies are needed, which makes the product cheaper than an FFT.
    """
    window, columns = basis.shape
    out = np.empty((len(starts), signal.shape[1], columns // 2))
    for channel in range(signal.shape[1]):
        series = signal[int(starts[0]) : int(starts[-1]) + window, channel]
        frames = np.lib.stride_tricks.sliding_window_view(series - series.mean(), window)[starts - starts[0]]
        spectrum = frames @ basis
        out[:, channel] = spectrum[:, : columns // 2] ** 2 + spectrum[:, columns // 2 :] ** 2
    return out


class CorrelationSums:
    """Running sums from which the correlation of every audio and neural frequency follows."""

    def __init__(self) -> None:
        self.frames = 0

    def add(self, neural: Values, audio: Values) -> None:
        """Take a block: neural (frames, channels, frequencies), audio (frames, frequencies)."""
        if not self.frames:  # sums around the first block's mean keep their digits
            self.neural_centre, self.audio_centre = neural.mean(axis=0), audio.mean(axis=0)
            self.sums: list[Any] = [0.0] * 5
        n, a = neural - self.neural_centre, audio - self.audio_centre
        cross = np.einsum("tf,tcg->cfg", a, n, optimize=True)
        block = (n.sum(axis=0), (n * n).sum(axis=0), a.sum(axis=0), (a * a).sum(axis=0), cross)
        self.sums = [total + part for total, part in zip(self.sums, block, strict=True)]
        self.frames += len(audio)

    def correlation(self) -> Values:
        """(channels, audio frequency, neural frequency); NaN where a power is constant."""
        n, nn, a, aa, na = (total / self.frames for total in self.sums)
        neural_std = np.sqrt(np.maximum(nn - n * n, 0))[:, None, :]
        audio_std = np.sqrt(np.maximum(aa - a * a, 0))[None, :, None]
        scale = neural_std * audio_std
        covariance = na - a[None, :, None] * n[:, None, :]
        r = np.full(covariance.shape, np.nan)
        return np.divide(covariance, scale, out=r, where=scale > 0)
