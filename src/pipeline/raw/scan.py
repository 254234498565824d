"""Checks of the samples of a session, in one pass over the blocks of its trials.

Neural blocks are (samples, channels) float32, sound blocks (samples, 1) int16 or float32.  A scan
keeps a few numbers per channel and the positions of missing samples, never the data.  Single bad
channels are marked with a reason; a session that is bad as a whole gives Problems.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.config.ingest import IngestConfig
from pipeline.errors import Problem
from pipeline.raw.bids import Annotations

#: A channel with more gaps than this is bad.
MAX_GAPS_PER_CHANNEL = 10_000

#: Up to this rate the array holds features, which may stay constant for a while [Hz].
FEATURE_RATE_HZ = 200.0

#: A float32 SD beyond this comes from an overflow, in any unit.
_MAX_SD = 1e30

_LOUDNESS_WINDOW_S = 0.1
_MAX_PEAK = 1.5


class Assignable(Protocol):
    """An array in memory or an HDF5 data set (time, channel)."""

    def __setitem__(self, key: tuple[slice, int], value: Any, /) -> None: ...


@dataclass(frozen=True)
class Gap:
    """Missing samples ``start`` to ``stop`` of a channel of one trial, and its values before and after (NaN at an end).

    ``trial`` counts from 0 in the order that the trials were seen in.
    """

    channel: int
    start: int
    stop: int
    before: float
    after: float
    trial: int = 0

    def values(self) -> npt.NDArray[np.float32]:
        """A straight line across the gap; level at an end of the recording; zero without any neighbour."""
        known = [value for value in (self.before, self.after) if np.isfinite(value)] or [0.0]
        n = self.stop - self.start
        return np.linspace(known[0], known[-1], n + 2)[1:-1].astype(np.float32)


@dataclass(frozen=True)
class NeuralReport:
    """Outcome of a :class:`NeuralScan`: bad channels (index -> reason), gaps to bridge, problems, SDs [units]."""

    n_samples: int
    bad: Mapping[int, str]
    gaps: tuple[Gap, ...]
    problems: tuple[Problem, ...]
    sd: npt.NDArray[np.float64]
    masked: bool

    def repair(self, array: Assignable, trial: int = 0) -> None:
        """Interpolate the gaps of a trial's ``array`` (time, channel) in place; afterwards it has no NaN."""
        for gap in self._of_trial.get(trial, ()):
            array[gap.start : gap.stop, gap.channel] = gap.values()

    def has_gaps(self, trial: int) -> bool:
        """Whether a trial has samples to bridge."""
        return trial in self._of_trial

    @cached_property
    def _of_trial(self) -> dict[int, list[Gap]]:
        found: dict[int, list[Gap]] = {}
        for gap in self.gaps:
            found.setdefault(gap.trial, []).append(gap)
        return found

    def missing_annotations(self, rate_hz: float, trial: int = 0) -> Annotations:
        """A trial's ``BAD_missing`` intervals, on its neural clock, over gaps of good channels (policy mask only)."""
        gaps = self._of_trial.get(trial, ()) if self.masked else ()
        spans = [(gap.start, gap.stop) for gap in gaps if gap.channel not in self.bad]
        merged: list[list[int]] = []
        for start, stop in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(stop, merged[-1][1])
            else:
                merged.append([start, stop])
        return Annotations(
            tuple(start / rate_hz for start, _ in merged),
            tuple((stop - start) / rate_hz for start, stop in merged),
            ("BAD_missing",) * len(merged),
        )


