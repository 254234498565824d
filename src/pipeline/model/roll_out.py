"""A causal network run from the first frame of a trial to the last, its state carried along.

What a live decoder does, and how a causal model predicts offline: a step takes the rows of a few new frames and
gives as many frames of mel, and what it needs of the past stands in a :class:`State` of fixed size.  The computation is
that of :class:`~pipeline.model.network.Seq2Seq` on one window that begins with the trial and never ends, but
for attention, which sees as many encoder positions as at the end of a window in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pipeline.errors import InputError, Problem
from pipeline.model.ensemble import Ensemble
from pipeline.model.network import POOL, BandPower, PostNet, Seq2Seq, TimeConv


class State(NamedTuple):
    """What a network keeps of the past; all but ``subject`` are (batch, …) and have one size throughout.

    ``skip`` (batch, context, channel) are the ridge's standardised frames, ``rows`` the last normalised rows
    that filters of raw signals reach back to, ``columns`` the input of the first convolution, ``waiting`` its output
    that fills no encoder position yet, ``positions`` the input of the second, ``recurrent`` the encoder's GRU.
    ``keys``, ``values`` (batch, head, position, width) and ``unseen`` (batch, position), minus infinity before the
    trial's first, are the memory.  ``previous`` (batch, 1, band) and ``decoder`` are the decoder's, ``refined`` the
    inputs of the post-net's convolutions.
    """

    subject: Tensor
    skip: Tensor
    rows: Tensor
    columns: Tensor
    waiting: Tensor
    positions: Tensor
    recurrent: Tensor
    keys: Tensor
    values: Tensor
    unseen: Tensor
    previous: Tensor
    decoder: Tensor
    refined: Tensor


class Stepper(nn.Module):
    """One causal network, step by step.

    Raises ValueError for one that looks ahead, :class:`InputError` for a plug-in that does not say that it can be.
    """

    def __init__(self, network: Seq2Seq) -> None:
        super().__init__()
        a = network.a
        if not a.causal:
            raise ValueError("a network that looks ahead cannot be run step by step")
        if not network.steps:
            got, fix = "a network that does not say that it can be run step by step", "Train without model.network"
            raise InputError(Problem("plug-in", a.network, got, "one that does (steps = True)", fix))
        self.network, self.a = network, a
        self.step_frames = math.lcm(a.reduction_factor, POOL)
        attention = network.decoder.attention
        centres = attention.group_frames + 0.5 * (attention.group_size - 1)
        newest = attention.position_frames + 0.5 * (POOL - 1)  # the last frame of each position
        n_groups = self.step_frames // a.reduction_factor
        # Positions that the last group of a window sees, and how far behind the newest one each group's view ends.
        self.n_seen = int((newest <= attention.group_frames[-1]).sum())
        done = [self._positions_before(self.step_frames - 1)] * n_groups
        seen = [self._positions_before(i * a.reduction_factor) for i in range(n_groups)]
        self.behind = [d - s for d, s in zip(done, seen, strict=True)]
        self.n_kept = self.n_seen + max(self.behind)
        last = torch.arange(self.n_seen) - self.n_seen + 1
        position_frames = POOL * last + 0.5 * (POOL - 1) - a.context_frames
        times = [position_frames + POOL * (s - 1) - centres[i].cpu() for i, s in enumerate(seen)]
        self.register_buffer("distance", torch.stack(times), persistent=False)  # (group of a step, position)

    distance: Tensor

    def _positions_before(self, frame: int) -> int:
        """How many encoder positions lie whole in the frames up to ``frame`` of the trial."""
        return (frame + 1 + self.a.context_frames) // POOL

    def begin(self, rows: Tensor, subject: Tensor) -> State:
        """The state before the first frame, whose context ``rows`` (batch, context * m, channel) are, in raw units."""
        a, network = self.a, self.network
        batch, context = len(rows), a.context_frames
        encoder, decoder = network.encoder, network.decoder
        kept = (batch, decoder.attention.heads, self.n_kept, decoder.attention.head_width)
        zero = rows.new_zeros
        refined = 3 * (network.a.postnet) * (5 - 1)
        state = State(
            subject=subject,
            skip=zero(batch, context if network.skip else 0, a.n_channels),
            rows=zero(batch, 0, a.n_channels),
            columns=zero(batch, encoder.first.before, encoder.first.in_channels),
            waiting=zero(batch, 0, encoder.first.out_channels),
            positions=zero(batch, encoder.second.before, encoder.first.out_channels),
            recurrent=zero(1, batch, encoder.gru.hidden_size),
            keys=zero(kept),
            values=zero(kept),
            unseen=torch.full((batch, self.n_kept), -math.inf, device=rows.device),
            previous=zero(batch, 1, a.n_bands),
            decoder=zero(1, batch, decoder.gru.hidden_size),
            refined=zero(batch, refined, a.n_bands),
        )
        if network.skip is not None:
            state = state._replace(skip=network.skip.frames(rows, subject))
        frames, state = self._frames(rows, state)
        ridge = None if network.skip is None else zero(batch, context, a.n_bands)
        return self._encode(frames, ridge, state)

    def forward(self, rows: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
        """Mel (batch, step, band) of the next ``step_frames`` frames [nats], the ridge's alike, and the state after.

        ``rows`` is (batch, step * m, channel) in raw units.
        """
        network = self.network
        ridge, state = self._ridge(rows, state)
        frames, state = self._frames(rows, state)
        state = self._encode(frames, ridge, state)
        decoded, state = self._decode(ridge, state)
        refined, state = self._refine(decoded, state)
        own = network.mel_in_nats(refined, state.subject)
        return own, None if ridge is None else network.mel_in_nats(ridge, state.subject), state

    def _ridge(self, rows: Tensor, state: State) -> tuple[Tensor | None, State]:
        """The ridge skip's normalised mel; of its lags, the causal half counts."""
        skip = self.network.skip
        if skip is None:
            return None, state
        x = torch.cat([state.skip, skip.frames(rows, state.subject)], dim=1)  # (batch, context + step, channel)
        return skip.mapped(x, state.subject, self.a.context_frames + 1), state._replace(skip=x[:, self.step_frames :])

    def _frames(self, rows: Tensor, state: State) -> tuple[Tensor, State]:
        """Normalised frames of new rows; filters of raw signals go on from the rows before."""
        network, a = self.network, self.a
        x = (rows - network.feature_mean[state.subject, None]) / network.feature_scale[state.subject, None]
        x = x.clamp(-a.clip_input, a.clip_input)
        if network.input_layer is not None:
            x = x @ network.input_layer[state.subject]
        front_end = network.front_end
        if not isinstance(front_end, BandPower):
            return x, state
        reach = front_end.filters.shape[1]  # that of the filters, and one row more for the difference
        before = state.rows if state.rows.shape[1] else x[:, :1].expand(-1, reach, -1)
        known = torch.cat([before, x], dim=1)
        frames = front_end.of_changes(known.diff(dim=1))
        if network.has_channel is not None:
            frames = frames * network.has_channel[state.subject, None].repeat_interleave(a.band_filters, dim=-1)
        return frames, state._replace(rows=known[:, -reach:])

    def _encode(self, frames: Tensor, ridge: Tensor | None, state: State) -> State:
        """Append the encoder positions that the new frames (batch, n, column) complete to the memory."""
        encoder, attention = self.network.encoder, self.network.decoder.attention
        columns = frames if ridge is None else torch.cat([frames, ridge], dim=2)
        columns = torch.cat([state.columns, columns], dim=1)
        first = F.gelu(encoder.norm_first(_valid(encoder.first, columns)))
        waiting = torch.cat([state.waiting, first], dim=1)
        whole = waiting.shape[1] // POOL * POOL
        pooled = F.avg_pool1d(waiting[:, :whole].transpose(1, 2), POOL).transpose(1, 2)
        positions = torch.cat([state.positions, pooled], dim=1)
        x = pooled + F.gelu(encoder.norm_second(_valid(encoder.second, positions)))
        found, recurrent = encoder.gru(x, state.recurrent)
        keys, values = attention.remember(found + encoder.residual(x))
        n = keys.shape[2]
        return state._replace(
            columns=columns[:, columns.shape[1] - encoder.first.before :],
            waiting=waiting[:, whole:],
            positions=positions[:, positions.shape[1] - encoder.second.before :],
            recurrent=recurrent,
            keys=torch.cat([state.keys, keys], dim=2)[:, :, n:],
            values=torch.cat([state.values, values], dim=2)[:, :, n:],
            unseen=torch.cat([state.unseen, state.unseen.new_zeros(len(keys), n)], dim=1)[:, n:],
        )

    def _decode(self, ridge: Tensor | None, state: State) -> tuple[Tensor, State]:
        decoder, r = self.network.decoder, self.a.reduction_factor
        mels, previous, hidden = [], state.previous, state.decoder
        for i, behind in enumerate(self.behind):
            seen = slice(self.n_kept - behind - self.n_seen, self.n_kept - behind)
            out, hidden = decoder.gru(decoder.prenet(previous), hidden)
            bias = self._bias(i) + state.unseen[:, None, None, seen]
            context, _ = decoder.attention(out, state.keys[:, :, seen], state.values[:, :, seen], bias)
            mel = decoder.emit(out, context)
            if ridge is not None:
                mel = mel + decoder.gain * ridge[:, i * r : (i + 1) * r]
            mels.append(mel)
            previous = mel[:, -1:] * decoder.feedback
        return torch.cat(mels, dim=1), state._replace(previous=previous, decoder=hidden)

    def _bias(self, group: int) -> Tensor:
        """Additive scores (head, 1, position) of a group of the step."""
        attention = self.network.decoder.attention
        if not attention.biased:
            return self.distance.new_zeros(attention.heads, 1, self.n_seen)
        offset, width = attention.offset_frames[:, None, None], attention.log_width.exp()[:, None, None]
        return -(self.distance[group] - offset).square() / (2 * width.square())

    def _refine(self, decoded: Tensor, state: State) -> tuple[Tensor, State]:
        postnet = self.network.postnet
        if not isinstance(postnet, PostNet):
            return decoded, state
        x, kept = decoded, []
        convs = [*postnet.convs, postnet.last]
        for conv, before in zip(convs, state.refined.chunk(len(convs), dim=1), strict=True):
            known = torch.cat([before, x], dim=1)
            kept.append(known[:, known.shape[1] - before.shape[1] :])
            x = _valid(conv, known)
            if conv is not postnet.last:
                x = torch.tanh(x)
        return decoded + x, state._replace(refined=torch.cat(kept, dim=1))


