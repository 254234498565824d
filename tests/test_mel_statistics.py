"""Which frames of a mel are speech, where words begin, and which of its bands vary."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config.active_bands import ACTIVE_STD_NATS
from pipeline.config.evaluate import EvaluateConfig
from pipeline.signal.mel_statistics import active_bands, sound_onsets, speech_threshold


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


def test_sound_starts_within_its_event_by_a_level_of_its_own() -> None:
    mel = np.full((300, 8), -11.0, np.float32)
    mel[50:80], mel[170:200] = -2.0, -8.0
    starts, lengths = np.array([30, 150, -5, 290]), np.array([60, 60, 20, 0])
    assert sound_onsets(mel, starts, lengths).tolist() == [50, 170, 0, 290]
