"""The project's commands as a user meets them, in this process where a process per case would take too long."""

from __future__ import annotations

import importlib.util
import logging
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from pipeline import cli, stage
from pipeline.config.loader import load_config, parse_yaml
from pipeline.config.stages import stage_json
from pipeline.raw.sessions import Session, SessionPlan
from pipeline.raw.sheet import read_sheet

RATE_HZ, AUDIO_RATE_HZ, SECONDS = 1000, 16000, 8
#: Whoever hangs is ended; no test depends on how long anything takes below that.
PATIENCE_S = 300


@dataclass(frozen=True)
class Outcome:
    """Exit code and what came on the terminal's error stream."""

    code: int
    errors: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.errors.splitlines() if line.startswith("error: ")]


def brain(seed: int = 0) -> np.ndarray:
    """A neural recording (time, channel) in µV."""
    noise = np.random.default_rng(seed).standard_normal((RATE_HZ * SECONDS, 4))
    return (noise * 50).astype(np.float32)


def voice(seed: int = 0) -> np.ndarray:
    """Sound, int16 (time,)."""
    return (np.random.default_rng(seed + 100).standard_normal(AUDIO_RATE_HZ * SECONDS) * 3000).astype(np.int16)


@dataclass
class Lab:
    """A folder as a lab would leave it: two recordings of a subject, their sheet and a config."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __post_init__(self) -> None:
        for i in (1, 2):
            np.save(self.folder / f"eeg{i}.npy", brain(i))
            np.save(self.folder / f"voice{i}.npy", voice(i))
        self.rows = [self._row(1), self._row(2)]
        self.write_sheet()
        self.config("data: {sheet: recordings.tsv}")

    def _row(self, i: int) -> dict[str, str]:
        given = {"subject": "s1", "recording": f"run{i}", "eeg": f"eeg{i}.npy", "eeg_rate_hz": str(RATE_HZ)}
        return given | {"eeg_units": "uV", "audio": f"voice{i}.npy", "audio_rate_hz": str(AUDIO_RATE_HZ)}

    def write_sheet(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        table = [columns, *([row.get(name, "n/a") for name in columns] for row in self.rows)]
        (self.folder / "recordings.tsv").write_text("".join("\t".join(line) + "\n" for line in table))

    def cell(self, row: int = 0, **cells: str) -> None:
        """Change cells of the sheet."""
        self.rows[row] |= cells
        self.write_sheet()

    def config(self, text: str | bytes) -> None:
        (self.folder / "my.yaml").write_bytes(text.encode() if isinstance(text, str) else text)

    def settings(self, text: str) -> None:
        """A config of this folder's data and some more keys."""
        self.config(f"data: {{sheet: recordings.tsv}}\n{text}\n")

    def tree(self) -> Mapping[str, object]:
        """Everything that lies in the folder, and when it was written last."""
        return {
            str(path.relative_to(self.folder)): (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in self.folder.rglob("*")
        }

    # --- ways in -------------------------------------------------------------------------------------

    def main(self, *arguments: str) -> Outcome:
        """``python main.py ARGUMENTS``; refused input never gets as far as Snakemake."""
        spec = importlib.util.spec_from_file_location("main", ROOT / "main.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.monkeypatch.setattr(module, "_snakemake", lambda *_: pytest.fail("the input was not refused"))
        self.monkeypatch.setattr(sys, "argv", ["main.py", *(arguments or ("--config", "my.yaml"))])
        return self._outcome(module.main)

    def pipeline(self, *arguments: str) -> Outcome:
        """``python -m pipeline ARGUMENTS``."""
        return self._outcome(lambda: cli.main(arguments))

    def script(self, name: str, config: str, *arguments: str) -> Outcome:
        """A stage's script, its log outside of the folder."""
        log = self.folder.parent / "stage.log"
        command = ["--config", config, "--log", str(log), *arguments]
        self.monkeypatch.setattr(sys, "argv", [f"{name}.py", *command])
        self.monkeypatch.setattr(stage, "_exit", _leave)
        root = logging.getLogger()
        before = root.handlers[:], root.level
        try:
            return self._outcome(lambda: runpy.run_path(str(ROOT / f"workflow/scripts/{name}.py"), run_name="__main__"))
        finally:
            root.handlers[:], root.level = before

    def ingest(self, row: int = 0, output: str = "out.h5") -> Outcome:
        """The stage ingest of one row."""
        self.monkeypatch.chdir(self.folder)
        config = load_config([Path("my.yaml")])
        given = read_sheet(Path(str(config.data.sheet)))[row]
        options = [
            *plan_options("plan.json", SessionPlan.of(Session(given.session_name, (given,)), {})),
            "--output",
            output,
        ]
        return self.script("ingest", stage_json("ingest", config), *options)

    def process(self, *command: str) -> Outcome:
        """A real process of this interpreter in the folder."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        result = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Outcome(result.returncode, result.stderr)

    def _outcome(self, call: Callable[[], object]) -> Outcome:
        self.capsys.readouterr()
        self.monkeypatch.chdir(self.folder)
        try:
            code = call()
        except SystemExit as leaving:
            code = leaving.code
        return Outcome(int(str(code or 0)), self.capsys.readouterr().err)


def plan_options(file: str, plan: SessionPlan) -> list[str]:
    """The options by which the stage ingest gets of a session, through a file in a folder of its own."""
    path = Path(tempfile.mkdtemp()) / file
    path.write_text(plan.text(), encoding="utf-8")
    return ["--plan", str(path), "--digest", plan.digest]


def _leave(code: int) -> None:
    raise SystemExit(code)


def stage_config(name: str, text: str = "") -> str:
    """The config of a stage as the workflow passes it."""
    return stage_json(name, load_config([], [parse_yaml(text)]))


def copied(source: Path, target: Path) -> Path:
    """A copy that may be spoilt."""
    shutil.copyfile(source, target)
    return target
