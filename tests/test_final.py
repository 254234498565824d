"""``fold: final``: the folds, then a model of everything with their settings, and predictions of new recordings."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from statistics import fmean, median_high
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from conftest import ROOT, jobs_run, snakemake
from final_run import main, pipeline, written
from pipeline.artifacts import paths
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.predictions import PREDICTIONS, read_predicted
from pipeline.artifacts.ridge_skip import read_choice
from pipeline.artifacts.sidecar import read_sidecar, write_sidecar
from pipeline.artifacts.windows import BadRow, Windows, read_windows
from pipeline.config.ensemble import ModelSettings
from pipeline.config.variants import FINAL
from pipeline.data.loading import everything
from pipeline.data.subject import load_subject, normalised_features
from pipeline.errors import InputError
from pipeline.model.model_file import load_model, model_digest, save_model
from pipeline.provenance.runs import MODEL, SIDECAR
from pipeline.run import new_recordings
from pipeline.run.new_recordings import model_of, predict_recording
from pipeline.run.plan import load_plan
from pipeline.run.resources import resources
from pipeline.run.run_list import list_runs, named_model

ALL = "ridge*3 train*6 ensemble*3 predict*2 evaluate"


def times(text: str) -> Counter[str]:
    names = [part.partition("*") for part in text.split()]
    return Counter({name: int(count or 1) for name, _, count in names})


def would_run(work: Path, config: Path, target: str = "all") -> Counter[str]:
    """The jobs of a dry run, without the collecting rule."""
    result = snakemake(work, "--dry-run", target, config=config)
    assert result.returncode == 0, result.stdout[-3000:]
    return Counter(rule for rule in jobs_run(result.stdout) if rule != "all")


@pytest.fixture
def copy(finished: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of that run, which a test may spoil."""
    return Path(shutil.copytree(finished.work, tmp_path / "copy", symlinks=True))


def folds_of(results: Path, file: str) -> list[dict]:
    return [read_sidecar(results / f"train/sim01/fold{k}/{file}") for k in range(2)]


# --- what is made


def test_the_final_model_takes_its_settings_from_the_folds(finished: SimpleNamespace) -> None:
    results = finished.results
    for network in ("0-corrector", "1-free"):
        folds, own = (
            folds_of(results, f"{network}/network.json"),
            read_sidecar(results / f"train/sim01/final/{network}/network.json"),
        )
        assert own["fold"] == FINAL
        assert own["best_step"] == median_high(fold["best_step"] for fold in folds)
        assert own["preset"] == folds[0]["preset"]
        assert not {"val_r", "best_val_loss"} & set(own)
    ensemble, folds = read_sidecar(results / "train/sim01/final/model.json"), folds_of(results, "model.json")
    assert set(ensemble["ensemble_weights"]) == {"0-corrector", "1-free", "ridge"}
    for name, weight in ensemble["ensemble_weights"].items():
        assert weight == pytest.approx(fmean(fold["ensemble_weights"][name] for fold in folds), rel=1e-6)
    penalties = [read_choice(results / f"baselines/sim01/{name}.h5") for name in ("fold0", "fold1", "final")]
    assert penalties[2] == tuple(map(median_high, zip(*penalties[:2], strict=True)))


def test_the_final_model_carries_the_scores_of_the_folds_and_has_none(finished: SimpleNamespace) -> None:
    scores = json.loads((finished.results / "eval.json").read_text())
    own = read_sidecar(finished.results / "train/sim01/final/model.json")
    assert not {"val_r", "best_val_loss"} & set(own)
    assert own["folds"]["scores"]["sim01"]["model"] == scores["subjects"]["sim01"]["mean"]["model"]
    assert own["folds"]["scores"]["sim01"]["ridge"]["pearson_r"] is not None
    assert own["folds"]["models"] == scores["subjects"]["sim01"]["models"]
    assert own["folds"]["level"] == scores["claims"]["level"]


def test_the_final_model_is_never_scored(finished: SimpleNamespace) -> None:
    scores = json.loads((finished.results / "eval.json").read_text())
    assert [fold["fold"] for fold in scores["subjects"]["sim01"]["folds"]] == [0, 1]
    assert scores["audit"]["passed"]
    assert scores["audit"]["folds_audited"] == 2
    assert not [path for path in finished.results.rglob("*final*") if path.parts[-3] in ("predictions", "sound")]
    with h5py.File(finished.results / "baselines/sim01/final.h5") as file:
        assert "skip" in file
        assert "blocks" not in file
    evaluated = json.dumps(read_sidecar(finished.results / "eval.provenance.json")["inputs"])
    assert "fold1" in evaluated
    assert FINAL not in evaluated
    result = snakemake(finished.work, "--dry-run", "results/predictions/sim01/final.h5")
    assert result.returncode != 0
    assert "No rule to produce" in result.stdout


