"""The streaming core: chunks of samples in, mel frames out, by the filters and the model that offline use has.

However the samples are cut, the mel is that of :func:`pipeline.model.inference.predict_continuous` on the whole trial,
to rounding.  What is kept of the past has a fixed size.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config.ensemble import ModelSettings
from pipeline.data.subject import rows_per_frame
from pipeline.errors import InputError, Problem
from pipeline.live.montage import Montage, of_channels
from pipeline.model.ensemble import Ensemble
from pipeline.model.roll_out import EnsembleStepper, State
from pipeline.signal.clock import audio_to_neural_s, neural_to_audio_s
from pipeline.signal.features.stack import FeatureStream
from pipeline.signal.frame_power import edge_rows
from pipeline.signal.normalisation import Running

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Clock:
    """Where the sound's time 0 lies on the neural clock, t_neural = t_audio (1 + drift) + offset.

    ``first_feature`` is the number of the first feature on the audio clock; without it, the first that can be made.
    ``n_frames`` are the mel frames of the trial's sound: offline, these count for the running normalisation of the next
    trial, those after the signal's end as its last feature.  Without sound, all that the signal reaches count.
    """

    offset_s: float = 0.0
    drift_ppm: float = 0.0
    first_feature: int | None = None
    n_frames: int | None = None


class LiveDecoder:
    """One trial after another, decoded as its samples come in.

    :meth:`reset` begins another trial, as offline: filters and network forget what was before, and running
    normalisation goes on over the trials of a session.  Raises :class:`InputError` for a model that looks ahead, or
    is normalised by whole recordings.
    """

    def __init__(
        self, model: Ensemble, config: ModelSettings, montage: Montage, subject: int = 0, clock: Clock | None = None
    ) -> None:
        _refuse_offline(config)
        self.model, self.config, self.montage, self.subject = model.eval(), config, montage, subject
        self.clock = clock or Clock()
        self.stepper = EnsembleStepper(model)
        self.rows_per_frame = rows_per_frame(montage.feature_rate_hz, config.mel)
        running = config.train.normalisation == "causal_running"
        self._covered = Running(len(montage.columns), config.mel.frame_rate_hz) if running else None
        self._begin()

    def reset(self, clock: Clock | None = None) -> None:
        """Begin a trial: its next sample is its first; its clock is that of the trial before, or another one."""
        if self.clock.n_frames is not None and len(self._held):
            left = self._numbers(self.clock.n_frames) - self._n_dropped
            self._normalised(self._held[np.clip(left, 0, len(self._held) - 1)])
        self.clock = clock or self.clock
        self._begin()

    def _begin(self) -> None:
        offset_s, drift_ppm = self.clock.offset_s, self.clock.drift_ppm
        rate_hz, grid = self.montage.feature_rate_hz, self.config.mel
        first = self.clock.first_feature
        if first is None:
            first = math.ceil(float(neural_to_audio_s(np.zeros(1), offset_s, drift_ppm)[0]) * rate_hz + 1e-6)
        self.first_feature: int = first
        #: The first mel frame that is decoded, on the audio clock.
        self.first_frame = max(0, math.ceil((first / rate_hz - grid.first_frame_s) * grid.frame_rate_hz))
        self._features: FeatureStream = self.montage.features.stream(self._times_s)
        self._running, self._running_frames = deepcopy(self._covered), 0
        n_columns = len(self.montage.columns)
        self._held = np.zeros((0, n_columns), np.float32)  # features that rows may still come from
        self._n_dropped = 0  # features that came before those
        self._n_rows = 0  # of the mel's grid, from frame 0 on
        self._rows = np.zeros((0, n_columns), np.float32)  # rows that the network has not seen
        self._first_row = 0  # number of the first of them
        self._states: list[State] | None = None

    def _times_s(self, start: int, stop: int) -> np.ndarray:
        """Times of features on the neural clock."""
        numbers = np.arange(self.first_feature + start, self.first_feature + stop)
        return audio_to_neural_s(numbers / self.montage.feature_rate_hz, self.clock.offset_s, self.clock.drift_ppm)

    @torch.inference_mode()
    def push(self, samples: np.ndarray) -> Array:
        """Mel (frame, band) [nats] of the steps that ``samples`` (sample, channel of the montage) complete.

        Raises :class:`InputError` for samples of other channels, or not finite in a channel that is read.
        """
        samples = of_channels(np.asarray(samples, np.float32), len(self.montage.names))
        read = self.montage.reference.apply(samples)
        if not np.isfinite(read).all():
            fix = "Mend the stream, or hold the last value where one is missing"
            raise InputError(Problem("stream", "samples", "NaN or infinity", "finite numbers", fix))
        new = self._features.push(read) if len(read) else np.zeros((0, 0), np.float32)
        if len(new):
            self._held = np.concatenate([self._held, new[:, self.montage.columns]])
        self._rows = np.concatenate([self._rows, self._new_rows()])
        return self._stepped()

    def _new_rows(self) -> Array:
        """Rows of the mel's grid whose features are there: the latest feature at each row's time."""
        m, grid, rate_hz = self.rows_per_frame, self.config.mel, self.montage.feature_rate_hz
        n_features = self._n_dropped + len(self._held)
        if n_features == 0:
            return self._held
        # To the first row that needs a feature to come; a frame's rows are normalised together.
        last_s = (self.first_feature + n_features) / rate_hz
        numbers = self._numbers(math.ceil((last_s - grid.first_frame_s) * grid.frame_rate_hz + 0.5) + 1)
        whole = int(np.searchsorted(numbers, n_features, side="left")) // m * m
        numbers = np.clip(numbers[:whole], 0, None)
        found = self._held[np.maximum(numbers - self._n_dropped, 0)]
        self._n_rows += whole
        kept = int(numbers[-1]) if whole else self._n_dropped
        self._held, self._n_dropped = self._held[kept - self._n_dropped :], kept
        return self._normalised(found)

    def _numbers(self, n_frames: int) -> NDArray[np.intp]:
        """The latest feature at the time of each row, from the next one to the last of so many frames."""
        m, grid = self.rows_per_frame, self.config.mel
        rows = np.arange(self._n_rows, n_frames * m)
        rows_s = grid.first_frame_s + ((rows + 0.5) / m - 0.5) / grid.frame_rate_hz
        return np.floor(rows_s * self.montage.feature_rate_hz - self.first_feature + 1e-6).astype(int)

    def _normalised(self, rows: Array) -> Array:
        """Rows by the statistics of those so far, where the model was trained so."""
        if self._running is None:
            return rows
        grid, m = self.config.mel, self.rows_per_frame
        frames = rows.reshape(-1, m, rows.shape[1])
        # The next trial goes on from the last frame of the sound, or else from the last that a feature has reached.
        last_s = (self.first_feature + self._n_dropped + len(self._held) - 1) / self.montage.feature_rate_hz
        n_covered = math.floor((last_s - grid.first_frame_s) * grid.frame_rate_hz) + 1
        n_covered = n_covered if self.clock.n_frames is None else self.clock.n_frames
        before = min(len(frames), max(0, n_covered - self._running_frames))
        covered = self._running.push(frames[:before])
        if n_covered >= self._running_frames:
            self._covered = deepcopy(self._running)
        self._running_frames += len(frames)
        return np.concatenate([covered, self._running.push(frames[before:])]).reshape(rows.shape)

    def _stepped(self) -> Array:
        a, m = self.model.a, self.rows_per_frame
        if self._states is None:
            first = max(0, self.first_frame - a.context_frames) * m
            if self._n_rows <= max(first, self.first_frame * m):
                return np.zeros((0, a.n_bands), np.float32)
            wanted = (self.first_frame - a.context_frames) * m + np.arange(a.context_frames * m)
            context = self._rows[edge_rows(wanted, first, self._n_rows, m) - self._first_row]
            self._states = self.stepper.begin(self._tensor(context), torch.full((1,), self.subject))
            self._drop(self.first_frame * m)
        step, mels = self.stepper.step_frames * m, []
        while len(self._rows) >= step:
            mel, self._states = self.stepper(self._tensor(self._rows[:step]), self._states)
            mels.append(mel[0].float().numpy())
            self._drop(self._first_row + step)
        return np.concatenate(mels) if mels else np.zeros((0, a.n_bands), np.float32)

    def _drop(self, row: int) -> None:
        self._rows = self._rows[row - self._first_row :]
        self._first_row = row

    def _tensor(self, rows: Array) -> torch.Tensor:
        padded = np.pad(rows, ((0, 0), (0, self.model.a.n_channels - rows.shape[1])))
        return torch.from_numpy(np.ascontiguousarray(padded, np.float32))[None]


def _refuse_offline(config: ModelSettings) -> None:
    if not config.causal:
        fix = "Set causal: true and train again"
        raise InputError(Problem("model", "causal", "False", "a model that does not look ahead", fix))
    if config.train.normalisation == "recording_unlabelled":
        fix = "Set train.normalisation: causal_running (or train) and train again"
        raise InputError(Problem("model", "train.normalisation", "recording_unlabelled", "one of the past alone", fix))
