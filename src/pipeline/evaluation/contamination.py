"""Acoustic contamination: does sound leak into the recording?  (after Roussel et al. 2020, J. Neural Eng.)

Raw signals in (neural (time, channel), audio (time,) or (time, 1)), before any re-referencing, since a
common average spreads leakage.  Power spectrograms of both at the neural rate (Hamming, 200 ms,
50 frames per second) are correlated over time, audio frequency × neural frequency, for each channel, and for each
lag up to half a second, since sound that went through a device comes late.  Frequencies within the main lobe of a
harmonic of the mains are left out: a hum that both signals hold is no leak of sound.  A neural power counts as its
share of the frame's power in the band, so that high gamma that follows loudness as a whole is none either.

The statistic is the highest mean diagonal of any channel, above the mean of its matrix: once at lag 0, where sound that
went through no device lies, and once over all lags, whose search alone would hide weak leaks.  Surrogates shuffle the
columns of all matrices alike and search the same channels and lags; of both statistics the smaller P counts, in
surrogates too.  P = (1 + #{surrogate ≥ statistic}) / (1 + surrogates), which is never 0, unlike the plain share of the
paper.  The result is ``suspect``, ``no evidence`` or ``not testable``, never "clean": a leak of sound that was modified
after recording cannot be seen, nor one that is too weak.  How weak follows from leaks that are added to single channels
of the same recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.config.contamination import ContaminationCheck
from pipeline.evaluation.chance import ROUND_OFF, p_value
from pipeline.evaluation.types import Document, Values

WINDOW_S = 0.2
FRAME_RATE_HZ = 50.0
BLOCK_S = 20.0
MIN_FRAMES = 500
LAGS = np.arange(-25, 26)
"""Lags that are searched [frames], half a second to either side; at a negative one the brain's recording is later."""
LAG_0 = len(LAGS) // 2
MIN_FREQUENCIES = 5
MIN_VARIANCE, MIN_STD = 0.02, 1e-6
"""Of a direction that is whitened, relative to white noise, and of a share of power that varies."""
LEAKS_DB = (-10.0, -15.0, -20.0, -25.0, -30.0, -35.0, -40.0)
"""Leaks that are added to single channels: power of the sound over the background of the channel, in the band."""
PROBES = 3
"""Channels that leaks are added to, evenly spaced."""
LEVEL_S, LEVEL_PARTS = 2.0, 30
"""Background and sound are measured on so many stretches of this length."""
#: Level of a recording's result before the others are known; evaluate decides again by the config.
ALONE_ALPHA = 0.05
Result = Literal["suspect", "no evidence", "not testable"]