def test_a_name_is_the_content_of_the_ensemble(finished: SimpleNamespace) -> None:
    scores = json.loads((finished.results / "eval.json").read_text())
    names = [
        model_digest(load_model(finished.results / f"train/sim01/{f}/model.ckpt")[0]) for f in ("fold0", "fold1", FINAL)
    ]
    assert scores["subjects"]["sim01"]["models"] == names[:2]
    assert f"final model  sim01 {names[2][:16]}: seeg-to-audio predict --subject sim01 --sheet" in finished.printed
    listed = [line.split()[1:4] for line in pipeline(finished.work, "runs").stdout.splitlines()]
    assert [[name[:16], "sim01", fold] for name, fold in zip(names, ("fold0", "fold1", FINAL), strict=True)] == [
        row for row in listed if row[1] == "sim01"
    ]


def test_the_closing_lines_of_folds_name_their_models(copy: Path) -> None:
    shutil.rmtree(copy / "results/train/sim01/final")
    models = json.loads((copy / "results/eval.json").read_text())["subjects"]["sim01"]["models"]
    printed = pipeline(copy, "summary").stdout
    assert f"models       sim01: fold0 {models[0][:16]}, fold1 {models[1][:16]}" in printed


def test_everything_is_trained_on_but_what_is_bad(finished: SimpleNamespace) -> None:
    index = read_windows(finished.results / "windows/sim01.h5")
    ((start, stop),) = index.usable.tolist()
    whole = everything(index)
    assert [(b.start, b.stop) for b in whole.blocks_of(FINAL, "train")] == [(start, stop)]
    assert whole.of(FINAL, "validation").shape == whole.of(FINAL, "test").shape == (0, 2)
    context, length = index.attributes["context_frames"], index.attributes["length_frames"]
    middle = (start + stop) // 2
    spoilt = Windows(**{**vars(index), "bad": (BadRow(0, middle, middle + 10),)})
    kept = everything(spoilt).of(FINAL, "train")[:, 1]
    assert len(kept)
    assert not ((kept - context < middle + 10) & (kept + length + context > middle)).any()


# --- what reruns


def test_snakemake_has_nothing_to_do_and_finds_the_final_model_again(copy: Path) -> None:
    assert would_run(copy, copy / "config.yaml") == Counter()
    (copy / "results/train/sim01/final/model.ckpt").unlink()
    (copy / "results/train/sim01/final/0-corrector/network.ckpt").unlink()
    result = snakemake(copy, "all")
    assert result.returncode == 0, result.stdout[-3000:]
    assert set(jobs_run(result.stdout)) == {"train", "ensemble", "all"}
    logs = [
        (copy / f"logs/{name}.log").read_text() for name in ("train/sim01/final/0-corrector", "ensemble/sim01/final")
    ]
    assert all("finished already" in log for log in logs)
    assert pipeline(copy, "verify").returncode == 0
    shutil.rmtree(copy / ".snakemake")
    assert would_run(copy, copy / "config.yaml") == Counter()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"train": {"lr": 0.01}}, "train*6 ensemble*3 predict*2 evaluate"),
        ({"train": {"clip_input": 4.0}}, ALL),
        ({"split": {"validation_fraction": 0.25}}, f"window {ALL}"),
        ({"evaluate": {"bootstrap": 101}}, "evaluate ensemble"),
        ({"fold": "all"}, ""),
        ({"runtime": {"log_level": "debug"}}, ""),
        ({"model": {"networks": 3}}, "train*3 ensemble*3 predict*2 evaluate"),
    ],
    ids=str,
)
def test_what_reruns_with_a_final_model(finished: SimpleNamespace, tmp_path: Path, change: dict, expected: str) -> None:
    assert would_run(finished.work, written(tmp_path / "other.yaml", **change)) == times(expected)


def test_the_final_model_is_asked_for_by_the_config_alone(finished: SimpleNamespace, tmp_path: Path) -> None:
    folds = written(tmp_path / "all.yaml", fold="all", train={"lr": 0.01})
    assert would_run(finished.work, folds) == times("train*4 ensemble*2 predict*2 evaluate")
    result = snakemake(finished.work, "--dry-run", "results/train/sim01/final/model.ckpt", config=folds)
    assert result.returncode != 0


@pytest.mark.slow
def test_folds_that_changed_train_the_final_model_again(copy: Path) -> None:
    before = read_sidecar(copy / "results/train/sim01/final/model.json")
    result = main(copy, written(copy / "config.yaml", train={"max_steps": 2}))
    assert result.returncode == 0, result.stderr[-3000:]
    own = read_sidecar(copy / "results/train/sim01/final/model.json")
    assert own["content_digest"] != before["content_digest"]
    assert own["folds"]["models"] != before["folds"]["models"]
    assert read_sidecar(copy / "results/train/sim01/final/1-free/network.json")["best_step"] == 2
    assert pipeline(copy, "verify").returncode == 0


