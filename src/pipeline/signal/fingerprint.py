"""Which stretches of several series are copies of each other: of sound, by its mel, or of brain activity.

In: one array (frame, band) per trial.  Out: pairs of stretches that are one recording, whatever its gain, its cut, a
change of speed of up to 2 %, the rate that it was stored at, and noise 30 dB below it.  Two readings of a sentence by
one speaker are no copies: over a second their fingerprints correlate with up to .9, those of copies with .95 and more.

A fingerprint is the series without what a gain, a microphone or a loudness alone decides: bands are pooled, smoothed
over 60 ms, freed of each frame's mean and of each band's mean over 0.3 s.  Landmarks, the steepest changes, are
the same moments in every copy (Wang 2003, An industrial-strength audio search algorithm, ISMIR).  Of one second around
each landmark a random projection is kept (Johnson & Lindenstrauss 1984); landmarks with equal projections are where
two series are compared frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d

Frames = NDArray[np.float32]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

RATE_HZ = 43.0
"""About the rate of a fingerprint's frames."""
BANDS = 32
SMOOTHING_S, LOCAL_S = 0.06, 0.3
WINDOW_S = 1.0
"""What is compared at once."""
AUDIBLE_NATS = 4.0
"""Sound further (35 dB) below the loudest of a trial is not compared: noise of a copy lies there."""
LOUDEST = 99
"""Percentile of a trial's log-mel."""
MIN_R = 0.9
"""Of each window of two stretches that are one recording."""
LONG_S, MIN_MEAN_R, MIN_MEAN_R_LONG = 3.0, 0.96, 0.93
"""Mean r over the windows of a stretch, and of one that is longer than :data:`LONG_S`: one word spoken alike by a
synthesiser reaches .958 over two seconds, a copy whose speed differs by 1.5 % .955."""
MIN_WINDOW_S = 0.4
MIN_RMS = 0.1
"""A window that varies less holds silence or a constant tone, of which every copy looks alike."""
MIN_COUNTED = 0.3
"""Share of a window's frames that must count for it to be evidence."""
EDGE_S = 0.15
"""Of a stretch's ends that may be other sound: a window is alike even where so much of it is not."""
LANDMARK_S = 0.2
"""Landmarks are at least so far apart."""
DIMENSIONS = 64
SEED_R = 0.75
"""Of projections that are looked at: their correlation is that of the windows ± 0.1."""
PERIODIC_S = 3.0
"""A window that is found again within that time is periodic, and no evidence."""
CHUNK_S = 3.0
MAX_SHIFT = 3
"""Frames by which two series may drift apart within :data:`CHUNK_S`: 2 % of it and a frame."""
ROWS = 2048


@dataclass(frozen=True)
class Fingerprint:
    """A trial's series (frame, band) at ``rate_hz``, and which of its frames (frame,) count as sound."""

    values: Frames
    counts: Mask
    rate_hz: float

    @property
    def window(self) -> int:
        """Frames that are compared at once: fewer than :data:`WINDOW_S` in a trial that is shorter."""
        return min(len(self.values), round(WINDOW_S * self.rate_hz))


@dataclass(frozen=True)
class Match:
    """Frames ``start:stop`` of series ``first`` are one recording with ``other_start:other_stop`` of ``second``.

    ``r`` is the mean over windows of the fingerprints' correlation.
    """

    first: int
    second: int
    start: int
    stop: int
    other_start: int
    other_stop: int
    r: float

    @property
    def lag(self) -> float:
        """Frames by which the stretch lies later in ``first``."""
        return (self.start + self.stop - self.other_start - self.other_stop) / 2


def audible(log_mel: NDArray[np.floating]) -> NDArray[np.floating]:
    """A trial's log-mel (frame, band) without what is far softer than its loudest parts."""
    return np.maximum(log_mel, np.percentile(log_mel, LOUDEST) - AUDIBLE_NATS)


def fingerprint(series: NDArray[np.floating], rate_hz: float, counts: Mask | None = None) -> Fingerprint:
    """The fingerprint of a series (frame, band) at ``rate_hz``; ``counts`` (frame,) are the frames with sound."""
    step = max(1, round(rate_hz / RATE_HZ))
    edges = np.linspace(0, series.shape[1], min(BANDS, series.shape[1]) + 1).round().astype(int)
    pooled = np.add.reduceat(series, edges[:-1], axis=1) / np.diff(edges)
    if pooled.shape[1] >= 4:
        pooled = pooled - pooled.mean(axis=1, keepdims=True)
    smooth = uniform_filter1d(pooled, round(SMOOTHING_S * rate_hz) | 1, axis=0, mode="nearest")[::step]
    local = uniform_filter1d(smooth, round(LOCAL_S * rate_hz / step) | 1, axis=0, mode="nearest")
    counted = np.ones(len(smooth), bool) if counts is None else counts[::step]
    return Fingerprint((smooth - local).astype(np.float32), counted, rate_hz / step)


