"""Autoregressive decoder: the previous mel frame and the attended brain give the next group of frames.

In training the true previous frames are known, so the GRU runs over the whole sequence
in one fused call (:meth:`Decoder.forward`); only free running (:meth:`Decoder.generate`)
loops, length / reduction factor times.

Instead of a Tacotron-style loop over frames: a training step 5 to 7 times as fast, free running 23 times
(docs/benchmarks.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pipeline.model.attention import AlignedAttention
from pipeline.model.encoder import POOL, position_centres
from pipeline.model.presets import Architecture

PRENET_WIDTH = 64


class Decoder(nn.Module):
    """Prenet, GRU, aligned attention, and a head that emits ``reduction_factor`` frames a step.

    Mels are normalised, (batch, frame, band); frames beyond the window's length, where the
    length is no multiple of the reduction factor, are cut off.
    """

    def __init__(self, a: Architecture, memory_width: int) -> None:
        super().__init__()
        self.length, self.group, self.n_bands = a.length_frames, a.reduction_factor, a.n_bands
        self.n_groups = -(-a.length_frames // a.reduction_factor)
        self.prenet = nn.Sequential(
            nn.Linear(a.n_bands, PRENET_WIDTH), nn.ReLU(), nn.Dropout(a.decoder_dropout),
            nn.Linear(PRENET_WIDTH, PRENET_WIDTH), nn.ReLU(), nn.Dropout(a.decoder_dropout),
        )  # fmt: skip
        self.gru = nn.GRU(PRENET_WIDTH, a.decoder_hidden, batch_first=True)
        n_positions = -(-(a.length_frames + 2 * a.context_frames) // POOL)
        self.attention = AlignedAttention(
            a.decoder_hidden, memory_width, a.heads, self.group,
            position_centres(n_positions, a.context_frames), self.group * torch.arange(self.n_groups),
            a.attention_bias, a.causal,
        )  # fmt: skip
        self.hidden = nn.Linear(a.decoder_hidden + self.attention.width, a.decoder_hidden)
        self.dropout = nn.Dropout(a.decoder_dropout)
        self.gain = nn.Parameter(torch.ones(a.n_bands))
        self.output = nn.Linear(a.decoder_hidden, self.group * a.n_bands)

    def forward(self, memory: Tensor, previous: Tensor, estimate: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mel (batch, length, band) and attention weights, given the frame before each group (batch, group, band)."""
        keys, values = self.attention.remember(memory)
        states, _ = self.gru(self.prenet(previous))
        context, weights = self.attention(states, keys, values, self.attention.bias())
        mel = self._emit(states, context)[:, : self.length]
        return (mel if estimate is None else mel + self.gain * estimate), weights

    def generate(self, memory: Tensor, estimate: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same, from its own output."""
        keys, values = self.attention.remember(memory)
        bias = self.attention.bias()
        previous = memory.new_zeros(len(memory), 1, self.n_bands)
        state, mels, weights = None, [], []
        for step in range(self.n_groups):
            out, state = self.gru(self.prenet(previous), state)
            context, attended = self.attention(out, keys, values, bias[:, step : step + 1])
            mel = self._emit(out, context)[:, : self.length - step * self.group]
            if estimate is not None:
                mel = mel + self.gain * estimate[:, step * self.group : (step + 1) * self.group]
            mels.append(mel)
            weights.append(attended)
            previous = mels[-1][:, -1:]
        return torch.cat(mels, dim=1), torch.cat(weights, dim=2)

    def previous_frames(self, mel: Tensor) -> Tensor:
        """The frame before each group, (batch, group, band); zeros (the mean) before the first."""
        last = mel[:, self.group - 1 :: self.group][:, : self.n_groups - 1]
        return F.pad(last, (0, 0, 1, 0))

    def _emit(self, states: Tensor, context: Tensor) -> Tensor:
        hidden = self.dropout(F.gelu(self.hidden(torch.cat([states, context], dim=-1))))
        return self.output(hidden).reshape(len(states), -1, self.n_bands)
