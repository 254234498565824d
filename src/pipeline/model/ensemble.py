"""The released model: networks trained apart and the ridge skip, averaged with weights from validation.

A network that corrects the ridge and one that is trained without it make different errors, and
both differ from those of the ridge; so their weighted mean is better than each.  An ensemble of one network without
a skip is that network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.model.network import AttentionAxes, Output, Seq2Seq, make_network
from pipeline.model.presets import Architecture


class Ensemble(nn.Module):
    """Runs every network; ``weights`` (network + 1,) are theirs and, last, the ridge skip's."""

    weights: Tensor

    def __init__(self, architectures: Sequence[Architecture]) -> None:
        super().__init__()
        self.parts = nn.ModuleList([make_network(a) for a in architectures])
        share = torch.full((len(self.parts) + 1,), 1.0 / len(self.parts))
        share[-1] = 0.0
        self.register_buffer("weights", share)

    @classmethod
    def of(cls, networks: Sequence[Seq2Seq]) -> Ensemble:
        """An ensemble of trained networks, equally weighted."""
        ensemble = cls([network.a for network in networks])
        for own, network in zip(ensemble.networks, networks, strict=True):
            own.load_state_dict(network.state_dict())
        return ensemble.eval()

    @property
    def networks(self) -> list[Seq2Seq]:
        """The parts, typed."""
        return [network for network in self.parts if isinstance(network, Seq2Seq)]

    @property
    def a(self) -> Architecture:
        """The first network's architecture: window, channels, bands and causality are common to all."""
        return self.networks[0].a

    @property
    def steps(self) -> bool:
        """Whether all parts can be run step by step."""
        return all(network.steps for network in self.networks)

    @property
    def attention_axes(self) -> AttentionAxes:
        """Those of the parts, whose heads follow one another."""
        axes = [network.attention_axes for network in self.networks]
        return axes[0]._replace(heads=sum(own.heads for own in axes))

    def forward(self, features: Tensor, subject: Tensor, mel: Tensor) -> Output:
        """Teacher-forced, see :meth:`Seq2Seq.forward`."""
        return self.average([network(features, subject, mel) for network in self.networks], subject)

    def generate(self, features: Tensor, subject: Tensor) -> Output:
        """Free-running, see :meth:`Seq2Seq.generate`; attention of all parts, one after another, as heads."""
        return self.average([network.generate(features, subject) for network in self.networks], subject)

    def average(self, outputs: Sequence[Output], subject: Tensor) -> Output:
        """The weighted mean of the parts' mels and the ridge skip's [nats]."""
        ridge = next((output.ridge for output in outputs if output.ridge is not None), None)
        mel = self.weighted([output.mel for output in outputs], ridge, subject)
        return Output(mel, outputs[0].decoded, torch.cat([output.attention for output in outputs], dim=1), ridge)

    def weighted(self, mels: Sequence[Tensor], ridge: Tensor | None, subject: Tensor) -> Tensor:
        """The weighted mean of mels [nats], one of each network, and of the ridge skip's."""
        centre, _ = self.networks[0].mel_scaling(subject)
        parts = zip(self.weights, [*mels, ridge], strict=True)
        mel: Tensor = centre + sum(w * (m - centre) for w, m in parts if m is not None)
        return mel
