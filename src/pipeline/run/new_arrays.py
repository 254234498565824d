"""Predict an array of neural samples with a trained model, as align and predict would a recording of it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pipeline.data.front_end import FrontEnd
from pipeline.data.groups import WHOLE, group_index, model_groups
from pipeline.data.spans import covered_frames
from pipeline.data.subject import on_mel_grid
from pipeline.errors import InputError, Problem
from pipeline.model.inference import predict_continuous
from pipeline.run.new_recordings import TrainedModel
from pipeline.signal.blocks import array_reader
from pipeline.signal.clock import common_frames
from pipeline.signal.features.stack import Features
from pipeline.signal.normalisation import normalise_recording
from pipeline.signal.reference import Reference


class _Times(NamedTuple):
    first_time_s: float
    last_time_s: float


def predict_array(
    trained: TrainedModel, array: np.ndarray, rate_hz: float, subject: str
) -> tuple[np.ndarray, np.ndarray]:
    """Times (frame,) [s] and mel (frame, band) [nats] of samples (time, channel), which begin at time 0.

    Raises :class:`InputError` where they are not those of the model's channels, too short, or not finite.
    """
    front_end, config = trained.front_end(subject), trained.config
    _check(array, rate_hz, front_end)
    grid, feature_rate_hz = config.mel, front_end.settings.align.feature_rate_hz
    first, features = _features(front_end, np.asarray(array, np.float32), rate_hz)
    times = _Times(first / feature_rate_hz, (first + len(features) - 1) / feature_rate_hz)
    start, stop = covered_frames(times, grid)
    rows = on_mel_grid(features, first, feature_rate_hz, stop, grid, config.causal)
    m = len(rows) // stop
    rows = normalise_recording(rows, config.train.normalisation, m, grid.frame_rate_hz)
    rows = np.ascontiguousarray(rows, np.float32)
    group = group_index(model_groups(trained.meta), trained.subject_of(subject), WHOLE)
    mel = predict_continuous(trained.model, rows, start, stop, trained.meta["hop_frames"], subject=group).mel
    return grid.first_frame_s + np.arange(start, stop) / grid.frame_rate_hz, mel


def _features(front_end: FrontEnd, array: np.ndarray, rate_hz: float) -> tuple[int, np.ndarray]:
    """Number of the first feature, counted from time 0, and the features (time, column) that the model reads."""
    settings = front_end.settings
    reference = Reference.build(
        settings.align.reference, front_end.channels, [True] * len(front_end.channels), front_end.shafts
    )
    kinds = Features(settings.align, settings.mel, rate_hz)
    rate = settings.align.feature_rate_hz
    first, last = common_frames((len(array) - 1) / rate_hz, None, (0.0, 0.0), rate, settings.align.margin_s)
    if last < first:
        raise _too_short(array)
    read = array_reader(array)
    times_s = np.arange(first, last + 1) / rate
    blocks = kinds.blocks(lambda a, b: reference.apply(read(a, b)), len(array), times_s, settings.causal)
    made = kinds.names(reference.names)
    columns = [made.index(name) for name in front_end.feature_names]
    return first, np.concatenate([block for _, block in blocks])[:, columns]


def _too_short(array: np.ndarray) -> InputError:
    fix = "Give more samples"
    return InputError(Problem("array", "shape", f"{len(array)} sample(s)", "a recording of several features", fix))


def _check(array: np.ndarray, rate_hz: float, front_end: FrontEnd) -> None:
    n = len(front_end.channels)
    if array.ndim != 2 or array.shape[1] != n or array.dtype.kind not in "fiu":
        got, expected = f"{array.dtype} {array.shape}", f"numbers (time, {n}), a column for each of model.channels()"
        raise InputError(Problem("array", "shape", got, expected, "Select and order the channels by name"))
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise InputError(Problem("rate_hz", "", str(rate_hz), "samples per second", "Give the rate of the array"))
    if len(array) < 2:
        raise _too_short(array)
