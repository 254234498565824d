"""Ridge regression on lagged neural features, and the other baselines; no torch.

Features come at the mel's frame rate, (frame, channel); mels are (frame, band) in
nats.  A span is ``(recording, start, stop)`` in mel frames, stop excluded.  Lag ``l``
pairs feature frame ``t + l`` with mel frame ``t``, so a negative ``l`` looks into the
brain's past.  Rows beyond a recording repeat its edge row, as the network's windows do.

The lagged matrix is never built.  Its Gram matrix has the blocks
``G[i, j] = sum_t x(t + l_i) x(t + l_j)^T``, and along a block diagonal neighbours
differ by the few rows that enter and leave the span: one cross-covariance per lag
difference, then rank-one steps.  That is exact, and costs 1/(number of lags) of the plain product.
Short spans are laid one after another and summed together.

Instead of ``sklearn.linear_model.Ridge`` on the lagged matrix: 3 times as fast in an eighth of the memory
(docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from pipeline.baselines.weight_prior import WeightPrior
from pipeline.config.active_bands import ACTIVE_STD_NATS
from pipeline.signal.correlation import correlation_per_band
from pipeline.signal.frame_power import amplitude_floor, frame_power, log_amplitude, power_floor

Array = NDArray[np.float32]
Wide = NDArray[np.float64]
Span = tuple[int, int, int]

MAX_COLUMNS = 3072  # of the lagged matrix; above, every second (third, …) lag is used: each part has a Gram matrix
GROUP_FRAMES = 1 << 12  # of the spans that are summed together: what is held beside the features


@dataclass(frozen=True)
class RidgeChoice:
    """What cross-validation chose: the logarithm of the features, the penalty of the plain fit and that with its prior.

    ``r`` is the mean correlation over active bands of frames that the fit had not seen.
    """

    is_log: bool
    plain_penalty: float | None
    penalty: float
    r: float | None = None


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge: ``mel(t) = intercept + sum_i weights[i]^T clip((x(t + lags[i]) - mean) / scale)``.

    ``weights`` is (lag, channel, band), ``lags`` in mel frames.  ``floor`` (channel,) is that of
    :func:`frame_features`, where the logarithm is taken.
    """

    weights: Array
    intercept: Array
    feature_mean: Array
    feature_scale: Array
    clip: float
    lags: NDArray[np.int64]
    floor: Array | None = None

    def predict(self, features: Array, start: int, stop: int, rows_per_frame: int = 1) -> Array:
        """Mel (stop - start, band) [nats] of frames start … stop of a recording's (frame * rows_per_frame, channel)."""
        mel = np.tile(self.intercept, (stop - start, 1))
        of_frames = features.reshape(-1, rows_per_frame * features.shape[1])
        needed = take_rows(of_frames, start + int(self.lags[0]), stop + int(self.lags[-1])).reshape(
            -1, features.shape[1]
        )
        rows = self.standardise(with_floor(needed, rows_per_frame, self.floor))
        for lag, weights in zip(self.lags - self.lags[0], self.weights, strict=True):
            mel += rows[lag : lag + stop - start] @ weights
        return mel

    def standardise(self, rows: Array) -> Array:
        """Rows (row, channel) in standard deviations of the training frames, clipped."""
        return np.clip((rows - self.feature_mean) / self.feature_scale, -self.clip, self.clip)


def frame_features(
    features: Sequence[Array], train_spans: Sequence[Span], rows_per_frame: int, is_log: bool = False
) -> tuple[list[Array], Array | None]:
    """Features at the mel's rate, (frame, channel), from (frame * rows_per_frame, channel).

    A raw signal (rows_per_frame > 1) becomes its log power in each frame, amplitudes their logarithm where
    ``is_log``; the floor of either (channel,), fitted on the training spans, comes second, else None.
    """
    if rows_per_frame == 1 and not is_log:
        return list(features), None
    of = power_floor if rows_per_frame > 1 else amplitude_floor
    floor = of(features, train_spans, rows_per_frame)
    return [with_floor(rows, rows_per_frame, floor) for rows in features], floor


def with_floor(features: Array, rows_per_frame: int, floor: Array | None) -> Array:
    """One recording's frames of :func:`frame_features`, (frame, channel)."""
    if floor is None:
        return features
    return log_amplitude(features, floor) if rows_per_frame == 1 else frame_power(features, rows_per_frame, floor)


def take_rows(features: Array, start: int, stop: int) -> Array:
    """Rows start … stop of one recording, its edge rows repeated beyond it."""
    return features[np.clip(np.arange(start, stop), 0, len(features) - 1)]


