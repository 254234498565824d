"""The network: neural features of a window in, its log-mel spectrogram out.

A window is ``length`` mel frames to predict, with ``context`` frames of neural data on each
side; ``m`` feature rows make one frame (1 for envelopes, a few for raw signals).

    features (batch, (context + length + context) * m, channel), raw units
    1. RidgeSkip (optional): the subject's ridge                -> (batch, length, band), the ridge's mel
    2. Seq2Seq.normalise: standardise, clip, input layer of the subject;
       BandPower makes frames of raw signals                     -> (batch, frame, column)
    3. Encoder: convolutions, pool 4, GRU, of these columns and
       the ridge's mel                                      -> (batch, position, width), the memory
    4. Decoder: prenet of the frame before, GRU, AlignedAttention on the memory,
       head; added to the ridge's mel                               -> (batch, length, band), r frames a step
    5. PostNet over the window (optional)                        -> (batch, length, band)
    log-mel [nats]

The parts follow in this order, the whole (:class:`Seq2Seq`) comes last, and all sizes are in
:class:`~pipeline.model.presets.Architecture`.  Normalisation is fitted on training frames
(:meth:`Seq2Seq.fit_normalisation`) and travels with the weights; so does the ridge skip.  In a pooled model a subject
may be one session of a subject: ``subject`` (batch,) numbers what has a normalisation and an input layer of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pipeline import plugins
from pipeline.artifacts.ridge_skip import LinearMap
from pipeline.config.active_bands import ACTIVE_STD_NATS
from pipeline.errors import InputError, Problem
from pipeline.model.presets import Architecture

POOL = 4  # mel frames per encoder position
PRENET_WIDTH = 64
FLAT_STD_NATS = 1e-3  # a log power that varies less over the training frames is a flat channel's; its gain is 1


class Output(NamedTuple):
    """``mel`` (batch, length, band) is the prediction, ``decoded`` what the decoder feeds back to itself
    (normalised, before post-net and skip), ``attention`` (batch, head, group, position), ``ridge`` the linear
    skip's own mel like ``mel``, where there is one."""

    mel: Tensor
    decoded: Tensor
    attention: Tensor
    ridge: Tensor | None = None


class AttentionAxes(NamedTuple):
    """What the axes of attention weights (batch, head, group, position) stand for.

    ``group_frames`` (group,) is the first frame of each group that the decoder emits, ``position_frames``
    (position,) the centre of each encoder position [mel frames from the window's first frame].
    """

    heads: int
    group_frames: Tensor
    position_frames: Tensor


# --- 1. the ridge skip --------------------------------------------------------------------------------------