Frames = NDArray[np.float32]
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
class Contamination:
    """Outcome for one session, which ``recording`` names.

    ``matrix`` is (audio frequency, neural frequency) of ``channel`` at ``lag_s``, the ones with the highest mean
    diagonal; positive: the sound in the brain's recording is later.  ``p_adjusted`` follows from all recordings
    (:func:`corrected`).  ``detectable_db`` is the weakest leak that was found, like all stronger ones, in
    each of some channels that it was added to; None where not even the strongest was.
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
    lag_s: float | None = None
    detectable_db: float | None = None

    def document(self) -> Document:
        """What eval.json says of it (the matrix is in its artifact and in the report)."""
        values = {key: value for key, value in vars(self).items() if key not in ("frequencies_hz", "matrix")}
        return values | {"limit": self.limit()}

    def limit(self) -> str | None:
        """What a claim must say of the check; None where nothing speaks against it."""
        if self.result == "suspect":
            found = f"P = {self.p_adjusted:.2g}, channel {self.channel} at {self.lag_s:+.2f} s"
            return f"sound may have leaked into {self.recording} ({found}): what is decoded may be the sound itself"
        if self.result == "not testable":
            return f"whether sound leaked into {self.recording} could not be tested: {self.reason}"
        if self.detectable_db is None:
            return f"no leak of sound was found in {self.recording}, but none of {LEAKS_DB[0]:g} dB would have been"
        return None


def check_contamination(
    trials: Sequence[SignalPair],
    neural_rate_hz: float,
    audio_rate_hz: float,
    config: ContaminationCheck,
    *,
    recording: str,
    line_noise_hz: float = 0.0,
    is_raw: bool = True,
    audio_modified: str = "none",
) -> Contamination:
    """Check the trials of one session together; memory does not grow with a trial's length.

    ``line_noise_hz`` is the frequency of the mains, 0 for none.  ``audio_modified`` is the sheet's ``none |
    pitch_shifted | unknown``: of modified sound nothing can be said; of
    unknown sound only a finding counts.  Of features (not ``is_raw``) nothing can be said either.
    """
    frequencies_hz = band_frequencies(neural_rate_hz, config.band_hz, line_noise_hz)
    reason = why_not(neural_rate_hz, config, frequencies_hz, is_raw, audio_modified)
    if reason:
        return Contamination(recording, "not testable", reason, audio_modified=audio_modified)
    spectra = Spectra(neural_rate_hz, frequencies_hz)
    sounds = [resampled_audio(trial.audio, audio_rate_hz, neural_rate_hz) for trial in trials]
    n_channels = trials[0].neural.shape[1]
    probes = np.unique(np.linspace(0, n_channels - 1, PROBES + 2)[1:-1].round().astype(int))
    gains = leak_gains(trials, sounds, spectra, probes)
    sums = LaggedSums()
    for trial, sound in zip(trials, sounds, strict=True):
        for neural, audio, known in spectra.blocks(trial, sound, probes, gains):
            sums.add(neural, audio, known)
    if sums.frames < MIN_FRAMES:
        reason = f"{sums.frames / FRAME_RATE_HZ:.1f} s of sound, {MIN_FRAMES / FRAME_RATE_HZ:.0f} s needed"
        return Contamination(recording, "not testable", reason, audio_modified=audio_modified)
    r = sums.correlation()
    own = r[:n_channels]
    if not own.any():
        return Contamination(recording, "not testable", "a signal is constant", audio_modified=audio_modified)
    shuffles = column_shuffles(len(frequencies_hz), config.surrogates, np.random.default_rng(config.seed))
    white = whitening(frequencies_hz, neural_rate_hz)
    searched = np.array([of_searches(mean_diagonals(of_channel @ white, shuffles)) for of_channel in r])
    p, search = best_search(searched[:n_channels].max(axis=0))
    channel = int(searched[:n_channels, search, 0].argmax())
    lags = mean_diagonals(own[channel] @ white, shuffles[:1])
    lag = (LAG_0, int(lags.argmax()))[search]
    with_leak = searched[n_channels:].reshape(len(LEAKS_DB), len(probes), *searched.shape[1:])[:, gains[0] > 0]
    found = Contamination(
        recording=recording,
        result="no evidence",
        statistic=float(lags[lag, 0]),
        p=p,
        channel=channel,
        lag_s=float(-LAGS[lag] / FRAME_RATE_HZ),
        detectable_db=detectable_db(searched[:n_channels], with_leak),
        frequencies_hz=frequencies_hz,
        matrix=own[channel, lag],
        audio_modified=audio_modified,
    )
    return corrected([found], ALONE_ALPHA)[0]


def why_not(
    rate_hz: float, config: ContaminationCheck, frequencies_hz: Values, is_raw: bool, audio_modified: str
) -> str | None:
    """What makes a recording untestable before any sample is read."""
    low, high = config.band_hz
    if not is_raw:
        return "the neural data already are features (align.features: given): a leak would lie in the raw signals"
    if audio_modified == "pitch_shifted":
        return "the sound was pitch-shifted after recording: a leak of the original voice would not show"
    if rate_hz / 2 < high:
        return f"neural data at {rate_hz:g} Hz hold no signal up to {high:g} Hz (features only?)"
    if len(frequencies_hz) < MIN_FREQUENCIES:
        return f"fewer than {MIN_FREQUENCIES} frequencies lie in {low:g}–{high:g} Hz, those of the mains left out"
    return None


def column_shuffles(size: int, surrogates: int, rng: np.random.Generator) -> Frames:
    """(1 + surrogates, size²): weights of a matrix that give its mean diagonal, in place and with shuffled columns."""
    orders = rng.permuted(np.tile(np.arange(size), (surrogates, 1)), axis=1)
    orders = np.concatenate([np.arange(size)[None], orders])
    weights = np.zeros((len(orders), size, size), np.float32)
    np.put_along_axis(weights, orders[:, :, None], np.float32(1 / size), axis=2)
    return weights.reshape(len(orders), -1)


def mean_diagonals(matrices: Values, shuffles: Frames) -> Frames:
    """Mean diagonal of each matrix (n, size, size) -> (n, 1 + surrogates), in place first."""
    return np.asarray(matrices.reshape(len(matrices), -1).astype(np.float32) @ shuffles.T)


def of_searches(diagonals: Frames) -> Frames:
    """Mean diagonals of one channel (lags, 1 + surrogates) as each search takes them: lag 0, and the highest of all."""
    return np.stack([diagonals[LAG_0], diagonals.max(axis=0)])


def ranks(values: Frames) -> Values:
    """Share of each search's values (search, 1 + surrogates) that are as high, for each of them; all P at once."""
    ordered = np.sort(values, axis=1)
    below = [np.searchsorted(own, row - ROUND_OFF) for own, row in zip(ordered, values, strict=True)]
    return 1 - np.array(below) / values.shape[1]


