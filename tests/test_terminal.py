"""What a person sees of a run: lines and bars on a terminal, plain lines without it."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT
from pipeline.run.layout import VERSION as LAYOUT
from snakemake_logger_plugin_stages import line_of

SCRIPT = """\
from pipeline.config.runtime import RuntimeConfig
from pipeline.stage import run_stage
import pipeline.stage
pipeline.stage.LINE_EVERY_S = 0.0

def main(stage):
    for item in stage.progress(["a", "b", "c"], "blocks"):
        stage.log.info("demo: at %s", item)
    return "three → out.txt"

run_stage(main, RuntimeConfig, files=["output"])
"""


def command(folder: Path) -> list[str]:
    (folder / "demo.py").write_text(SCRIPT)
    outputs = ["--output", "out.txt", "b.txt", "c.txt"]
    return [sys.executable, str(folder / "demo.py"), "--config", "{}", "--log", str(folder / "demo.log"), *outputs]


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    result = subprocess.run(command(tmp_path), cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
    lines = result.stderr.splitlines()
    assert lines[0] == "demo: start, for out.txt and 2 more"
    assert "demo: 1 of 3 blocks" in lines
    assert lines[-1].startswith("demo: done in ")
    assert lines[-1].endswith(" s: three → out.txt")
    assert "\r" not in result.stderr
    assert "\033" not in result.stderr


def test_on_a_terminal_there_is_a_bar_and_lines_take_its_place(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 80))
    subprocess.run(command(tmp_path), cwd=ROOT, env=environment(), stderr=child, check=True)
    os.close(child)
    shown = os.read(parent, 100_000).decode()
    os.close(parent)
    assert "demo: blocks:   0%" in shown
    assert "\r\033[Kdemo: at b" in shown
    assert "1 of 3 blocks" not in shown
    assert "\033" not in (tmp_path / "demo.log").read_text()


COUNTING = """\
from pipeline.config.runtime import RuntimeConfig
from pipeline.stage import run_stage

def main(stage):
    with stage.counter("steps") as count:
        for done, total in [(1, 2), (2, 2), (4, 6), (5, 6), (6, 6)]:
            if count:
                count(done, total)
    return "watched" if count else "alone"

run_stage(main, RuntimeConfig, files=["output"])
"""


def test_work_that_counts_itself_has_a_bar_on_a_terminal_alone(tmp_path: Path) -> None:
    """Two networks: the second one resumes after step 3."""
    counting = command(tmp_path)
    (tmp_path / "demo.py").write_text(COUNTING)
    result = subprocess.run(counting, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
    assert "alone" in result.stderr
    assert "\r" not in result.stderr
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 80))
    subprocess.run(
        counting,
        cwd=ROOT,
        env=environment() | {"TQDM_MININTERVAL": "0", "TQDM_MINITERS": "1"},
        stderr=child,
        check=True,
    )
    os.close(child)
    shown = os.read(parent, 100_000).decode()
    os.close(parent)
    counts = re.findall(r"demo: steps: .*?(\d+/\d+) \[", shown)
    assert list(dict.fromkeys(counts)) == ["0/2", "1/2", "2/2", "0/6", "3/6", "4/6", "5/6", "6/6"]
    assert "watched" in shown, shown


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def record(message: str | None, level: int = logging.INFO, **attributes: object) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, message, (), None)
    made.__dict__.update(attributes)
    return made


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (record(None, event="run_info", stats={"align": 2, "mel": 1, "all": 1, "total": 4}), "3 job(s): align ×2, mel"),
        (record(None, event="run_info", stats={"all": 1, "total": 1}), ""),
        (record(None, event="job_info", rule_name="mel"), ""),
        (record(None, event="progress", done=12, total=29), "12 of 29 jobs done"),
        (
            record(None, logging.ERROR, event="job_error", rule_name="mel", log=["logs/mel/a.log"]),
            "failed: mel; its log: logs/mel/a.log",
        ),
        (record("Nothing to be done (all requested files are present and up to date)."), "Nothing to be done"),
        (record("Select jobs to execute..."), ""),
        (record("WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR), ""),
        (record("CalledProcessError in file x: Command '…' returned", logging.ERROR, event="error"), ""),
        (
            record("MissingInputException in rule mel", logging.ERROR, event="error"),
            "MissingInputException in rule mel",
        ),
        (record("a warning", logging.WARNING), "a warning"),
    ],
)
def test_only_the_lines_of_snakemake_that_matter_are_printed(printed: logging.LogRecord, shown: str) -> None:
    assert line_of(printed).startswith(shown)
    assert bool(line_of(printed)) == bool(shown)


def test_progress_counts_the_jobs_that_were_announced() -> None:
    """The rule ``all`` is a job of Snakemake's alone."""
    lines = [line_of(record(None, event="progress", done=done, total=4), targets=1) for done in (2, 3, 4)]
    assert lines == ["2 of 3 jobs done", "3 of 3 jobs done", ""]


def test_failures_of_main_are_short(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("simulate: {minutes: 0.6, channels: 6}\n")
    (tmp_path / "results/recordings/sim01_run01.h5").mkdir(parents=True)
    (tmp_path / "results/recordings/sim01_run01.h5/x").touch()
    (tmp_path / "results/.layout").write_text(f"{LAYOUT}\n")
    target = "results/recordings/sim01_run01.h5"
    run = [sys.executable, str(ROOT / "main.py"), "--config", "c.yaml", "--cores", "1", target]
    result = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "--config" not in result.stderr, "no wall of arguments"
    assert "logs/ingest/sim01_run01.log" in result.stderr or "sim01_run01.h5" in result.stderr
    assert len(result.stderr.splitlines()) < 30


@pytest.mark.parametrize("arguments", [["--until", "mel"], ["--until=mel"], ["-U", "mel"], ["--omit-from", "window"]])
def test_a_run_that_stops_early_promises_no_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    start_of(monkeypatch, "--config", "my.yaml", *arguments)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("before", [["--config", "my.yaml"], ["--config", "my.yaml", "--set", "fold=0"]])
def test_no_option_of_many_values_takes_a_target_that_stood_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = start_of(monkeypatch, *before, "results/mel/a.h5", "--forcerun", "mel")
    assert command[-3:] == ["results/mel/a.h5", "--forcerun", "mel"]


def test_configs_of_several_options_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``seeg-to-audio run my.yaml --config other.yaml`` gives them; later ones win."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.yaml").write_text("fold: 1\n")
    start_of(monkeypatch, "--config", "my.yaml", "--config", "other.yaml", "--until", "mel")
    config = json.loads((tmp_path / "results/config.json").read_text())
    assert (config["fold"], config["simulate"]["minutes"]) == (1, 2.0)


def test_a_profile_of_ones_own_may_be_named_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    module = main_module()
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    assert module._slurm_problem(["--profile", "slurm"]) is None
    assert module._slurm_problem(["--profile", "/checkout/profiles/slurm"]) is not None


def main_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("main", ROOT / "main.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """The command of Snakemake that ``main.py`` starts in the working directory."""
    module, commands = main_module(), []
    monkeypatch.setattr(module, "_snakemake", lambda command: commands.append(command) or 0)
    Path("my.yaml").write_text("{fold: 0, simulate: {minutes: 2}}\n")
    monkeypatch.setattr(sys, "argv", ["main.py", *arguments])
    assert module.main() == 0
    return commands[0]
