"""Sweeps: which combinations, in which order; refused with a fix; run once, kept, and resumed."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, SMALL
from pipeline.config.combinations import combinations
from pipeline.config.loader import load_config
from pipeline.errors import InputError
from pipeline.run.sweep import run_sweep, table_text


def swept(text: str, folder: Path, name: str = "c.yaml") -> list[dict[str, object]]:
    (folder / name).write_text(text)
    return [dict(c.values) for c in combinations(load_config([folder / name]))]


def test_a_config_without_sweep_has_no_combinations(tmp_path: Path) -> None:
    assert swept("train: {seed: 1}", tmp_path) == []


def test_a_grid_is_crossed_and_a_list_runs_as_it_stands(tmp_path: Path) -> None:
    assert swept("sweep: {grid: {train.seed: [3, 1], chance.retrain: [0, 2]}}", tmp_path) == [
        {"train.seed": seed, "chance.retrain": retrain} for seed in (3, 1) for retrain in (0, 2)
    ]
    sets = [{"train.lr": 0.001, "train.batch_size": 8}, {}]
    assert swept(f"sweep: {{list: {json.dumps(sets)}}}", tmp_path) == sets
    both = swept(f"sweep: {{list: {json.dumps(sets)}, grid: {{train.seed: [0, 1]}}}}", tmp_path)
    assert both == [{**listed, "train.seed": seed} for listed in sets for seed in (0, 1)]


def test_toml_may_write_dotted_keys_without_quotes(tmp_path: Path) -> None:
    text = "[sweep.grid]\ntrain.seed = [0, 1]\n[[sweep.list]]\nmodel.preset = 'tiny'\n"
    assert swept(text, tmp_path, "c.toml") == [{"model.preset": "tiny", "train.seed": seed} for seed in (0, 1)]


def test_combinations_that_share_early_stages_follow_one_another(tmp_path: Path) -> None:
    text = "sweep: {grid: {train.seed: [0, 1], align.margin_s: [0.1, 0.2]}}"
    assert [(v["align.margin_s"], v["train.seed"]) for v in swept(text, tmp_path)] == [
        (0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ("{grid: {train.sed: [1]}}", ["grid.train.sed", "an unknown key", "Did you mean train.seed?"]),
        ("{grid: {retrain: [1]}}", ["Did you mean chance.retrain?"]),
        ("{list: [{train.sed: 1}]}", ["list.train.sed", "Did you mean train.seed?"]),
        ("{grid: {train: [1]}}", ["grid.train", "an unknown key"]),
        ("{grid: {runtime.log_level: [info, debug]}}", ["runtime.log_level", "a key that a result depends on"]),
        ("{grid: {sweep.grid: [1]}}", ["an unknown key"]),
        ("{grid: {train.seed: []}}", ["grid.train.seed", "no values"]),
        ("{grid: {train.seed: 1}}", ["sweep.grid.train.seed", "valid tuple"]),
        ("{grid: {train.seed: [0]}, list: [{train.seed: 1}]}", ["in grid and in list"]),
        ("{grid: {train.seed: [0, 0]}}", ["the same config as train.seed=0"]),
        ("{grid: {train.seed: [0, -1]}}", ["train.seed=-1", "greater than or equal to 0"]),
        ("{grid: {fold: [0, 7]}}", ["fold=7", "split.folds is 5"]),
        ("{gird: {train.seed: [0]}}", ["sweep.gird", "Did you mean grid?"]),
    ],
)
def test_bad_sweeps_are_refused_with_a_fix(tmp_path: Path, sweep: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        swept(f"sweep: {sweep}", tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_values_of_any_kind_make_a_folder_name(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("sweep: {grid: {align.channels.include: [[a/b], ['a b', ..]]}}")
    names = [c.name for c in combinations(load_config([tmp_path / "c.yaml"]))]
    assert len(set(names)) == 2
    assert all("/" not in name and " " not in name for name in names)


def test_a_table_leaves_undefined_values_empty() -> None:
    assert (
        table_text([{"combination": "a", "r": 0.5}, {"combination": "b", "r": ""}]) == "combination\tr\na\t0.5\nb\t\n"
    )


class Runs:
    """Stands for the workflow: leaves scores as the config's seed says, and counts."""

    def __init__(self, scores: Path) -> None:
        self.summary = json.loads(scores.read_text())["summary"]
        self.seeds: list[int] = []
        self.failing: set[int] = set()

    def __call__(self) -> int:
        seed = json.loads(Path("results/config.json").read_text())["train"]["seed"]
        self.seeds.append(seed)
        self.summary["model"]["pearson_r"] = seed / 10
        for name in ("scores.tsv", "report.html"):
            Path("results", name).write_text(str(seed))
        Path("results/eval.json").write_text(json.dumps({"summary": self.summary}))
        return int(seed in self.failing)


