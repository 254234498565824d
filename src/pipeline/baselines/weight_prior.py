"""A prior of the ridge's weights: some channels and lags matter more, and weights change slowly over lags.

A plain ridge has the same prior for every weight, whether of an electrode in white matter without
activity at a lag of 300 ms or of the best electrode at its latency.  Here a
weight is normal with covariance ``s_c^2 d_l d_m exp(-(l - m)^2 / (2 tau^2))``: a scale per
channel, a scale per lag, and a correlation between lags.  The scales are the root mean
squares of a plain ridge's weights on the same frames (one step of automatic relevance
determination; MacKay 1992, Neural Computation 4:448; smoothness over lags as in Sahani and Linden 2003, NIPS 15:317).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]

SMOOTH_FRAMES = 4.0
RANK_TOLERANCE = 1e-3  # of the largest eigenvalue of the correlation between lags


@dataclass(frozen=True)
class WeightPrior:
    """``lag`` (lag, component) and ``channel`` (channel,): a factor of the weights' covariance, their outer product.

    Weights (lag * channel, band) are the factor times coordinates (component * channel, band) of unit variance.
    """

    lag: Wide
    channel: Wide

    @classmethod
    def of(cls, weights: Wide, lags: NDArray[np.int64], band_std: Wide) -> WeightPrior:
        """From the weights of a plain ridge; ``band_std`` (band,) [nats] makes bands count alike."""
        power = np.square(weights / np.where(band_std > 0, band_std, 1.0)).reshape(len(lags), -1, weights.shape[1])
        distance = (lags[:, None] - lags) / SMOOTH_FRAMES
        values, vectors = np.linalg.eigh(np.exp(-0.5 * np.square(distance)))
        kept = values > RANK_TOLERANCE * values[-1]
        smooth = vectors[:, kept] * np.sqrt(values[kept])
        return cls(_relative(power.mean(axis=(1, 2)))[:, None] * smooth, _relative(power.mean(axis=(0, 2))))

    def fold(self, gram: Wide, cross: Wide) -> tuple[Wide, Wide]:
        """Gram matrix (lag * channel)^2 and its right-hand side (lag * channel, band), in coordinates."""
        n_lags, n_channels = len(self.lag), len(self.channel)
        half = self.lag.T @ gram.reshape(n_lags, -1)  # (component, channel * lag * channel)
        half = half.reshape(-1, n_channels, n_lags, n_channels)
        whole = np.einsum("kclm,lj->kcjm", half, self.lag, optimize=True)
        whole *= self.channel[:, None, None]
        whole *= self.channel
        size = self.lag.shape[1] * n_channels
        folded = np.einsum("lk,lcb->kcb", self.lag, cross.reshape(n_lags, n_channels, -1), optimize=True)
        return whole.reshape(size, size), (folded * self.channel[:, None]).reshape(size, -1)

    def unfold(self, coordinates: Wide) -> Wide:
        """Weights (lag * channel, band) from coordinates (component * channel, band)."""
        blocks = coordinates.reshape(self.lag.shape[1], len(self.channel), -1) * self.channel[:, None]
        weights = np.einsum("lk,kcb->lcb", self.lag, blocks, optimize=True)
        return np.asarray(weights.reshape(-1, coordinates.shape[1]))


def _relative(power: Wide) -> Wide:
    """Root of each power, relative to their mean."""
    mean = power.mean()
    return np.asarray(np.sqrt(power / mean)) if mean > 0 else np.ones_like(power)
