"""The network: neural features of a window in, its log-mel spectrogram out.

    features (batch, (context + length + context) * m, channel), raw units
      normalise, clip, input layer of the subject; band powers where m > 1
                                                      -> (batch, frame, channel)
      Encoder: convolutions, pool 4, GRU              -> (batch, position, width)
        of channels and the linear skip's estimate (optional)
      Decoder: prenet, GRU, aligned attention, head   -> (batch, length, band), r frames a step,
        added to the linear skip's estimate (optional)
      post-net over the window (optional)             -> (batch, length, band)
    log-mel [nats]

Normalisation is fitted on training frames (:meth:`Seq2Seq.fit_normalisation`) and
travels with the weights; so does the linear skip, a ridge regression of the same frames.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pipeline.model.decoder import Decoder
from pipeline.model.encoder import BandPower, Encoder, TimeConv
from pipeline.model.presets import LIVE_STD_NATS, Architecture

FLAT_STD_NATS = 1e-3  # a log power that varies less over the training frames is a flat channel's; its gain is 1


class Output(NamedTuple):
    """``mel`` (batch, length, band) is the prediction, ``decoded`` what the decoder feeds back to itself
    (normalised, before post-net and skip), ``attention`` (batch, head, group, position), ``linear`` the linear
    skip's own mel like ``mel``, where there is one."""

    mel: Tensor
    decoded: Tensor
    attention: Tensor
    linear: Tensor | None = None


class PostNet(nn.Module):
    """Three convolutions over the whole window that correct the decoder's mel."""

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