class NeuralScan:
    """Call :meth:`update` with every block in order and :meth:`end_trial` after each trial, then :meth:`finish`."""

    def __init__(self, config: IngestConfig, n_channels: int, rate_hz: float, units: str) -> None:
        self._config, self._rate_hz, self._units = config, rate_hz, units
        self._n = 0
        self._lengths: list[int] = []
        self._gaps: list[Gap] = []
        self._gap_count = np.zeros(n_channels, int)
        self._open = np.full(n_channels, -1)
        self._last = np.full(n_channels, np.nan, np.float32)
        self._first = np.full(n_channels, np.nan, np.float32)
        self._count = np.zeros(n_channels, int)
        self._sum = np.zeros(n_channels)
        self._sum_squares = np.zeros(n_channels)
        self._repeats = np.zeros(n_channels, int)
        self._high = _Extreme(n_channels)
        self._low = _Extreme(n_channels)

    def update(self, block: npt.NDArray[np.float32]) -> None:
        """Scan the next samples (n, channels); the block is not changed."""
        if not len(block):
            return
        finite = np.isfinite(block)
        whole = bool(finite.all())
        self._record_repeats(block)
        with np.errstate(over="ignore", invalid="ignore"):  # _sd turns what overflows into infinity
            self._record_values(block, finite, whole)
        self._record_gaps(block, finite, whole)
        self._n += len(block)

    def end_trial(self) -> None:
        """End the trial: a gap at its end has no value after it, and one at the next trial's start none before it."""
        for channel in np.flatnonzero(self._open >= 0):
            self._close(int(channel), self._n, float(self._last[channel]), np.nan)
        self._last[:] = np.nan
        self._lengths.append(self._n)
        self._n = 0

    def _record_repeats(self, block: npt.NDArray[np.float32]) -> None:
        self._repeats += np.count_nonzero(block[1:] == block[:-1], axis=0)
        self._repeats += block[0] == self._last

    def _record_values(self, block: npt.NDArray[np.float32], finite: npt.NDArray[np.bool_], whole: bool) -> None:
        if np.isnan(self._first).any():
            new = np.isnan(self._first) & finite.any(axis=0)
            self._first[new] = block[finite.argmax(axis=0), np.arange(block.shape[1])][new]
        shifted = block - np.nan_to_num(self._first)
        if not whole:
            shifted = np.where(finite, shifted, np.float32(0))
        self._count += len(block) if whole else np.count_nonzero(finite, axis=0)
        self._sum += shifted.sum(axis=0, dtype=np.float64)
        self._sum_squares += np.einsum("ij,ij->j", shifted, shifted, dtype=np.float64)
        self._high.update(block if whole else np.where(finite, block, -np.inf))
        self._low.update(-block if whole else np.where(finite, -block, -np.inf))

    def _record_gaps(self, block: npt.NDArray[np.float32], finite: npt.NDArray[np.bool_], whole: bool) -> None:
        touched = self._open >= 0 if whole else (self._open >= 0) | ~finite.all(axis=0)
        for channel in np.flatnonzero(touched):
            self._record_gaps_of(int(channel), block[:, channel], finite[:, channel])
        if whole:
            self._last = block[-1].copy()
            return
        last = np.where(finite.any(axis=0), len(block) - 1 - finite[::-1].argmax(axis=0), -1)
        self._last = np.where(last >= 0, block[last, np.arange(block.shape[1])], self._last)

    def _record_gaps_of(self, channel: int, values: npt.NDArray[np.float32], finite: npt.NDArray[np.bool_]) -> None:
        was_open = self._open[channel] >= 0
        edges = np.flatnonzero(np.diff(np.concatenate([[not was_open], finite])))
        before = float(self._last[channel])
        for edge in edges.tolist():
            if finite[edge]:
                self._close(channel, self._n + edge, before, float(values[edge]))
            else:
                self._open[channel] = self._n + edge
                before = float(values[edge - 1]) if edge else before

    def _close(self, channel: int, stop: int, before: float, after: float) -> None:
        self._gap_count[channel] += 1
        if self._gap_count[channel] <= MAX_GAPS_PER_CHANNEL:
            self._gaps.append(Gap(channel, int(self._open[channel]), stop, before, after, len(self._lengths)))
        self._open[channel] = -1

    def finish(self, file: str) -> NeuralReport:
        """The outcome; ``file`` is the session's name in problems."""
        if self._n:
            self.end_trial()
        bad = self._missing_channels()
        zeroed = tuple(Gap(c, 0, n, 0.0, 0.0, trial) for trial, n in enumerate(self._lengths) for c in bad)
        gaps = (*zeroed, *(gap for gap in self._gaps if gap.channel not in bad))
        sd = self._sd()
        bad |= {c: reason for c, reason in self._spoilt_channels().items() if c not in bad}
        problems = [*self._unit_problems(file, sd, bad), *self._gap_problems(file, bad)]
        if not problems:
            bad |= {c: reason for c, reason in self._implausible_channels(sd).items() if c not in bad}
        problems += self._bad_share_problems(file, bad)
        masked = self._config.nan_policy == "mask"
        return NeuralReport(sum(self._lengths), dict(sorted(bad.items())), gaps, tuple(problems), sd, masked)

    def _sd(self) -> npt.NDArray[np.float64]:
        n = np.maximum(self._count, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            variance = self._sum_squares / n - (self._sum / n) ** 2
        return np.sqrt(np.where(np.isfinite(variance), np.maximum(variance, 0), np.inf))

    def _missing_channels(self) -> dict[int, str]:
        share = 1 - self._count / max(sum(self._lengths), 1)
        bad = {
            int(c): f"missing: {100 * share[c]:.0f} % of the samples"
            for c in np.flatnonzero(share > self._config.max_missing_share)
        }
        torn = np.flatnonzero(self._gap_count > MAX_GAPS_PER_CHANNEL)
        return bad | {int(c): f"missing: {self._gap_count[c]} gaps" for c in torn}

    def _spoilt_channels(self) -> dict[int, str]:
        """Flat and clipped channels; of features, those that never change."""
        is_feature = self._rate_hz <= FEATURE_RATE_HZ
        bad: dict[int, str] = {}
        n = np.maximum(self._count, 1)
        repeats = self._repeats / np.maximum(n - 1, 1)
        clipped = (self._high.count + self._low.count) / n
        for c in range(len(n)):
            if self._high.value[c] == -self._low.value[c]:
                bad[c] = "flat"
            elif is_feature:
                continue
            elif repeats[c] > self._config.max_flat_share:
                bad[c] = f"flat: {100 * repeats[c]:.0f} % of the samples repeat the last one"
            elif clipped[c] > self._config.max_clipped_share and self._high.count[c] + self._low.count[c] > 10:
                bad[c] = f"clipped: {100 * clipped[c]:.1f} % of the samples at the extremes"
        return bad

    def _implausible_channels(self, sd: npt.NDArray[np.float64]) -> dict[int, str]:
        low, high = (self._config.min_sd_uv, self._config.max_sd_uv) if self._units == "uV" else (0.0, _MAX_SD)
        units = "µV" if self._units == "uV" else self._units
        return {int(c): f"amplitude: SD {sd[c]:.3g} {units}" for c in np.flatnonzero((sd < low) | (sd > high))}

    def _unit_problems(self, file: str, sd: npt.NDArray[np.float64], bad: Mapping[int, str]) -> list[Problem]:
        """A problem where the typical amplitude is implausible: a wrong unit or gain, not bad channels."""
        good = [sd[c] for c in range(len(sd)) if c not in bad]
        low, high = self._config.min_sd_uv, self._config.max_sd_uv
        typical = float(np.median(good)) if good else low
        if self._units != "uV" or low <= typical <= high:
            return []
        factors = {"V": 1e6, "mV": 1e3, "nV": 1e-3}
        fits = [unit for unit, factor in factors.items() if 5 <= typical * factor <= 500]
        fix = "Correct eeg_units or eeg_gain_uv" + (f"; the values look like {fits[0]}." if fits else ".")
        return [Problem(file, "amplitude", f"a typical SD of {typical:.3g} µV", f"{low:g} to {high:g} µV", fix)]

    def _gap_problems(self, file: str, bad: Mapping[int, str]) -> list[Problem]:
        policy, limit_s = self._config.nan_policy, self._config.nan_max_gap_s
        refused = [gap for gap in self._gaps if gap.channel not in bad]
        if policy == "interpolate":
            refused = [gap for gap in refused if gap.stop - gap.start > limit_s * self._rate_hz]
        if policy == "mask" or not refused:
            return []
        first = min(refused, key=lambda gap: (gap.trial, gap.start, gap.channel))
        place = f"trial {first.trial + 1}, " if len(self._lengths) > 1 else ""
        span = (
            f"{place}channel {first.channel}, {first.start / self._rate_hz:.3f} to {first.stop / self._rate_hz:.3f} s"
        )
        if policy == "reject":
            got, expected = f"{len(refused)} gaps of NaN or infinity (first: {span})", "finite samples"
            fix = "Set ingest.nan_policy to interpolate or mask."
        else:
            got, expected = f"{len(refused)} long gaps (first: {span})", f"gaps of at most {limit_s:g} s"
            fix = "Set ingest.nan_policy to mask, or raise ingest.nan_max_gap_s."
        return [Problem(file, "samples", got, expected, fix)]

    def _bad_share_problems(self, file: str, bad: Mapping[int, str]) -> list[Problem]:
        n = len(self._count)
        if len(bad) <= self._config.max_bad_share * n and len(bad) < n:
            return []
        kinds = Counter(reason.split(":")[0] for reason in bad.values())
        got = f"{len(bad)} of {n} channels bad ({', '.join(f'{k} {kind}' for kind, k in kinds.items())})"
        fix = "Check the export; leave dead channels out, or raise ingest.max_bad_share."
        return [Problem(file, "channels", got, f"at most {self._config.max_bad_share:.0%} bad", fix)]


class _Extreme:
    """Each channel's largest value so far, and how often it occurred."""

    def __init__(self, n_channels: int) -> None:
        self.value = np.full(n_channels, -np.inf)
        self.count = np.zeros(n_channels, int)

    def update(self, block: npt.NDArray[np.float32]) -> None:
        top = block.max(axis=0)
        reached = np.flatnonzero((top >= self.value) & np.isfinite(top))
        counts = np.count_nonzero(block[:, reached] == top[reached], axis=0)
        self.count[reached] = counts + np.where(top[reached] == self.value[reached], self.count[reached], 0)
        self.value[reached] = top[reached]


class AudioScan:
    """Call :meth:`update` with every block of sound in order, then :meth:`problems`."""

    def __init__(self, config: IngestConfig, rate_hz: float) -> None:
        self._config, self._rate_hz = config, rate_hz
        self._window = max(1, round(_LOUDNESS_WINDOW_S * rate_hz))
        self._rest = np.empty(0, np.float32)
        self._first_missing: int | None = None
        self._n = 0
        self.peak = 0.0
        self.loudest = 0.0
        self.n_clipped = 0

    def update(self, block: npt.NDArray[Any]) -> None:
        """Scan the next samples (n, 1), int16 or float32."""
        wave = block[:, 0]
        wave = wave.astype(np.float32) / np.float32(32768) if wave.dtype == np.int16 else wave
        finite = np.isfinite(wave)
        if not finite.all():
            if self._first_missing is None:
                self._first_missing = self._n + int(finite.argmin())
            wave = np.where(finite, wave, np.float32(0))
        self.peak = max(self.peak, float(np.abs(wave).max(initial=0)))
        self.n_clipped += int(np.count_nonzero(np.abs(wave) >= 32767 / 32768))
        self._n += len(wave)
        pending = np.concatenate([self._rest, wave])
        n_whole = len(pending) // self._window
        self._record_loudness(pending[: n_whole * self._window].reshape(n_whole, self._window))
        self._rest = pending[n_whole * self._window :]

    def _record_loudness(self, windows: npt.NDArray[np.float32]) -> None:
        if windows.size:
            self.loudest = max(self.loudest, float(windows.std(axis=1, dtype=np.float64).max()))

    def finish(self) -> float:
        """Loudness of the loudest 100 ms, full scale being 1."""
        if self._n < self._window:
            self._record_loudness(self._rest[None])
        return self.loudest

    def problems(self, file: str) -> list[Problem]:
        """Problems of the sound of a trial, silence apart."""
        found = []
        if self._first_missing is not None:
            at_s = self._first_missing / self._rate_hz
            got, fix = f"NaN or infinity (first at {at_s:.3f} s)", "Repair the sound, or export it again."
            found.append(Problem(file, "samples", got, "finite samples", fix))
        if self.peak > _MAX_PEAK:
            fix = "Divide it by 32768." if 100 < self.peak < 40000 else "Scale it to full scale 1."
            found.append(Problem(file, "samples", f"a float peak of {self.peak:.4g}", "samples in [-1, 1]", fix))
        return found


def silence_problems(file: str, loudest: float, config: IngestConfig) -> list[Problem]:
    """A session without audio; ``loudest`` of all its trials, as :meth:`AudioScan.finish` gives it."""
    loudest_dbfs = 20 * np.log10(max(loudest, 1e-12))
    if loudest_dbfs >= config.silence_dbfs:
        return []
    got = "silence" if loudest == 0 else f"silence (loudest 0.1 s at {loudest_dbfs:.0f} dBFS)"
    fix = "Choose the channel that holds the voice (audio_channel), or lower ingest.silence_dbfs."
    return [Problem(file, "samples", got, "sound", fix)]
