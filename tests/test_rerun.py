"""The core guarantee: a stage reruns exactly when something that its result depends on changed.

Each row of the tables changes one thing in a copy of a finished run, starts Snakemake,
and compares the jobs that ran with the ones that had to: rules, and how often each.
The copies keep all times; the code is a scratch copy of the source tree, so that rows
can edit it.  Expectations are written by hand, none is taken from the code under test.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp
import h5py
import numpy as np
import pytest
import yaml

from conftest import ROOT, jobs_run
from pipeline.artifacts import paths
from pipeline.config.base import subsection
from pipeline.config.loader import all_keys, load_config, parse_override
from pipeline.config.root import Config
from pipeline.config.stages import STAGES, stage_json
from pipeline.errors import InputError, Problem
from pipeline.provenance.fingerprint import code_fingerprints
from pipeline.provenance.freshness import INDEX, refuse_mixture
from pipeline.run.plan import load_plan
from snakemake_fork import forked_snakemake
from voices import write_checkpoint

SHEET = "raw/recordings.tsv"
CONFIG = {
    "data": {"sheet": SHEET},
    "fold": 0,
    "mel": {"flavor": "hifigan"},
    "split": {"folds": 2, "validation_fraction": 0.2},
    "model": {"preset": "tiny"},
    "train": {"max_steps": 2, "steps_per_epoch": 1, "lr": 0.002},
    "predict": {"importance": False, "attention_windows": 1},
    "export": {"audio": "predicted"},
    "vocode": {
        "iterations": 1,
        "inversion_steps": 1,
        "checkpoint": "voice/generator.pth",
        "checkpoint_config": "voice/config.json",
    },
    "evaluate": {"bootstrap": 100, "report": False, "stoi": False, "measures": False},
}
SIMULATED = {
    **{name: values for name, values in CONFIG.items() if name != "data"},
    "simulate": {"minutes": 0.6, "channels": 6, "noisy_channels": 0},
}
OLD = 1_500_000_000

# What reruns where a stage does, itself included.
REACHES = {
    "": "",
    "simulate": "simulate ingest align mel window contamination repeats ridge train ensemble predict vocode evaluate",
    "ingest": "ingest align mel window contamination repeats ridge train ensemble predict vocode evaluate",
    "align": "align mel window repeats ridge train ensemble predict vocode evaluate",
    "mel": "mel repeats ridge train ensemble predict vocode evaluate",
    "window": "window ridge train ensemble predict vocode evaluate",
    "contamination": "contamination evaluate",
    "repeats": "repeats ridge train ensemble predict vocode evaluate",
    "ridge": "ridge train ensemble predict vocode evaluate",
    "train": "train ensemble predict vocode evaluate",
    "ensemble": "ensemble predict vocode evaluate",
    "predict": "predict vocode evaluate",
    "vocode": "vocode evaluate",
    "evaluate": "evaluate",
}

# The stages that read a key, by key or section; the longest name that fits counts.
READERS = {
    "data.sheet": "",
    "causal": "align window ridge train ensemble predict evaluate",
    "simulate": "simulate",
    "ingest": "ingest",
    "align.features": "align contamination",
    "align.line_noise_hz": "align contamination",
    "align.channels.include": "align contamination",
    "align.channels.exclude": "align contamination",
    "align.channels.use_status": "align contamination",
    "align": "align",
    "mel.sample_rate_hz": "align mel window ridge train ensemble predict vocode",
    "mel.hop_length": "align mel window ridge train ensemble predict vocode",
    "mel.flavor": "align mel window ridge train ensemble predict vocode",
    "mel.n_fft": "mel window vocode",
    "mel": "mel vocode",
    "window.length_s": "window ridge train ensemble predict",
    "window.context_s": "window ridge train ensemble predict",
    "window": "window predict",
    "split": "window",
    "model": "train",
    "train": "train",
    "train.normalisation": "ridge train ensemble predict",
    "train.clip_input": "ridge train",
    "train.cpu_threads": "train ensemble",
    "ridge": "ridge",
    "predict": "predict",
    "export.npy": "predict",
    "export.pt": "predict",
    "export.audio": "vocode",
    "vocode": "vocode",
    "contamination": "contamination",
    "contamination.alpha": "evaluate",
    "evaluate": "evaluate",
    "chance": "evaluate",
    "runtime": "",
    "sweep": "",
}
# Keys that add jobs of their own, and the rules that then run.
ADDS_JOBS = {
    "fold": "ridge train ensemble predict vocode evaluate",  # tests/test_final.py has the rows of the final model
    "train.pool": "repeats train ensemble predict vocode evaluate",
    "context": "ridge train ensemble predict evaluate",
    "chance.retrain": "ridge train ensemble predict evaluate",
    "model.networks": "train ensemble predict vocode evaluate",
    "model.ridge_skip": "train ensemble predict vocode evaluate",
}
# Another value, where the next number or the other choice would not do.
VALUES = {
    "data.sheet": "raw/same.tsv",
    "fold": 1,
    "align.features": [{"kind": "given"}],
    "align.channels.include": ["ch001"],
    "align.channels.exclude": ["ch002"],
    "ridge.penalties": [10.0],
    "ridge.lags_before_s": 0.1,
    "ridge.lags_after_s": 0.1,
    "contamination.band_hz": [80.0, 150.0],
    "export.audio": "all",
    "mel.n_fft": 2048,
    "mel.win_length": 1000,
    "mel.flavor": "tacotron2",
    "mel.hop_length": 128,
    "model.preset": "strong",
    "simulate.speech": "speech",
    "split.folds": 3,
    "sweep.grid": {"train.seed": [0, 1]},
    "sweep.list": [{"train.seed": 1}],
    "train.init_from": "raw/same.tsv",  # what lies in it is for the job to judge
    "train.pool": "subjects",
    "vocode.checkpoint": "voice/other.pth",
    "vocode.checkpoint_config": "voice/other.json",
}


#: All but the one that names an installed plug-in: tests/test_plugins.py.
KEYS = [key for key in all_keys() if key != "model.network"]


@dataclass
class Work:
    """A finished run in ``folder``, and the source tree that it was made with."""

    folder: Path
    source: Path
    output: str = ""

    def run(self, *arguments: str, config: str = "config.yaml") -> Counter[str]:
        """The jobs that Snakemake ran, how often each; what it said is kept in ``self.output``."""
        assert self.start(*arguments, config=config) == 0, self.output[-3000:]
        return Counter(jobs_run(self.output))

    def start(self, *arguments: str, config: str = "config.yaml") -> int:
        """Run Snakemake; returns its exit code."""
        arguments = (*arguments, "--configfile", config, "--", "results/eval.json")
        result = forked_snakemake(self.source, self.folder, *arguments)
        self.output = result.stdout
        return result.returncode

    def pipeline(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """``python -m pipeline ARGUMENTS`` of this source tree."""
        environment = {**os.environ, "PYTHONPATH": str(self.source / "src")}
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, input=stdin, capture_output=True, text=True, check=False
        )

    def copy(self, place: Path, *, with_source: bool = False) -> Work:
        """The same with all times kept."""
        place.mkdir()
        shutil.copytree(self.folder, place / "work", symlinks=True)
        if with_source:
            shutil.copytree(self.source, place / "source")
        return Work(place / "work", place / "source" if with_source else self.source)

    def configure(self, key: str, value: object) -> None:
        """Give a key another value in the config."""
        (self.folder / "config.yaml").write_text(config_text(self.folder / "config.yaml", key, value))

    def edit(self, file: str, change: Callable[[str], str]) -> None:
        """Change a file of the source tree."""
        path = self.source / file
        text = path.read_text()
        assert change(text) != text, f"{file} did not change"
        path.write_text(change(text))

    def modules(self) -> Iterator[str]:
        """Every Python file of the source tree."""
        for folder in ("src", "workflow"):
            yield from (str(p.relative_to(self.source)) for p in (self.source / folder).rglob("*.py"))

    def sheet(self, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
        """Change the cells of the sample sheet."""
        path = self.folder / SHEET
        cells = [line.split("\t") for line in path.read_text().splitlines()]
        path.write_text("".join("\t".join(row) + "\n" for row in change(cells)))

    def touch(self, pattern: str) -> None:
        """Give every file that fits the present time."""
        found = [p for p in self.folder.glob(pattern) if p.is_file()]
        assert found
        for path in found:
            path.touch()

    def forget(self) -> None:
        """Delete all that Snakemake knows."""
        shutil.rmtree(self.folder / ".snakemake")


def config_text(config: Path, key: str, value: object) -> str:
    values = yaml.safe_load(config.read_text())
    section = values
    *sections, name = key.split(".")
    for part in sections:
        section = section.setdefault(part, {})
    section[name] = value
    return yaml.safe_dump(values)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch copy of the source tree."""
    place = tmp_path_factory.mktemp("source")
    for part in ("src", "workflow", "profiles", "config"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy2(ROOT / "Snakefile", place)
    return place


def finished(place: Path, source: Path, config: dict) -> Work:
    work = Work(place / "work", source)
    work.folder.mkdir(exist_ok=True)
    write_checkpoint(work.folder / "voice")
    (work.folder / "config.yaml").write_text(yaml.safe_dump(config))
    work.run()
    return work


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Work:
    """A finished run of a user's own recordings: two of one subject, one of another, and one not yet in the sheet."""
    place = tmp_path_factory.mktemp("base")
    raw = place / "work" / "raw"
    arguments = ["--minutes", "0.6", "--channels", "6", "--subjects", "2", "--recordings", "2"]
    command = [sys.executable, "-m", "pipeline", "simulate", "--out", str(raw), *arguments, "--set", "noisy_channels=0"]
    subprocess.run(command, check=True, capture_output=True)
    sheet = raw / "recordings.tsv"
    lines = sheet.read_text().splitlines()
    (raw / "more.txt").write_text(lines.pop() + "\n")
    sheet.write_text("\n".join(lines) + "\n")
    (raw / "same.tsv").write_text(sheet.read_text())
    return finished(place, source, CONFIG)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Work:
    """A finished run of the simulated subject."""
    return finished(tmp_path_factory.mktemp("simulated"), source, SIMULATED)


@pytest.fixture
def work(base: Work, tmp_path: Path) -> Work:
    """A copy for one row."""
    return base.copy(tmp_path / "copy")


@pytest.fixture
def own(base: Work, tmp_path: Path) -> Work:
    """A copy for a row that edits the source tree."""
    return base.copy(tmp_path / "copy", with_source=True)


# --- nothing reruns ----------------------------------------------------------------------------------


def nothing(work: Work) -> None:
    pass


def touch_source(work: Work) -> None:
    for path in work.source.rglob("*"):
        path.touch()


def touch_raw(work: Work) -> None:
    work.touch("raw/*")


def touch_intermediate(work: Work) -> None:
    """Every file between stages newer than all that is made from it."""
    made = ["predictions", "train", "baselines", "windows", "repeats", "mel", "contamination", "aligned", "recordings"]
    for rank, folder in enumerate(made):
        for path in (work.folder / "results" / folder).rglob("*"):
            os.utime(path, (time.time() + rank, time.time() + rank))


def touch_one_intermediate(work: Work) -> None:
    work.touch("results/recordings/sim01_run01.h5")


def rewrite_raw_with_the_same_bytes(work: Work) -> None:
    for path in (work.folder / "raw").iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def comments_everywhere(work: Work) -> None:
    for file in work.modules():
        work.edit(file, lambda text: text + "\n# Another comment.\n")


def docstrings_everywhere(work: Work) -> None:
    for file in work.modules():
        if '"""' in (work.source / file).read_text():
            work.edit(file, lambda text: text.replace('"""', '"""Said otherwise: ', 1))


def other_formatting_everywhere(work: Work) -> None:
    for file in work.modules():
        (work.source / file).write_text(ast.unparse(ast.parse((work.source / file).read_text())) + "\n")


def other_descriptions(work: Work) -> None:
    for file in (work.source / "src/pipeline/config").glob("*.py"):
        file.write_text(file.read_text().replace('description="', 'description="In other words: '))


def comment_in_the_rules(work: Work) -> None:
    for file in (work.source / "workflow/rules").glob("*.smk"):
        file.write_text("# Another comment.\n" + file.read_text())


def runtime_settings(work: Work) -> None:
    work.configure("runtime", {"log_level": "debug", "accelerator": "cpu"})


def a_default_written_out(work: Work) -> None:
    work.configure("align.features", [{"kind": "band_envelope", "bands": [[70, 170]]}])


def a_number_written_otherwise(work: Work) -> None:
    text = (work.folder / "config.yaml").read_text()
    assert "lr: 0.002" in text
    (work.folder / "config.yaml").write_text(text.replace("lr: 0.002", "lr: 2e-3"))


def columns_of_the_sheet_in_another_order(work: Work) -> None:
    work.sheet(lambda cells: [row[::-1] for row in cells])


def paths_written_otherwise(work: Work) -> None:
    """The sheet by its absolute path, the files in it with a step to where they are."""
    work.configure("data.sheet", str(work.folder / SHEET))
    work.sheet(lambda cells: [[f"./{cell}" if cell.endswith(".npy") else cell for cell in row] for row in cells])


def forget_everything(work: Work) -> None:
    work.forget()


def forget_the_records(work: Work) -> None:
    shutil.rmtree(work.folder / ".snakemake/metadata")


def forget_and_touch(work: Work) -> None:
    """Nothing but the artifacts themselves can tell that the newer files hold what they held."""
    work.forget()
    touch_intermediate(work)
    touch_raw(work)


def forget_and_look_at_another_config(work: Work) -> None:
    """A dry run marks what it would rerun; the marks must not outlive the config that asked for them."""
    work.forget()
    before = (work.folder / "config.yaml").read_text()
    work.configure("train.lr", 0.01)
    assert set(work.run("--dry-run")) == {"train", "ensemble", "predict", "vocode", "evaluate"}
    (work.folder / "config.yaml").write_text(before)


def delete_what_only_others_needed(work: Work) -> None:
    shutil.rmtree(work.folder / "results/recordings")
    (work.folder / "results/predictions/sim02/fold0.h5").unlink()


def delete_what_only_others_needed_and_forget(work: Work) -> None:
    delete_what_only_others_needed(work)
    work.forget()


NOTHING = [
    nothing,
    touch_raw,
    touch_intermediate,
    touch_one_intermediate,
    rewrite_raw_with_the_same_bytes,
    runtime_settings,
    a_default_written_out,
    a_number_written_otherwise,
    columns_of_the_sheet_in_another_order,
    paths_written_otherwise,
    forget_everything,
    forget_the_records,
    forget_and_touch,
    forget_and_look_at_another_config,
    delete_what_only_others_needed,
    delete_what_only_others_needed_and_forget,
]
NOTHING_SOURCE = [
    touch_source,
    comments_everywhere,
    docstrings_everywhere,
    other_formatting_everywhere,
    other_descriptions,
    comment_in_the_rules,
]


@pytest.mark.parametrize("change", NOTHING, ids=lambda change: change.__name__)
def test_nothing_reruns(work: Work, change: Callable[[Work], None]) -> None:
    change(work)
    assert work.run() == Counter(), work.output


@pytest.mark.parametrize("change", NOTHING_SOURCE, ids=lambda change: change.__name__)
def test_nothing_reruns_after_an_edit_without_effect(own: Work, change: Callable[[Work], None]) -> None:
    change(own)
    assert own.run() == Counter(), own.output


def test_other_cores_and_values_from_the_command_line_rerun_nothing(work: Work) -> None:
    assert work.run("--cores", "1", "--config", "causal=False", "fold=0") == Counter(), work.output
    values = [parse_override(f"train.lr={text}") for text in ("0.002", "2e-3", "0.20e-2")]
    assert len({stage_json("train", load_config([], [value])) for value in values}) == 1


# --- exactly these rerun ------------------------------------------------------------------------------


def times(text: str) -> Counter[str]:
    """``align*2 mel`` as a count by rule."""
    names = [part.partition("*") for part in text.split()]
    return Counter({name: int(count or 1) for name, _, count in names})


def change_raw(work: Work, name: str, time_s: float | None) -> None:
    """Another sample in an array, with the time of its file set."""
    path = work.folder / "raw" / name
    array = np.load(path)
    array[len(array) // 2] += 1
    np.save(path, array)
    if time_s is not None:
        os.utime(path, (time_s, time_s))


def raw_content_newer(work: Work) -> None:
    change_raw(work, "sim02_run01_eeg.npy", None)


def raw_content_older(work: Work) -> None:
    change_raw(work, "sim02_run01_eeg.npy", OLD)


def sound_of_one_of_two_recordings(work: Work) -> None:
    change_raw(work, "sim01_run02_audio.npy", OLD)


def events_of_one_recording(work: Work) -> None:
    path = work.folder / "raw/sim02_run01_events.tsv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")


def offset_in_the_sheet(work: Work) -> None:
    column = "audio_offset_s"

    def moved(cells: list[list[str]]) -> list[list[str]]:
        place = cells[0].index(column)
        cells[3][place] = "0.150"
        return cells

    work.sheet(moved)


def subject_removed(work: Work) -> None:
    work.sheet(lambda cells: cells[:3])


def recording_removed(work: Work) -> None:
    work.sheet(lambda cells: [*cells[:2], cells[3]])


def recording_added(work: Work) -> None:
    more = (work.folder / "raw/more.txt").read_text().split("\t")
    work.sheet(lambda cells: [*cells, [cell.strip() for cell in more]])


def subject_added(work: Work) -> None:
    more = (work.folder / "raw/more.txt").read_text().strip().split("\t")
    renamed = ["sim03" if cell == "sim02" else "sim03_run01" if cell == "sim02_run02" else cell for cell in more]
    work.sheet(lambda cells: [*cells, renamed])


def recordings_in_another_order(work: Work) -> None:
    work.sheet(lambda cells: [cells[0], cells[2], cells[1], cells[3]])


def forget_and_change_evaluate(work: Work) -> None:
    work.forget()
    work.configure("evaluate.bootstrap", 101)


def forget_and_change_ridge(work: Work) -> None:
    work.forget()
    work.configure("ridge.penalties", [100.0])


def forget_and_change_raw(work: Work) -> None:
    work.forget()
    raw_content_older(work)


def no_sound_wanted(work: Work) -> None:
    work.configure("export.audio", "none")


ONE = "ingest align mel contamination window repeats ridge train ensemble predict vocode evaluate"
RERUN: list[tuple[Callable[[Work], None], str, bool]] = [
    (raw_content_older, ONE, False),
    (raw_content_newer, ONE, True),
    (sound_of_one_of_two_recordings, ONE, True),
    (events_of_one_recording, ONE, True),
    (offset_in_the_sheet, ONE, True),
    (subject_removed, "evaluate", True),
    (recording_removed, "window repeats ridge train ensemble predict vocode evaluate", True),
    (recording_added, ONE, True),
    (subject_added, ONE, True),
    (recordings_in_another_order, "window ridge train ensemble predict vocode evaluate", True),
    (forget_and_change_evaluate, "evaluate", False),
    (forget_and_change_ridge, "ridge*2 train*2 ensemble*2 predict*2 vocode*2 evaluate", True),
    (forget_and_change_raw, ONE, True),
    (no_sound_wanted, "evaluate", True),
]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(change, expected, id=change.__name__, marks=[pytest.mark.slow] if slow else [])
        for change, expected, slow in RERUN
    ],
)
def test_exactly_these_rerun(work: Work, change: Callable[[Work], None], expected: str) -> None:
    change(work)
    assert work.run() == times(expected), work.output
    assert work.run() == Counter(), "and then there is nothing left to do"


