"""Permutation importance: groups of channels, and who loses what when a group no longer fits the sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts.aligned import AlignedInfo, aligned_trials
from pipeline.data.subject import SubjectArrays
from pipeline.evaluation import importance
from pipeline.evaluation.importance import channel_groups, permutation_importance, why_not

CONTEXT, SPANS = 10, [(0, 100, 500), (1, 0, 300)]


@pytest.fixture
def arrays() -> SubjectArrays:
    """Two recordings of 600 frames: channels 0 and 1 are the two mel bands, 2 and 3 are noise."""
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(600, 4)).astype(np.float32) for _ in range(2)]
    return SubjectArrays(
        ("a", "b"), 1, features, [f[:, :2].copy() for f in features], ("LA1", "LA2", "RB1", "RB2"), 100.0
    )


@pytest.fixture
def read_spans(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """A decoder whose mel is its first two channels; the list holds the rows that it was given."""
    seen: list[np.ndarray] = []

    def predict(model: Any, features: np.ndarray, start: int, stop: int, hop: int, subject: int) -> Any:
        seen.append(features)
        return SimpleNamespace(mel=features[start:stop, :2])

    monkeypatch.setattr(importance, "predict_continuous", predict)
    return seen


MODEL: Any = SimpleNamespace(a=SimpleNamespace(context_frames=CONTEXT, length_frames=50))
GROUPS = {"LA": [0, 1], "RB": [2, 3]}


def test_only_the_channels_that_the_decoder_reads_lose_r(arrays: SubjectArrays, read_spans: list[np.ndarray]) -> None:
    found = permutation_importance(MODEL, arrays, SPANS, GROUPS, 4, subject=0, seed=[0])
    assert found.names == ("LA", "RB")
    assert found.drop.shape == (2, 4)
    np.testing.assert_allclose(found.drop[0], 1.0, atol=0.2)
    np.testing.assert_array_equal(found.drop[1], 0.0)
    assert {len(rows) for rows in read_spans} == {400 + 2 * CONTEXT, 300 + CONTEXT}


def test_half_of_the_bands_lose_half_of_the_r(arrays: SubjectArrays, read_spans: list[np.ndarray]) -> None:
    found = permutation_importance(MODEL, arrays, SPANS, {"LA": [0], "RB": [1]}, 4, subject=0, seed=[0])
    np.testing.assert_allclose(found.drop, 0.5, atol=0.15)


def test_shifts_follow_from_the_seed_and_leave_the_features_alone(
    arrays: SubjectArrays, read_spans: list[np.ndarray]
) -> None:
    before = [f.copy() for f in arrays.features]
    drops = [permutation_importance(MODEL, arrays, SPANS, GROUPS, 2, subject=0, seed=[s]).drop for s in (0, 0, 1)]
    np.testing.assert_array_equal(drops[0], drops[1])
    assert not np.array_equal(drops[0], drops[2])
    for kept, now in zip(before, arrays.features, strict=True):
        np.testing.assert_array_equal(kept, now)


def test_a_constant_band_is_left_out(arrays: SubjectArrays, read_spans: list[np.ndarray]) -> None:
    for mel in arrays.mel:
        mel[:, 1] = -11.5
    found = permutation_importance(MODEL, arrays, SPANS, GROUPS, 2, subject=0, seed=[0])
    np.testing.assert_allclose(found.drop[0], 1.0, atol=0.2)


@pytest.fixture
def info(chain: Path) -> AlignedInfo:
    table = {"name": ["LA1", "LA2", "LA10", "RB1", "EKG"], "region": ["STG", "STG", "IFG", "n/a", ""]}
    return replace(aligned_trials(chain / "results/aligned/sim01_run01.h5")[0], channels=table)


def test_shafts_and_regions_of_plain_banded_and_bipolar_columns(info: AlignedInfo) -> None:
    plain = channel_groups(["LA1", "LA2", "LA10", "RB1", "EKG"], info)
    assert plain == {"shaft": {"LA": [0, 1, 2], "RB": [3]}, "region": {"IFG": [2], "STG": [0, 1]}}
    banded = channel_groups(["LA1 70-170 Hz", "LA10 70-170 Hz", "LA1 1-30 Hz"], info)
    assert banded == {"shaft": {"LA": [0, 1, 2]}, "region": {"IFG": [1], "STG": [0, 2]}}
    assert channel_groups(["LA1-LA2", "LA10-LA11"], info)["region"] == {"IFG": [1], "STG": [0]}


def test_why_groups_cannot_be_compared() -> None:
    assert why_not({}) == "no channel has one"
    assert why_not({"LA": [0]}) == "LA is the only one"
    assert why_not(GROUPS) == ""