class EnsembleStepper(nn.Module):
    """The released model step by step: the networks' mels and the ridge's, averaged with its weights."""

    def __init__(self, model: Ensemble) -> None:
        super().__init__()
        self.model = model
        self.parts = nn.ModuleList(Stepper(network) for network in model.networks)

    @property
    def steppers(self) -> list[Stepper]:
        """The parts, typed."""
        return [part for part in self.parts if isinstance(part, Stepper)]

    @property
    def step_frames(self) -> int:
        """Frames that one step takes and gives."""
        return math.lcm(*(part.step_frames for part in self.steppers))

    def begin(self, rows: Tensor, subject: Tensor) -> list[State]:
        """The states before the first frame, see :meth:`Stepper.begin`."""
        return [part.begin(rows, subject) for part in self.steppers]

    def forward(self, rows: Tensor, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        """Mel (batch, step, band) [nats] and the states after, see :meth:`Stepper.forward`."""
        mels, after, ridge = [], [], None
        for part, state in zip(self.steppers, states, strict=True):
            mel, own_ridge, state = part(rows, state)
            mels.append(mel)
            after.append(state)
            ridge = own_ridge if ridge is None else ridge
        return self.model.weighted(mels, ridge, states[0].subject), after


def _valid(conv: TimeConv, x: Tensor) -> Tensor:
    """The convolution over (batch, time, channel) without padding."""
    return nn.Conv1d.forward(conv, x.transpose(1, 2)).transpose(1, 2)
