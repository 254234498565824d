"""From a trained network to a continuous mel: overlapping windows, run freely, joined by overlap-add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.intervals import covering_starts
from pipeline.model.ensemble import Ensemble
from pipeline.model.network import Output, Seq2Seq
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
    edge frame repeats.  Windows overlap by ``length - hop`` frames and add up with
    triangular weights.  In a causal model each frame of each window depends on rows up
    to that frame alone, hence so does the sum; there, later frames of a window weigh more, since they saw
    more of the past.  With ``target`` (n_frames, band) the decoder reads the true
    previous frames (teacher forcing), which is no decoding of the brain.
    ``n_attention`` windows, evenly spread, return their attention.  ``batch`` windows run at
    once: a GPU, bound by the launches of its kernels, takes many.
    """
    a = model.a
    model.eval()
    device = next(model.parameters()).device
    batch = batch or (64 if device.type == "cpu" else 1024)
    starts = covering_starts(start, stop, a.length_frames, hop)
    shown = starts[np.unique(np.linspace(0, len(starts) - 1, n_attention).astype(int))] if n_attention else starts[:0]
    weights = _overlap_weights(a.length_frames, a.causal)
    total = np.zeros((stop - start + a.length_frames, a.n_bands), dtype=np.float64)
    norm = np.zeros((len(total), 1))
    attention: list[Array] = []
    for first in range(0, len(starts), batch):
        chunk = starts[first : first + batch]
        output = _run(model, _window_rows(features, chunk, start, stop, model), subject, target, chunk, device)
        for window_start, mel in zip(chunk - start, output.mel.float().cpu().numpy(), strict=True):
            total[window_start : window_start + a.length_frames] += weights * mel
            norm[window_start : window_start + a.length_frames] += weights
        attention.extend(output.attention[torch.from_numpy(np.isin(chunk, shown))].float().cpu().numpy())
    axes = model.attention_axes
    empty = np.zeros((0, axes.heads, len(axes.group_frames), len(axes.position_frames)), dtype=np.float32)
    n = stop - start
    return Prediction((total[:n] / norm[:n]).astype(np.float32), np.stack(attention) if attention else empty, shown)


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


def _window_rows(features: Array, starts: NDArray[np.int64], start: int, stop: int, model: Model) -> Array:
    """Rows (window, (length + 2 context) * m, channel), zero-filled to the model's channels."""
    a = model.a
    m, context = a.rows_per_frame, a.context_frames
    rows = (starts[:, None] - context) * m + np.arange((a.length_frames + 2 * context) * m)
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
    """Algorithmic delay of a causal model, (smallest, largest) [frames]; None where the model looks ahead.

    The frames of a group leave together when the group's first frame is due: nothing waits for the future.
    """
    return (0, 0) if model.a.causal else None