@pytest.fixture
def runs(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.chdir(tmp_path)
    return Runs(chain / "results/eval.json")


def sweep(runs: Runs, seeds: list[int], extra: str = "") -> int:
    Path("c.yaml").write_text(f"{extra}\nsweep: {{grid: {{train.seed: {seeds}}}}}")
    return run_sweep(ROOT, combinations(load_config([Path("c.yaml")])), runs)


def table() -> dict[str, tuple[str, str]]:
    with Path("results/sweep.tsv").open(newline="") as file:
        return {r["train.seed"]: (r["state"], r["pearson_r"]) for r in csv.DictReader(file, delimiter="\t")}


def test_a_sweep_is_scored_once_and_goes_on_where_it_was(runs: Runs) -> None:
    assert sweep(runs, [1, 2]) == 0
    assert table() == {"1": ("done", "0.1"), "2": ("done", "0.2")}
    assert Path("results/sweep.png").stat().st_size > 5000
    assert Path("results/sweep/train.seed=2/report.html").read_text() == "2"
    assert sweep(runs, [1, 2, 3]) == 0
    assert runs.seeds == [1, 2, 3], "what was scored is not run again"
    assert sweep(runs, [3, 1], "runtime: {log_level: debug}") == 0
    assert runs.seeds == [1, 2, 3]
    sweep(runs, [1, 3], "train: {lr: 0.01}")
    assert runs.seeds == [1, 2, 3, 1, 3], "another config is another sweep"


def test_a_combination_that_fails_keeps_no_other_from_running(runs: Runs) -> None:
    runs.failing = {1}
    assert sweep(runs, [1, 2]) == 1
    assert table() == {"1": ("failed", ""), "2": ("done", "0.2")}
    runs.failing = set()
    assert sweep(runs, [1, 2]) == 0
    assert runs.seeds == [1, 2, 1]
    assert table()["1"] == ("done", "0.1")


def test_a_damaged_score_is_made_again(runs: Runs) -> None:
    sweep(runs, [1, 2])
    Path("results/sweep/train.seed=1/eval.json").write_text("{}")
    sweep(runs, [1, 2])
    assert runs.seeds == [1, 2, 1]
    assert table()["1"] == ("done", "0.1")


def test_an_interrupted_sweep_has_a_table_of_what_there_is(runs: Runs) -> None:
    def interrupted() -> int:
        if runs.seeds:
            raise KeyboardInterrupt
        return runs()

    Path("c.yaml").write_text("sweep: {grid: {train.seed: [1, 2]}}")
    with pytest.raises(KeyboardInterrupt):
        run_sweep(ROOT, combinations(load_config([Path("c.yaml")])), interrupted)
    assert table() == {"1": ("done", "0.1"), "2": ("waiting", "")}


@pytest.mark.slow
def test_main_sweeps_over_seeds_and_trains_only_what_is_new(chain: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(chain, work)
    values = {**yaml.safe_load(SMALL), "sweep": {"grid": {"train.seed": [0, 1]}}}
    (work / "config.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml", "--cores", "2"]
    result = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "train.seed=1" in result.stdout
    scores = (work / "results/sweep/train.seed=0/eval.json").read_bytes()
    assert scores == (chain / "results/eval.json").read_bytes()
    assert not re.findall(r"^align .*: start", result.stderr, re.MULTILINE)
    assert len(re.findall(r"^train .*: done", result.stderr, re.MULTILINE)) == 1
    again = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert again.stderr.count("scored already") == 2
