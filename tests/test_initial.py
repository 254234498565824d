"""``train.init_from``: weights of a finished model, what may not be started from, and the address of a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from conftest import ROOT
from final_run import pipeline
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.artifacts.windows import BlockRow, EventRow, Windows
from pipeline.data.subject import SubjectArrays
from pipeline.errors import InputError
from pipeline.model.ensemble import Ensemble
from pipeline.model.model_file import load_model, model_digest, save_model
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture, NetworkRole
from pipeline.training.initial import (
    FITTED,
    OF_CHANNELS,
    Initial,
    refuse_other_mel,
    refuse_seen,
    seen_in_training,
    start_from,
    trial_digest,
)
from test_model import SMALL, network, window

FREE, CORRECTOR = NetworkRole(1, False), NetworkRole(0, True)
ALONE = replace(SMALL, ridge_skip=False)
NAMES = [f"ch{i}" for i in range(SMALL.n_channels)]
GAP = 10


def initial(a: Architecture, names: dict[str, list[str]], **meta: object) -> Initial:
    """A finished model of one network with random weights."""
    model = Ensemble.of([network(a)])
    known = {"subjects": list(names), "feature_names": names, "seen": {}, "mel": {"fmin_hz": 0.0}, "preset": "tiny"}
    return Initial(Path("init/model.ckpt"), model, known | meta)


def started(a: Architecture, begin: Initial, names: dict[str, list[str]], role: NetworkRole = FREE) -> Seq2Seq:
    torch.manual_seed(7)
    fresh = Seq2Seq(a).eval()
    start_from(fresh, begin, role, [((subject, ""), own) for subject, own in names.items()])
    return fresh


def same_normalisation(of: Seq2Seq, subject: int, into: Seq2Seq) -> Seq2Seq:
    for name in ("feature_mean", "feature_scale"):
        getattr(into, name)[0] = getattr(of, name)[subject]
    into.mel_mean.copy_(of.mel_mean[subject])
    into.mel_scale.copy_(of.mel_scale[subject])
    return into


# --- weights


@pytest.mark.parametrize("a", [SMALL, ALONE, replace(SMALL, rows_per_frame=4)], ids=["corrector", "free", "raw"])
def test_the_same_channels_keep_all_weights_and_no_normalisation(a: Architecture) -> None:
    begin = initial(a, {"s1": NAMES})
    fresh = started(a, begin, {"s2": NAMES}, CORRECTOR if a.ridge_skip else FREE)
    before, anew = begin.model.networks[0].state_dict(), Seq2Seq(a).state_dict()
    for name, values in fresh.state_dict().items():
        assert torch.equal(values, (anew if name.startswith(FITTED) else before)[name]), name


@pytest.mark.parametrize("m", [1, 4])
def test_a_channel_takes_the_weights_of_its_name_and_others_are_new(m: int) -> None:
    a = replace(SMALL, rows_per_frame=m)
    begin = initial(a, {"s1": NAMES})
    names = [NAMES[2], "new", NAMES[0]]
    fresh = started(replace(a, n_channels=3), begin, {"s1": names}, CORRECTOR)
    per_channel = a.band_filters if m > 1 else 1
    old, new = begin.model.networks[0].encoder.first.weight, fresh.encoder.first.weight
    columns = [old[:, i * per_channel : (i + 1) * per_channel] for i in range(a.n_channels)]
    assert torch.equal(new[:, :per_channel], columns[2])
    assert torch.equal(new[:, 2 * per_channel : 3 * per_channel], columns[0])
    assert not any(torch.equal(new[:, per_channel : 2 * per_channel], column) for column in columns)
    assert torch.equal(new[:, 3 * per_channel :], old[:, a.n_channels * per_channel :]), "the ridge's mel"


def test_a_pooled_model_goes_on_as_its_subjects_own() -> None:
    begin = initial(replace(ALONE, n_subjects=2), {"s1": NAMES, "s2": NAMES})
    pooled = begin.model.networks[0]
    alone = same_normalisation(pooled, 1, started(ALONE, begin, {"s2": NAMES}))
    features, subject = window(ALONE)
    own, other = (torch.full_like(subject, s) for s in (0, 1))
    with torch.no_grad():
        expected = pooled.generate(features, other).mel
        assert_allclose(alone.generate(features, own).mel, expected, atol=1e-5)
        assert not np.allclose(pooled.generate(features, own).mel, expected, atol=1e-3)


def test_subjects_that_train_together_start_each_from_its_own_input_layer() -> None:
    a = replace(ALONE, n_subjects=2)
    begin = initial(a, {"s1": NAMES, "s2": NAMES})
    fresh = started(a, begin, {"s2": NAMES, "s3": NAMES[1:]})
    layers, pooled = fresh.input_layer, begin.model.networks[0].input_layer
    assert layers is not None
    assert pooled is not None
    assert torch.equal(layers[0], pooled[1])
    assert torch.equal(layers[1, :-1], pooled[0, 1:]), "of the first with the same names, channel by channel"
    assert torch.equal(fresh.encoder.first.weight, begin.model.networks[0].encoder.first.weight)


def test_a_session_starts_from_its_own_input_layer_and_a_new_one_from_its_subjects() -> None:
    groups = [["s1", "s1_a"], ["s1", "s1_b"], ["s1", ""], ["s2", ""]]
    begin = initial(replace(ALONE, n_subjects=4), {"s1": NAMES, "s2": NAMES}, groups=groups)
    layers = begin.model.networks[0].input_layer
    assert layers is not None
    fresh = Seq2Seq(replace(ALONE, n_subjects=3)).eval()
    start_from(fresh, begin, FREE, [(("s1", "s1_b"), NAMES), (("s1", "s1_new"), NAMES), (("s2", "s2_x"), NAMES)])
    assert fresh.input_layer is not None
    assert [torch.equal(fresh.input_layer[i], layers[k]) for i, k in enumerate((1, 2, 3))] == [True] * 3


def test_the_table_of_fitted_values_and_channels_names_what_a_network_has() -> None:
    names = {n for a in (SMALL, replace(SMALL, rows_per_frame=4, n_subjects=2)) for n in Seq2Seq(a).state_dict()}
    assert all(any(name.startswith(prefix) for name in names) for prefix in FITTED)
    assert set(OF_CHANNELS) <= names


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"encoder_width": 20}, "model.encoder_width"),
        ({"decoder_hidden": 12}, "model.decoder_hidden"),
        ({"n_bands": 5}, "mel.n_mels"),
        ({"causal": True}, "causal"),
        ({"rows_per_frame": 4}, "align.feature_rate_hz"),
        ({"feedback": False}, "model.feedback"),
    ],
)
def test_other_sizes_are_refused_by_the_key_that_sets_them(change: dict, field: str) -> None:
    begin = initial(ALONE, {"s1": NAMES})
    with pytest.raises(InputError) as refused:
        started(replace(ALONE, **change), begin, {"s1": NAMES})
    assert [problem.field for problem in refused.value.problems] == [field]
    assert refused.value.problems[0].file == "init/model.ckpt"


def test_a_pooled_model_of_raw_features_is_none_of_one_subject() -> None:
    a = replace(ALONE, rows_per_frame=4)
    with pytest.raises(InputError, match=r"\[train.pool\]"):
        started(a, initial(replace(a, n_subjects=2), {"s1": NAMES, "s2": NAMES}), {"s1": NAMES})


def test_a_role_starts_from_a_network_of_its_kind() -> None:
    free, corrector = network(ALONE, 1), network(SMALL, 2)
    pair = Initial(Path("m"), Ensemble.of([corrector, free, network(SMALL, 3)]), {})
    found = [pair.network_for(NetworkRole(k, k % 2 == 0)) for k in range(5)]
    assert [pair.model.networks.index(one) for one in found] == [0, 1, 2, 1, 0]
    with pytest.raises(InputError, match="a network that corrects the ridge"):
        Initial(Path("m"), Ensemble.of([free]), {}).network_for(CORRECTOR)


def test_another_mel_is_refused_key_by_key() -> None:
    begin = initial(ALONE, {"s1": NAMES})
    refuse_other_mel(begin, {"fmin_hz": 0.0})
    with pytest.raises(InputError, match=r"model.ckpt\[mel.fmin_hz\]: got 0.0, expected 50.0"):
        refuse_other_mel(begin, {"fmin_hz": 50.0})


def test_a_model_that_does_not_tell_what_it_saw_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "m.ckpt", Ensemble.of([network(ALONE)]), {"subjects": ["s1"]})
    with pytest.raises(InputError, match="no list of the trials of its training"):
        Initial.read(tmp_path / "m.ckpt")


# --- what training has seen


def subject(name: str, seed: int, blocks: list[tuple[str, int, int, int]]) -> tuple[Windows, SubjectArrays]:
    """Three trials of 100 frames, one fold with (role, trial, start, stop)."""
    mel = [np.random.default_rng([seed, i]).normal(size=(100, 4)).astype(np.float32) for i in range(3)]
    index = Windows(
        subject=name, recordings=("a", "b", "c"), sessions=("a", "b", "c"), usable=np.array([(0, 100)] * 3),
        texts=("good morning all", "one", ""), speakers=("", "", ""), folds=(0,), starts=np.zeros((0, 2), np.int64),
        roles=np.zeros((0, 1), np.uint8), blocks=tuple(BlockRow(0, *block) for block in blocks), spans=(),
        events=(EventRow(0.5, 0.2, "night", 2), EventRow(0.1, 0.2, "good", 2)), bad=(),
        attributes={"purge_gap_frames": GAP, "length_frames": 20, "hop_frames": 10, "context_frames": 5},
    )  # fmt: skip
    return index, SubjectArrays(("a", "b", "c"), 1, [], mel, (), 100.0)


def test_what_training_saw_is_named_by_content_and_passed_on() -> None:
    one = subject("s1", 0, [("train", 0, 0, 40), ("validation", 0, 40, 60), ("test", 0, 80, 100), ("train", 2, 0, 100)])
    first = seen_in_training([one], 0, None)
    spans = {trial_digest(one[1].mel[0]): [[0, 60]], trial_digest(one[1].mel[2]): [[0, 100]]}
    assert first["trials"] == spans
    assert len(first["stimuli"]) == 2, "a text of three words, and two words of events"
    other = subject("s2", 1, [("train", 1, 0, 100)])
    then = seen_in_training([other], 0, initial(ALONE, {"s1": NAMES}, seen=first))
    assert then["trials"] == spans | {trial_digest(other[1].mel[1]): [[0, 100]]}
    assert then["stimuli"] == first["stimuli"]
    assert len(seen_in_training([one], "final", None)["trials"]) == 3


@pytest.mark.parametrize(("start", "is_refused"), [(60, True), (60 + GAP - 1, True), (60 + GAP, False)])
def test_a_test_block_within_the_purge_gap_of_what_was_seen_is_refused(start: int, is_refused: bool) -> None:
    before = subject("s1", 0, [("train", 0, 0, 60)])
    begin = initial(ALONE, {"s1": NAMES}, seen=seen_in_training([before], 0, None))
    now = subject("renamed", 0, [("test", 0, start, 100), ("train", 1, 0, 100)])
    refuse_seen(begin, [now], "final")
    if not is_refused:
        refuse_seen(begin, [now], 0)
        return
    with pytest.raises(InputError, match=r"\[seen\]: got 1 trial\(s\) that fold 0 of renamed tests, a first"):
        refuse_seen(begin, [now], 0)


def test_sentences_of_the_test_that_were_known_are_counted() -> None:
    before = subject("s1", 0, [("train", 0, 0, 100), ("train", 1, 0, 100)])
    begin = initial(ALONE, {"s1": NAMES}, seen=seen_in_training([before], 0, None))
    told = begin.summary([subject("s2", 1, [("test", 0, 0, 100), ("test", 1, 0, 100), ("test", 2, 0, 100)])], 0)
    assert told == {"model": model_digest(begin.model), "subjects": ["s1"], "repeated_stimuli": {"s2": 1}}


# --- the workflow

CONFIG = {
    "fold": 0,
    "simulate": {"minutes": 1.0, "trials": 12, "trial_s": 5.0, "channels": 4, "noisy_channels": 0},
    "split": {"by": "recording", "folds": 3},
    "model": {"preset": "tiny", "networks": 2, "encoder_width": 12, "encoder_hidden": 8, "decoder_hidden": 12},
    "train": {"max_steps": 4, "steps_per_epoch": 2},
    "predict": {"importance": False, "attention_windows": 0},
    "export": {"audio": "none"},
    "evaluate": {"bootstrap": 100, "report": False},
    "runtime": {"accelerator": "cpu"},
}


def main(work: Path, *changes: str) -> subprocess.CompletedProcess[str]:
    (work / "config.json").write_text(json.dumps(CONFIG))
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.json", "--cores", "2"]
    command += [word for change in changes for word in ("--set", change)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run, and one that started from its model; ``first`` is that model."""
    work = tmp_path_factory.mktemp("initial")
    assert main(work).returncode == 0
    (work / "init").mkdir()
    first = work / "init/fold0.ckpt"
    shutil.copyfile(work / "results/train/sim01/fold0/model.ckpt", first)
    done = main(work, "train.init_from=init/{fold}.ckpt")
    assert done.returncode == 0, done.stderr[-3000:]
    return SimpleNamespace(work=work, first=first)