def best_search(values: Frames) -> tuple[float, int]:
    """P of the search with the smaller P, and which it is; surrogates take their better one too.

    ``values`` (search, 1 + surrogates) are the highest of all channels (Westfall & Young 1993, min P).
    """
    p = ranks(values)
    return p_value(-p.min(axis=0)), int(p[:, 0].argmin())


def whitening(frequencies_hz: Values, rate_hz: float) -> Values:
    """(size, size): takes each row's mean off, and what neighbouring columns share because their windows overlap.

    Powers of noise at two frequencies correlate by |ŵ(f − f′)|², where ŵ is the transform of the squared window.
    Without this neighbours on the diagonal vary together and shuffled ones do not, so that independent data
    would fall below P = .05 too often.
    """
    window = window_samples(rate_hz)
    squared = np.hamming(window) ** 2
    phase = 2j * np.pi * (frequencies_hz[:, None] - frequencies_hz)[..., None] * np.arange(window) / rate_hz
    shared = np.abs(np.exp(phase) @ squared) ** 2 / squared.sum() ** 2
    centring = np.eye(len(shared)) - 1 / len(shared)
    variance, directions = np.linalg.eigh(centring @ shared @ centring)
    variance, directions = variance[1:], directions[:, 1:]  # the mean has none left
    return np.asarray(directions / np.sqrt(np.maximum(variance, MIN_VARIANCE)) @ directions.T)


def detectable_db(own: Frames, with_leak: Frames) -> float | None:
    """The weakest of :data:`LEAKS_DB` that is found, like all stronger ones, in each channel that it was added to.

    ``own`` (channel, search, 1 + surrogates) and ``with_leak`` (leak, channel, search, 1 + surrogates) are the mean
    diagonals of each search, the order in place first.
    """
    null, weakest = own.max(axis=0), None
    for leak, channels in zip(LEAKS_DB, with_leak, strict=True):
        if not len(channels):
            break
        searched = [np.concatenate([one[:, :1], np.maximum(one, null)[:, 1:]], axis=1) for one in channels]
        if any(best_search(values)[0] >= ALONE_ALPHA for values in searched):
            break
        weakest = leak
    return weakest


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


