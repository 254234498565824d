"""From a trained network to a continuous mel: overlapping windows, run freely, joined by overlap-add.

A causal one predicts a stretch in one pass from its first frame to its last (:mod:`pipeline.model.roll_out`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.intervals import covering_starts
from pipeline.model.ensemble import Ensemble
from pipeline.model.network import Output, Seq2Seq
from pipeline.model.roll_out import EnsembleStepper
from pipeline.signal.frame_power import edge_rows

Array = NDArray[np.float32]
Model = Seq2Seq | Ensemble


class Prediction(NamedTuple):
    """``mel`` (stop - start, band) [nats]; ``attention`` (window, head, group, position) of the windows that
    start at ``attention_starts`` (window,) [frames of the recording]."""

    mel: Array
    attention: Array
    attention_starts: NDArray[np.int64]


@torch.inference_mode()
def predict_continuous(
    model: Model,
    features: Array,
    start: int,
    stop: int,
    hop: int,
    batch: int | None = None,
    subject: int = 0,
    target: Array | None = None,
    n_attention: int = 0,
) -> Prediction:
    """Mel of frames start … stop of one recording.

    ``features`` is (n_frames * m, channel) in raw units.  Only rows of the span and
    the model's context around it are read; beyond them and beyond the recording the
    edge frame repeats.  A causal model that can be run step by step takes the span in one pass, its
    state carried along: a frame depends on rows up to that frame alone.  Else windows overlap by ``length - hop``
    frames and add up with triangular weights.
    With ``target`` (n_frames, band) the decoder reads the true previous frames (teacher forcing), in
    windows, which is no decoding of the brain.
    ``n_attention`` windows, evenly spread, return their attention.  ``batch`` windows run at
    once: a GPU, bound by the launches of its kernels, takes many.
    """
    model.eval()
    starts = covering_starts(start, stop, model.a.length_frames, hop)
    shown = starts[np.unique(np.linspace(0, len(starts) - 1, n_attention).astype(int))] if n_attention else starts[:0]
    one_pass = model.a.causal and model.steps and target is None
    mel = rolled_out(model, features, start, stop, subject) if one_pass else None
    total = np.zeros((stop - start + model.a.length_frames, model.a.n_bands), dtype=np.float64)
    norm = np.zeros((len(total), 1))
    weights = _overlap_weights(model.a.length_frames, model.a.causal)
    attention: list[Array] = []
    for chunk, output in _windows(model, features, shown if one_pass else starts, start, stop, subject, target, batch):
        for window_start, own in zip(chunk - start, output.mel.float().cpu().numpy(), strict=True):
            total[window_start : window_start + model.a.length_frames] += weights * own
            norm[window_start : window_start + model.a.length_frames] += weights
        attention.extend(output.attention[torch.from_numpy(np.isin(chunk, shown))].float().cpu().numpy())
    axes = model.attention_axes
    empty = np.zeros((0, axes.heads, len(axes.group_frames), len(axes.position_frames)), dtype=np.float32)
    n = stop - start
    mel = (total[:n] / norm[:n]).astype(np.float32) if mel is None else mel
    return Prediction(mel, np.stack(attention) if attention else empty, shown)


@torch.inference_mode()
def rolled_out(model: Model, features: Array, start: int, stop: int, subject: int = 0) -> Array:
    """Mel (stop - start, band) [nats] of a causal model in one pass, which begins with nothing but its context."""
    a, device = model.a, next(model.parameters()).device
    ensemble = model if isinstance(model, Ensemble) else Ensemble.of([model])
    stepper = EnsembleStepper(ensemble).to(device)
    n_steps = -(-(stop - start) // stepper.step_frames)
    rows = _rows(features, np.array([start]), n_steps * stepper.step_frames, start, stop, model)
    known = torch.from_numpy(rows).to(device)
    state = stepper.begin(known[:, : a.context_frames * a.rows_per_frame], torch.full((1,), subject, device=device))
    mels = []
    for own in known[:, a.context_frames * a.rows_per_frame :].split(stepper.step_frames * a.rows_per_frame, dim=1):
        mel, state = stepper(own, state)
        mels.append(mel[0])
    return torch.cat(mels)[: stop - start].float().cpu().numpy()


def _windows(
    model: Model, features: Array, starts: NDArray[np.int64], start: int, stop: int, subject: int,
    target: Array | None, batch: int | None,
) -> Iterator[tuple[NDArray[np.int64], Output]]:  # fmt: skip
    """Outputs of the windows, ``batch`` at a time, with their starts."""
    a, device = model.a, next(model.parameters()).device
    batch = batch or (64 if device.type == "cpu" else 1024)
    for first in range(0, len(starts), batch):
        chunk = starts[first : first + batch]
        rows = _rows(features, chunk, a.length_frames + a.context_frames, start, stop, model)
        yield chunk, _run(model, rows, subject, target, chunk, device)


def _run(
    model: Model,
    rows: Array,
    subject: int,
    target: Array | None,
    starts: NDArray[np.int64],
    device: torch.device,
) -> Output:
    features = torch.from_numpy(rows).to(device)
    subjects = torch.full((len(rows),), subject, device=device)
    if target is None:
        return model.generate(features, subjects)
    frames = np.clip(starts[:, None] + np.arange(model.a.length_frames), 0, len(target) - 1)
    return model(features, subjects, torch.from_numpy(target[frames]).to(device))


def _rows(features: Array, starts: NDArray[np.int64], n_frames: int, start: int, stop: int, model: Model) -> Array:
    """Rows (window, (context + n_frames) * m, channel) from the context before each start on, for all its channels."""
    a = model.a
    m, context = a.rows_per_frame, a.context_frames
    rows = (starts[:, None] - context) * m + np.arange((context + n_frames) * m)
    first, last = max(0, (start - context) * m), min(len(features), (stop + context) * m)
    taken = features[edge_rows(rows, first, last, m)]
    return np.pad(taken, ((0, 0), (0, 0), (0, a.n_channels - features.shape[1]))).astype(np.float32, copy=False)


def _overlap_weights(length: int, causal: bool) -> NDArray[np.float64]:
    rising = np.arange(1, length + 1, dtype=np.float64)
    return (rising if causal else np.minimum(rising, rising[::-1]))[:, None]


def diagonality(attention: Array, model: Model) -> Array:
    """Per head, correlation over groups of the attended time with the group's own time: 1 is aligned, 0 is blind.

    ``attention`` is (window, head, group, position) as in :class:`Prediction`.
    """
    axes = model.attention_axes
    attended = attention @ _numpy(axes.position_frames)  # (window, head, group) mean attended frame
    own = _numpy(axes.group_frames)
    own = own - own.mean()
    centred = attended - attended.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.square(centred).sum(axis=-1) * np.square(own).sum())
    r = np.divide(centred @ own, spread, out=np.zeros_like(spread), where=spread > 1e-9)
    return r.mean(axis=0).astype(np.float32)


def _numpy(x: Tensor) -> Array:
    return x.detach().float().cpu().numpy()


def latency_frames(model: Model) -> Sequence[int] | None:
    """Algorithmic delay of a causal model, (smallest, largest) [frames]; None where the model looks ahead, or is run
    in windows.

    A step gives the mel of its frames when the rows of its last frame are there, so its first frame waits longest.
    """
    if not (model.a.causal and model.steps):
        return None
    ensemble = model if isinstance(model, Ensemble) else Ensemble.of([model])
    return 0, EnsembleStepper(ensemble).step_frames - 1
