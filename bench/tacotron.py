"""What a user would write first: a Tacotron-style decoder that loops over mel frames, of the project's width.

Same encoder, window and losses as :mod:`pipeline.model.network`; instead of its decoder, for every frame:
prenet of the previous frame, an attention GRU, location-sensitive additive attention (Chorowski et al.
2015, Shen et al. 2018), a decoder GRU, one frame out.  With teacher forcing, the previous frame is the
true one; its scheduled sampling takes place inside the loop and so costs nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.model.network import Encoder
from pipeline.model.presets import Architecture

PRENET_WIDTH, LOCATION_FILTERS, LOCATION_KERNEL = 64, 16, 15


class LocationAttention(nn.Module):
    """Additive attention of one query on all positions, which sees where it has looked before."""

    def __init__(self, query: int, memory: int, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(query, width), nn.Linear(memory, width, bias=False)
        self.location = nn.Conv1d(2, LOCATION_FILTERS, LOCATION_KERNEL, padding=LOCATION_KERNEL // 2, bias=False)
        self.of_location, self.score = nn.Linear(LOCATION_FILTERS, width, bias=False), nn.Linear(width, 1)

    def forward(
        self, state: Tensor, memory: Tensor, keys: Tensor, seen: Tensor, total: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Context (batch, memory) and weights (batch, position)."""
        location = self.of_location(self.location(torch.stack([seen, total], dim=1)).transpose(1, 2))
        energy = self.score(torch.tanh(self.query(state)[:, None] + keys + location))[..., 0]
        weights = energy.softmax(dim=1)
        return (weights[:, None] @ memory)[:, 0], weights


class PerFrameModel(nn.Module):
    """(batch, frame, channel) normalised -> (batch, length, band) normalised."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.a, hidden = a, a.decoder_hidden
        self.encoder = Encoder(a)
        memory = self.encoder.width
        self.prenet = nn.Sequential(
            nn.Linear(a.n_bands, PRENET_WIDTH), nn.ReLU(), nn.Dropout(a.decoder_dropout),
            nn.Linear(PRENET_WIDTH, PRENET_WIDTH), nn.ReLU(), nn.Dropout(a.decoder_dropout),
        )  # fmt: skip
        self.attention_gru = nn.GRUCell(PRENET_WIDTH + memory, hidden)
        self.attention = LocationAttention(hidden, memory, hidden)
        self.decoder_gru = nn.GRUCell(hidden + memory, hidden)
        self.output = nn.Linear(hidden + memory, a.n_bands)

    def forward(self, frames: Tensor, known: Tensor | None = None, own_share: float = 0.0) -> Tensor:
        """``known`` (batch, length, band) is fed back, of each frame the model's own with probability ``own_share``."""
        memory = self.encoder(frames)
        keys = self.attention.key(memory)
        n = len(memory)
        hidden = [memory.new_zeros(n, self.a.decoder_hidden) for _ in range(2)]
        context, previous = memory.new_zeros(n, memory.shape[2]), memory.new_zeros(n, self.a.n_bands)
        seen = total = memory.new_zeros(n, memory.shape[1])
        mel = []
        for t in range(self.a.length_frames):
            hidden[0] = self.attention_gru(torch.cat([self.prenet(previous), context], dim=1), hidden[0])
            context, seen = self.attention(hidden[0], memory, keys, seen, total)
            total = total + seen
            hidden[1] = self.decoder_gru(torch.cat([hidden[0], context], dim=1), hidden[1])
            mel.append(self.output(torch.cat([hidden[1], context], dim=1)))
            previous = mel[-1]
            if known is not None:
                own = torch.rand(n, 1, device=previous.device) < own_share
                previous = torch.where(own, previous.detach(), known[:, t])
        return torch.stack(mel, dim=1)