def band_frequencies(rate_hz: float, band_hz: tuple[float, float], line_noise_hz: float = 0.0) -> Values:
    """Centre frequencies of the spectrogram's bins inside the band [Hz], without those that hold the mains.

    A line at a harmonic fills the main lobe of the Hamming window, 2 / :data:`WINDOW_S` on either side.
    """
    window = window_samples(rate_hz)
    bins = np.arange(window // 2 + 1) * rate_hz / window
    inside = (bins >= band_hz[0]) & (bins <= band_hz[1])
    if line_noise_hz:
        inside &= np.abs(bins - np.rint(bins / line_noise_hz) * line_noise_hz) > 2 / WINDOW_S
    return np.asarray(bins[inside])


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


class Spectra:
    """Spectra of brain and sound at the frequencies that are compared, a block of frames at a time.

    Only these frequencies are needed, which makes a product with a basis cheaper than an FFT.  A spectrum has real and
    imaginary parts side by side, (frames, 2 × frequencies).
    """

    def __init__(self, rate_hz: float, frequencies_hz: Values) -> None:
        self.rate_hz, self.window = rate_hz, window_samples(rate_hz)
        phase = 2 * np.pi * np.outer(np.arange(self.window) / rate_hz, frequencies_hz)
        taper = np.hamming(self.window)[:, None]
        self.basis = np.concatenate([taper * np.cos(phase), taper * np.sin(phase)], axis=1).astype(np.float32)

    def of(self, series: Frames, starts: Places) -> Frames:
        """The spectrum of the window at each start of a series (time,)."""
        part = series[int(starts[0]) : int(starts[-1]) + self.window]
        windows = np.lib.stride_tricks.sliding_window_view(part - part.mean(), self.window)
        return np.asarray(windows[starts - starts[0]] @ self.basis)

    def starts(self, frames: Places) -> Places:
        """First sample of each frame of the brain."""
        return np.rint(frames * self.rate_hz / FRAME_RATE_HZ).astype(np.intp)

    def beside(self, trial: SignalPair, sound: Frames, frames: Places) -> tuple[Places, NDArray[np.bool_]]:
        """First sample of the sound beside each frame of the brain, and whether the sound holds all of it."""
        clock = (self.starts(frames) - trial.audio_offset_s * self.rate_hz) / (1 + trial.audio_drift_ppm * 1e-6)
        starts = np.rint(clock).astype(np.intp)
        return starts, (starts >= 0) & (starts + self.window <= len(sound))

    def frames(self, trial: SignalPair, sound: Frames) -> Places:
        """Numbers of the frames of the brain that have sound beside them."""
        n = int((trial.neural.shape[0] - self.window) / self.rate_hz * FRAME_RATE_HZ) + 1
        every = np.arange(max(n, 0))
        return every[self.beside(trial, sound, every)[1]]

    def of_sound(self, trial: SignalPair, sound: Frames, frames: Places) -> tuple[Frames, NDArray[np.bool_]]:
        """Spectra of the sound beside frames of the brain, zero where there is none, and whether there is."""
        starts, known = self.beside(trial, sound, frames)
        out = np.zeros((len(frames), self.basis.shape[1]), np.float32)
        if known.any():
            out[known] = self.of(sound, starts[known])
        return out, known

    def of_brain(self, trial: SignalPair, frames: Places) -> Iterator[Frames]:
        """Spectra of each channel."""
        starts = self.starts(frames)
        read = trial.neural[int(starts[0]) : int(starts[-1]) + self.window]
        samples = np.asarray(read, dtype=np.float32)
        return (self.of(samples[:, channel], starts - starts[0]) for channel in range(samples.shape[1]))

    def blocks(
        self, trial: SignalPair, sound: Frames, probes: Places, gains: Values
    ) -> Iterator[tuple[Frames, Frames, NDArray[np.bool_]]]:
        """Shares of power (frames, channels, frequencies); the sound's power, lags included, and whether it is known.

        Behind the channels come the probes with each leak added, leak by leak; ``gains`` (leak, probe) scale it.
        """
        frames, step, reach = self.frames(trial, sound), int(BLOCK_S * FRAME_RATE_HZ), int(LAGS[-1])
        for first in range(0, len(frames), step):
            at = frames[first : first + step]
            heard, known = self.of_sound(trial, sound, np.arange(at[0] - reach, at[-1] + reach + 1))
            leak = heard[reach : len(heard) - reach]
            spectra = list(self.of_brain(trial, at))
            with_leak = [spectra[p] + np.float32(g) * leak for of in gains for p, g in zip(probes, of, strict=True)]
            yield shares(np.stack([*spectra, *with_leak], axis=1)), power(heard), known


def power(spectrum: Frames) -> Frames:
    """Power (…, frequencies) of a spectrum (…, 2 × frequencies)."""
    real, imaginary = np.split(spectrum, 2, axis=-1)
    return np.asarray(real**2 + imaginary**2)


def shares(spectrum: Frames) -> Frames:
    """Each frequency's share of its frame's mean power, (…, frequencies); zero in a flat signal."""
    found = power(spectrum)
    mean = found.mean(axis=-1, keepdims=True)
    return np.divide(found, mean, out=np.zeros_like(found), where=mean > 0)


def leak_gains(trials: Sequence[SignalPair], sounds: Sequence[Frames], spectra: Spectra, probes: Places) -> Values:
    """(leak, probe): factors that give the sound the power of each of :data:`LEAKS_DB` over each probe's background.

    Powers are means over stretches that are spread evenly over the session.
    """
    brain, heard, n = np.zeros(len(probes)), 0.0, round(LEVEL_S * FRAME_RATE_HZ)
    chosen = np.unique(np.linspace(0, len(trials) - 1, LEVEL_PARTS).round().astype(int))
    for trial, sound in ((trials[i], sounds[i]) for i in chosen):
        frames = spectra.frames(trial, sound)
        for first in np.linspace(0, max(0, len(frames) - n), -(-LEVEL_PARTS // len(chosen))).astype(int):
            at = frames[first : first + n]
            if len(at):
                powers = [float(power(spectrum).sum()) for spectrum in spectra.of_brain(trial, at)]
                brain += np.array(powers)[probes]
                heard += float(power(spectra.of_sound(trial, sound, at)[0]).sum())
    factor = np.sqrt(brain / heard) if heard > 0 else np.zeros(len(probes))
    return np.asarray(10 ** (np.array(LEAKS_DB)[:, None] / 20) * factor)


class LaggedSums:
    """Running sums from which the correlation of every audio and neural frequency follows, at every lag."""

    def __init__(self) -> None:
        self.frames = 0

    def add(self, neural: Frames, audio: Frames, known: NDArray[np.bool_]) -> None:
        """Take a block: neural (frames, channels, frequencies), audio (frames + lags, frequencies), and where it is."""
        if not self.frames:  # sums around the first block's mean keep their digits
            self.centre = neural.mean(axis=0)
            self.heard = audio.mean(axis=0)
        n = (neural - self.centre).reshape(len(neural), -1)
        level = np.where(self.heard > 0, self.heard, 1)
        heard = np.column_stack([(audio - self.heard) / level * known[:, None], known]).astype(np.float32)
        at_lags = np.lib.stride_tricks.sliding_window_view(heard, len(neural), axis=0)
        lagged = np.ascontiguousarray(at_lags).reshape(-1, len(neural))  # a row per lag and frequency, or known
        block = (lagged @ n, lagged.sum(axis=1), (lagged * lagged).sum(axis=1), n.sum(axis=0), (n * n).sum(axis=0))
        if not self.frames:
            self.sums = [np.zeros(part.shape) for part in block]
        for total, part in zip(self.sums, block, strict=True):
            np.add(total, part, out=total)
        self.frames += len(neural)

    def correlation(self) -> Values:
        """(channels, lags, audio frequency, neural frequency); 0 where a power is constant.

        The neural variance is that over all frames, whatever the lag.
        """
        channels, size = self.centre.shape
        cross, a, aa, n, nn = self.sums
        cross = cross.reshape(len(LAGS), size + 1, channels, size)
        a, aa = a.reshape(len(LAGS), -1), aa.reshape(len(LAGS), -1)
        frames = np.maximum(a[:, -1:], 1)
        mean, square = a[:, :-1] / frames, aa[:, :-1] / frames
        covariance = (cross[:, :-1] - mean[..., None, None] * cross[:, -1:]) / frames[..., None, None]
        audio_std = np.sqrt(np.maximum(square - mean**2, 0))
        neural_std = np.sqrt(np.maximum(nn / self.frames - (n / self.frames) ** 2, 0)).reshape(channels, size)
        scale = audio_std[..., None, None] * np.where(neural_std > MIN_STD, neural_std, 0)
        r = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
        return np.asarray(r.transpose(2, 0, 1, 3))