def matches(prints: Sequence[Fingerprint], groups: Sequence[int], min_s: float) -> list[Match]:
    """Stretches of at least ``min_s`` that occur twice, in two series or in one; of shorter series the whole.

    All have the same bands and rate.  Series of equal ``groups`` are known to be one recording and not compared.
    """
    found: list[Match] = []
    for first, second, at, other_at in _seeds(prints, np.asarray(groups)):
        a, b = prints[first], prints[second]
        while len(at):
            match = _extended(a, b, first, second, int(at[0]), int(other_at[0]))
            done = np.zeros(len(at), bool)
            done[0] = True
            if match is not None:
                if _is_enough(match, a, b, min_s):
                    found.append(match)
                near = np.abs(at - other_at - match.lag) <= 2 * MAX_SHIFT + 0.01 * (match.stop - match.start)
                done |= near & (at >= match.start) & (at < match.stop)
            at, other_at = at[~done], other_at[~done]
    return found


def _is_enough(match: Match, a: Fingerprint, b: Fingerprint, min_s: float) -> bool:
    """Whether a stretch is long enough, or as good as a whole trial, and as alike as its length asks for."""
    sound = np.flatnonzero(a.counts[match.start : match.stop])
    length_s = (sound[-1] - sound[0] + 1) / a.rate_hz - 2 * EDGE_S
    is_whole = match.stop - match.start >= 0.9 * min(len(a.values), len(b.values))
    least = MIN_MEAN_R_LONG if match.stop - match.start >= LONG_S * a.rate_hz else MIN_MEAN_R
    return (length_s >= min_s or is_whole) and match.r >= least


def share(prints: Sequence[Fingerprint], found: Sequence[Match]) -> tuple[float, float]:
    """Of one pair's matches: the share of either trial's sound that is matched at one lag.

    The longest match says the lag; others count where theirs differs by less than 0.1 s and 2 % of their distance.
    """
    longest = max(found, key=lambda m: m.stop - m.start)
    a, b = prints[longest.first], prints[longest.second]
    seen, other_seen = np.zeros(len(a.counts), bool), np.zeros(len(b.counts), bool)
    for m in found:
        if abs(m.lag - longest.lag) <= 0.1 * a.rate_hz + 0.02 * abs(m.start - longest.start):
            seen[m.start : m.stop] = True
            other_seen[m.other_start : m.other_stop] = True
    return _covered(a, seen), _covered(b, other_seen)


def _covered(p: Fingerprint, seen: Mask) -> float:
    """Share of the sound that could be compared: a window with hardly any is not looked at."""
    comparable = np.zeros(len(p.values), bool)
    for start in np.flatnonzero(_is_evidence(p.values, p.counts, p.window)):
        comparable[start : start + p.window] = True
    comparable &= p.counts
    return float((comparable & seen).sum() / max(1, comparable.sum()))


# --- where to look -----------------------------------------------------------------------------------------


def _seeds(prints: Sequence[Fingerprint], groups: Places) -> Iterator[tuple[int, int, Places, Places]]:
    """Pairs of series, and the frames of landmarks in the first and in the second that look alike."""
    places = [_landmarks(p) for p in prints]
    owner = np.repeat(np.arange(len(prints)), [len(at) for at in places])
    at = np.concatenate([*places, np.zeros(0, np.intp)])
    if not len(at):
        return
    vectors = np.concatenate([_projected(p, own) for p, own in zip(prints, places, strict=True)])
    i, j = _alike(vectors)
    same, near = owner[i] == owner[j], np.abs(at[i] - at[j]) <= PERIODIC_S * prints[0].rate_hz
    periodic = np.zeros(len(at), bool)
    periodic[i[same & near]] = periodic[j[same & near]] = True
    known = (groups[owner[i]] == groups[owner[j]]) & ~same
    keep = ~(known | periodic[i] | periodic[j])
    i, j = i[keep], j[keep]
    keep = _agree(prints, owner[i], at[i], owner[j], at[j])
    i, j = i[keep], j[keep]
    key = owner[i] * len(prints) + owner[j]
    order = np.argsort(key, kind="stable")
    i, j, key = i[order], j[order], key[order]
    for part in np.split(np.arange(len(key)), np.flatnonzero(np.diff(key)) + 1):
        if len(part):
            yield int(owner[i[part[0]]]), int(owner[j[part[0]]]), at[i[part]], at[j[part]]