class LinearSkip(nn.Module):
    """A fixed lagged linear map per subject, set from a fitted ridge: (batch, frame, channel) -> (batch, length, band).

    ``weight`` is (subject, band, channel, tap); tap ``k`` reads the frame ``k - context``
    away.  Zero until :meth:`set`.
    """

    weight: Tensor
    intercept: Tensor
    mean: Tensor
    scale: Tensor
    floor: Tensor | None  # (subject, channel) of the power of raw signals

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.oversampling, self.clip = a.oversampling, a.clip_input
        taps = 2 * a.context_frames + 1
        self.register_buffer("weight", torch.zeros(a.n_subjects, a.n_bands, a.n_channels, taps))
        self.register_buffer("intercept", torch.zeros(a.n_subjects, a.n_bands))
        self.register_buffer("mean", torch.zeros(a.n_subjects, a.n_channels))
        self.register_buffer("scale", torch.ones(a.n_subjects, a.n_channels))
        self.register_buffer("floor", torch.ones(a.n_subjects, a.n_channels) if a.oversampling > 1 else None)

    def set(
        self, subject: int, weights: Tensor, lags: Tensor, intercept: Tensor, mean: Tensor, scale: Tensor,
        floor: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Take over a ridge: weights (lag, channel, band) at ``lags`` [frames], in the model's normalised mel.

        ``floor`` (channel,) is that of the power of raw signals.
        """
        taps = lags + self.weight.shape[-1] // 2
        channels = weights.shape[1]
        self.weight[subject] = 0.0
        self.weight[subject, :, :channels, taps] = weights.permute(2, 1, 0).to(self.weight)
        self.intercept[subject] = intercept.to(self.intercept)
        self.mean[subject, :channels] = mean.to(self.mean)
        self.scale[subject, :channels] = scale.to(self.scale)
        if self.floor is not None and floor is not None:
            self.floor[subject, :channels] = floor.to(self.floor)

    def forward(self, features: Tensor, subject: Tensor) -> Tensor:
        frames = features
        if self.floor is not None:
            frames = frame_power(features, self.oversampling, self.floor[subject, None])
        x = (frames - self.mean[subject, None]) / self.scale[subject, None]
        x = x.clamp(-self.clip, self.clip).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):
            if len(self.weight) == 1:  # without a look at who is there, for which a GPU would have to be waited for
                return F.conv1d(x, self.weight[0], self.intercept[0]).transpose(1, 2)
            mel = x.new_zeros(len(x), self.weight.shape[1], x.shape[-1] - self.weight.shape[-1] + 1)
            for s in subject.unique().tolist():
                mel[subject == s] = F.conv1d(x[subject == s], self.weight[s], self.intercept[s])
            return mel.transpose(1, 2)


class Seq2Seq(nn.Module):
    """The whole model.  Inputs are raw units, outputs log-mel in nats."""

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
        self.register_buffer("mel_mean", torch.zeros(a.n_bands))
        self.register_buffer("mel_scale", torch.ones(a.n_bands))
        eye = torch.eye(a.n_channels).repeat(a.n_subjects, 1, 1)
        self.input_layer = nn.Parameter(eye) if a.n_subjects > 1 else None
        raw = a.oversampling > 1
        pooled_raw = raw and a.n_subjects > 1
        self.register_buffer("has_channel", torch.ones(a.n_subjects, a.n_channels) if pooled_raw else None)
        self.front = BandPower(a.n_channels, a.band_filters, a.oversampling, a.causal) if raw else nn.Identity()
        self.encoder = Encoder(a)
        self.decoder = Decoder(a, self.encoder.width)
        self.postnet = PostNet(a.n_bands, a.decoder_dropout, a.causal) if a.postnet else nn.Identity()
        self.skip = LinearSkip(a) if a.linear_skip else None

    def forward(self, features: Tensor, subject: Tensor, mel: Tensor) -> Output:
        """Teacher-forced prediction: each group is told the true frame before it; ``mel`` (batch, length, band)."""
        estimate = self.estimate(features, subject)
        memory = self.encode(self.normalise(features, subject), estimate)
        return self._finish(*self.decode(memory, self.normalise_mel(mel), estimate), estimate)

    def generate(self, features: Tensor, subject: Tensor) -> Output:
        """Free-running prediction from the brain alone."""
        estimate = self.estimate(features, subject)
        memory = self.encode(self.normalise(features, subject), estimate)
        return self._finish(*self.decoder.generate(memory, estimate), estimate)

    def estimate(self, features: Tensor, subject: Tensor) -> Tensor | None:
        """The linear skip's normalised mel (batch, length, band)."""
        return None if self.skip is None else self.skip(features, subject)

    def normalise(self, features: Tensor, subject: Tensor) -> Tensor:
        """Rows in standard deviations of training frames, spikes limited; of a raw signal, its band powers.

        Channels that the subject lacks are zero, the mean of those that it has.
        (batch, frame * m, channel) -> (batch, frame, channel or channel * filters).
        """
        x = (features - self.feature_mean[subject, None]) / self.feature_scale[subject, None]
        x = x.clamp(-self.a.clip_input, self.a.clip_input)
        if self.input_layer is not None:
            x = x @ self.input_layer[subject]
        frames: Tensor = self.front(x)
        if self.has_channel is not None:
            frames = frames * self.has_channel[subject, None].repeat_interleave(self.a.band_filters, dim=-1)
        return frames

    def encode(self, normalised: Tensor, estimate: Tensor | None) -> Tensor:
        """Memory (batch, position, width) of normalised frames, the linear skip's mel beside them where there is one.

        What ridge made of many noisy channels is the least noisy thing to start from.
        """
        if estimate is not None:
            context = self.a.context_frames
            normalised = torch.cat([normalised, F.pad(estimate, (0, 0, context, context))], dim=2)
        memory: Tensor = self.encoder(normalised)
        return memory

    def decode(self, memory: Tensor, known: Tensor, estimate: Tensor | None) -> tuple[Tensor, Tensor]:
        """Normalised mel and attention, ``known`` (batch, length, band) being fed back."""
        return self.decoder(memory, self.decoder.previous_frames(known), estimate)

    def normalise_mel(self, mel: Tensor) -> Tensor:
        """Mel in standard deviations of each band over training frames."""
        return (mel - self.mel_mean) / self.mel_scale

    def refine(self, decoded: Tensor) -> Tensor:
        """The decoder's mel after the post-net, normalised."""
        return self.postnet(decoded)

    def _finish(self, decoded: Tensor, attention: Tensor, estimate: Tensor | None) -> Output:
        mel = self.refine(decoded) * self.mel_scale + self.mel_mean
        linear = None if estimate is None else estimate * self.mel_scale + self.mel_mean
        return Output(mel, decoded, attention, linear)

    @torch.no_grad()
    def fit_normalisation(self, features: list[Tensor], mel: Tensor) -> None:
        """Fit on training frames: features (row, channel) per subject, mel (frame, band) of all.

        A flat channel and a band without sound get scale 1, so what little they vary counts for little.
        """
        for subject, rows in enumerate(features):
            channels = rows.shape[1]
            std = rows.double().std(dim=0)
            self.feature_mean[subject, :channels] = rows.double().mean(dim=0).float()
            self.feature_scale[subject, :channels] = torch.where(std > 1e-12, std, 1.0).float()
        std = mel.double().std(dim=0)
        self.mel_mean.copy_(mel.double().mean(dim=0))
        self.mel_scale.copy_(torch.where(std > LIVE_STD_NATS, std, 1.0))
        if isinstance(self.front, BandPower):
            self._fit_front(self.front, features)

    def _fit_front(self, front: BandPower, features: list[Tensor]) -> None:
        """Standardise the log powers of the untrained filters, each channel's over all subjects that have it."""
        counts = torch.tensor([rows.shape[1] for rows in features])
        if self.has_channel is not None:
            self.has_channel.copy_(torch.arange(self.a.n_channels) < counts[:, None])
        powers = [self._front_power(front, subject, rows) for subject, rows in enumerate(features)]
        for channel in range(self.a.n_channels):
            own = slice(channel * front.n_filters, (channel + 1) * front.n_filters)
            power = torch.cat([powers[subject][:, own] for subject in torch.nonzero(counts > channel).flatten()])
            std = power.std(dim=0)
            front.offset[own] = power.mean(dim=0)
            front.gain[own] = torch.where(std > FLAT_STD_NATS, 1.0 / std, 1.0)

    def _front_power(self, front: BandPower, subject: int, rows: Tensor) -> Tensor:
        """Log powers (frame, channel * filters) of one subject's rows (row, channel), zeros for channels it lacks."""
        whole = len(rows) // self.a.oversampling * self.a.oversampling
        x = F.pad(rows[:whole], (0, self.a.n_channels - rows.shape[1]))
        x = (x - self.feature_mean[subject]) / self.feature_scale[subject]
        power: Tensor = front(x.clamp(-self.a.clip_input, self.a.clip_input)[None])[0]
        return power


def frame_power(rows: Tensor, m: int, floor: Tensor) -> Tensor:
    """Log power (batch, frame, channel) of raw signals (batch, frame * m, channel) over ``floor`` (batch, 1, channel).

    The formula is that of :func:`pipeline.signal.frame_power.frame_power`.
    """
    change = rows.unflatten(1, (-1, m)).diff(dim=2)  # (batch, frame, m - 1, channel)
    return torch.log(change.square().mean(dim=2) + floor)