class RidgeSkip(nn.Module):
    """A fixed lagged linear map per subject, set from a fitted ridge: (batch, frame, channel) -> (batch, length, band).

    ``weight`` is (subject, band, channel, tap); tap ``k`` reads the frame ``k - context``
    away.  Zero until :meth:`set`.
    """

    weight: Tensor
    intercept: Tensor
    mean: Tensor
    scale: Tensor
    floor: Tensor  # (subject, channel) of raw signals' power, or of amplitudes; 0: of these no logarithm is taken

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.rows_per_frame, self.clip = a.rows_per_frame, a.clip_input
        taps = 2 * a.context_frames + 1
        self.register_buffer("weight", torch.zeros(a.n_subjects, a.n_bands, a.n_channels, taps))
        self.register_buffer("intercept", torch.zeros(a.n_subjects, a.n_bands))
        self.register_buffer("mean", torch.zeros(a.n_subjects, a.n_channels))
        self.register_buffer("scale", torch.ones(a.n_subjects, a.n_channels))
        self.register_buffer("floor", torch.full((a.n_subjects, a.n_channels), float(a.rows_per_frame > 1)))

    def set(
        self, subject: int, weights: Tensor, lags: Tensor, intercept: Tensor, mean: Tensor, scale: Tensor,
        floor: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Take over a ridge: weights (lag, channel, band) at ``lags`` [frames], in the model's normalised mel.

        ``floor`` (channel,) is that of the power of raw signals, or of amplitudes whose logarithm is taken.
        """
        taps = lags + self.weight.shape[-1] // 2
        channels = weights.shape[1]
        self.weight[subject] = 0.0
        self.weight[subject, :, :channels, taps] = weights.permute(2, 1, 0).to(self.weight)
        self.intercept[subject] = intercept.to(self.intercept)
        self.mean[subject, :channels] = mean.to(self.mean)
        self.scale[subject, :channels] = scale.to(self.scale)
        if floor is not None:
            self.floor[subject, :channels] = floor.to(self.floor)

    def forward(self, features: Tensor, subject: Tensor) -> Tensor:
        return self.mapped(self.frames(features, subject), subject)

    def frames(self, features: Tensor, subject: Tensor) -> Tensor:
        """What the map reads, (batch, frame, channel): standardised, spikes limited."""
        floor = self.floor[subject, None]
        if self.rows_per_frame > 1:
            frames = frame_power(features, self.rows_per_frame, floor)  # (batch, frame, channel)
        else:
            frames = torch.where(floor > 0, torch.log(torch.maximum(features, floor)), features)
        x = (frames - self.mean[subject, None]) / self.scale[subject, None]
        return x.clamp(-self.clip, self.clip)

    def mapped(self, frames: Tensor, subject: Tensor, taps: int | None = None) -> Tensor:
        """Mel (batch, frame - taps + 1, band) of such frames; of the first ``taps`` taps alone, where given."""
        x, weight = frames.transpose(1, 2), self.weight[..., :taps]
        with torch.autocast(x.device.type, enabled=False):
            if len(weight) == 1:  # without a look at who is there, for which a GPU would have to be waited for
                return F.conv1d(x, weight[0], self.intercept[0]).transpose(1, 2)  # (batch, length, band)
            mel = x.new_zeros(len(x), weight.shape[1], x.shape[-1] - weight.shape[-1] + 1)
            for s in subject.unique().tolist():
                mel[subject == s] = F.conv1d(x[subject == s], weight[s], self.intercept[s])
            return mel.transpose(1, 2)  # (batch, length, band)


def frame_power(rows: Tensor, m: int, floor: Tensor) -> Tensor:
    """Log power (batch, frame, channel) of raw signals (batch, frame * m, channel) over ``floor`` (batch, 1, channel).

    The formula is that of :func:`pipeline.signal.frame_power.frame_power`.
    """
    change = rows.unflatten(1, (-1, m)).diff(dim=2)  # (batch, frame, m - 1, channel)
    return torch.log(change.square().mean(dim=2) + floor)  # (batch, frame, channel)


# --- 2. frames of raw signals --------------------------------------------------------------------------------


class BandPower(nn.Module):
    """Log power of learned band-pass filters, (batch, frame * m, channel) -> (batch, frame, channel * filters).

    The filters are shared by all channels and start as windowed sines spread over the
    upper half of the spectrum, where high gamma lies for a feature rate of a few hundred Hz.
    """

    offset: Tensor

    def __init__(self, n_channels: int, n_filters: int, rows_per_frame: int, causal: bool) -> None:
        super().__init__()
        self.rows_per_frame, self.causal, self.n_filters = rows_per_frame, causal, n_filters
        kernel = 4 * rows_per_frame + 1
        time = torch.arange(kernel) - kernel // 2
        centres = torch.linspace(0.1, 0.45, n_filters + 2)[1:-1]  # cycles per row
        waves = torch.cos(2 * math.pi * centres[:, None] * time) * torch.hann_window(kernel + 2)[1:-1]
        waves = waves - waves.mean(dim=1, keepdim=True)  # no response to slow changes
        self.filters = nn.Parameter(waves / waves.norm(dim=1, keepdim=True))  # (filter, kernel)
        self.gain = nn.Parameter(torch.ones(n_channels * n_filters))
        self.register_buffer("offset", torch.zeros(n_channels * n_filters))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.filters.shape[1]
        before = kernel - 1 if self.causal else kernel // 2
        change = torch.diff(x, dim=1, prepend=x[:, :1])  # whitens the 1/f background
        return self.of_changes(F.pad(change, (0, 0, before, kernel - 1 - before)))

    def of_changes(self, change: Tensor) -> Tensor:
        """The same of differences from row to row, of which the filters' length less one are no frame's own."""
        batch, rows, channels = change.shape
        signal = change.transpose(1, 2).reshape(batch * channels, 1, rows)
        bands = F.conv1d(signal, self.filters[:, None])
        power = F.avg_pool1d(bands.square(), self.rows_per_frame)  # (batch * channel, filter, frame)
        log_power = torch.log(power + 1e-6).reshape(batch, channels * self.n_filters, -1).transpose(1, 2)
        return (log_power - self.offset) * self.gain  # (batch, frame, channel * filters)


# --- 3. the encoder ------------------------------------------------------------------------------------------


class TimeConv(nn.Conv1d):
    """Convolution over (batch, time, channel) that keeps the length; past rows only where ``causal``."""

    def __init__(self, n_in: int, n_out: int, kernel: int, causal: bool, groups: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, groups=groups)
        self.before = kernel - 1 if causal else (kernel - 1) // 2
        self.after = kernel - 1 - self.before

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x.transpose(1, 2), (self.before, self.after))  # (batch, channel, time)
        return super().forward(padded).transpose(1, 2)  # (batch, time, channel)


class ChannelDropout(nn.Module):
    """Dropout of whole features of (batch, time, feature): one draw for all times of a window.

    Neighbouring times are nearly equal, so dropping single values would have little effect; it is also faster.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= self.p
        return x * (kept / (1 - self.p))


class Encoder(nn.Module):
    """Convolutions, pooling, GRU (both directions unless causal), with residual paths.

    (batch, frame, column) -> (batch, position, :attr:`width`); position ``p`` covers
    frames ``4p … 4p + 3`` of the padded window.  Where there is a ridge skip, its bands are
    further columns.  Another encoder needs these shapes and :attr:`width`.
    """

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        directions = 1 if a.causal else 2
        hidden = a.encoder_hidden * (2 if a.causal else 1)
        self.width = hidden * directions
        self.first = TimeConv(a.n_columns, a.encoder_width, a.encoder_kernel, a.causal)
        self.second = TimeConv(a.encoder_width, a.encoder_width, 5, a.causal)
        self.norm_first, self.norm_second = nn.LayerNorm(a.encoder_width), nn.LayerNorm(a.encoder_width)
        self.gru = nn.GRU(a.encoder_width, hidden, batch_first=True, bidirectional=not a.causal)
        self.residual = nn.Linear(a.encoder_width, self.width)
        self.dropout = ChannelDropout(a.encoder_dropout)

    def forward(self, frames: Tensor) -> Tensor:
        x = pool(F.gelu(self.norm_first(self.first(frames))))  # (batch, position, encoder_width)
        x = self.dropout(x)
        x = x + self.dropout(F.gelu(self.norm_second(self.second(x))))
        memory, _ = self.gru(x)  # (batch, position, width)
        return self.dropout(memory + self.residual(x))


def pool(x: Tensor) -> Tensor:
    """Mean of each four frames, (batch, frame, width) -> (batch, position, width)."""
    return F.avg_pool1d(x.transpose(1, 2), POOL, ceil_mode=True, count_include_pad=False).transpose(1, 2)


def position_centres(n_positions: int, context_frames: int) -> Tensor:
    """Time of encoder positions' centres [mel frames from the window's first frame]."""
    return POOL * torch.arange(n_positions) + 0.5 * (POOL - 1) - context_frames


# --- 4. the decoder ------------------------------------------------------------------------------------------


class AlignedAttention(nn.Module):
    """Multi-head attention from groups (batch, group, query) to positions (batch, position, memory).

    Neural input and sound share a clock, so attention is biased towards what happens at the same
    time: each head adds ``-(j - c - delta)^2 / (2 sigma^2)`` to its scores, j the encoder position's
    time, c the centre of the output group, both in mel frames from the window's start; delta and
    sigma are learned.  Without this bias the decoder learns to continue its own output and
    ignores the brain.  ``position_frames`` and ``group_frames`` are those of :class:`AttentionAxes`.
    Before training sigma is ``first_width``, and the heads' deltas run from minus to plus ``first_offset``, in mel
    frames.
    """

    position_frames: Tensor
    group_frames: Tensor

    def __init__(
        self, query_width: int, memory_width: int, heads: int, group_size: int,
        position_frames: Tensor, group_frames: Tensor, biased: bool, causal: bool,
        first_width: float = 4.0, first_offset: float = 4.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads, self.group_size, self.biased, self.causal = heads, group_size, biased, causal
        self.head_width = -(-memory_width // heads)
        self.query = nn.Linear(query_width, heads * self.head_width)
        self.key = nn.Linear(memory_width, heads * self.head_width, bias=False)
        self.value = nn.Linear(memory_width, heads * self.head_width)
        self.offset_frames = nn.Parameter(torch.linspace(-first_offset, 0.0 if causal else first_offset, heads))
        self.log_width = nn.Parameter(torch.full((heads,), math.log(first_width)))
        self.register_buffer("position_frames", position_frames, persistent=False)
        self.register_buffer("group_frames", group_frames, persistent=False)

    @property
    def width(self) -> int:
        """Width of the context vectors."""
        return self.heads * self.head_width

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (batch, head, position, head_width) of an encoded window."""
        return self._split(self.key(memory)), self._split(self.value(memory))

    def bias(self) -> Tensor:
        """Additive scores (head, group, position); minus infinity on the future where causal."""
        centre = self.group_frames + 0.5 * (self.group_size - 1)
        distance = self.position_frames - centre[:, None]  # (group, position)
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
        query = self._split(self.query(states))  # (batch, head, group, head_width)
        scores = query @ keys.transpose(-1, -2) / math.sqrt(self.head_width) + bias
        weights = scores.softmax(dim=-1)  # (batch, head, group, position)
        context = (weights @ values).transpose(1, 2)  # (batch, group, head, head_width)
        return context.reshape(*context.shape[:2], -1), weights

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, self.head_width).transpose(1, 2)


class Decoder(nn.Module):
    """Autoregressive: the previous mel frame and the attended brain give the next ``reduction_factor`` frames, a group.

    In training the true previous frames are known, so the GRU runs over the whole sequence
    in one fused call (:meth:`forward`); only free running (:meth:`generate`) loops, once a group.
    Instead of a Tacotron-style loop over frames: a training step 5 to 7 times as fast, free
    running 23 times (docs/benchmarks.md).

    Mels are normalised, (batch, frame, band); frames beyond the window's length, where the length
    is no multiple of the reduction factor, are cut off.  Another decoder needs :meth:`forward`,
    :meth:`generate` and :attr:`attention_axes`; without attention, it returns one head of zeros.
    """

    def __init__(self, a: Architecture, memory_width: int) -> None:
        super().__init__()
        self.length, self.group, self.n_bands = a.length_frames, a.reduction_factor, a.n_bands
        self.n_groups = -(-a.length_frames // a.reduction_factor)
        self.feedback = a.feedback
        self.prenet = nn.Sequential(
            nn.Linear(a.n_bands, PRENET_WIDTH), nn.ReLU(), nn.Dropout(a.decoder_dropout),
            nn.Linear(PRENET_WIDTH, PRENET_WIDTH), nn.ReLU(), nn.Dropout(a.decoder_dropout),
        )  # fmt: skip
        self.gru = nn.GRU(PRENET_WIDTH, a.decoder_hidden, batch_first=True)
        n_positions = -(-(a.length_frames + 2 * a.context_frames) // POOL)
        self.attention = AlignedAttention(
            a.decoder_hidden, memory_width, a.heads, self.group,
            position_centres(n_positions, a.context_frames), self.group * torch.arange(self.n_groups),
            a.attention_bias, a.causal, a.attention_width_frames, a.attention_offset_frames,
        )  # fmt: skip
        self.hidden = nn.Linear(a.decoder_hidden + self.attention.width, a.decoder_hidden)
        self.dropout = nn.Dropout(a.decoder_dropout)
        self.gain = nn.Parameter(torch.ones(a.n_bands))
        self.output = nn.Linear(a.decoder_hidden, self.group * a.n_bands)

    @property
    def attention_axes(self) -> AttentionAxes:
        """Heads and times of the attention weights that it returns."""
        return AttentionAxes(self.attention.heads, self.attention.group_frames, self.attention.position_frames)

    def forward(self, memory: Tensor, known: Tensor, ridge_mel: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mel (batch, length, band) and attention weights, the mel ``known`` (batch, length, band) being fed back."""
        keys, values = self.attention.remember(memory)
        states, _ = self.gru(self.prenet(self._previous_frames(known)))  # (batch, group, decoder_hidden)
        context, weights = self.attention(states, keys, values, self.attention.bias())
        mel = self.emit(states, context)[:, : self.length]  # (batch, length, band)
        return (mel if ridge_mel is None else mel + self.gain * ridge_mel), weights

    def generate(self, memory: Tensor, ridge_mel: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same, from its own output."""
        keys, values = self.attention.remember(memory)
        bias = self.attention.bias()
        previous = memory.new_zeros(len(memory), 1, self.n_bands)
        state, mels, weights = None, [], []
        for step in range(self.n_groups):
            out, state = self.gru(self.prenet(previous), state)  # (batch, 1, decoder_hidden)
            context, attended = self.attention(out, keys, values, bias[:, step : step + 1])
            mel = self.emit(out, context)[:, : self.length - step * self.group]  # (batch, reduction_factor, band)
            if ridge_mel is not None:
                mel = mel + self.gain * ridge_mel[:, step * self.group : (step + 1) * self.group]
            mels.append(mel)
            weights.append(attended)
            previous = mels[-1][:, -1:] * self.feedback
        return torch.cat(mels, dim=1), torch.cat(weights, dim=2)

    def _previous_frames(self, mel: Tensor) -> Tensor:
        """The frame before each group, (batch, group, band); zeros (the mean) before the first or without feedback."""
        last = mel[:, self.group - 1 :: self.group][:, : self.n_groups - 1] * self.feedback
        return F.pad(last, (0, 0, 1, 0))

    def emit(self, states: Tensor, context: Tensor) -> Tensor:
        """Mel (batch, group * reduction_factor, band) of states and contexts (batch, group, width)."""
        hidden = self.dropout(F.gelu(self.hidden(torch.cat([states, context], dim=-1))))
        return self.output(hidden).reshape(len(states), -1, self.n_bands)


# --- 5. the post-net -----------------------------------------------------------------------------------------


class PostNet(nn.Module):
    """Three convolutions over the whole window that correct the decoder's mel (batch, length, band)."""

    def __init__(self, n_bands: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList([TimeConv(n_bands, n_bands, 5, causal) for _ in range(2)])
        self.last = TimeConv(n_bands, n_bands, 5, causal)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(Tensor, self.last.bias))

    def forward(self, mel: Tensor) -> Tensor:
        x = mel
        for conv in self.convs:
            x = self.dropout(torch.tanh(conv(x)))
        return mel + self.last(x)


# --- the whole -----------------------------------------------------------------------------------------------


class Seq2Seq(nn.Module):
    """The whole network.  Inputs are raw units, outputs log-mel in nats.

    A plug-in is a subclass whose constructor takes the :class:`Architecture` alone: another :attr:`encoder` or
    :attr:`decoder`, or other :meth:`encode`, :meth:`decode`, :meth:`generate` and :attr:`attention_axes`.
    """

    #: Whether :class:`~pipeline.model.roll_out.Stepper` computes what the network does; a subclass says so itself.
    steps: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.steps = bool(vars(cls).get("steps", False))

    feature_mean: Tensor
    feature_scale: Tensor
    mel_mean: Tensor
    mel_scale: Tensor
    has_channel: Tensor | None  # (subject, channel) of a pooled model of raw signals, 1 where the subject has it

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.a = a
        self.register_buffer("feature_mean", torch.zeros(a.n_subjects, a.n_channels))
        self.register_buffer("feature_scale", torch.ones(a.n_subjects, a.n_channels))
        of_mel = (a.n_subjects, a.n_bands) if a.n_subjects > 1 else (a.n_bands,)
        self.register_buffer("mel_mean", torch.zeros(of_mel))
        self.register_buffer("mel_scale", torch.ones(of_mel))
        eye = torch.eye(a.n_channels).repeat(a.n_subjects, 1, 1)  # (subject, channel, channel)
        self.input_layer = nn.Parameter(eye) if a.n_subjects > 1 else None
        raw = a.rows_per_frame > 1
        pooled_raw = raw and a.n_subjects > 1
        self.register_buffer("has_channel", torch.ones(a.n_subjects, a.n_channels) if pooled_raw else None)
        self.front_end = BandPower(a.n_channels, a.band_filters, a.rows_per_frame, a.causal) if raw else nn.Identity()
        self.encoder = Encoder(a)
        self.decoder = Decoder(a, self.encoder.width)
        self.postnet = PostNet(a.n_bands, a.decoder_dropout, a.causal) if a.postnet else nn.Identity()
        self.skip = RidgeSkip(a) if a.ridge_skip else None

    def correct(self, ridges: Sequence[LinearMap]) -> None:
        """Put each subject's ridge into the skip, in the network's normalised mel."""
        assert self.skip is not None
        scales, means = (x.expand(self.a.n_subjects, -1) for x in (self.mel_scale, self.mel_mean))
        for subject, (ridge, scale, mean) in enumerate(zip(ridges, scales, means, strict=True)):
            self.skip.set(
                subject, torch.from_numpy(ridge.weights) / scale, torch.from_numpy(ridge.lags),
                (torch.from_numpy(ridge.intercept) - mean) / scale,
                torch.from_numpy(ridge.mean), torch.from_numpy(ridge.scale),
                None if ridge.floor is None else torch.from_numpy(ridge.floor),
            )  # fmt: skip

    def forward(self, features: Tensor, subject: Tensor, mel: Tensor) -> Output:
        """Teacher-forced prediction: each group reads the true frame before it; ``mel`` (batch, length, band)."""
        ridge_mel = self.ridge_mel(features, subject)
        memory = self.encode(self.normalise(features, subject), ridge_mel)
        return self._finish(*self.decode(memory, self.normalise_mel(mel, subject), ridge_mel), ridge_mel, subject)

    def generate(self, features: Tensor, subject: Tensor) -> Output:
        """Free-running prediction from the brain alone."""
        ridge_mel = self.ridge_mel(features, subject)
        memory = self.encode(self.normalise(features, subject), ridge_mel)
        return self._finish(*self.decoder.generate(memory, ridge_mel), ridge_mel, subject)

    @property
    def attention_axes(self) -> AttentionAxes:
        """Heads and times of the attention weights in its output."""
        return self.decoder.attention_axes

    def ridge_mel(self, features: Tensor, subject: Tensor) -> Tensor | None:
        """1. The ridge skip's normalised mel (batch, length, band)."""
        return None if self.skip is None else self.skip(features, subject)

    def normalise(self, features: Tensor, subject: Tensor) -> Tensor:
        """2. Rows in standard deviations of training frames, spikes limited; of a raw signal, its band powers.

        Channels that the subject lacks are zero, the mean of those that it has.
        (batch, frame * m, channel) -> (batch, frame, channel or channel * filters).
        """
        x = (features - self.feature_mean[subject, None]) / self.feature_scale[subject, None]
        x = x.clamp(-self.a.clip_input, self.a.clip_input)
        if self.input_layer is not None:
            x = x @ self.input_layer[subject]
        frames: Tensor = self.front_end(x)  # (batch, frame, column)
        if self.has_channel is not None:
            frames = frames * self.has_channel[subject, None].repeat_interleave(self.a.band_filters, dim=-1)
        return frames

    def encode(self, normalised: Tensor, ridge_mel: Tensor | None) -> Tensor:
        """3. Memory (batch, position, width) of normalised frames, the ridge skip's mel beside them if there is one.

        The ridge's mel is less noisy than the many channels that it is computed from.
        """
        if ridge_mel is not None:
            context = self.a.context_frames
            padded = F.pad(ridge_mel, (0, 0, context, context))  # (batch, frame, band)
            normalised = torch.cat([normalised, padded], dim=2)  # (batch, frame, column + band)
        memory: Tensor = self.encoder(normalised)
        return memory

    def decode(self, memory: Tensor, known: Tensor, ridge_mel: Tensor | None) -> tuple[Tensor, Tensor]:
        """4. Normalised mel and attention, ``known`` (batch, length, band) being fed back."""
        mel, attention = self.decoder(memory, known, ridge_mel)
        return mel, attention

    def refine(self, decoded: Tensor) -> Tensor:
        """5. The decoder's mel after the post-net, normalised."""
        return self.postnet(decoded)

    def mel_scaling(self, subject: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale of the mel, (band,) or, in a pooled model, (batch, 1, band) [nats]."""
        if self.a.n_subjects == 1:
            return self.mel_mean, self.mel_scale
        return self.mel_mean[subject, None], self.mel_scale[subject, None]

    def normalise_mel(self, mel: Tensor, subject: Tensor) -> Tensor:
        """Mel (batch, length, band) in standard deviations of each band over the subject's training frames."""
        mean, scale = self.mel_scaling(subject)
        return (mel - mean) / scale

    def mel_in_nats(self, normalised: Tensor, subject: Tensor) -> Tensor:
        """The opposite of :meth:`normalise_mel`."""
        mean, scale = self.mel_scaling(subject)
        return normalised * scale + mean

    def _finish(self, decoded: Tensor, attention: Tensor, ridge_mel: Tensor | None, subject: Tensor) -> Output:
        mel = self.mel_in_nats(self.refine(decoded), subject)
        ridge = None if ridge_mel is None else self.mel_in_nats(ridge_mel, subject)
        return Output(mel, decoded, attention, ridge)

    @torch.no_grad()
    def fit_normalisation(self, features: list[Tensor], mels: list[Tensor]) -> None:
        """Fit on training frames: features (row, channel) and mel (frame, band) of each subject.

        A flat channel and a band without sound get scale 1, so what little they vary counts for little.
        """
        for subject, rows in enumerate(features):
            channels = rows.shape[1]
            std = rows.double().std(dim=0)
            self.feature_mean[subject, :channels] = rows.double().mean(dim=0).float()
            self.feature_scale[subject, :channels] = torch.where(std > 1e-12, std, 1.0).float()
        std = torch.stack([mel.double().std(dim=0) for mel in mels])
        mean = torch.stack([mel.double().mean(dim=0) for mel in mels])
        self.mel_mean.copy_(mean.view_as(self.mel_mean))
        self.mel_scale.copy_(torch.where(std >= ACTIVE_STD_NATS, std, 1.0).view_as(self.mel_scale))
        if isinstance(self.front_end, BandPower):
            self._fit_front_end(self.front_end, features)

    def _fit_front_end(self, front_end: BandPower, features: list[Tensor]) -> None:
        """Standardise the log powers of the untrained filters, each channel's over all subjects that have it."""
        counts = torch.tensor([rows.shape[1] for rows in features])
        if self.has_channel is not None:
            self.has_channel.copy_(torch.arange(self.a.n_channels) < counts[:, None])
        powers = [self._front_end_power(front_end, subject, rows) for subject, rows in enumerate(features)]
        for channel in range(self.a.n_channels):
            own = slice(channel * front_end.n_filters, (channel + 1) * front_end.n_filters)
            power = torch.cat([powers[subject][:, own] for subject in torch.nonzero(counts > channel).flatten()])
            std = power.std(dim=0)
            front_end.offset[own] = power.mean(dim=0)
            front_end.gain[own] = torch.where(std > FLAT_STD_NATS, 1.0 / std, 1.0)

    def _front_end_power(self, front_end: BandPower, subject: int, rows: Tensor) -> Tensor:
        """Log powers (frame, channel * filters) of one subject's rows (row, channel), zeros for channels it lacks."""
        whole = len(rows) // self.a.rows_per_frame * self.a.rows_per_frame
        x = F.pad(rows[:whole], (0, self.a.n_channels - rows.shape[1]))
        x = (x - self.feature_mean[subject]) / self.feature_scale[subject]
        power: Tensor = front_end(x.clamp(-self.a.clip_input, self.a.clip_input)[None])[0]
        return power


def make_network(a: Architecture) -> Seq2Seq:
    """The untrained network of an architecture: this project's, or a plug-in's.

    Raises :class:`InputError` where the plug-in is not installed or no network.
    """
    if not a.network:
        return Seq2Seq(a)
    kind = plugins.load(a.network)
    if not issubclass(kind, Seq2Seq):
        fix = "Derive it from pipeline.model.network.Seq2Seq"
        raise InputError(Problem("plug-in", a.network, f"a class {kind.__name__}", "a Seq2Seq", fix))
    return kind(a)