@pytest.mark.slow
def test_a_subject_that_comes_back_is_only_scored_again(work: Work) -> None:
    before = (work.folder / SHEET).read_text()
    subject_removed(work)
    assert work.run() == times("evaluate")
    (work.folder / SHEET).write_text(before)
    assert work.run() == times("evaluate"), work.output


# --- the vocoder's checkpoint ----------------------------------------------------------------------------


def test_another_checkpoint_reruns_vocode(work: Work) -> None:
    work.configure("vocode.vocoder", "pulses")
    assert work.run() == times("vocode*2 evaluate"), work.output
    write_checkpoint(work.folder / "voice", seed=1)
    assert work.run("--dry-run") == Counter(), "pulses read no checkpoint"
    work.configure("vocode.vocoder", "hifigan")
    assert work.run() == times("vocode*2 evaluate"), work.output
    work.touch("voice/*")
    assert work.run("--dry-run") == Counter(), work.output
    write_checkpoint(work.folder / "voice", seed=2)
    os.utime(work.folder / "voice/generator.pth", (OLD, OLD))
    assert work.run("--dry-run") == times("vocode*2 evaluate"), work.output


@pytest.mark.slow
def test_sound_records_its_vocoder_checkpoint(work: Work) -> None:
    work.configure("vocode.vocoder", "hifigan")
    work.run()
    sound = next((work.folder / "results/sound/sim01/fold0").glob("*.wav"))
    before = sound.read_bytes()
    assert work.pipeline("verify", "--config", "config.yaml").returncode == 0
    work.forget()
    assert work.run() == Counter(), work.output
    write_checkpoint(work.folder / "voice", seed=1)
    assert "made from another voice/generator.pth" in work.pipeline("verify", "--config", "config.yaml").stdout
    work.forget()
    assert work.run() == times("vocode*2 evaluate"), work.output
    assert sound.read_bytes() != before