@pytest.mark.slow
def test_the_initial_model_is_in_the_address_and_in_what_the_model_tells(fine_tuned: SimpleNamespace) -> None:
    digest = model_digest(load_model(fine_tuned.first)[0])
    folder = fine_tuned.work / "results/train/sim01/fold0"
    for place in ("0-corrector/network.json", "1-free/network.json", "model.json"):
        told = read_sidecar(folder / place)
        assert told["init_from"]["model"] == digest, place
        assert set(told["init_from"]["repeated_stimuli"]) == {"sim01"}
    assert any(name.startswith("initial model ") for name, _ in read_sidecar(folder / "1-free/network.json")["inputs"])
    assert len(list((folder / "1-free/runs").iterdir())) == 2
    document = json.loads((fine_tuned.work / "results/eval.json").read_text())
    assert f"from the weights of 1 earlier model ({digest[:16]})" in document["methods"]


@pytest.mark.slow
def test_only_the_content_of_the_initial_model_counts(fine_tuned: SimpleNamespace) -> None:
    moved = fine_tuned.work / "moved.ckpt"
    shutil.copyfile(fine_tuned.first, moved)
    model = fine_tuned.work / "results/train/sim01/fold0/model.ckpt"
    before = model.read_bytes()
    assert main(fine_tuned.work, f"train.init_from=./{moved.name}").returncode == 0
    logs = [(fine_tuned.work / f"logs/train/sim01/fold0/{n}.log").read_text() for n in ("0-corrector", "1-free")]
    assert model.read_bytes() == before
    assert not any("epoch" in log for log in logs)
    digest = model_digest(load_model(moved)[0])
    assert main(fine_tuned.work, f"train.init_from={digest[:12]}").returncode == 0
    assert pipeline(fine_tuned.work, "runs", "--prune", "--yes").returncode == 0
    assert main(fine_tuned.work, f"train.init_from={digest[:12]}").returncode == 0, (
        "what training starts from is in use"
    )
    assert model.read_bytes() == before
    named = main(fine_tuned.work, f"train.init_from={digest[:12]}0")
    assert "with which the names of 0 models begin" in named.stderr


@pytest.mark.slow
def test_what_may_not_be_started_from_ends_the_run_with_its_reason(fine_tuned: SimpleNamespace) -> None:
    work = fine_tuned.work
    own = main(work, "train.init_from=results/train/{id}/{fold}/model.ckpt")
    assert own.returncode == 2
    assert "config[train.init_from]: got results/train/sim01/fold0/model.ckpt, expected a model that this" in own.stderr
    missing = main(work, "train.init_from=init/fold7.ckpt")
    assert missing.returncode == 2
    assert "fold7.ckpt, which is missing" in missing.stderr
    seen = main(work, "train.init_from=init/fold0.ckpt", "fold=1")
    assert seen.returncode == 2
    assert "init/fold0.ckpt[seen]: got 4 trial(s) that fold 1 of sim01 tests" in seen.stderr