@pytest.mark.slow
def test_a_pooled_final_model_predicts_each_of_its_subjects(tmp_path: Path) -> None:
    config = written(tmp_path / "config.yaml", simulate={"subjects": 2}, train={"pool": "subjects"})
    assert times("ridge*6 train*6 ensemble*3 predict*4 evaluate") <= would_run(tmp_path, config)
    result = main(tmp_path, config)
    assert result.returncode == 0, result.stderr[-3000:]
    own = read_sidecar(tmp_path / "results/train/pooled/final/model.json")
    assert set(own["folds"]["scores"]) == set(own["subjects"]) == {"sim01", "sim02"}
    assert f"final model  pooled {own['content_digest'][:16]}" in result.stdout
    for subject in ("sim01", "sim02"):
        result = pipeline(tmp_path, "predict", "--subject", subject, "--recording", f"{subject}_run01")
        assert result.returncode == 0, result.stderr
    found = {file.name for file in (tmp_path / "new_predictions").glob("*.h5")}
    assert found == {f"{s}_run01_{own['content_digest'][:16]}.h5" for s in own["subjects"]}


def test_slurm_gives_the_final_model_what_the_folds_get(tmp_path: Path) -> None:
    config = written(tmp_path / "config.yaml", simulate={"subjects": 2}, train={"pool": "subjects"})
    plan = load_plan(ROOT, [config], [], is_job=False)
    asked = resources(plan, "train", lambda w: plan.sessions_of_model(w.model_id))
    expected = {name: of(SimpleNamespace(model_id="pooled"), attempt=1) for name, of in asked.items()}
    result = snakemake(tmp_path, "--dry-run", "all")
    jobs = [job for job in result.stdout.split("\nrule ") if job.startswith("train:") and "fold=final" in job]
    assert len(jobs) == 2
    for job in jobs:
        assert all(f"{name}={value}" in job for name, value in expected.items()), job


# --- predictions by name


def test_new_recordings_are_predicted_by_subject_fold_or_name(finished: SimpleNamespace, tmp_path: Path) -> None:
    names = {
        fold: read_sidecar(finished.results / f"train/sim01/{fold}/model.json")["content_digest"]
        for fold in ("fold1", FINAL)
    }
    recording = ("--recording", "sim01_run01", "--out", str(tmp_path))
    for arguments in (["--subject", "sim01"], ["--subject", "sim01", "--fold", "1"], ["--run", names[FINAL][:7]]):
        result = pipeline(finished.work, "predict", *arguments, *recording)
        assert result.returncode == 0, result.stderr
    found = {fold: tmp_path / f"sim01_run01_{name[:16]}.h5" for fold, name in names.items()}
    assert {file for file in tmp_path.glob("*.h5")} == set(found.values())
    fold = read_predicted(found[FINAL], PREDICTIONS)
    assert fold.attributes["model_digest"] == names[FINAL]
    assert np.isfinite(fold.blocks[0].series["model"]).all()
    result = pipeline(finished.work, "predict", "--run", names[FINAL], "--fold", "1", *recording)
    assert (result.returncode, "--fold with --run" in result.stderr) == (2, True)


def test_without_a_final_model_the_command_that_makes_one_is_named(copy: Path, monkeypatch) -> None:
    monkeypatch.chdir(copy)
    shutil.rmtree("results/train/sim01/final")
    before = sorted(Path("results").rglob("*"))
    result = pipeline(copy, "predict", "--subject", "sim01", "--recording", "sim01_run01")
    assert result.returncode == 2
    assert "sim01, which has no final model" in result.stderr
    assert (
        "Fix: Make it: seeg-to-audio run results/config.json --set fold=final, or take the model of a fold: --fold 0"
        in result.stderr
    )
    assert sorted(Path("results").rglob("*")) == before, "nothing is trained"
    with pytest.raises(InputError, match=r"no model of fold 7.*--set fold=7"):
        model_of("sim01", 7)
    with pytest.raises(InputError, match=r"Fix: Name one of the subjects with a model \(sim01\)"):
        model_of("Sim01", 0)
    with pytest.raises(InputError, match="--subject"):
        model_of("../sim01", FINAL)


def made_up_model(folder: Path, content: str, **more: object) -> None:
    folder.mkdir(parents=True)
    (folder / MODEL).write_text(content)
    write_sidecar(folder / SIDECAR, "ensemble", [folder / MODEL], Provenance(), content, **more)


