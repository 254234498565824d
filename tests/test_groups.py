"""Subjects and sessions that train together: whose mean, scale, input layer and ridge a recording has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from conftest import snakemake
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.artifacts.windows import read_windows
from pipeline.data.groups import group_index, groups_of, model_groups, owners_of
from pipeline.data.training_data import TrainingData
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous
from pipeline.model.presets import NetworkRole
from pipeline.training.network import build_network
from pipeline.training.weighing import HeldOut, weigh_on_held_out
from test_training import MODEL, TRAIN, make_data, train_one

FREE = NetworkRole(0, False)
SESSIONS = {"s1": ["s1_a", "s1_b"], "s2": ["s2_a"]}
GAIN, OFFSET = 3.0, 7.0


def of_sessions() -> TrainingData:
    """Two sessions of one subject that differ in the gain of features and mel; a third one is held out."""
    data = make_data()
    features, mel = ([x[0], GAIN * x[1] + OFFSET, x[0][:200]] for x in (data.features, data.mel))
    names = ["a", "b", "c"]
    return replace(data, features=features, mel=mel, subject=[0, 1, 2], names=names, owners=[0, 0, 0, 0])


def test_groups_are_subjects_or_their_sessions() -> None:
    assert groups_of(SESSIONS, by_session=False) == [("s1", ""), ("s2", "")]
    groups = groups_of(SESSIONS, by_session=True)
    assert groups == [("s1", "s1_a"), ("s1", "s1_b"), ("s1", ""), ("s2", "")], "one session is its subject"
    assert owners_of(groups) == [0, 0, 0, 1]
    asked = [("s1", "s1_b"), ("s1", "s1_later"), ("s2", "s2_a")]
    assert [group_index(groups, *names) for names in asked] == [1, 2, 3]
    with pytest.raises(ValueError, match="is not in list"):
        group_index(groups, "s3", "s3_a")
    assert model_groups({"subjects": ["s1", "s2"]}) == [("s1", ""), ("s2", "")]
    assert model_groups({"subjects": ["s1", "s2"], "groups": [list(group) for group in groups]}) == groups


def test_features_and_mel_have_the_mean_and_scale_of_their_session() -> None:
    data = of_sessions()
    network = build_network(data, FREE, MODEL, TRAIN, causal=False)
    subject = torch.tensor([0, 1])
    for r in (0, 1):
        a, b = next((a, b) for recording, a, b in data.spans("train") if recording == r)
        features = torch.from_numpy(data.features[r][a:b])[None]
        mel = torch.from_numpy(data.mel[r][a:b])[None]
        own = subject[r : r + 1]
        with torch.no_grad():
            assert_allclose(network.normalise(features, own)[0].mean(dim=0), 0, atol=1e-4)
            assert_allclose(network.normalise_mel(mel, own)[0].mean(dim=0), 0, atol=1e-4)
            assert_allclose(network.normalise_mel(mel, own)[0].std(dim=0), 1, atol=1e-3)
            assert_allclose(network.mel_in_nats(network.normalise_mel(mel, own), own), mel, atol=1e-4)
    assert_allclose(network.mel_scale[1] / network.mel_scale[0], GAIN, rtol=0.3)


def test_a_session_without_training_frames_has_the_scale_of_all() -> None:
    data = of_sessions()
    network = build_network(data, FREE, MODEL, TRAIN, causal=False)
    frames = np.concatenate([data.mel[r][a:b] for r, a, b in data.spans("train")])
    for held_out in (2, 3):
        assert_allclose(network.mel_mean[held_out], frames.mean(axis=0), rtol=1e-5)
        assert_allclose(network.mel_scale[held_out], frames.std(axis=0, ddof=1), rtol=1e-4)
        assert network.input_layer is not None
        assert torch.equal(network.input_layer[held_out], torch.eye(data.n_channels))


def test_sessions_that_differ_in_scale_alone_train_as_one(tmp_path: Path) -> None:
    """The loss of such sessions is that of the same ones at one scale; told apart by nothing, it is not."""
    data, equal = of_sessions(), make_data()
    told = train_one(tmp_path / "told", FREE, data, MODEL, TRAIN).rows[-1]
    same = replace(equal, features=[*equal.features, equal.features[0][:200]], mel=[*equal.mel, equal.mel[0][:200]])
    same = replace(same, subject=[0, 1, 2], names=["a", "b", "c"], owners=[0, 0, 0, 0])
    expected = train_one(tmp_path / "same", FREE, same, MODEL, TRAIN).rows[-1]
    joint = train_one(tmp_path / "joint", FREE, replace(data, subject=[0, 0, 0], owners=[0]), MODEL, TRAIN).rows[-1]
    assert told["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-3)
    assert abs(joint["val_loss"] - expected["val_loss"]) > 0.01 * expected["val_loss"]


def test_weights_of_an_ensemble_are_judged_at_each_sessions_scale(tmp_path: Path) -> None:
    data = of_sessions()
    val = np.array([(0, 390), *map(tuple, data.val.tolist())])
    data = replace(data, val=val)
    network = train_one(tmp_path, FREE, data, MODEL, TRAIN).network
    assert network is not None
    held_out = HeldOut.of(network, data, {}, hop=8)
    assert set(held_out.subject.tolist()) == {0, 1}
    loss, _ = weigh_on_held_out(Ensemble.of([network]), [held_out], data.speech_level_nats)
    scaled = [x / network.mel_scale.numpy()[held_out.subject] for x in (held_out.network, held_out.truth)]
    assert loss <= np.square(scaled[0] - scaled[1]).mean() + 1e-6


def test_a_session_is_predicted_at_its_own_scale(tmp_path: Path) -> None:
    """In windows: raw units in, and nats at the level of the session out."""
    data = of_sessions()
    network = train_one(tmp_path, FREE, data, MODEL, TRAIN).network
    assert network is not None
    for model in (network, Ensemble.of([network])):
        for r in (0, 1):
            found = predict_continuous(model, data.features[r], 100, 180, 8, subject=r).mel
            assert abs(found.mean() - data.mel[r].mean()) < 0.5 * data.mel[r].std()


HELD_OUT = """\
fold: 1
simulate: {recordings: 3, trials: 4, minutes: 0.4, trial_s: 5, channels: 4, dead_channels: 0, noisy_channels: 0}
split: {folds: 3, by: session}
model: {preset: tiny, encoder_width: 12, encoder_hidden: 8, decoder_hidden: 12, networks: 2}
train: {max_steps: 4, steps_per_epoch: 2, scale_by: session}
predict: {importance: false, attention_windows: 0}
export: {audio: none}
evaluate: {bootstrap: 100, report: false}
"""


@pytest.mark.slow
@pytest.mark.parametrize("changes", ["", "causal: true\n"], ids=["windows", "one pass"])
def test_a_session_is_left_out_of_a_model_of_sessions(tmp_path: Path, changes: str) -> None:
    (tmp_path / "config.yaml").write_text(HELD_OUT + changes)
    done = snakemake(tmp_path, "results/eval.json")
    assert done.returncode == 0, done.stdout[-3000:]
    index = read_windows(tmp_path / "results/windows/sim01.h5")
    assert {index.sessions[block.recording] for block in index.blocks_of(1, "test")} == {"sim01_run02"}
    told = read_sidecar(tmp_path / "results/train/sim01/fold1/model.json")
    assert told["groups"] == [["sim01", f"sim01_run0{n}"] for n in (1, 2, 3)] + [["sim01", ""]]
    document = json.loads((tmp_path / "results/eval.json").read_text())
    assert document["audit"]["passed"]
    assert np.isfinite(document["summary"]["model"]["pearson_r"])
