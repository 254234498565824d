"""A lab's own folder: two subjects, odd but valid files, one recording without sound, run from a sample sheet."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import ROOT, jobs_run, snakemake
from entry import plan_options
from pipeline.artifacts.core import header
from pipeline.artifacts.predictions import PREDICTIONS, read_predicted
from pipeline.config.root import Config
from pipeline.config.stages import stage_json
from pipeline.raw.sessions import Session, SessionPlan
from pipeline.raw.sheet import RecordingRow

CONFIG = """\
data: {sheet: "the raw data/recordings.tsv"}
fold: 1
causal: true
mel: {flavor: hifigan}
align: {features: [{kind: band_envelope, bands: [[15, 30], [70, 170]], log: true}], reference: shaft}
split: {folds: 3, validation_fraction: 0.2}
model: {preset: tiny}
train: {max_steps: 20, steps_per_epoch: 10, normalisation: causal_running}
evaluate: {bootstrap: 100}
"""


def pipeline(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def as_a_lab_would_leave_it(folder: Path) -> None:
    """Big-endian Fortran arrays, a stereo WAV, a missing clock, a recording without sound."""
    with (folder / "recordings.tsv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    for i, row in enumerate(rows):
        eeg = folder / row["eeg"]
        values = np.load(eeg).astype(">i2")
        np.save(eeg, np.asfortranarray(values) if i == 0 else values)
        sound = np.load(folder / row["audio"])
        if i == 0:
            soundfile.write(folder / "ton spur.wav", np.stack([sound * 0, sound], 1), 48000, subtype="PCM_16")
            row |= {"audio": "ton spur.wav", "audio_channel": "right"}
        row["simulated"] = "true"
    rows.append({**rows[1], "recording": "silent", "audio": "n/a", "audio_rate_hz": "n/a", "events": "n/a"})
    (folder / "silent_eeg.npy").write_bytes((folder / rows[1]["eeg"]).read_bytes())
    values = np.load(folder / "silent_eeg.npy")
    np.save(folder / "silent_eeg.npy", values[: len(values) // 2])
    rows[-1]["eeg"] = "silent_eeg.npy"
    with (folder / "recordings.tsv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, sorted({k for r in rows for k in r}), delimiter="\t", restval="n/a")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("lab")
    settings = ["--minutes", "1.3", "--channels", "8", "--subjects", "2"]
    pipeline("simulate", "--out", "the raw data", *settings, cwd=work)
    as_a_lab_would_leave_it(work / "the raw data")
    (work / "config.yaml").write_text(CONFIG)
    result = snakemake(work, "all")
    assert result.returncode == 0, result.stdout[-4000:]
    return work


def test_every_subject_is_scored_and_the_claims_are_named(lab: Path) -> None:
    scores = json.loads((lab / "results/eval.json").read_text())
    assert set(scores["subjects"]) == {"sim01", "sim02"}
    claims = scores["claims"]
    assert (claims["causal"], claims["normalisation"]) == (True, "causal_running")
    assert scores["audit"]["shared_samples"] == 0


def test_no_real_voice_is_written_by_default(lab: Path) -> None:
    assert not (lab / "results/sound").exists()


def test_raw_files_are_recorded_by_their_bytes(lab: Path) -> None:
    inputs = dict(header(lab / "results/recordings/sim01_run01.h5")["inputs"])
    for path, sha256 in inputs.items():
        assert hashlib.sha256((lab / path).read_bytes()).hexdigest() == sha256
    assert "the raw data/ton spur.wav" in inputs


def test_a_recording_without_sound_is_aligned_and_predicted(lab: Path, tmp_path: Path) -> None:
    run = next((lab / "results/train/sim02/fold1/runs").iterdir()).name
    pipeline("predict", "--run", run, "--recording", "silent", "--out", str(tmp_path), cwd=lab)
    (file,) = tmp_path.glob("silent_*.h5")
    (block,) = read_predicted(file, PREDICTIONS).blocks
    assert set(block.series) == {"model"}
    assert block.series["model"].shape[0] > 2500
    assert np.isfinite(block.series["model"]).all()


def test_a_touch_reruns_nothing(lab: Path) -> None:
    for file in (lab / "the raw data").iterdir():
        file.touch()
    assert jobs_run(snakemake(lab, "all").stdout) == []


def test_bad_raw_data_ends_its_stage_with_the_reason_and_writes_nothing(lab: Path, tmp_path: Path) -> None:
    row = RecordingRow("s", "r", "x.npy", 1000.0)
    (tmp_path / "x.npy").write_bytes(b"no array")
    command = [sys.executable, str(ROOT / "workflow/scripts/ingest.py"), "--log", "x.log"]
    command += ["--config", stage_json("ingest", Config())]
    command += [*plan_options("plan.json", SessionPlan.of(Session("r", (row,)), {})), "--output", "out.h5"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 2, result.stderr
    assert "error: x.npy" in result.stderr
    assert "Fix: " in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.log", "x.npy"]