def lag_grid(before: int, after: int, n_channels: int, max_columns: int = MAX_COLUMNS) -> NDArray[np.int64]:
    """Lags -before … after, in steps of 1 unless the lagged matrix would be too wide."""
    step = max(1, -(-(before + after + 1) * n_channels // max_columns))
    return np.arange(-before, after + 1, step, dtype=np.int64)


def cut(spans: Sequence[Span], n_parts: int) -> list[list[Span]]:
    """Spans cut into parts of equal total length, in order."""
    edges = np.linspace(0, sum(b - a for _, a, b in spans), n_parts + 1).astype(int)
    parts: list[list[Span]] = [[] for _ in range(n_parts)]
    done = 0
    for r, a, b in spans:
        for part, low, high in zip(parts, edges[:-1] - done, edges[1:] - done, strict=True):
            first, last = max(a, a + low), min(b, a + high)
            if first < last:
                part.append((r, int(first), int(last)))
        done += b - a
    return [part for part in parts if part]


def channel_statistics(features: Sequence[Array], spans: Sequence[Span]) -> tuple[Array, Array]:
    """Mean and scale per channel over the spans' rows; the scale of a flat channel is 1."""
    rows = sum(stop - start for _, start, stop in spans)
    total = sum(features[r][a:b].sum(axis=0, dtype=np.float64) for r, a, b in spans)
    mean = np.asarray(total) / rows
    square = sum(np.square(features[r][a:b] - mean).sum(axis=0) for r, a, b in spans)
    scale = np.sqrt(np.asarray(square) / rows)
    scale[scale <= 1e-6 * (np.abs(mean) + 1e-12)] = 1.0
    return mean.astype(np.float32), scale.astype(np.float32)


@dataclass(frozen=True)
class Moments:
    """Sums over frames of products of lagged features x (L*C,) and mel y (band,)."""

    count: int
    gram: Wide
    cross: Wide
    x_sum: Wide
    y_sum: Wide
    y_square: Wide

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(mine + its for mine, its in zip(self._sums, other._sums, strict=True)))

    def __sub__(self, other: Moments) -> Moments:
        return Moments(*(mine - its for mine, its in zip(self._sums, other._sums, strict=True)))

    @property
    def _sums(self) -> tuple[Any, ...]:
        return self.count, self.gram, self.cross, self.x_sum, self.y_sum, self.y_square

    @property
    def y_mean(self) -> Wide:
        return self.y_sum / self.count

    @property
    def y_std(self) -> Wide:
        return np.asarray(np.sqrt(np.maximum(self.y_square / self.count - np.square(self.y_mean), 0.0)))

    @property
    def active(self) -> NDArray[np.bool_]:
        """Bands that vary over these frames."""
        return np.asarray(self.y_std >= ACTIVE_STD_NATS)

    def intercept(self, weights: Wide) -> Array:
        """The constant that makes the mean residual zero, (band,)."""
        return (self.y_mean - self.x_sum / self.count @ weights).astype(np.float32)


@dataclass(frozen=True)
class _Gathered:
    """Spans one after another, each with the rows that its lags reach.

    ``rows`` (row, channel).  Without the last lag's reach: ``frame`` (row,), 1 in the spans and 0 between them, and
    ``inside`` (row, channel) and ``target`` (row, band), zero between them.  ``starts`` and ``stops`` of the spans.
    """

    rows: Wide
    frame: Wide
    inside: Wide
    target: Wide
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    @classmethod
    def of(
        cls, features: Sequence[Array], mel: Sequence[Array], spans: Sequence[Span], lags: NDArray[np.int64]
    ) -> _Gathered:
        parts = [take_rows(features[r], a + int(lags[0]), b + int(lags[-1])) for r, a, b in spans]
        rows = np.concatenate(parts).astype(np.float64)
        starts = np.cumsum([0, *map(len, parts[:-1])])
        stops = starts + [b - a for _, a, b in spans]
        frame, target = np.zeros(stops[-1]), np.zeros((stops[-1], mel[0].shape[1]))
        for (r, a, b), start, stop in zip(spans, starts, stops, strict=True):
            frame[start:stop], target[start:stop] = 1.0, mel[r][a:b]
        inside = rows[: len(frame)]
        return cls(rows, frame, inside if len(spans) == 1 else inside * frame[:, None], target, starts, stops)

    def edges(self, n_lags: int, step: int) -> tuple[Wide, Wide]:
        """Rows that enter and leave the spans from each lag to the next, (lag - 1, row, channel): of both, and with
        the sign of those that leave turned."""
        offsets = np.arange((n_lags - 1) * step).reshape(n_lags - 1, 1, step)
        entering, leaving = (
            self.rows[(edge[:, None] + offsets).reshape(n_lags - 1, len(edge) * step)]
            for edge in (self.stops, self.starts)
        )
        return np.concatenate([entering, leaving], axis=1), np.concatenate([entering, -leaving], axis=1)


def moments_of_spans(
    features: Sequence[Array], mel: Sequence[Array], spans: Sequence[Span], lags: NDArray[np.int64]
) -> Moments:
    """Sums over the spans' frames; ``features`` are standardised."""
    n_lags, n_channels, n_bands = len(lags), features[0].shape[1], mel[0].shape[1]
    gram = np.zeros((n_lags, n_channels, n_lags, n_channels))
    cross = np.zeros((n_lags, n_channels, n_bands))
    x_sum = np.zeros((n_lags, n_channels))
    y_sum, y_square = np.zeros(n_bands), np.zeros(n_bands)
    for group in _groups(spans):
        found = _Gathered.of(features, mel, group, lags)
        n = len(found.frame)
        for i, offset in enumerate(lags - lags[0]):
            shifted = found.rows[offset : offset + n]
            cross[i] += shifted.T @ found.target
            x_sum[i] += found.frame @ shifted
        y_sum += found.target.sum(axis=0)
        y_square += np.square(found.target).sum(axis=0)
        _add_gram(gram, found, lags)
    size = n_lags * n_channels
    return Moments(
        sum(b - a for _, a, b in spans), gram.reshape(size, size), cross.reshape(size, -1),
        x_sum.reshape(size), y_sum, y_square,
    )  # fmt: skip


def _groups(spans: Sequence[Span]) -> list[list[Span]]:
    """Spans, in order, that are summed together: :data:`GROUP_FRAMES` at most, or one that is longer."""
    groups: list[list[Span]] = []
    room = 0
    for span in spans:
        room -= span[2] - span[1]
        if room < 0:
            groups.append([])
            room = GROUP_FRAMES - (span[2] - span[1])
        groups[-1].append(span)
    return groups


def _add_gram(gram: Wide, found: _Gathered, lags: NDArray[np.int64]) -> None:
    """Add the spans' blocks to gram (L, C, L, C)."""
    n_lags, n = len(lags), len(found.inside)
    step = int(lags[1] - lags[0]) if n_lags > 1 else 1
    left, right = found.edges(n_lags, step)
    for d in range(n_lags):
        first = found.inside.T @ found.rows[d * step : d * step + n]
        change = np.matmul(left[: n_lags - 1 - d].transpose(0, 2, 1), right[d:])
        blocks = np.concatenate([first[None], first + np.cumsum(change, axis=0)])
        for i, block in enumerate(blocks):
            gram[i, :, i + d] += block
            if d:
                gram[i + d, :, i] += block.T


def solve(moments: Moments, penalties: Sequence[float], prior: WeightPrior | None = None) -> list[Wide]:
    """Weights (L*C, band) for each penalty, features and mel centred; zero for a constant band."""
    x_mean = moments.x_sum / moments.count
    gram = moments.gram - moments.count * np.outer(x_mean, x_mean)
    cross = (moments.cross - moments.count * np.outer(x_mean, moments.y_mean)) * moments.active
    if prior is not None:
        gram, cross = prior.fold(gram, cross)
    diagonal = gram.diagonal().copy()
    fits = []
    for penalty in penalties:
        np.fill_diagonal(gram, diagonal + penalty)
        solution = cho_solve(cho_factor(gram, lower=True, check_finite=False), cross, check_finite=False)
        fits.append(solution if prior is None else prior.unfold(solution))
    return fits


def lagged_product(features: Sequence[Array], weights: Wide, lags: NDArray[np.int64], spans: Sequence[Span]) -> Wide:
    """Sum over lags of rows times weights, of the spans one after another: (frame, band)."""
    blocks = weights.reshape(len(lags), features[0].shape[1], -1)
    products = []
    for group in _groups(spans):
        parts = [take_rows(features[r], a + int(lags[0]), b + int(lags[-1])) for r, a, b in group]
        rows, starts = np.concatenate(parts).astype(np.float64), np.cumsum([0, *map(len, parts[:-1])]).tolist()
        product = np.zeros((len(rows) - int(lags[-1] - lags[0]), blocks.shape[-1]))
        for lag, of_lag in zip(lags - lags[0], blocks, strict=True):
            product += rows[lag : lag + len(product)] @ of_lag
        products += [product[start : start + b - a] for start, (_, a, b) in zip(starts, group, strict=True)]
    return np.concatenate(products)


def single_lag_r(
    features: Sequence[Array],
    mel: Sequence[Array],
    train_spans: Sequence[Span],
    test_spans: Sequence[Span],
    lags_frames: Sequence[int],
    penalty: float = 100.0,
) -> Wide:
    """Mean r over active bands of a ridge that sees one feature frame, for each latency.

    A positive latency means that the brain precedes the sound: latency ``l`` reads
    feature frame ``t - l`` for mel frame ``t`` [mel frames].  NaN where there are no frames.
    """
    if not train_spans or not test_spans:
        return np.full(len(lags_frames), np.nan)
    mean, scale = channel_statistics(features, train_spans)
    standard = [(f - mean) / scale for f in features]
    truth = np.concatenate([mel[r][a:b] for r, a, b in test_spans])
    scores = []
    for latency in lags_frames:
        lag = np.asarray([-latency], dtype=np.int64)
        weights = solve(moments_of_spans(standard, mel, train_spans, lag), [penalty])[0]
        predicted = lagged_product(standard, weights, lag, test_spans)
        r_band = correlation_per_band(predicted, truth)
        scores.append(np.nanmean(r_band) if np.isfinite(r_band).any() else np.nan)
    return np.asarray(scores)


def mean_spectrum(mel: Sequence[Array], train_spans: Sequence[Span]) -> Array:
    """Mean training frame, (band,) [nats]: the prediction without the brain."""
    return np.concatenate([mel[r][a:b] for r, a, b in train_spans]).mean(axis=0, dtype=np.float64).astype(np.float32)


def mean_template(
    mel: Sequence[Array],
    train_spans: Sequence[Span],
    onsets: Sequence[NDArray[np.int64]],
    length: int,
    before: int,
) -> Array | None:
    """Mean training mel around event onsets, (length, band) [nats], ``before`` frames ahead of the onset.

    ``onsets`` holds the onset frames per recording.  Only events whose whole stretch
    lies in one training span count; None where there is none.
    """
    stretches = [
        mel[r][onset - before : onset - before + length]
        for r, a, b in train_spans
        for onset in onsets[r]
        if a <= onset - before and onset - before + length <= b
    ]
    return np.asarray(np.mean(stretches, axis=0), dtype=np.float32) if stretches else None


def place_template(
    template: Array, before: int, onsets: NDArray[np.int64], spectrum: Array, start: int, stop: int
) -> Array:
    """The template at every onset of a span, (stop - start, band); the mean spectrum between, the later event wins."""
    mel = np.tile(spectrum, (stop - start, 1))
    for onset in np.sort(onsets):
        first = int(onset) - before - start
        a, b = max(first, 0), min(first + len(template), stop - start)
        if a < b:
            mel[a:b] = template[a - first : b - first]
    return mel


@dataclass(frozen=True)
class Envelope:
    """Loudness from the brain, its spectrum from the training set: a one-number decoder.

    ``slope`` and ``offset`` (band,) turn the mean log-mel of a frame into a mel.
    """

    slope: Array
    offset: Array

    @classmethod
    def of(cls, mel: Sequence[Array], spans: Sequence[Span]) -> Envelope:
        """The regression of each band on the true loudness of the spans' frames."""
        y = np.concatenate([mel[r][a:b] for r, a, b in spans]).astype(np.float64)
        x = y.mean(axis=1)
        centred = x - x.mean()
        slope = centred @ (y - y.mean(axis=0)) / max(float(centred @ centred), 1e-12)
        offset = y.mean(axis=0) - slope * x.mean()
        return cls(slope.astype(np.float32), offset.astype(np.float32))

    def from_loudness(self, mel: Array) -> Array:
        """The mel (frame, band) [nats] that the loudness of a mel gives: of the ridge's, which is what a ridge makes of
        loudness alone, the baseline; of the true one, the oracle."""
        return mel.mean(axis=1, keepdims=True) * self.slope + self.offset


def nearest_neighbour(
    features: Sequence[Array], mel: Sequence[Array], train_spans: Sequence[Span], lags: tuple[int, int],
    recording: int, start: int, stop: int,
) -> Array:  # fmt: skip
    """The mel of the training frame whose lagged, standardised features lie closest, (stop - start, band).

    The decoder that gains most from leaks: on independent data it must score chance.
    Every fourth lag is compared.
    """
    mean, scale = channel_statistics(features, train_spans)
    grid = np.arange(-lags[0], lags[1] + 1, 4)

    def stack(r: int, a: int, b: int) -> Array:
        frames = np.clip(np.arange(a, b)[:, None] + grid, 0, len(features[r]) - 1)
        return ((features[r][frames] - mean) / scale).reshape(b - a, -1)

    keys = np.concatenate([stack(r, a, b) for r, a, b in train_spans])
    values = np.concatenate([mel[r][a:b] for r, a, b in train_spans])
    half_norm = 0.5 * np.square(keys).sum(axis=1)
    blocks = [stack(recording, a, min(a + 512, stop)) for a in range(start, stop, 512)]
    return np.concatenate([values[(half_norm - block @ keys.T).argmin(axis=1)] for block in blocks])
