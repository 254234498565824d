"""``fold: final``: the folds, then a model of everything with their settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import fmean, median_high
from types import SimpleNamespace

import h5py
import pytest
import yaml

from conftest import ROOT, jobs_run, snakemake
from pipeline.artifacts.ridge_skip import read_penalties
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.artifacts.windows import BadRow, Windows, read_windows
from pipeline.config.variants import FINAL
from pipeline.data.loading import everything
from pipeline.run.plan import load_plan
from pipeline.run.resources import resources

CONFIG = {
    "fold": "final",
    "simulate": {"minutes": 1.2, "channels": 8, "dead_channels": 1, "noisy_channels": 1},
    "split": {"folds": 2, "validation_fraction": 0.2},
    "model": {"preset": "tiny", "networks": 2},
    "train": {"max_steps": 6, "steps_per_epoch": 2, "lr": 0.002},
    "predict": {"importance": False, "attention_windows": 1},
    "export": {"audio": "none"},
    "evaluate": {"bootstrap": 100, "report": False},
}
ALL = "ridge*3 train*6 ensemble*3 predict*2 evaluate"


def written(place: Path, **changes: object) -> Path:
    """A config file with sections replaced key by key."""
    values: dict = json.loads(json.dumps(CONFIG))
    for section, value in changes.items():
        values[section] = values.get(section, {}) | value if isinstance(value, dict) else value
    place.write_text(yaml.safe_dump(values))
    return place


def main(work: Path, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "main.py"), "--config", str(config), "--cores", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)


def pipeline(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)


def times(text: str) -> Counter[str]:
    names = [part.partition("*") for part in text.split()]
    return Counter({name: int(count or 1) for name, _, count in names})


def would_run(work: Path, config: Path, target: str = "all") -> Counter[str]:
    """The jobs of a dry run, without the collecting rule."""
    result = snakemake(work, "--dry-run", target, config=config)
    assert result.returncode == 0, result.stdout[-3000:]
    return Counter(rule for rule in jobs_run(result.stdout) if rule != "all")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of main.py with ``fold: final`` and what it printed."""
    work = tmp_path_factory.mktemp("final") / "work"
    work.mkdir()
    result = main(work, written(work / "config.yaml"))
    assert result.returncode == 0, result.stderr[-3000:]
    return SimpleNamespace(work=work, results=work / "results", printed=result.stdout)


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
    penalties = [read_penalties(results / f"baselines/sim01/{name}.h5") for name in ("fold0", "fold1", "final")]
    assert penalties[2] == tuple(map(median_high, zip(*penalties[:2], strict=True)))


def test_the_final_model_carries_the_scores_of_the_folds_and_has_none(finished: SimpleNamespace) -> None:
    scores = json.loads((finished.results / "eval.json").read_text())
    own = read_sidecar(finished.results / "train/sim01/final/model.json")
    assert not {"val_r", "best_val_loss"} & set(own)
    assert own["folds"]["scores"]["sim01"]["model"] == scores["subjects"]["sim01"]["mean"]["model"]
    assert own["folds"]["scores"]["sim01"]["ridge"]["pearson_r"] is not None
    assert own["folds"]["models"] == [fold["content_digest"] for fold in folds_of(finished.results, "model.json")]
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
def test_a_pooled_final_model_carries_the_scores_of_each_subject(tmp_path: Path) -> None:
    config = written(tmp_path / "config.yaml", simulate={"subjects": 2}, train={"pool": "subjects"})
    assert times("ridge*6 train*6 ensemble*3 predict*4 evaluate") <= would_run(tmp_path, config)
    result = main(tmp_path, config)
    assert result.returncode == 0, result.stderr[-3000:]
    own = read_sidecar(tmp_path / "results/train/pooled/final/model.json")
    assert set(own["folds"]["scores"]) == set(own["subjects"]) == {"sim01", "sim02"}


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
