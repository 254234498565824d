"""The raw samples that each role depends on, and the size of the purge gap.

A mel frame is computed from sound around it; the network that predicts it sees neural
features from ``past_s`` before to ``future_s`` after it, each of which a filter made
from samples further away.  The receptive field covers all of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from pipeline.artifacts.aligned import AlignedInfo
from pipeline.artifacts.windows import BlockRow, SpanRow
from pipeline.config.mel_grid import MelGrid
from pipeline.signal.clock import audio_to_neural_s


@dataclass(frozen=True)
class ReceptiveField:
    """How far the raw samples behind a mel frame and its prediction extend [s]."""

    past_s: float
    future_s: float
    audio_s: float

    def gap_frames(self, frame_rate_hz: float) -> int:
        """Frames between two blocks so that they share no sample of either signal."""
        return math.ceil(max(self.past_s + self.future_s, 2 * self.audio_s) * frame_rate_hz) + 2


def receptive_field(
    info: AlignedInfo, context_frames: int, grid: MelGrid, n_fft: int, interpolation_s: tuple[float, float]
) -> ReceptiveField:
    """The receptive field of one recording's filters, context and mel window."""
    context_s = context_frames / grid.frame_rate_hz
    return ReceptiveField(
        past_s=context_s + info.support_past_s + interpolation_s[0],
        future_s=(0.0 if info.causal else context_s) + info.support_future_s + interpolation_s[1],
        audio_s=n_fft / 2 / grid.sample_rate_hz + info.audio_support_s,
    )


class Timed(Protocol):
    """What has a first and a last feature."""

    @property
    def first_time_s(self) -> float: ...
    @property
    def last_time_s(self) -> float: ...


def covered_frames(info: Timed, grid: MelGrid) -> tuple[int, int]:
    """The mel frames ``start:stop`` that have brain signal."""
    first = math.ceil((info.first_time_s - grid.first_frame_s) * grid.frame_rate_hz)
    last = math.floor((info.last_time_s - grid.first_frame_s) * grid.frame_rate_hz)
    return max(0, first), last + 1


def widest(fields: Iterable[ReceptiveField]) -> ReceptiveField:
    """The receptive field that covers all of ``fields``."""
    listed = list(fields)
    return ReceptiveField(
        max(r.past_s for r in listed), max(r.future_s for r in listed), max(r.audio_s for r in listed)
    )


def raw_spans(block: BlockRow, info: AlignedInfo, seen: ReceptiveField, grid: MelGrid) -> list[SpanRow]:
    """The raw neural and audio samples behind the frames of ``block``."""
    first_s = grid.first_frame_s + block.start / grid.frame_rate_hz
    last_s = grid.first_frame_s + (block.stop - 1) / grid.frame_rate_hz
    ends_s = audio_to_neural_s(
        np.array([first_s - seen.past_s, last_s + seen.future_s]), info.audio_offset_s, info.audio_drift_ppm
    ).tolist()
    rate_hz = info.source_audio_rate_hz
    sides: dict[Literal["neural", "audio"], tuple[list[float], float, int]] = {
        "neural": (ends_s, info.eeg_rate_hz, info.n_eeg),
        "audio": (
            [first_s - seen.audio_s, last_s + seen.audio_s],
            rate_hz,
            math.ceil(info.n_audio / info.audio_rate_hz * rate_hz),
        ),
    }
    return [
        SpanRow(
            block.fold,
            block.role,
            block.recording,
            signal,
            max(0, math.floor(a * rate)),
            min(n, math.ceil(b * rate) + 1),
            float(rate),
            block.inner_fold,
        )
        for signal, ((a, b), rate, n) in sides.items()
    ]
