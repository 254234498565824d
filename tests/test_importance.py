"""Permutation importance: groups of channels, and who loses what when a group no longer fits the sound."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts.aligned import AlignedInfo, aligned_trials
from pipeline.data.subject import SubjectArrays
from pipeline.evaluation import importance
from pipeline.evaluation.importance import channel_groups, contacts_of, permutation_importance, why_not
from pipeline.evaluation.importance_null import importance_null

CONTEXT, SPANS, ONE = 10, [(0, 100, 500), (1, 0, 300)], [0, 0]


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
    found = permutation_importance(MODEL, arrays, SPANS, GROUPS, 4, subjects=ONE, seed=[0], frame_rate_hz=20.0)
    assert found.names == ("LA", "RB")
    assert found.drop.shape == (2, 4)
    np.testing.assert_allclose(found.drop[0], 1.0, atol=0.2)
    np.testing.assert_array_equal(found.drop[1], 0.0)
    assert {len(rows) for rows in read_spans} == {400 + 2 * CONTEXT, 300 + CONTEXT}


def test_half_of_the_bands_lose_half_of_the_r(arrays: SubjectArrays, read_spans: list[np.ndarray]) -> None:
    found = permutation_importance(
        MODEL, arrays, SPANS, {"LA": [0], "RB": [1]}, 4, subjects=ONE, seed=[0], frame_rate_hz=20.0
    )
    np.testing.assert_allclose(found.drop, 0.5, atol=0.15)


def test_shifts_follow_from_the_seed_and_leave_the_features_alone(
    arrays: SubjectArrays, read_spans: list[np.ndarray]
) -> None:
    before = [f.copy() for f in arrays.features]
    drops = [
        permutation_importance(MODEL, arrays, SPANS, GROUPS, 2, subjects=ONE, seed=[s], frame_rate_hz=20.0).drop
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drops[0], drops[1])
    assert not np.array_equal(drops[0], drops[2])
    for kept, now in zip(before, arrays.features, strict=True):
        np.testing.assert_array_equal(kept, now)


def test_a_constant_band_is_left_out(arrays: SubjectArrays, read_spans: list[np.ndarray]) -> None:
    for mel in arrays.mel:
        mel[:, 1] = -11.5
    found = permutation_importance(MODEL, arrays, SPANS, GROUPS, 2, subjects=ONE, seed=[0], frame_rate_hz=20.0)
    np.testing.assert_allclose(found.drop[0], 1.0, atol=0.2)


def test_silence_loses_nothing(arrays: SubjectArrays, read_spans: list[np.ndarray]) -> None:
    for mel in arrays.mel:
        mel[:] = -11.5
    found = permutation_importance(MODEL, arrays, SPANS, GROUPS, 2, subjects=ONE, seed=[0], frame_rate_hz=20.0)
    np.testing.assert_array_equal(found.drop, 0)


def test_pieces_of_the_channels_that_are_read_exceed_chance(
    arrays: SubjectArrays, read_spans: list[np.ndarray]
) -> None:
    found = permutation_importance(MODEL, arrays, SPANS, GROUPS, 4, subjects=ONE, seed=[0], frame_rate_hz=20.0)
    assert found.piece_drop.shape[1] >= 10
    np.testing.assert_allclose(found.piece_drop.mean(axis=1), found.drop.mean(axis=1), atol=0.1)
    null = importance_null([dict(zip(found.names, found.piece_drop, strict=True))])
    assert null.p_value["LA"] <= 0.01
    assert null.p_value["RB"] == 1


def test_the_null_of_importance_is_the_largest_of_all_sign_patterns() -> None:
    rng = np.random.default_rng(0)
    folds = [{"LA": rng.normal(0.3, 1, 5), "RB": rng.normal(0, 1, 5)}, {"LA": rng.normal(0.3, 1, 4)}]
    found = importance_null(folds)
    losses = np.array(
        [
            np.concatenate([f.get(name, np.zeros(n)) for f, n in zip(folds, (5, 4), strict=True)])
            for name in ("LA", "RB")
        ]
    )
    every = np.array([(losses * signs).mean(axis=1).max() for signs in product((-1, 1), repeat=9)])
    for name, own in zip(("LA", "RB"), losses, strict=True):
        assert found.p_value[name] == pytest.approx(np.mean(every >= own.mean()), abs=0.04)
    assert found.p95 == pytest.approx(np.percentile(every, 95), abs=0.05)
    assert importance_null([{"LA": np.ones(6)}]).reason == "6 pieces of test sound, 7 needed"
    assert importance_null([{"LA": np.ones(7)}]).reason is None
    assert (importance_null([{}]).p_value, importance_null([{}]).pieces) == ({}, 0)


def test_groups_without_a_link_are_rarely_called_important() -> None:
    """The smallest of five groups' p: P(p ≤ .05) is .05."""
    rng = np.random.default_rng(0)
    smallest = [
        min(importance_null([{str(k): rng.normal(size=12) for k in range(5)}]).p_value.values()) for _ in range(200)
    ]
    assert 0.01 <= np.mean(np.array(smallest) <= 0.05) <= 0.1


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


def test_contacts_are_those_of_the_columns_whose_places_are_known(info: AlignedInfo) -> None:
    names, nan = ["LA1", "LA2", "RB1", "XX1"], float("nan")
    electrodes = {"name": names, "x": [1.0, 2.0, nan, 9.0], "y": [3.0, 4.0, 5.0, 9.0], "z": [6.0, 7.0, 8.0, 9.0]}
    placed = replace(info, electrodes=electrodes)
    found = contacts_of(["LA1-LA2 70-170 Hz", "LA2-LA10 70-170 Hz", "RB1", "EKG", "LA1-LA2 1-30 Hz"], placed)
    assert found is not None
    np.testing.assert_array_equal(found.position, [[1, 3, 6], [2, 4, 7]])
    assert (found.shaft, found.region) == (("LA", "LA"), ("STG", "STG"))
    assert contacts_of(["RB1", "EKG"], placed) is None
    assert contacts_of(["LA1"], replace(info, electrodes={})) is None


def test_why_groups_cannot_be_compared() -> None:
    assert why_not({}) == "no channel has one"
    assert why_not({"LA": [0]}) == "LA is the only one"
    assert why_not(GROUPS) == ""
