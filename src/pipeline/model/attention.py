"""Attention of the decoder on the encoder, biased towards what happens at the same time.

Neural input and sound share a clock.  Each head adds ``-(j - c - delta)^2 / (2 sigma^2)``
to its scores, j the encoder position's time, c the centre of the output group, both in
mel frames from the window's start; delta and sigma are learned.  Without this bias the
decoder learns to continue its own output and ignores the brain.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipeline.model.encoder import POOL


class AlignedAttention(nn.Module):
    """Multi-head attention from groups (batch, group, query) to positions (batch, position, memory).

    ``position_frames`` (position,) and ``group_frames`` (group,) are the times of the
    positions' centres and of the groups' first frames [mel frames].
    """

    position_frames: Tensor
    group_frames: Tensor

    def __init__(
        self, query_width: int, memory_width: int, heads: int, group_size: int,
        position_frames: Tensor, group_frames: Tensor, biased: bool, causal: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads, self.group_size, self.biased, self.causal = heads, group_size, biased, causal
        self.head_width = -(-memory_width // heads)
        self.query = nn.Linear(query_width, heads * self.head_width)
        self.key = nn.Linear(memory_width, heads * self.head_width, bias=False)
        self.value = nn.Linear(memory_width, heads * self.head_width)
        self.offset_frames = nn.Parameter(torch.linspace(-4.0, 0.0 if causal else 4.0, heads))
        self.log_width = nn.Parameter(torch.full((heads,), math.log(4.0)))
        self.register_buffer("position_frames", position_frames, persistent=False)
        self.register_buffer("group_frames", group_frames, persistent=False)

    @property
    def width(self) -> int:
        """Width of the context vectors."""
        return self.heads * self.head_width

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (batch, head, position, width) of an encoded window."""
        return self._split(self.key(memory)), self._split(self.value(memory))

    def bias(self) -> Tensor:
        """Additive scores (head, group, position); minus infinity on the future where causal."""
        centre = self.group_frames + 0.5 * (self.group_size - 1)
        distance = self.position_frames - centre[:, None]
        scores = torch.zeros(self.heads, *distance.shape, device=distance.device)
        if self.biased:
            offset, width = self.offset_frames[:, None, None], self.log_width.exp()[:, None, None]
            scores = scores - (distance - offset).square() / (2 * width.square())
        if self.causal:
            newest = self.position_frames + 0.5 * (POOL - 1)
            scores = scores.masked_fill(newest > self.group_frames[:, None], -math.inf)
        return scores

    def forward(self, states: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts (batch, group, width) and weights (batch, head, group, position) of decoder states."""
        query = self._split(self.query(states))
        scores = query @ keys.transpose(-1, -2) / math.sqrt(self.head_width) + bias
        weights = scores.softmax(dim=-1)
        context = (weights @ values).transpose(1, 2)
        return context.reshape(*context.shape[:2], -1), weights

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, self.head_width).transpose(1, 2)
