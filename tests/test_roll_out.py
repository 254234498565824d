"""A causal network step by step is the network on one long window, whatever its sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous, rolled_out
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture
from pipeline.model.roll_out import EnsembleStepper, Stepper

CHANNELS, BANDS, CONTEXT = 7, 20, 26


def network(**changes: Any) -> Seq2Seq:
    """A network with weights far from their first values, a ridge of the past and a fitted normalisation."""
    torch.manual_seed(0)
    values: dict[str, Any] = {"length_frames": 96, "context_frames": CONTEXT, "causal": True} | changes
    a = Architecture(CHANNELS, BANDS, **values)
    found = Seq2Seq(a).eval()
    with torch.no_grad():
        for weight in found.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    found.fit_normalisation([rows(400, a)[0]] * a.n_subjects, [torch.randn(500, BANDS) for _ in range(a.n_subjects)])
    if found.skip is not None:
        taps = torch.arange(-a.context_frames, 1)
        for subject in range(a.n_subjects):
            weights = 0.05 * torch.randn(len(taps), CHANNELS, BANDS)
            found.skip.set(
                subject, weights, taps, torch.randn(BANDS), torch.full((CHANNELS,), 5.0), torch.ones(CHANNELS)
            )
    return found


def rows(frames: int, a: Architecture, batch: int = 1, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, frames * a.rows_per_frame, CHANNELS, generator=generator) + 5


def stepped(stepper: Stepper, x: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
    m = stepper.a.rows_per_frame
    state = stepper.begin(x[:, : CONTEXT * m], subject)
    mels = []
    for own in x[:, CONTEXT * m :].split(stepper.step_frames * m, dim=1):
        sizes = [part.shape for part in state]
        mel, _, state = stepper(own, state)
        assert [part.shape for part in state] == sizes, "a state of one size: memory does not grow"
        mels.append(mel)
    return torch.cat(mels, dim=1)


@pytest.mark.parametrize("ridge_skip", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"postnet": True},
        {"rows_per_frame": 3},
        {"reduction_factor": 1, "length_frames": 40},
        {"reduction_factor": 3},
        {"reduction_factor": 5, "postnet": True, "length_frames": 60},
        {"reduction_factor": 8},
        {"attention_bias": False},
        {"feedback": False},
        {"n_subjects": 2, "rows_per_frame": 3},
    ],
    ids=str,
)
@torch.no_grad()
def test_steps_give_what_a_window_gives(changes: dict[str, Any], ridge_skip: bool) -> None:
    net = network(ridge_skip=ridge_skip, **changes)
    stepper = Stepper(net)
    subject = torch.tensor([0, net.a.n_subjects - 1])
    whole = rows(CONTEXT + -(-net.a.length_frames // stepper.step_frames) * stepper.step_frames, net.a, batch=2)
    window = torch.cat([whole, rows(2 * CONTEXT, net.a, batch=2, seed=2)], dim=1)
    length = (net.a.length_frames + 2 * CONTEXT) * net.a.rows_per_frame
    expected = net.generate(window[:, :length], subject).mel
    found = stepped(stepper, whole, subject)[:, : net.a.length_frames]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_long_trial_is_one_long_window_where_attention_is_local() -> None:
    """The same weights with a window of 400 frames; beyond those of training, positions are too far to count."""
    net = network(attention_width_frames=2)
    with torch.no_grad():
        net.decoder.attention.log_width.fill_(float(np.log(2.0)))
    long = Seq2Seq(Architecture(**net.a.as_dict() | {"length_frames": 400})).eval()
    long.load_state_dict(net.state_dict())
    x = rows(400 + 2 * CONTEXT, net.a)
    expected = long.generate(x, torch.tensor([0])).mel
    found = stepped(Stepper(net), x[:, : 400 + CONTEXT], torch.tensor([0]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_causal_model_predicts_a_stretch_in_one_pass() -> None:
    model = Ensemble.of([network(), network(ridge_skip=False)])
    features = rows(300, model.a)[0].numpy()
    mel = predict_continuous(model, features, 40, 251, 24).mel
    assert mel.shape == (211, BANDS)
    np.testing.assert_array_equal(mel, rolled_out(model, features, 40, 251))
    shown = predict_continuous(model, features, 40, 251, 24, n_attention=2)
    np.testing.assert_array_equal(shown.mel, mel)
    assert len(shown.attention) == 2
    later = features.copy()
    later[140:] = 99.0
    np.testing.assert_array_equal(predict_continuous(model, later, 40, 251, 24).mel[:100], mel[:100])
    assert not np.array_equal(predict_continuous(model, later, 40, 251, 24).mel[100:], mel[100:])
    earlier = features.copy()
    earlier[: 40 - CONTEXT] = 99.0
    np.testing.assert_array_equal(predict_continuous(model, earlier, 40, 251, 24).mel, mel)


def test_a_model_that_looks_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="looks ahead"):
        EnsembleStepper(Ensemble.of([network(causal=False)]))
