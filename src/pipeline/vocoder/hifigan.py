"""HiFi-GAN's generator: log-mel (frames, n_mels) in nats -> waveform (frames * hop,) float32 in [-1, 1].

Architecture of Kong, Kim & Bae 2020 (arXiv:2010.05646), with the names of the original's
state dict, so that its checkpoints load: v1, v2, v3 and universal.  Inference only: weight
normalisation is folded into plain weights when a checkpoint is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.vocoder.hifigan_config import HifiGanConfig

SLOPE = 0.1
#: The original leaves the last one at PyTorch's default.
LAST_SLOPE = 0.01
FRAMES_AT_ONCE = 512
#: What weight normalisation calls length and direction: as the original saves them, and as newer PyTorch does.
LENGTH_AND_DIRECTION = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)
FIX = "Use a generator checkpoint (g_…) and the config.json that it was trained with"


def convolution(channels: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    """A convolution that keeps the length."""
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=(kernel - 1) // 2 * dilation)


class ResBlock1(nn.Module):
    """Residual pairs of a dilated and a plain convolution (v1, v2, universal)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(convolution(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(convolution(channels, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, time) to the same shape."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(leaky_relu(dilated(leaky_relu(x, SLOPE)), SLOPE))
        return x


class ResBlock2(nn.Module):
    """Residual dilated convolutions (v3)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convolution(channels, kernel, d) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, time) to the same shape."""
        for dilated in self.convs:
            x = x + dilated(leaky_relu(x, SLOPE))
        return x


class Generator(nn.Module):
    """Upsampling by transposed convolutions, each followed by the mean of parallel residual blocks."""

    def __init__(self, config: HifiGanConfig) -> None:
        super().__init__()
        n = len(config.upsample_rates)
        channels = [config.upsample_initial_channel // 2**i for i in range(n + 1)]
        self.conv_pre = nn.Conv1d(config.num_mels, channels[0], 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(channels[i], channels[i + 1], kernel, rate, padding=(kernel - rate) // 2)
            for i, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True))
        )
        block = ResBlock1 if config.resblock == "1" else ResBlock2
        shapes = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
        self.resblocks = nn.ModuleList(
            block(width, kernel, dilations) for width in channels[1:] for kernel, dilations in shapes
        )
        self.conv_post = nn.Conv1d(channels[-1], 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        """(batch, n_mels, frames) to (batch, 1, frames * hop)."""
        x = self.conv_pre(mel)
        parallel = len(self.resblocks) // len(self.ups)
        for i, up in enumerate(self.ups):
            x = up(leaky_relu(x, SLOPE))
            x = sum(block(x) for block in self.resblocks[i * parallel : (i + 1) * parallel]) / parallel
        return torch.tanh(self.conv_post(leaky_relu(x, LAST_SLOPE)))


Watched = Callable[[range], Iterable[int]]


class HifiGan:
    """A trained generator as the workflow's vocoder.

    The first sample out belongs to the first frame in: frame ``t`` of a ``hifigan`` mel
    is centred on the middle of the samples ``hop * t … hop * (t + 1)`` that come out of it.
    """

    def __init__(self, checkpoint: Path, config: HifiGanConfig, device: str = "cpu", watched: Watched = iter) -> None:
        """``watched`` passes on the pieces' first frames as they are worked on, and may show how far it is."""
        self.watched = watched
        self.sample_rate_hz = config.sampling_rate
        self.hop, self.receptive_field = config.hop_size, config.receptive_field_frames
        self.device = device
        self.generator = load_generator(checkpoint, config).to(device)

    def __call__(self, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """``frames * hop`` samples.  Long mels are done in pieces with all frames around them that they depend on."""
        sound = np.empty(len(log_mel) * self.hop, np.float32)
        for start in self.watched(range(0, len(log_mel), FRAMES_AT_ONCE)):
            first, stop = max(0, start - self.receptive_field), min(len(log_mel), start + FRAMES_AT_ONCE)
            piece = self.within(log_mel[first : stop + self.receptive_field], start - first, stop - first)
            sound[start * self.hop : stop * self.hop] = piece
        return sound

    @torch.inference_mode()
    def within(self, log_mel: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """Samples of the frames from ``start`` to ``stop``, made from all of ``log_mel`` at once."""
        mel = torch.from_numpy(np.ascontiguousarray(log_mel.T, dtype=np.float32))[None].to(self.device)
        wave: NDArray[np.float32] = self.generator(mel)[0, 0, start * self.hop : stop * self.hop].cpu().numpy()
        return wave


class StreamingHifiGan:
    """:class:`HifiGan` as frames come, ``block`` of them at a time, in overlapping pieces.

    A block is made from the receptive field before it and ``look_ahead`` frames after it, by default the receptive
    field too: the sound is then that of the whole mel, to rounding.  With less, it is as if the mel ended there.
    ``push``, ``finish`` and ``reset`` are those of :class:`~pipeline.vocoder.base.StreamingVocoder`.
    """

    def __init__(self, vocoder: HifiGan, look_ahead: int | None = None, block: int = 4) -> None:
        self.vocoder, self.sample_rate_hz, self.block = vocoder, vocoder.sample_rate_hz, block
        self.look_ahead = vocoder.receptive_field if look_ahead is None else look_ahead
        self.reads = vocoder.receptive_field + block + self.look_ahead
        self.reset()

    def reset(self) -> None:
        """Begin another sound."""
        self._mel = np.zeros((0, self.vocoder.generator.conv_pre.in_channels), np.float32)
        self._n_out = 0  # of its frames, those whose sound is out: the past that the next block is made from

    def push(self, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sound of the blocks whose look-ahead is there."""
        self._mel = np.concatenate([self._mel, log_mel])
        blocks = []
        while len(self._mel) >= (needed := self._n_out + self.block + self.look_ahead):
            blocks.append(self.vocoder.within(self._mel[:needed], self._n_out, self._n_out + self.block))
            done = self._n_out + self.block
            self._n_out = min(done, self.vocoder.receptive_field)
            self._mel = self._mel[done - self._n_out :]
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def finish(self) -> NDArray[np.float32]:
        """The sound of the frames that still wait."""
        mel, n_out = self._mel, self._n_out
        self.reset()
        return self.vocoder.within(mel, n_out, len(mel)) if n_out < len(mel) else np.zeros(0, np.float32)


def load_generator(checkpoint: Path, config: HifiGanConfig) -> Generator:
    """The generator of a checkpoint, for inference on the CPU.

    Raises :class:`InputError` where the file holds no tensors of a generator, or others than ``config`` describes.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = content["generator"]
        tensors = folded({name: value.detach().float() for name, value in state.items()})
    except Exception as error:  # torch raises many types on a damaged or hostile file
        got = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        expected = 'a file of torch.save that holds {"generator": tensors}'
        raise InputError(Problem(str(checkpoint), "vocode.checkpoint", got, expected, FIX)) from None
    with torch.device("meta"):
        generator = Generator(config)
    wanted = {name: tuple(value.shape) for name, value in generator.state_dict().items()}
    raise_if_any(_differences(checkpoint, tensors, wanted))
    generator.load_state_dict(tensors, assign=True)
    return generator.eval().requires_grad_(False)


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with each pair of length g and direction v as one weight, g * v / |v| (Salimans & Kingma 2016)."""
    tensors = dict(state)
    for length, direction in LENGTH_AND_DIRECTION:
        for name in [n.removesuffix(length) for n in state if n.endswith(length)]:
            g, v = tensors.pop(name + length), tensors.pop(name + direction)
            tensors[f"{name}.weight"] = v * (g / torch.linalg.vector_norm(v, dim=(1, 2), keepdim=True))
    return tensors


def _differences(file: Path, found: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> list[Problem]:
    """At most five tensors that are missing, left over, of another shape, or not finite."""
    problems = []
    for name in sorted({*found, *wanted}):
        got = str(tuple(found[name].shape)) if name in found else "no tensor"
        expected = str(wanted[name]) if name in wanted else "no such tensor"
        if got == expected and not bool(torch.isfinite(found[name]).all()):
            got, expected = "NaN or infinity", "finite numbers"
        if got != expected:
            problems.append(Problem(str(file), name, got, f"{expected}, as the config says", FIX))
    return problems[:5]
