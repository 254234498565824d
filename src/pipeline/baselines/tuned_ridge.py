"""The strong ridge: everything that can be chosen is chosen by cross-validation, then it is fitted on all data.

Chosen over training *and* validation frames: whether the logarithm of the features is taken, and one penalty for
all bands, for a plain fit whose weights give the prior of the second (:class:`WeightPrior`).  A penalty per band,
picked on the validation block alone, goes astray on minutes of data: up to .7 dB of mel-cepstral distortion worse at
equal r (docs/decoder.md).  The score is r over time, mean over bands, of frames that the fit has not seen.

In: features (frame * rows_per_frame, channel), mels (frame, band) [nats], spans ``(recording, start, stop)`` in frames.
Out: the refit on training and validation frames, which models are compared with; the ridge of the training frames
alone, against which networks are stopped and weighed on the validation block; and the mel of all these frames, of the
training frames cross-fitted, which networks learn from: what a ridge says of frames that it was fitted on is better
than what it will say of new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.baselines.ridge import (
    Array,
    Moments,
    Ridge,
    RidgeChoice,
    Span,
    Wide,
    channel_statistics,
    cut,
    frame_features,
    lag_grid,
    lagged_product,
    moments_of_spans,
    solve,
)
from pipeline.baselines.weight_prior import WeightPrior
from pipeline.config.ridge import RidgeConfig
from pipeline.signal.correlation import correlation, moments_of

PARTS = 5  # of the training frames; the validation block is one more
PENALTIES = tuple(RidgeConfig().penalties)


@dataclass(frozen=True)
class TunedRidge:
    """``ridge`` of the training frames, ``refit`` of validation frames too, ``mel`` (frame, band) of frames unseen."""

    choice: RidgeChoice
    ridge: Ridge
    refit: Ridge
    mel: list[Array]


def tuned_ridge(
    features: Sequence[Array],
    mel: Sequence[Array],
    train: Sequence[Span],
    validation: Sequence[Span],
    lags: tuple[int, int],
    penalties: Sequence[float] = PENALTIES,
    *,
    rows_per_frame: int = 1,
    clip: float = np.inf,
    gap: int = 0,
    choice: RidgeChoice | None = None,
) -> TunedRidge:
    """The strong ridge of one subject.

    Args:
        lags: frames before and after the sound frame.
        penalties: to choose from [training frames].
        clip: limit of the standardised features [standard deviations].
        gap: frames next to what was fitted that take no part in a score.
        choice: what is known already, from the folds of a final model.
    """
    transformed = partial(_Data.of, features, mel, train, validation, lags, rows_per_frame, clip, gap)
    if choice is None:
        is_amplitude = rows_per_frame == 1 and all(features[r][a:b].min() > 0 for r, a, b in (*train, *validation))
        both = (transformed(is_log) for is_log in (False, True)[: 1 + is_amplitude])
        data, plain, _ = max(((data, *data.best_penalty(penalties, None)) for data in both), key=lambda each: each[2])
        penalty, r = data.best_penalty(penalties, plain)
        choice = RidgeChoice(data.is_log, plain, penalty, r)
    else:
        data = transformed(choice.is_log)
    refit = data.fitted(data.total, choice)
    alone = data.fitted(data.train_moments, choice) if validation else refit
    return TunedRidge(choice, alone, refit, data.cross_fitted(choice))


@dataclass(frozen=True)
class _Data:
    """Standardised frames of the recordings, and the moments of each part: of the training frames, then validation."""

    frames: list[Array]
    mel: Sequence[Array]
    floor: Array | None
    mean: Array
    scale: Array
    clip: float
    lags: np.ndarray
    is_log: bool
    parts: list[list[Span]]
    n_train: int
    moments: list[Moments]
    gap: int

    @classmethod
    def of(
        cls, features: Sequence[Array], mel: Sequence[Array], train: Sequence[Span], validation: Sequence[Span],
        lags: tuple[int, int], rows_per_frame: int, clip: float, gap: int, is_log: bool,
    ) -> _Data:  # fmt: skip
        frames, floor = frame_features(features, train, rows_per_frame, is_log)
        mean, scale = channel_statistics(frames, train)
        grid = lag_grid(*lags, frames[0].shape[1])
        standard = [np.clip((f - mean) / scale, -clip, clip) for f in frames]
        trained = cut(train, PARTS)
        parts = [*trained, list(validation)] if validation else trained
        moments = [moments_of_spans(standard, mel, part, grid) for part in parts]
        return cls(standard, mel, floor, mean, scale, clip, grid, is_log, parts, len(trained), moments, gap)

    @property
    def total(self) -> Moments:
        """Of training and validation frames."""
        return _sum(self.moments)

    @property
    def train_moments(self) -> Moments:
        return _sum(self.moments[: self.n_train])

    def weights(self, moments: Moments, penalties: Sequence[float], plain: float | None) -> list[Wide]:
        """Of each penalty; with the prior that the plain fit with penalty ``plain`` on the same frames gives."""
        prior = None if plain is None else WeightPrior.of(solve(moments, [plain])[0], self.lags, moments.y_std)
        return solve(moments, penalties, prior)

    def best_penalty(self, penalties: Sequence[float], plain: float | None) -> tuple[float, float]:
        """The penalty with the largest r of frames that the fit has not seen, and that r (-1 where it has none)."""
        total = self.total
        sums: list[np.ndarray | float] = [0.0] * len(penalties)
        for part, own in zip(self.parts, self.moments, strict=True):
            rest = total - own
            scored = _away_from_edges(part, self.parts, self.gap)
            truth = np.concatenate([self.mel[r][a:b] for r, a, b in scored]) - total.y_mean
            for k, weights in enumerate(self.weights(rest, penalties, plain)):
                predicted = lagged_product(self.frames, weights, self.lags, scored)
                sums[k] = sums[k] + moments_of(truth, predicted + (rest.intercept(weights) - total.y_mean))
        r = np.stack([np.nan_to_num(correlation(np.asarray(s))[total.active], nan=-1.0) for s in sums])
        means = r.mean(axis=1) if r.shape[1] else np.zeros(len(penalties))
        return float(penalties[int(means.argmax())]), float(means.max())

    def fitted(self, moments: Moments, choice: RidgeChoice) -> Ridge:
        """The ridge of some frames."""
        weights = self.weights(moments, [choice.penalty], choice.plain_penalty)[0]
        shaped = weights.reshape(len(self.lags), -1, weights.shape[1]).astype(np.float32)
        return Ridge(shaped, moments.intercept(weights), self.mean, self.scale, float(self.clip), self.lags, self.floor)

    def cross_fitted(self, choice: RidgeChoice) -> list[Array]:
        """Mel of each part by a fit on the training frames outside of it; the mean of these beyond all parts."""
        whole = self.train_moments
        predicted = [np.tile(whole.y_mean, (len(f), 1)).astype(np.float32) for f in self.frames]
        for k, (part, own) in enumerate(zip(self.parts, self.moments, strict=True)):
            rest = whole - own if k < self.n_train else whole
            weights = self.weights(rest, [choice.penalty], choice.plain_penalty)[0]
            found = lagged_product(self.frames, weights, self.lags, part) + rest.intercept(weights)
            lengths = [b - a for _, a, b in part]
            for (r, a, b), own_frames in zip(part, np.split(found, np.cumsum(lengths)[:-1]), strict=True):
                predicted[r][a:b] = own_frames
        return predicted


def _sum(moments: Sequence[Moments]) -> Moments:
    total = moments[0]
    for own in moments[1:]:
        total = total + own
    return total


def _away_from_edges(part: Sequence[Span], parts: Sequence[Sequence[Span]], gap: int) -> list[Span]:
    """A part's frames that lie ``gap`` away from those of other parts; all of it where none does."""
    others = [span for other in parts if other is not part for span in other]
    kept = []
    for r, start, stop in part:
        first, last = start, stop
        for _, a, b in (other for other in others if other[0] == r):
            first = max(first, b + gap) if b <= start else first
            last = min(last, a - gap) if a >= stop else last
        if first < last:
            kept.append((r, first, last))
    return kept or list(part)
