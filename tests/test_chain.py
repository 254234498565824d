"""The whole chain on a small simulated subject: what it leaves, and that it then has nothing to do."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROOT, jobs_run, snakemake
from pipeline.artifacts.core import header, opened_any, recomputed_digest
from pipeline.artifacts.predictions import PREDICTIONS, read_predicted
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.artifacts.windows import read_windows
from pipeline.model.model_file import load_model, model_digest


def pipeline(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)


def test_eval_json_has_what_is_promised(chain: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in strict JSON")

    scores = json.loads((chain / "results/eval.json").read_text(), parse_constant=refuse)
    assert scores["schema_version"]
    for name in ("model", "ridge", "mean_template", "mean_spectrum"):
        assert set(scores["summary"][name]) >= {"pearson_r", "pearson_r_speech", "mse", "mae", "mcd_db"}
    low, high = scores["summary"]["model"]["pearson_r_ci95"]
    assert low < scores["summary"]["model"]["pearson_r"] < high
    assert set(scores["summary"]["chance"]) >= {"pearson_r_p95", "p_value"}
    assert scores["audit"]["shared_samples"] == 0
    assert scores["claims"]["simulated"] is True
    assert {"causal", "split_by", "normalisation"} <= set(scores["claims"])
    folds = scores["subjects"]["sim01"]["folds"]
    assert [f["fold"] for f in folds] == [0]


def test_the_decoder_reads_the_brain(chain: Path) -> None:
    summary = json.loads((chain / "results/eval.json").read_text())["summary"]
    assert summary["model"]["pearson_r"] > summary["chance"]["pearson_r_p95"]
    assert summary["chance"]["p_value"] < 0.01


def test_every_artifact_is_whole_and_says_what_it_was_made_from(chain: Path) -> None:
    files = sorted((chain / "results").rglob("*.h5"))
    assert {f.relative_to(chain / "results").parts[0] for f in files} == {
        "recordings",
        "aligned",
        "mel",
        "windows",
        "contamination",
        "repeats",
        "baselines",
        "predictions",
    }
    digests = {f.relative_to(chain).as_posix(): header(f)["content_digest"] for f in files}
    for file in files:
        with opened_any(file) as artifact:
            assert recomputed_digest(artifact) == artifact.content_digest
            assert artifact.attribute("simulated") is True or "contamination" in file.parts
        about = header(file)
        assert about["code_fingerprint"]
        assert json.loads(about["config_json"]) or "repeats" in file.parts, "repeats has no keys"
        for path, sha256 in about["inputs"]:
            assert not Path(path).is_absolute()
            assert len(sha256) == 64
            assert digests.get(path, sha256) == sha256


def test_a_second_run_has_nothing_to_do_and_nothing_lies_outside(chain: Path) -> None:
    result = snakemake(chain, "results/eval.json")
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout
    assert jobs_run(result.stdout) == []
    assert {p.name for p in chain.iterdir()} == {"config.yaml", "results", "logs", ".snakemake"}


def test_main_with_the_same_config_has_nothing_to_do(chain: Path) -> None:
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml", "--cores", "2"]
    result = subprocess.run(command, cwd=chain, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "Nothing to be done" in result.stderr
    assert "results/report.html" in result.stdout
    assert "SIMULATED" in result.stdout


def test_a_dry_run_leaves_no_trace_in_what_verify_goes_by(chain: Path) -> None:
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml", "--set", "train.seed=1", "--dry-run"]
    before = {p: p.read_bytes() for p in chain.glob("results/[!.]*.json")}
    result = subprocess.run(command, cwd=chain, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert re.search(r"^train +\d$", result.stderr, re.MULTILINE)
    assert {p: p.read_bytes() for p in chain.glob("results/[!.]*.json")} == before


def test_main_refuses_a_bad_config_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[train]\nlearning_rates = 1\n")
    command = [sys.executable, str(ROOT / "main.py"), "--config", "c.toml"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: c.toml[train.learning_rates]")
    assert "Traceback" not in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["c.toml"]


def test_snakemake_refuses_a_bad_config_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("train: {lr: no}\n")
    result = snakemake(tmp_path, "results/eval.json")
    assert result.returncode == 1
    assert "config.yaml[train.lr]" in result.stdout
    assert "Traceback" not in result.stdout


def test_predictions_hold_target_beside_prediction_on_the_time_line(chain: Path) -> None:
    fold = read_predicted(chain / "results/predictions/sim01/fold0.h5", PREDICTIONS)
    windows = read_windows(chain / "results/windows/sim01.h5")
    assert [(b.start, b.start + len(b.time_s)) for b in fold.blocks] == [
        (b.start, b.stop) for b in windows.blocks_of(0, "test")
    ]
    for block in fold.blocks:
        assert block.series["target"].shape == block.series["model"].shape == (len(block.time_s), 80)
        assert np.isfinite(block.series["model"]).all()
        np.testing.assert_allclose(np.diff(block.time_s), 256 / 22050)
    weights, dims = fold.extras["attention/weights"]
    assert dims == ("window", "head", "output", "encoder")
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-4)


def test_mel_exports_are_what_vocoders_take(chain: Path) -> None:
    folder = chain / "results/predictions/sim01/fold0"
    names = ("*_model.npy", "for_vocoders/*_model_T.npy")
    plain, turned = (np.load(next(folder.glob(name)), allow_pickle=False) for name in names)
    assert plain.dtype == turned.dtype == np.float32
    assert plain.shape[1] == turned.shape[0] == 80
    np.testing.assert_array_equal(plain.T, turned)
    assert math.log(1e-5) - 3 < plain.min() < plain.max() < 5
    tensor = torch.load(next(folder.glob("for_vocoders/*_model.pt")), weights_only=True)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), turned)


def test_the_model_loads_without_running_code(chain: Path) -> None:
    path = chain / "results/train/sim01/fold0/model.ckpt"
    content = torch.load(path, weights_only=True, map_location="cpu")
    assert str(chain) not in str(content)


def test_inspect_and_predict_from_the_command_line(chain: Path, tmp_path: Path) -> None:
    result = pipeline(chain, "inspect", "results/aligned/sim01_run01.h5", "--plot", str(tmp_path / "a.png"), "--verify")
    assert result.returncode == 0, result.stderr
    assert "neural_audio_lag_s" in result.stdout
    assert "verified" in result.stdout
    assert (tmp_path / "a.png").stat().st_size > 10_000
    run = next((chain / "results/train/sim01/fold0/runs").iterdir()).name
    result = pipeline(chain, "predict", "--run", run[:6], "--recording", "sim01_run01", "--out", str(tmp_path), "--npy")
    assert result.returncode == 0, result.stderr
    name = read_sidecar(chain / "results/train/sim01/fold0/model.json")["content_digest"]
    fold = read_predicted(tmp_path / f"sim01_run01_{name[:16]}.h5", PREDICTIONS)
    block = fold.blocks[0]
    correlation = np.corrcoef(block.series["model"].mean(1), block.series["target"].mean(1))[0, 1]
    assert correlation > 0.3


@pytest.mark.parametrize("name", ["eval.json", "scores.tsv", "report.html"])
def test_no_absolute_path_leaks_into_what_is_shared(chain: Path, name: str) -> None:
    text = (chain / "results" / name).read_text()
    assert str(chain) not in text
    assert str(ROOT) not in text


@pytest.mark.slow
def test_networks_and_devices_side_by_side_through_the_workflow(chain: Path, tmp_path: Path) -> None:
    """Networks side by side on two cores equal one after the other on one; two devices share a network's batches."""
    target, digests = "results/train/sim01/fold0/model.ckpt", []
    small = (chain / "config.yaml").read_text()
    side_by_side = small.replace("{preset: tiny}", "{preset: tiny, networks: 2}")
    trials = {
        "two cores": (side_by_side, "2"),
        "one core": (side_by_side, "1"),
        "two devices": (small.replace("max_steps: 30", "devices: 2, max_steps: 30"), "2"),
        "one device": (small, "1"),
    }
    for name, (config, cores) in trials.items():
        work = tmp_path / name
        work.mkdir()
        (work / "config.yaml").write_text(config)
        result = snakemake(work, "--cores", cores, target)
        assert result.returncode == 0, result.stdout[-3000:]
        assert jobs_run(result.stdout).count("train") == (2 if config is side_by_side else 1)
        digests.append(model_digest(load_model(work / target)[0]))
    assert digests[0] == digests[1]
    assert digests[2] != digests[3], "the second device draws noise of its own"