def _landmarks(p: Fingerprint) -> Places:
    """Centres of windows at the steepest changes of a series; the middle of one that is as short as a window."""
    window = p.window
    if window < MIN_WINDOW_S * p.rate_hz:
        return np.zeros(0, np.intp)
    change = np.abs(np.gradient(p.values, axis=0)).sum(axis=1)
    peaks = change == maximum_filter1d(change, 2 * round(LANDMARK_S * p.rate_hz) + 1)
    at = np.flatnonzero(peaks)
    at = at[(at >= window // 2) & (at < len(p.values) - (window - window // 2) + 1)]
    at = at if len(at) else np.array([window // 2])
    return at[_is_evidence(p.values, p.counts, window)[at - window // 2]]


def _is_evidence(values: Frames, counts: Mask, window: int) -> Mask:
    """(windows,) whether a window holds sound that varies."""
    power = _sums((values * values).sum(axis=1), window) / (window * values.shape[1])
    return np.asarray((power >= MIN_RMS**2) & (_sums(counts.astype(np.float32), window) >= MIN_COUNTED * window))


def _projected(p: Fingerprint, at: Places) -> Frames:
    """(landmark, dimension) unit vectors: a random projection of the window around each landmark."""
    window, n = p.window, round(WINDOW_S * p.rate_hz)
    basis = _basis(n, p.values.shape[1])
    first = (n - window) // 2
    rows = (at - window // 2)[:, None] + np.arange(window)
    vectors = p.values[rows].reshape(len(at), window * p.values.shape[1]) @ basis[first : first + window].reshape(
        -1, DIMENSIONS
    )
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


@lru_cache(maxsize=2)
def _basis(frames: int, bands: int) -> Frames:
    return np.random.default_rng(0).standard_normal((frames, bands, DIMENSIONS), np.float32)


def _alike(vectors: Frames) -> tuple[Places, Places]:
    """Pairs i < j of unit vectors that correlate by :data:`SEED_R`, a block of rows at a time."""
    pairs = []
    for start in range(0, len(vectors), ROWS):
        close = vectors[start : start + ROWS] @ vectors[start:].T >= SEED_R
        i, j = np.divmod(np.flatnonzero(close.ravel()), close.shape[1])
        pairs.append((i[j > i] + start, j[j > i] + start))
    i, j = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return i, j


def _agree(prints: Sequence[Fingerprint], first: Places, at: Places, second: Places, other_at: Places) -> Mask:
    """Whether the windows around pairs of landmarks correlate, at lags of two frames at most."""
    half = round(WINDOW_S * prints[0].rate_hz) // 2
    lengths = np.array([len(p.values) for p in prints])
    starts = half + 2 + np.concatenate([[0], np.cumsum(lengths + 2 * (half + 2))[:-1]])
    edge = np.zeros((half + 2, prints[0].values.shape[1]), np.float32)
    joined = np.concatenate([part for p in prints for part in (edge, p.values, edge)])
    inside = np.zeros(len(joined), np.float32)
    for start, length in zip(starts, lengths, strict=True):
        inside[start : start + length] = 1
    power = np.einsum("tb,tb->t", joined, joined)
    agree = np.zeros(len(at), bool)
    for block in range(0, len(at), ROWS):
        part = slice(block, block + ROWS)
        own = (starts[first[part]] + at[part])[:, None] + np.arange(-half, half + 1)
        others = (starts[second[part]] + other_at[part])[:, None] + np.arange(-half, half + 1)
        for shift in range(-2, 3):
            theirs = others + shift
            xy = np.einsum("ntb,ntb->n", joined[own], joined[theirs])
            xx, yy = (power[own] * inside[theirs]).sum(axis=1), (power[theirs] * inside[own]).sum(axis=1)
            agree[part] |= xy >= MIN_R * np.sqrt(xx * yy)
    return agree


# --- frame by frame ----------------------------------------------------------------------------------------


def _extended(a: Fingerprint, b: Fingerprint, first: int, second: int, at: int, other_at: int) -> Match | None:
    """The stretch around a seed in which both are one recording; None where they are not."""
    window = min(a.window, b.window)
    half, rest = window // 2, window - window // 2
    at, other_at = (min(max(t, half), len(p.values) - rest) for t, p in ((at, a), (other_at, b)))
    stop, other_stop, ahead = _followed(a, b, at - half, other_at - half, window)
    if not ahead:
        return None
    sizes = len(a.values), len(b.values)
    mirrored = sizes[0] - at - rest, sizes[1] - other_at - rest
    start, other_start, back = _followed(_reversed(a), _reversed(b), *mirrored, window)
    r = float(np.mean(ahead + back))
    return Match(first, second, sizes[0] - start, stop, sizes[1] - other_start, other_stop, r)


def _reversed(p: Fingerprint) -> Fingerprint:
    return Fingerprint(p.values[::-1], p.counts[::-1], p.rate_hz)


def _followed(a: Fingerprint, b: Fingerprint, at: int, other_at: int, window: int) -> tuple[int, int, list[float]]:
    """From ``at`` and ``other_at`` on: the frames up to which both are one, and r of the windows until there.

    Windows without sound neither end a stretch nor are its end.
    """
    lag, step = float(at - other_at), max(1, round(CHUNK_S * a.rate_hz))
    stop, other_stop, found = at + window // 2, other_at + window // 2, []
    while at + window <= len(a.values):
        r, shift = _compared(a, b, at, min(step, len(a.values) - at - window + 1), lag, window)
        bad = np.flatnonzero(r < MIN_R)
        ends = int(bad[0]) if len(bad) else len(r)
        good = np.flatnonzero(r[:ends] >= MIN_R)
        if len(good):
            last = int(good[-1])
            lag += float(shift[last])
            stop, other_stop = at + last + window, int(at + last + window - lag)
            found += r[good].tolist()
        if ends < len(r):
            break
        at += len(r)
    return min(stop, len(a.values)), min(max(other_stop, 0), len(b.values)), found


def _compared(
    a: Fingerprint, b: Fingerprint, at: int, n: int, lag: float, window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """r of ``n`` windows from ``at`` on at the best lag near ``lag``, and its difference to it; NaN without sound.

    Lags are multiples of half a frame: between two frames of the other series lies their mean.
    """
    length, x = n + window - 1, a.values[at : at + n + window - 1]
    sound = _is_evidence(x, a.counts[at : at + length], window)
    first, half = divmod(round(2 * (at - lag)) - 2 * MAX_SHIFT, 2)
    rows = _between(_padded(b.values, first, length + 2 * MAX_SHIFT + 1))[half:]
    present = _between(_padded(np.ones((len(b.values), 1), np.float32), first, length + 2 * MAX_SHIFT + 1))[half:, 0]
    xx = _sums(np.einsum("tb,tb->t", x, x), window)
    xy = _sums(np.einsum("tb,sbt->st", x, _lagged(rows, length)), window)
    yy = _sums(_lagged(np.einsum("tb,tb->t", rows, rows), length), window)
    whole = _sums(_lagged(present, length), window) > window - 0.25
    r = np.where(whole, xy / np.sqrt(np.maximum(xx * yy, 1e-12)), -1.0)
    best = r.argmax(axis=0)
    return np.where(sound | ~whole.any(axis=0), r[best, np.arange(n)], np.nan), MAX_SHIFT - best / 2


def _lagged(rows: Frames, length: int) -> Frames:
    """Every other of the rows, from each first row that a lag allows: (lag, …, length)."""
    rows = rows[: 2 * length - 1 + 4 * MAX_SHIFT]
    return np.lib.stride_tricks.sliding_window_view(rows, 2 * length - 1, axis=0)[..., ::2]


def _between(values: Frames) -> Frames:
    """Rows with the mean of each two neighbours between them."""
    out = np.empty((2 * len(values) - 1, values.shape[1]), np.float32)
    out[::2], out[1::2] = values, (values[1:] + values[:-1]) / 2
    return out


def _padded(values: Frames, start: int, length: int) -> Frames:
    """Rows ``start`` to ``start + length``, zeros where there are none."""
    rows = values[max(0, start) : max(0, start + length)]
    before = min(max(0, -start), length)
    return np.pad(rows, ((before, length - before - len(rows)), *[(0, 0)] * (values.ndim - 1)))


def _sums(values: NDArray[np.floating], window: int) -> NDArray[np.float64]:
    """Sums over each ``window`` values in a row of the last axis."""
    total = np.cumsum(values, axis=-1, dtype=np.float64)
    total = np.concatenate([np.zeros((*total.shape[:-1], 1)), total], axis=-1)
    return np.asarray(total[..., window:] - total[..., :-window])