def test_a_checkpoint_for_another_mel_is_refused_before_anything_runs(work: Work) -> None:
    work.configure("vocode.vocoder", "hifigan")
    work.configure("mel.flavor", "tacotron2")
    assert work.start() == 1
    assert "voice/config.json[mel.flavor]: got tacotron2, expected hifigan" in work.output
    assert jobs_run(work.output) == []


def test_no_raw_file_is_hashed_at_a_start_that_finds_it_unchanged(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is read besides the arrays: the vocoder's files, or none."""
    monkeypatch.chdir(work.folder)
    for path in [*Path("raw").iterdir(), *Path("voice").iterdir()]:
        os.utime(path, (OLD, OLD))
    work.configure("vocode.vocoder", "hifigan")

    def digest() -> str:
        return load_plan(work.source, [Path("config.yaml")], [], is_job=False).digest()

    first, read = digest(), list[Path]()
    monkeypatch.setattr("pipeline.raw.manifest.file_sha256", read.append)
    assert digest() == first
    assert read == []


# --- code ------------------------------------------------------------------------------------------------


def add_a_constant(text: str) -> str:
    return text + "\nANOTHER_CONSTANT = 1\n"


def add_a_key_to_evaluate(work: Work) -> None:
    key = "    block_s: float = Field("
    work.edit(
        "src/pipeline/config/evaluate.py",
        lambda text: text.replace(key, f'    another: int = Field(1, description="Nothing")\n{key}', 1),
    )


def change_the_style_sheet(work: Work) -> None:
    work.edit("src/pipeline/report/page.css", lambda text: text + "\n.another { color: red }\n")


def change_a_script(work: Work) -> None:
    work.edit("workflow/scripts/evaluate.py", add_a_constant)


def forget_and_change_code(work: Work) -> None:
    work.forget()
    work.edit("src/pipeline/evaluation/words.py", add_a_constant)


CODE = [
    add_a_key_to_evaluate,
    forget_and_change_code,
    pytest.param(change_the_style_sheet, marks=pytest.mark.slow),
    pytest.param(change_a_script, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("change", CODE, ids=lambda change: change.__name__)
def test_evaluate_alone_reruns(own: Work, change: Callable[[Work], None]) -> None:
    change(own)
    assert own.run() == times("evaluate"), own.output


def reached(stages: str) -> set[str]:
    return {rule for stage in stages.split() for rule in REACHES[stage].split()}


def stages_by_module() -> dict[str, set[str]]:
    """The stages whose script reaches each module, by an import reader that shares no code with the fingerprint."""
    graph = grimp.build_graph("pipeline", cache_dir=None)
    found: dict[str, set[str]] = {module: set() for module in graph.modules}
    for stage in STAGES:
        whole = f"pipeline.stages.{stage}"
        reached = {whole, "pipeline.stage", *graph.find_upstream_modules(whole)}
        packages = {module.rsplit(".", depth)[0] for module in reached for depth in range(1, module.count(".") + 1)}
        for module in reached | packages:
            found[module].add(stage)
    return found


MODULES = stages_by_module()


def module_file(source: Path, module: str) -> Path:
    place = source / "src" / module.replace(".", "/")
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def test_every_module_is_in_the_graph() -> None:
    assert {module_file(ROOT, module) for module in MODULES} == set((ROOT / "src/pipeline").rglob("*.py"))


def test_the_fingerprint_holds_the_modules_that_a_stage_imports() -> None:
    code = code_fingerprints([ROOT / f"workflow/scripts/{stage}.py" for stage in STAGES])
    assert {module: {stage for stage in code if module in code[stage]} for module in MODULES} == MODULES


@pytest.fixture(scope="session")
def edited(base: Work, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A copy whose source tree is edited and mended again, for rows that only look."""
    return base.copy(tmp_path_factory.mktemp("edited") / "copy", with_source=True)


@pytest.fixture(scope="session")
def edited_simulated(simulated: Work, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The same of the simulated subject."""
    return simulated.copy(tmp_path_factory.mktemp("edited_simulated") / "copy", with_source=True)


def test_the_reason_names_the_module(edited: Work) -> None:
    path = edited.source / "src/pipeline/signal/clock.py"
    text = path.read_text()
    path.write_text(add_a_constant(text))
    rules = set(edited.run("--dry-run"))
    path.write_text(text)
    assert rules == set(REACHES["align"].split())
    reasons = re.findall(r"reason: .*Params have changed.*", edited.output)
    assert reasons
    assert all("pipeline.signal.clock" in reason for reason in reasons)


def hashes(source: Path) -> dict[str, str]:
    """The hash of every module of a source tree, by its own fingerprint code."""
    code = (
        "import json, pathlib; from pipeline.provenance.fingerprint import code_fingerprints as of; "
        "print(json.dumps(of(sorted(pathlib.Path('workflow/scripts').glob('*.py')))))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source / "src")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    by_stage = json.loads(found.stdout)
    return {module: text for stage in by_stage.values() for module, text in stage.items() if module in MODULES}


@pytest.mark.parametrize("part", [0, 1])
def test_an_edit_changes_the_hash_of_its_module_alone(edited: Work, part: int) -> None:
    before = hashes(edited.source)
    chosen = sorted(before)[part::2]
    texts = {path: path.read_text() for path in (module_file(edited.source, module) for module in chosen)}
    for path, text in texts.items():
        path.write_text(add_a_constant(text))
    after = hashes(edited.source)
    for path, text in texts.items():
        path.write_text(text)
    assert {module for module in before if after[module] != before[module]} == set(chosen)


#: A module for each set of stages: with the two tests above it stands for all that reach the same stages.
ONE_OF_EACH = sorted({frozenset(stages): module for module, stages in sorted(MODULES.items())}.values())


@pytest.mark.slow
@pytest.mark.parametrize("module", ONE_OF_EACH)
def test_an_edit_of_a_module_reruns_who_imports_it(module: str, request: pytest.FixtureRequest) -> None:
    stages = MODULES[module]
    work = request.getfixturevalue("edited_simulated" if "simulate" in stages else "edited")
    path = module_file(work.source, module)
    text = path.read_text()
    path.write_text(add_a_constant(text))
    rules = set(work.run("--dry-run"))
    path.write_text(text)
    assert rules == reached(" ".join(stages))


# --- every config key -----------------------------------------------------------------------------------


def readers(key: str) -> str:
    """The row of READERS with the longest name that fits."""
    fits = [name for name in READERS if key == name or key.startswith(f"{name}.")]
    assert fits, f"add {key} to READERS, with the stages that read it"
    return READERS[max(fits, key=len)]


def another_value(key: str, config: Path) -> object:
    """A valid value that the key does not have."""
    if key in VALUES:
        return VALUES[key]
    place: type = Config
    value: object = load_config([config])
    *sections, name = key.split(".")
    for part in sections:
        place, value = subsection(place, part), getattr(value, part)
    value = getattr(value, name)
    if isinstance(value, bool):
        return not value
    candidates: list[object] = [*re.findall(r"'([^']+)'", str(place.model_fields[name].annotation))]
    number = value if isinstance(value, int | float) else 8
    candidates += [number + 1, number - 1, number * 1.1, number * 0.9, 0.5]
    return next(v for v in candidates if v != value and is_valid(key, v, config))


def is_valid(key: str, value: object, config: Path) -> bool:
    other = config.with_name("candidate.yaml")
    other.write_text(config_text(config, key, value))
    try:
        load_config([other])
    except Exception:
        return False
    return True


def test_the_table_holds_every_key(base: Work) -> None:
    for key in KEYS:
        assert key in ADDS_JOBS or readers(key) is not None
        assert is_valid(key, another_value(key, base.folder / "config.yaml"), base.folder / "config.yaml"), key


ONE_KEY_EACH = ["align.margin_s", "mel.fmin_hz", "split.seed", "train.pool", "predict.attention_windows", "vocode.seed"]


@pytest.mark.parametrize(
    "key", [pytest.param(key, marks=[] if key in ONE_KEY_EACH else [pytest.mark.slow]) for key in KEYS]
)
def test_a_key_reruns_the_stages_that_read_it(key: str, request: pytest.FixtureRequest) -> None:
    work = request.getfixturevalue("simulated" if key.startswith("simulate.") else "base")
    other = work.folder / "other.yaml"
    other.write_text(config_text(work.folder / "config.yaml", key, another_value(key, work.folder / "config.yaml")))
    rules = set(work.run("--dry-run", config="other.yaml"))
    assert rules == (set(ADDS_JOBS[key].split()) if key in ADDS_JOBS else reached(readers(key)))


# --- training by content ----------------------------------------------------------------------------------


def trained_already(work: Work) -> list[str]:
    """Subjects of networks whose training job found them."""
    logs = (work.folder / "logs/train").glob("*/fold0/*.log")
    return sorted(log.parents[1].name for log in logs if "finished already" in log.read_text())


@pytest.mark.slow
def test_a_config_set_back_brings_the_model_back_without_training(work: Work) -> None:
    before = (work.folder / "config.yaml").read_text()
    model = work.folder / "results/train/sim01/fold0/model.ckpt"
    content = model.read_bytes()
    work.configure("train.lr", 0.01)
    again = times("train*2 ensemble*2 predict*2 vocode*2 evaluate")
    assert work.run() == again
    assert trained_already(work) == []
    assert model.read_bytes() != content
    shown = {file.parent.name for file in work.folder.glob("results/train/sim01/fold0/0-*/*/events.out.*")}
    assert len(shown) == 2, "TensorBoard names both runs"
    assert {"lr=0.01" in name for name in shown} == {True, False}
    (work.folder / "config.yaml").write_text(before)
    assert work.run() == again
    assert trained_already(work) == ["sim01", "sim02"]
    assert model.read_bytes() == content


@pytest.mark.slow
def test_upstream_that_reran_with_the_same_content_trains_nothing(work: Work) -> None:
    everything = "ingest*3 align*3 mel*3 contamination*3 window*2 repeats*2"
    everything += " ridge*2 train*2 ensemble*2 predict*2 vocode*2 evaluate"
    assert work.run("--forcerun", "ingest") == times(everything)
    assert trained_already(work) == ["sim01", "sim02"]


@pytest.mark.slow
def test_other_baselines_train_nothing_and_another_ridge_skip_trains_again(work: Work) -> None:
    everything = times("ridge*2 train*2 ensemble*2 predict*2 vocode*2 evaluate")
    work.configure("ridge.latency_range_s", 0.3)
    assert work.run() == everything
    assert trained_already(work) == ["sim01", "sim02"]
    assert work.pipeline("verify", "--config", "config.yaml").returncode == 0
    work.configure("train.clip_input", 0.5)
    assert work.run() == everything
    assert trained_already(work) == []


@pytest.mark.slow
def test_a_network_more_trains_nothing_but_that(work: Work) -> None:
    work.configure("model.networks", 2)
    assert work.run() == times("train*2 ensemble*2 predict*2 vocode*2 evaluate")
    assert {log.name for log in (work.folder / "logs/train").glob("*/fold0/*.log")} == {"0-corrector.log", "1-free.log"}
    assert trained_already(work) == []
    work.configure("ridge.penalties", [100.0])
    assert work.run() == times("ridge*2 train*2 ensemble*2 predict*2 vocode*2 evaluate"), "the free ones read no ridge"


@pytest.mark.slow
def test_variants_and_pooled_models_have_ridges_of_their_own(work: Work) -> None:
    work.configure("train.pool", "subjects")
    work.configure("chance.retrain", 1)
    work.configure("context", "past_only_sound")
    assert work.run() == times("repeats ridge*4 train*3 ensemble*3 predict*6 vocode*2 evaluate")
    results = work.folder / "results"
    lags = {}
    for variant in ("", "variants/null0/", "variants/past_only_sound/"):
        assert (results / f"{variant}train/pooled/fold0/0-corrector/network.json").is_file()
        with h5py.File(results / f"{variant}baselines/sim01/fold0.h5") as file:
            lags[variant] = (int(file["skip/lag"][0]), int(file["skip/lag"][-1]))
            assert ("blocks" in file) == (variant == ""), "only the full model's are compared with it"
    assert list(lags.values()) == [(-26, 26), (-26, 26), (-26, 0)]
    assert work.pipeline("verify", "--config", "config.yaml").returncode == 0
    assert work.run() == Counter()


@pytest.mark.slow
def test_simulated_data_touched_or_made_again_train_nothing(simulated: Work, tmp_path: Path) -> None:
    work = simulated.copy(tmp_path / "copy")
    work.touch("results/simulated/*")
    assert work.run() == Counter(), work.output
    work.forget()
    work.touch("results/simulated/*")
    assert work.run() == Counter(), work.output
    assert work.run("--forcerun", "simulate") == Counter(REACHES["simulate"].split())
    assert trained_already(work) == ["sim01"]


# --- accepting a harmless edit ---------------------------------------------------------------------------------


def test_an_accepted_edit_reruns_nothing_and_everything_honours_it(own: Work) -> None:
    own.edit("src/pipeline/evaluation/words.py", add_a_constant)
    own.edit("src/pipeline/signal/zero_phase.py", add_a_constant)
    verified = own.pipeline("verify", "--config", "config.yaml")
    assert verified.returncode == 1
    assert "eval.json: made by other code (pipeline.evaluation.words). Rerun the stage evaluate" in verified.stdout
    accepted = own.pipeline("accept", "evaluate", "align", "--config", "config.yaml")
    assert accepted.returncode == 0, accepted.stderr
    assert own.run() == Counter(), own.output
    own.forget()
    assert own.run() == Counter(), own.output
    assert own.pipeline("verify", "--config", "config.yaml").returncode == 0
    assert own.run("--forcerun", "evaluate") == times("evaluate")
    own.edit("src/pipeline/evaluation/words.py", lambda text: text.replace("CONSTANT = 1", "CONSTANT = 2"))
    assert own.run("--dry-run") == times("evaluate"), "another edit is not accepted"


@pytest.mark.slow
def test_train_honours_an_accepted_edit(own: Work) -> None:
    own.edit("src/pipeline/training/lightning_module.py", add_a_constant)
    assert own.pipeline("accept", "train", "--config", "config.yaml").returncode == 0
    assert own.run("--forcerun", "train") == times("train*2 ensemble*2 predict*2 vocode*2 evaluate")
    assert trained_already(own) == ["sim01", "sim02"]


# --- mixtures and damage ----------------------------------------------------------------------------------------


def test_verify_finds_damage_staleness_and_gaps_and_names_the_stage(work: Work) -> None:
    assert work.pipeline("verify", "--config", "config.yaml").returncode == 0
    with h5py.File(work.folder / "results/mel/sim01_run01.h5", "r+") as file:
        file["trials/sim01_run01/mel/data"][0, 0] += 1
    model = work.folder / "results/train/sim01/fold0/model.ckpt"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    (work.folder / "results/contamination/sim01_run01.h5").unlink()
    change_raw(work, "sim02_run01_eeg.npy", OLD)
    result = work.pipeline("verify", "--config", "config.yaml")
    assert result.returncode == 1
    *found, _ = result.stdout.splitlines()
    assert sorted(found) == [
        "results/contamination/sim01_run01.h5: missing. Rerun the stage contamination",
        "results/mel/sim01_run01.h5: damaged data (checksum of rows from 0 on). Rerun the stage mel",
        "results/recordings/sim02_run01.h5: made from another raw/sim02_run01_eeg.npy. Rerun the stage ingest",
        "results/train/sim01/fold0/model.ckpt: damaged or missing: model.ckpt. Rerun the stage ensemble",
    ]


@pytest.mark.slow
def test_verify_knows_simulated_raw_data(simulated: Work, tmp_path: Path) -> None:
    work = simulated.copy(tmp_path / "copy")
    result = work.pipeline("verify", "--config", "config.yaml")
    assert result.returncode == 0, result.stdout
    path = work.folder / "results/simulated/sim01_run01_eeg.npy"
    np.save(path, np.load(path) + 1)
    assert "Rerun the stage simulate" in work.pipeline("verify", "--config", "config.yaml").stdout


MEL_AGAIN = "mel repeats ridge train ensemble predict vocode evaluate"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "key", "value", "names", "again"),
    [
        ("mel/sim02_run01.h5", "mel.fmax_hz", 7900.0, "results/mel/sim02_run01.h5", MEL_AGAIN),
        (
            "predictions/sim02/fold0.h5", "train.lr", 0.01, "results/train/sim02/fold0/model.json",
            "predict vocode evaluate",
        ),
    ],
)  # fmt: skip
def test_evaluate_refuses_a_mixture(
    work: Work, base: Work, monkeypatch: pytest.MonkeyPatch, old: str, key: str, value: object, names: str, again: str
) -> None:
    work.configure(key, value)
    work.run()
    shutil.copy2(base.folder / "results" / old, work.folder / "results" / old)
    assert work.pipeline("verify", "--config", "config.yaml").returncode == 1
    monkeypatch.chdir(work.folder)
    plan = load_plan(work.source, [Path("config.yaml")], [], is_job=False)
    with pytest.raises(InputError, match=f"made from another {names}.*Fix: Rerun the stage"):
        refuse_mixture(str(paths.described_by(Path(file))) for file in plan.evaluated())
    assert work.run() == times(again), "the start notices it"


# --- artifacts that were moved --------------------------------------------------------------------------------


def test_a_folder_of_results_put_back_is_not_taken_for_that_of_the_present_config(work: Work) -> None:
    """Snakemake's records are of the run in between, and all files are older than them."""
    results, aside = work.folder / "results", work.folder / "aside"
    shutil.copytree(results, aside)
    work.configure("evaluate.bootstrap", 101)
    assert work.run() == times("evaluate")
    shutil.rmtree(results)
    aside.rename(results)
    assert work.run("--dry-run") == times("evaluate"), work.output
    assert work.run() == times("evaluate"), work.output
    assert work.run() == Counter(), work.output


def exchanged(first: Path, second: Path) -> None:
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def test_exchanged_artifacts_are_noticed_at_the_start(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work.folder)
    plan = load_plan(work.source, [Path("config.yaml")], [], is_job=False)
    assert plan.stale() == []
    kinds = ["recordings/{}_run01.h5", "aligned/{}_run01.h5", "mel/{}_run01.h5", "contamination/{}_run01.h5"]
    kinds += ["windows/{}.h5", "repeats/{}.h5", "baselines/{}/fold0.h5", "predictions/{}/fold0.h5", "sound/{}/fold0"]
    kinds += [f"train/{{}}/fold0/{name}" for name in ("model.ckpt", "model.json", "metrics.csv")]
    kinds += [f"train/{{}}/fold0/0-corrector/{name}" for name in ("network.ckpt", "network.json", "metrics.csv")]
    for kind in kinds:
        first, second = (Path("results", kind.format(subject)) for subject in ("sim01", "sim02"))
        exchanged(first, second)
        stale = {finding.output.path for finding in plan.stale()}
        assert any("sim01" in path for path in stale), kind
        assert any("sim02" in path for path in stale), kind
        exchanged(first, second)
        assert plan.stale() == []


def test_an_edited_file_beside_a_sidecar_is_noticed_at_the_start(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work.folder)
    plan = load_plan(work.source, [Path("config.yaml")], [], is_job=False)
    for name in ("eval.json", "sound/sim01/fold0/provenance.json", "train/sim01/fold0/metrics.csv"):
        path = Path("results", name)
        before = path.read_bytes()
        path.write_bytes(before.replace(b"0", b"1", 1))
        assert len(plan.stale()) == 1, name
        path.write_bytes(before)
        assert plan.stale() == []


def test_a_start_opens_no_artifact_that_did_not_change(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work.folder)
    plan = load_plan(work.source, [Path("config.yaml")], [], is_job=False)
    for path in Path("results").rglob("*"):
        os.utime(path, (OLD, OLD), follow_symlinks=False)
    assert plan.stale() == []
    entries = json.loads(INDEX.read_text())
    INDEX.write_text(json.dumps({name: [status, {"output": ""}] for name, (status, _) in entries.items()}))
    assert plan.stale() == [], "a damaged index is read over"
    INDEX.write_text(json.dumps(entries))
    opened: list[str] = []
    monkeypatch.setattr("pipeline.provenance.freshness.described", opened.append)
    monkeypatch.setattr("pipeline.provenance.freshness.file_sha256", opened.append)
    assert plan.stale() == []
    assert opened == []


def test_what_the_index_knows_and_this_version_cannot_read_runs_again(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update: other code, and headers whose form has changed."""
    monkeypatch.chdir(work.folder)
    plan = load_plan(work.source, [Path("config.yaml")], [], is_job=False)
    entries = json.loads(INDEX.read_text())
    for _, said in entries.values():
        said["code"] = "0" * len(said["code"])
    INDEX.write_text(json.dumps(entries))

    def refused(path: str) -> None:
        raise InputError(Problem(path, "attributes", "others than were written", "readable data", "Rerun"))

    monkeypatch.setattr("pipeline.provenance.freshness.described", refused)
    assert {finding.reason for finding in plan.stale()} == {"unreadable (others than were written)"}


# --- the runs ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_runs_are_listed_and_pruned_but_for_those_in_use(work: Work) -> None:
    work.configure("train.lr", 0.01)
    work.run()
    folder = work.folder / "results/train/sim01/fold0/0-corrector/runs"
    used = max(folder.iterdir(), key=lambda run: run.stat().st_mtime)
    unfinished = folder / "0123456789abcdef"
    unfinished.mkdir()
    (unfinished / "metrics.csv").write_text("epoch,step,val_loss\n0,1,0.75\n1,2,0.5\n")
    head, *listed = [line.split() for line in work.pipeline("runs", "--config", "config.yaml").stdout.splitlines()]
    assert head == ["run", "model", "subject", "fold", "variant", "network", "state", "val_loss", "MB", "in", "use"]
    assert len(listed) == 2 * 2 * 2 + 1, "a network and an ensemble of each subject, with either learning rate"
    assert [unfinished.name, "sim01", "fold0", "0-corrector", "unfinished", "0.5000"] in [row[:6] for row in listed]
    assert sum(row[-1] == "yes" for row in listed) == 4
    work.pipeline("runs", "--prune", "--config", "config.yaml", stdin="n\n")
    assert unfinished.is_dir()
    assert "removed 5" in work.pipeline("runs", "--prune", "--config", "config.yaml", stdin="y\n").stdout
    assert [run.name for run in folder.iterdir()] == [used.name]
    assert work.run() == Counter()


# --- raw files that are gone, trees that are only read ----------------------------------------------------------------


def test_without_the_raw_sound_everything_behind_ingest_still_runs(work: Work) -> None:
    """As docs/privacy.md advises once the recordings are made."""
    for path in (work.folder / "raw").glob("*_audio.npy"):
        path.unlink()
    assert work.run() == Counter(), work.output
    assert work.pipeline("verify", "--config", "config.yaml").returncode == 0
    assert work.pipeline("runs", "--config", "config.yaml").returncode == 0
    work.configure("evaluate.bootstrap", 101)
    assert work.run() == times("evaluate"), work.output
    work.configure("ingest.compression", "gzip")
    assert work.start() == 1
    assert "_audio.npy: got no such file, expected the raw file, since results/recordings/" in work.output
    assert jobs_run(work.output) == []
    assert (work.folder / "results/recordings/sim01_run01.h5").is_file(), "nothing can make it again"


def test_results_behind_a_link_are_verified(work: Work, tmp_path: Path) -> None:
    (work.folder / "results").rename(tmp_path / "elsewhere")
    (work.folder / "results").symlink_to(tmp_path / "elsewhere")
    result = work.pipeline("verify", "results", "--config", "config.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


# --- copies of a recording ----------------------------------------------------------------------------------------


def test_one_recording_under_two_ids_is_refused(work: Work) -> None:
    raw = work.folder / "raw"
    shutil.copyfile(raw / "sim01_run01_eeg.npy", raw / "sim01_run02_eeg.npy")
    assert work.start() == 1
    assert "sim01_run02, eeg" in work.output
    assert "the same content as eeg of sim01_run01" in work.output


def test_subjects_may_share_a_sound(work: Work) -> None:
    raw = work.folder / "raw"
    shutil.copyfile(raw / "sim01_run01_audio.npy", raw / "sim02_run01_audio.npy")
    assert work.run("--dry-run") == times(ONE)
    work.configure("train.pool", "subjects")
    assert work.start("--dry-run") == 1
    assert "sim02_run01, audio" in work.output
    assert "cannot share a model" in work.output