def test_a_name_must_be_that_of_one_model(tmp_path: Path) -> None:
    train = tmp_path / "train"
    made_up_model(train / "a/fold0/runs/0001", "abc1" + 60 * "0")
    made_up_model(train / "a/final/runs/0002", "abd1" + 60 * "0")
    made_up_model(train / "b/final/runs/0003", "abd1" + 60 * "0")
    made_up_model(train / "b/fold1/runs/0004", "e" * 64)
    (train / "b/fold1/runs/0004" / MODEL).write_text("damaged")
    assert named_model("abc", train) == train / "a/fold0/runs/0001" / MODEL
    assert named_model("abd", train) == train / "a/final/runs/0002" / MODEL, "equal models are one"
    assert named_model("0001", train) == train / "a/fold0/runs/0001" / MODEL, "the name of its run will do"
    with pytest.raises(InputError) as refused:
        named_model("ab", train)
    assert "2 models begin, expected the beginning of one of abc1000000000000, abd1000000000000" in str(refused.value)
    for unknown in ("f", "e", "*", "../b", ""):
        with pytest.raises(InputError, match="--run"):
            named_model(unknown, train)
    with pytest.raises(InputError, match="there is none"):
        named_model("a", tmp_path / "nothing")


def test_a_model_that_was_moved_is_not_listed_as_that_of_another(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = paths.train("a", 0) / "runs/0001"
    made_up_model(run, "a" * 64, output=str(paths.model("a", 0)))
    for name in ("b/fold0", "a/fold1"):
        shutil.copytree(run, paths.RESULTS / f"train/{name}/runs/0001")
    assert [(r.subject, r.fold, r.state, r.model) for r in list_runs()] == [
        ("a", "fold0", "finished", "a" * 64), ("a", "fold1", "unusable", ""), ("b", "fold0", "unusable", ""),
    ]  # fmt: skip
    assert named_model("a", paths.RESULTS / "train") == run / MODEL


def test_a_subject_with_two_final_models_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made_up_model(paths.train("pooled", FINAL), "1" * 64, subjects=["a", "b"])
    assert model_of("a", FINAL) == paths.model("pooled", FINAL)
    made_up_model(paths.train("a", FINAL), "2" * 64, subjects=["a"])
    with pytest.raises(InputError, match=r"train/a/final/model\.ckpt and results/train/pooled/final/model\.ckpt"):
        model_of("a", FINAL)
    assert model_of("b", FINAL) == paths.model("pooled", FINAL)
    paths.model("pooled", FINAL).write_text("damaged")
    with pytest.raises(InputError, match="Rerun the stage ensemble"):
        model_of("b", FINAL)


def test_the_models_own_normalisation_is_used(finished: SimpleNamespace, tmp_path: Path, monkeypatch) -> None:
    """It is that of all usable frames; fitted on the recording, twice the signal would give the same prediction."""
    monkeypatch.chdir(finished.work)
    file = model_of("sim01", FINAL)
    whole, meta = load_model(file)
    index, sessions = read_windows(paths.windows("sim01")), ["sim01_run01"]
    settings = ModelSettings.model_validate(meta["config"])
    arrays = load_subject(index, [paths.aligned(s) for s in sessions], [paths.mel(s) for s in sessions], settings)
    ((start, stop),) = index.usable.tolist()
    for network in whole.networks:
        expected = arrays.features[0][start:stop].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(network.feature_mean[0].numpy(), expected, rtol=1e-5)

    def mel(folder: str) -> np.ndarray:
        fold = read_predicted(predict_recording(file, "sim01_run01", tmp_path / folder, False, "cpu"), PREDICTIONS)
        return fold.blocks[0].series["model"]

    before = mel("before")
    monkeypatch.setattr(
        new_recordings, "normalised_features", lambda *a: [2 * rows for rows in normalised_features(*a)]
    )
    assert np.abs(mel("doubled") - before).max() > 0.1


def test_other_channels_and_rates_are_refused_with_both_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    whole, meta = load_model(model_of("sim01", FINAL))
    names = meta["feature_names"]["sim01"]
    meta["feature_names"]["sim01"] = [*names, "RX9"]
    meta["feature_rate_hz"]["sim01"] = 50.0
    meta["config"]["causal"] = True
    other = copy / "other.ckpt"
    save_model(other, whole, meta)
    with pytest.raises(InputError) as refused:
        predict_recording(other, "sim01_run01", copy / "new", False, "cpu")
    channels, rate, causal = refused.value.problems
    assert channels.got.endswith("without RX9")
    assert channels.got.startswith(names[0])
    assert channels.expected.startswith(names[0])
    assert (rate.got, rate.expected) == ("features at 100 Hz", "50 Hz, as in training")
    assert (causal.got, causal.expected) == ("False", "True")
    assert not (copy / "new").exists()
