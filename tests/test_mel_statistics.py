"""Which frames of a mel are speech, and which of its bands vary."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config.active_bands import ACTIVE_STD_NATS
from pipeline.config.evaluate import EvaluateConfig
from pipeline.signal.mel_statistics import active_bands, speech_threshold


def test_speech_threshold_is_midpoint_of_percentiles() -> None:
    mel = np.linspace(-10, 0, 1001, dtype=np.float32)[:, None] * np.ones(80, np.float32)
    assert speech_threshold(mel) == pytest.approx((-9 - 1) / 2, abs=1e-3)


def test_a_band_that_hardly_varies_is_not_active() -> None:
    course = np.tile([-1.0, 1.0], 500)[:, None]
    mel = (-6 + course * [0.0, 0.09, 0.11, 2.0]).astype(np.float32)
    assert active_bands(mel).tolist() == [False, False, True, True]
    assert active_bands(mel, 1.0).tolist() == [False, False, False, True]


def test_bands_are_judged_alike_in_training_and_scores() -> None:
    assert EvaluateConfig().min_band_std_nats == ACTIVE_STD_NATS
