"""What a person reads who made a slip: it names what is wrong, what to do, and never a file of theirs to delete."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from conftest import ROOT
from pipeline.artifacts.core import Provenance, opened_any
from pipeline.artifacts.mel import TrialMel, read_mels, write_mel
from pipeline.cli import main
from pipeline.config.loader import load_config
from pipeline.errors import InputError
from pipeline.raw.sheet import rows_of
from pipeline.run.new_recordings import _session_with
from pipeline.stage import _OfJob, job_of


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "config.yaml").write_text("simulate: {minutes: 1.0}\n")
    command = [sys.executable, str(ROOT / "main.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("cores", ["0", "-1", "some", "1.5"])
def test_a_number_of_cores_that_starts_nothing_is_refused_at_once(tmp_path: Path, cores: str) -> None:
    result = started(tmp_path, "--config", "config.yaml", f"--cores={cores}")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: --cores: got {cores}, expected 1 or more, or all. Fix: ")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.skipif(bool(find_spec("snakemake_executor_plugin_slurm")), reason="the plugin is installed")
@pytest.mark.parametrize(
    "arguments", [["--profile", "some/profiles/slurm"], ["--profile=profiles/slurm/"], ["-e", "slurm"]]
)
def test_slurm_without_its_plugin_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    result = started(tmp_path, "--config", "config.yaml", *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert (
        "got slurm without its plugin, expected the package snakemake-executor-plugin-slurm. Fix: Install it: " in line
    )


def test_targets_may_follow_the_config_and_a_dry_run_is_a_table(tmp_path: Path) -> None:
    result = started(tmp_path, "--config", "config.yaml", "results/mel/sim01_run01.h5", "--dry-run")
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    table = lines[lines.index(next(line for line in lines if line.split() == ["stage", "jobs"])) :]
    assert [line.split() for line in table[1:5]] == [[s, "1"] for s in ("simulate", "ingest", "align", "mel")]
    assert table[5] == "4 job(s) would run; with --verbose: each of them, and why"
    assert "rule align:" not in result.stdout + result.stderr
    assert len([line for line in lines if line.split() == ["stage", "jobs"]]) == 1, "once"


def test_set_takes_several_values_and_targets_may_follow_them(tmp_path: Path) -> None:
    settings = ["--set", "causal=true", "simulate.minutes=2", "results/mel/sim01_run01.h5", "--dry-run"]
    result = started(tmp_path, "--config", "config.yaml", *settings)
    assert result.returncode == 0, result.stderr
    assert "4 job(s) would run" in result.stderr
    resolved = json.loads((tmp_path / "results/.dry_run.json").read_text())
    assert (resolved["causal"], resolved["simulate"]["minutes"]) == (True, 2.0)


def test_nothing_but_a_config_is_enough(tmp_path: Path) -> None:
    """The config is refused for what it holds, not for what the command line lacks."""
    (tmp_path / "my.yaml").write_text("simulate: {minutes: -1}\n")
    result = started(tmp_path, "--config", "my.yaml")
    assert result.returncode == 2
    assert "simulate.minutes" in result.stderr


def test_a_word_that_is_neither_option_nor_target_is_refused_without_a_wall_of_options(tmp_path: Path) -> None:
    result = started(tmp_path, "--config", "config.yaml", "--cores", "1", "resluts/eval.json")
    assert result.returncode == 2
    expected = "got resluts/eval.json, expected an option, or a file under results/. Fix: "
    assert result.stderr.startswith(f"error: command line: {expected}")
    assert len(result.stderr.splitlines()) == 1


def test_the_console_command_runs_the_workflow_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("simulate: {minutes: 1.0}\n")
    command = [sys.executable, "-P", "-m", "pipeline", "run", "my.yaml", "--dry-run", "results/mel/sim01_run01.h5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "4 job(s) would run" in result.stderr


def test_without_the_checkout_run_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.cli._home", lambda: tmp_path)
    assert main(["run", "my.yaml"]) == 2
    assert "expected the checkout with its workflow. Fix: Clone the repository" in capsys.readouterr().err


def test_an_unknown_option_shows_the_usage_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "my.yaml", "--sett", "fold=0"])
    printed = capsys.readouterr().err
    assert "doctor [-h]" in printed
    assert "unrecognized arguments: --sett fold=0" in printed


def test_a_setting_of_simulate_may_carry_its_section(tmp_path: Path) -> None:
    options = ["--minutes", "0.2", "--channels", "4", "--set", "simulate.eeg_rate_hz=512"]
    assert main(["simulate", "--out", str(tmp_path / "raw"), *options]) == 0
    assert "\t512\t" in (tmp_path / "raw/recordings.tsv").read_text()


def test_simulate_has_the_defaults_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    monkeypatch.setattr("pipeline.simulation.subject.write_subjects", lambda config, out: written.append(config))
    assert main(["simulate", "--out", str(tmp_path / "raw")]) == 0
    assert main(["simulate", "--out", str(tmp_path / "raw"), "--minutes", "1"]) == 0
    plain = load_config([]).simulate
    assert written == [plain, plain.model_copy(update={"minutes": 1.0})]


def test_several_settings_may_follow_one_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("fold: all\n")
    assert main(["config", "--set", "fold=2", "train.lr=1e-3", str(config), "--set", "train.seed=4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["fold"], found["train"]["lr"], found["train"]["seed"]) == (2, 1e-3, 4)


def test_usage_names_the_command_that_was_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for called, name in [("/usr/bin/seeg-to-audio", "seeg-to-audio"), ("pipeline/__main__.py", "python -m pipeline")]:
        monkeypatch.setattr(sys, "argv", [called])
        with pytest.raises(SystemExit):
            main(["--help"])
        assert capsys.readouterr().out.startswith(f"usage: {name} ")


FILES = {
    "scores.tsv": lambda path: path.write_text("subject\tfold\n"),
    "notes.txt": lambda path: path.write_text("mine"),
    "array.npy": lambda path: np.save(path, np.zeros(3)),
    "theirs.h5": lambda path: h5py.File(path, "w").close(),
    "theirs.mat": lambda path: h5py.File(path, "w").close(),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", ["plot", "inspect"])
def test_a_file_of_the_users_is_never_to_be_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    FILES[name](tmp_path / name)
    assert main([command, str(tmp_path / name)]) == 2
    printed = capsys.readouterr().err
    assert "Delete" not in printed
    assert "Name " in printed.split("Fix: ")[1]
    assert (tmp_path / name).exists()


def test_a_damaged_result_is_to_be_made_again(tmp_path: Path) -> None:
    file = tmp_path / "results/mel/a.h5"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half a file")
    with pytest.raises(InputError, match="Fix: Delete the file and rerun the stage"), opened_any(file):
        pass


def test_what_is_not_there_is_not_to_be_deleted(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        next(iter(read_mels(tmp_path / "results/mel/a.h5", ["a"])))
    assert str(refused.value).endswith("expected an artifact. Fix: Name a file that is there, or rerun the stage mel")


def test_a_recording_that_the_run_does_not_know_is_one_for_a_sheet(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"got new, which this run has not aligned.*--sheet new\.tsv --out DIR"):
        _session_with("new")


@pytest.mark.parametrize("value", ["x", 1.5])
def test_a_key_of_several_types_is_refused_once_and_by_its_name(value: object) -> None:
    with pytest.raises(InputError) as refused:
        load_config([], [{"fold": value}])
    (problem,) = refused.value.problems
    assert problem.field == "fold"
    assert problem.expected == "'all' or 'final' or a valid integer"
    assert "literal" not in str(problem)


def test_refusals_inside_lists_keep_their_place() -> None:
    with pytest.raises(InputError) as refused:
        load_config([], [{"align": {"features": [{"kind": "band_envelope", "bands": [[70, "x"]]}]}}])
    assert refused.value.problems[0].field.startswith("align.features.0")


@pytest.mark.parametrize("cell", ["True", "TRUE", "true"])
def test_true_as_pandas_writes_it_is_true(cell: str) -> None:
    record = {"subject": "s", "recording": "r", "eeg": "a.npy", "eeg_rate_hz": "1000", "simulated": cell}
    assert rows_of([record], Path("sheet.tsv"))[0].simulated


@pytest.mark.parametrize(
    ("output", "job"),
    [
        ("results/train/sub01/fold2/0-corrector/network.ckpt", "sub01 fold2 0-corrector"),
        ("results/variants/null0/train/sub01/fold2/1-free/network.ckpt", "null0 sub01 fold2 1-free"),
        ("results/train/pooled/final/model.ckpt", "pooled final"),
        ("results/aligned/sub01_day2.h5", "sub01_day2"),
        ("results/baselines/sub01/fold0.h5", "sub01 fold0"),
        ("results/sound/sub01/fold0", "sub01 fold0"),
        ("results/eval.json", ""),
        ("out.h5", ""),
    ],
)
def test_lines_of_jobs_side_by_side_say_whose_they_are(output: str, job: str) -> None:
    assert job_of(Path(output)) == job
    formatter = _OfJob("%(message)s", "train", job)

    def shown(message: str) -> str:
        return formatter.format(logging.LogRecord("train", logging.INFO, "", 0, message, (), None))

    assert shown("train: epoch 3") == (f"train {job}: epoch 3" if job else "train: epoch 3")
    assert shown("error: a.npy: got 1") == "error: a.npy: got 1"


def test_a_mel_that_was_written_is_read(tmp_path: Path) -> None:
    """The messages above are of files that cannot be read, not of all."""
    attributes = {"session": "a", "simulated": True, "frame_rate_hz": 86.0, "flavor": "tacotron2", "log_floor": 1e-5}
    trial = TrialMel("a", [np.zeros((4, 2), np.float32)], np.arange(4.0))
    write_mel(tmp_path / "a.h5", [trial], np.array([100.0, 200.0]), attributes, Provenance(json.dumps({})))
    assert next(iter(read_mels(tmp_path / "a.h5", ["a"])))[0].shape == (4, 2)
