"""Encoder: neural rows in, one vector per four mel frames out.

A window arrives as (batch, (context + length + context) * m, channel), m rows per
mel frame, normalised.  For m = 1 (envelopes) the rows are the frames.  For
m > 1 (raw signal) :class:`BandPower` makes frames of them: the one place where the
neural rate meets the encoder's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pipeline.model.presets import Architecture

POOL = 4  # mel frames per encoder position


class ChannelDropout(nn.Module):
    """Dropout of whole features of (batch, time, feature): one draw for all times of a window.

    Neighbouring times say nearly the same, so single values dropped are hardly missed; and it costs less.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= self.p
        return x * (kept / (1 - self.p))


class TimeConv(nn.Conv1d):
    """Convolution over (batch, time, channel) that keeps the length; past rows only where ``causal``."""

    def __init__(self, n_in: int, n_out: int, kernel: int, causal: bool, groups: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, groups=groups)
        self.before = kernel - 1 if causal else (kernel - 1) // 2
        self.after = kernel - 1 - self.before

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x.transpose(1, 2), (self.before, self.after))
        return super().forward(padded).transpose(1, 2)


class BandPower(nn.Module):
    """Log power of learned band-pass filters, (batch, frame * m, channel) -> (batch, frame, channel * filters).

    The filters are shared by all channels and start as windowed sines spread over the
    upper half of the spectrum, where high gamma lies for a feature rate of a few hundred Hz.
    """

    offset: Tensor

    def __init__(self, n_channels: int, n_filters: int, oversampling: int, causal: bool) -> None:
        super().__init__()
        self.oversampling, self.causal, self.n_filters = oversampling, causal, n_filters
        kernel = 4 * oversampling + 1
        time = torch.arange(kernel) - kernel // 2
        centres = torch.linspace(0.1, 0.45, n_filters + 2)[1:-1]  # cycles per row
        waves = torch.cos(2 * math.pi * centres[:, None] * time) * torch.hann_window(kernel + 2)[1:-1]
        waves = waves - waves.mean(dim=1, keepdim=True)  # deaf to what changes slowly
        self.filters = nn.Parameter(waves / waves.norm(dim=1, keepdim=True))
        self.gain = nn.Parameter(torch.ones(n_channels * n_filters))
        self.register_buffer("offset", torch.zeros(n_channels * n_filters))

    def forward(self, x: Tensor) -> Tensor:
        batch, rows, channels = x.shape
        kernel = self.filters.shape[1]
        before = kernel - 1 if self.causal else kernel // 2
        change = torch.diff(x, dim=1, prepend=x[:, :1])  # whitens the 1/f background
        signal = F.pad(change.transpose(1, 2).reshape(batch * channels, 1, rows), (before, kernel - 1 - before))
        bands = F.conv1d(signal, self.filters[:, None])
        power = F.avg_pool1d(bands.square(), self.oversampling)
        log_power = torch.log(power + 1e-6).reshape(batch, channels * self.n_filters, -1).transpose(1, 2)
        return (log_power - self.offset) * self.gain


class Encoder(nn.Module):
    """Convolutions, pooling, GRU (both directions unless causal), with residual paths.

    (batch, frame, channel) -> (batch, position, :attr:`width`); position ``p`` covers
    frames ``4p … 4p + 3`` of the padded window.  Where there is a linear skip, its bands are
    further channels.
    """

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        directions = 1 if a.causal else 2
        hidden = a.encoder_hidden * (2 if a.causal else 1)
        self.width = hidden * directions
        n_in = a.n_channels * (a.band_filters if a.oversampling > 1 else 1)
        n_in += a.n_bands * a.linear_skip
        self.first = TimeConv(n_in, a.encoder_width, a.encoder_kernel, a.causal)
        self.second = TimeConv(a.encoder_width, a.encoder_width, 5, a.causal)
        self.norm_first, self.norm_second = nn.LayerNorm(a.encoder_width), nn.LayerNorm(a.encoder_width)
        self.gru = nn.GRU(a.encoder_width, hidden, batch_first=True, bidirectional=not a.causal)
        self.residual = nn.Linear(a.encoder_width, self.width)
        self.dropout = ChannelDropout(a.encoder_dropout)

    def forward(self, frames: Tensor) -> Tensor:
        x = pool(F.gelu(self.norm_first(self.first(frames))))
        x = self.dropout(x)
        x = x + self.dropout(F.gelu(self.norm_second(self.second(x))))
        memory, _ = self.gru(x)
        return self.dropout(memory + self.residual(x))


def pool(x: Tensor) -> Tensor:
    """Mean of each four frames, (batch, frame, width) -> (batch, position, width)."""
    return F.avg_pool1d(x.transpose(1, 2), POOL, ceil_mode=True, count_include_pad=False).transpose(1, 2)


def position_centres(n_positions: int, context_frames: int) -> Tensor:
    """Time of encoder positions' centres [mel frames from the window's first frame]."""
    return POOL * torch.arange(n_positions) + 0.5 * (POOL - 1) - context_frames
