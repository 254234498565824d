"""Data types of the evaluation: the test predictions of one subject and fold, in memory.

:mod:`pipeline.evaluation.inputs` fills them from the artifacts.
Mels are (frames, n_mels) float32 in nats, times are on the audio clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.aligned import Event

Mel = NDArray[np.float32]
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

MODEL = "model"
BASELINES = ("ridge", "mean_template", "mean_spectrum", "envelope")
OPTIONAL_BASELINES = ("nearest_neighbour",)
"""Scored on request; never listed as missing."""
VOCODED_TRUE = "vocoded_true"
"""The mel of the true mel's vocoded sound: the most that a decoder with this vocoder could reach."""
ORACLES = ("true_envelope", VOCODED_TRUE)
TEACHER_FORCED = "model_teacher_forced"
RETRAINED_NULL = "retrained_null_"
"""Prefix of the predictions of models trained on circularly shifted neural data (``chance.retrain``)."""


@dataclass(frozen=True)
class Sound:
    """Waveforms (samples,) of one test block at one rate, ``None`` where it was not made; and who made them."""

    rate_hz: int
    true: NDArray[np.float32] | None = None
    vocoded_true: NDArray[np.float32] | None = None
    predicted: NDArray[np.float32] | None = None
    vocoder: str = ""


@dataclass(frozen=True)
class TestBlock:
    """A contiguous stretch of one recording that is used for testing only.

    ``predictions`` maps a name (``model``, ``ridge``, …) to a mel of the target's
    shape, or to ``None`` where it could not be made.  ``bad`` marks frames inside a
    ``BAD_…`` annotation.  ``events`` are those that start inside the block.
    ``session`` is what its recording belongs to.  ``references`` are mels of the target's shape that timing
    or loudness alone predict (:mod:`pipeline.baselines.references`), ``speaker`` whose voice it is, empty where
    the sheet does not say, ``text`` what was said in a block that is a whole trial.  ``number`` is the place of its
    recording among the subject's, in the order of time within a session.
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    recording: str
    start_frame: int
    times_s: Values
    target: Mel
    predictions: Mapping[str, Mel | None]
    bad: Mask
    events: tuple[Event, ...] = ()
    sound: Sound | None = None
    session: str = ""
    references: Mapping[str, Mel] = field(default_factory=dict)
    speaker: str = ""
    text: str = ""
    number: int = 0


@dataclass(frozen=True)
class FoldPredictions:
    """Everything that is scored of one subject, fold and seed.

    ``speech_threshold_nats`` is the midpoint of the 10th and 90th percentile of the
    *training* frames' mean log-mel (:func:`pipeline.signal.mel_statistics.speech_threshold`).
    ``missing`` says why a named prediction is absent; ``events_are`` is ``voice``, ``cue`` or empty (unknown).
    ``templates`` is the mean training mel of each word (frames, n_mels) from the onset of its voice on, ``stimuli``
    what was said in each session: the texts of its trials, or its words.  ``out_of_fold`` are target and predictions of
    blocks outside the test (:func:`pipeline.evaluation.calibration.out_of_fold`).
    """

    subject: str
    fold: int
    seed: int
    frame_rate_hz: float
    blocks: tuple[TestBlock, ...]
    speech_threshold_nats: float
    training_labels: frozenset[str] = frozenset()
    missing: Mapping[str, str] = field(default_factory=dict)
    events_are: str = ""
    templates: Mapping[str, Mel] = field(default_factory=dict)
    stimuli: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    out_of_fold: Sequence[Mapping[str, Mel]] = ()

    @property
    def true_onset(self) -> str:
        """What a word's true onset is taken from: its event, or the sound where events are cues."""
        return "sound_onset" if self.events_are == "cue" else "annotated_onset"

    def names(self) -> list[str]:
        """Names of the predictions that every test block has, in order of appearance."""
        first = self.blocks[0].predictions
        return [n for n in first if all(b.predictions.get(n) is not None for b in self.blocks)]


Document = dict[str, Any]
"""A tree of JSON values."""
