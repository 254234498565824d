"""The doctor: what it says before a run is what the run's stages then find, and a run that it passes can start."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import snakemake
from pipeline.artifacts.aligned import aligned_trials
from pipeline.artifacts.windows import read_windows
from pipeline.cli import main
from pipeline.config.simulate import SimulateConfig
from pipeline.config.stages import stage_json
from pipeline.config.window import WindowStage
from pipeline.data.splits import ROLES
from pipeline.doctor import device
from pipeline.doctor.command import check_run, session_lines, settings_of
from pipeline.doctor.cost import cost
from pipeline.doctor.folds import subject_folds
from pipeline.doctor.recordings import Examined, examine
from pipeline.errors import InputError
from pipeline.evaluation.methods import plural
from pipeline.run.plan import Plan, load_plan
from pipeline.signal.lag import LagEstimate
from pipeline.simulation.subject import write_subjects

CONFIG = """\
data: {sheet: raw/recordings.tsv}
fold: all
split: {folds: 3, validation_fraction: 0.2}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("doctor")
    write_subjects(SimulateConfig(minutes=1.5, channels=8, subjects=2), work / "raw")
    bad = "onset\tduration\tdescription\n20\t2\tBAD_spike\n"
    (work / "raw/marks.tsv").write_text(bad)
    sheet = work / "raw/recordings.tsv"
    header, *rows = sheet.read_text().splitlines()
    sheet.write_text("\n".join([f"{header}\tannotations", *(f"{row}\tmarks.tsv" for row in rows)]) + "\n")
    (work / "config.yaml").write_text(CONFIG)
    return work


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of one's own, to break, and to stand in."""
    shutil.copytree(made, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own"


def planned(*overrides: dict[str, object]) -> Plan:
    return load_plan(Path(), [Path("config.yaml")], list(overrides), is_job=False)


def files(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_it_passes_good_data_says_what_it_is_and_writes_nothing(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(work)
    assert main(["doctor", "config.yaml"]) == 0
    printed = capsys.readouterr().out
    for text in (
        "8 channels at 1024 Hz",
        "2 bad",
        "declared +0.137 s, 40 ppm",
        "1 BAD intervals (2.0 s)",
        "no evidence",
    ):
        assert text in printed
    assert printed.rstrip().endswith("Ready.")
    assert files(work) == before


def test_folds_and_bad_channels_are_those_of_the_run(made: Path) -> None:
    targets = [f"results/windows/sim0{n}.h5" for n in (1, 2)]
    result = snakemake(made, *targets)
    assert result.returncode == 0, result.stdout[-3000:]
    plan = load_plan(made, [made / "config.yaml"], [{"data": {"sheet": str(made / "raw/recordings.tsv")}}], False)
    stage = WindowStage.from_json(stage_json("window", plan.config))
    for session in plan.sessions.values():
        row, found = session.trials[0], examine(session, settings_of(plan))
        assert not found.problems
        [info] = aligned_trials(made / f"results/aligned/{row.recording}.h5")
        statuses = zip(info.channels["name"], info.channels["status"], strict=True)
        assert set(found.bad) == {name for name, status in statuses if status == "bad"}
        own = subject_folds(row.subject, [found], stage, plan.config.folds)
        assert not isinstance(own, list)
        index = read_windows(made / f"results/windows/{row.subject}.h5")
        np.testing.assert_array_equal(own.windows.starts, index.starts)
        np.testing.assert_array_equal(own.windows.roles, index.roles)
        for fold in (0, 1, 2):
            assert [own.counts[fold][r].windows for r in ROLES] == [len(index.of(fold, r)) for r in ROLES]


def rewrite_sheet(work: Path, change: Callable[[str], str]) -> None:
    sheet = work / "raw/recordings.tsv"
    sheet.write_text(change(sheet.read_text()))


def silence(work: Path) -> None:
    path = work / "raw/sim02_run01_audio.npy"
    np.save(path, np.zeros_like(np.load(path)))


def wrong_rate(work: Path) -> None:
    rewrite_sheet(work, lambda text: text.replace("\t1024\t", "\t2048\t", 1))


def cut_file(work: Path) -> None:
    path = work / "raw/sim01_run01_eeg.npy"
    path.write_bytes(path.read_bytes()[:-1000])


def channels_missing(work: Path) -> None:
    path = work / "raw/sim01_run01_channels.tsv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def all_dead(work: Path) -> None:
    path = work / "raw/sim01_run01_eeg.npy"
    np.save(path, np.zeros_like(np.load(path)))


def same_brain_twice(work: Path) -> None:
    shutil.copy(work / "raw/sim01_run01_eeg.npy", work / "raw/sim02_run01_eeg.npy")


def other_montage(work: Path) -> None:
    for column in ("eeg", "audio", "channels"):
        suffix = "tsv" if column == "channels" else "npy"
        shutil.copy(work / f"raw/sim02_run01_{column}.{suffix}", work / f"raw/more_{column}.{suffix}")
    path = work / "raw/more_channels.tsv"
    path.write_text(path.read_text().replace("LA1\t", "XX1\t"))
    values = np.load(work / "raw/more_eeg.npy")
    np.save(work / "raw/more_eeg.npy", values[::-1])
    np.save(work / "raw/more_audio.npy", np.load(work / "raw/more_audio.npy")[::-1])

    def one_more(text: str) -> str:
        last = text.splitlines()[-1]
        for column, suffix in (("eeg", "npy"), ("audio", "npy"), ("channels", "tsv")):
            last = last.replace(f"sim02_run01_{column}.{suffix}", f"more_{column}.{suffix}")
        return text + last.replace("\tsim02_run01\t", "\tmore\t") + "\n"

    rewrite_sheet(work, one_more)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (silence, "silence"),
        (wrong_rate, "the 1024 Hz of channels.tsv (LA1) (8 such rows)"),
        (cut_file, "the whole array"),
        (channels_missing, "one row per channel"),
        (all_dead, "channels bad"),
        (same_brain_twice, "the same content as eeg of sim01_run01"),
    ],
)
def test_what_would_stop_the_run_is_named_with_its_fix(
    work: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], words: str
) -> None:
    change(work)
    assert main(["doctor", "config.yaml"]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "Fix: " in shown.err
    assert "cannot start" in shown.out
    assert "Ready." not in shown.out


def test_a_table_that_cannot_be_read_does_not_make_channels_bad(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = work / "raw/sim01_run01_events.tsv"
    table.write_text("onset\tduration\n" + "1,5\t1\n" * 9)
    assert main(["doctor", "config.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "row 2 and 8 more, onset]: got 1,5, expected a plain number" in line


@pytest.mark.parametrize(
    ("lag_s", "confidence", "said"),
    [
        (0.102, 0.4, "the brain leads by 102 ms (confidence 0.40)"),
        (-0.05, 0.2, "the brain follows by 50 ms (confidence 0.20)"),
        (-0.692, 0.0, "no lag stands out: where the sound was recorded on a clock of its own, check the offset"),
    ],
)
def test_a_lag_is_said_where_it_stands_out(made: Path, lag_s: float, confidence: float, said: str) -> None:
    session = load_plan(
        made, [made / "config.yaml"], [{"data": {"sheet": str(made / "raw/recordings.tsv")}}], False
    ).sessions["sim01_run01"]
    found = Examined(session, sounds_s={"sim01_run01": 90.0})
    found.lag = LagEstimate(lag_s, 0.3, confidence, 0.1, None, None, "")
    assert f"clock  declared +0.137 s, 40 ppm; {said}" in session_lines(found)


def test_what_is_not_known_of_a_sheet_is_said(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite_sheet(work, lambda text: text.replace("\tnone\t", "\tunknown\t").replace("\t0.137\t40.0\t", "\t0\t0\t"))
    table = work / "raw/sim01_run01_channels.tsv"
    table.write_text(table.read_text().replace("LA1\t", "TTL\t"))
    assert main(["doctor", "config.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "clock  by the sheet +0 s, 0 ppm" in printed
    assert printed.startswith("2 recordings in 2 sessions of 2 subjects, ")
    assert plural(1, "subject") == "1 subject"
    assert "not testable (no evidence, but the sound may have been modified after recording; P " in printed
    assert "note   TTL by name no electrodes, and used: to leave them out, write bad" in printed


def test_all_problems_come_at_once(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    silence(work)
    cut_file(work)
    assert main(["doctor", "config.yaml"]) == 2
    errors = capsys.readouterr().err
    assert "sim01_run01_eeg.npy" in errors
    assert "sim02_run01_audio.npy" in errors


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"align": {"features": [{"kind": "band_envelope", "bands": [[400, 600]]}]}}, "600"),
        ({"split": {"folds": 40}}, "Lower split.folds"),
        ({"window": {"purge_gap_s": 0.01}}, "purge_gap_s"),
        ({"align": {"channels": {"include": ["nowhere"]}}}, "nowhere"),
        ({"align": {"bandz": 3}}, "bandz"),
    ],
)
def test_a_config_that_does_not_fit_the_data(work: Path, override: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_run(planned(override), say=lambda _: None)


def test_simulated_recordings_need_no_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("fold: 0\n")
    assert main(["doctor", "config.yaml", "--set", "fold=final"]) == 0
    printed = capsys.readouterr().out
    assert "simulated" in printed
    assert "all folds of 5 and the final model" in printed
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


def test_more_work_costs_more(work: Path) -> None:
    def of(**override: object) -> tuple[float, float, float]:
        plan = planned(dict(override))
        stage = WindowStage.from_json(stage_json("window", plan.config))
        found = [examine(session, settings_of(plan)) for session in plan.sessions.values()]
        subjects = [subject_folds(f.row.subject, [f], stage, plan.config.folds) for f in found]
        estimated = cost(plan.config, found, [s for s in subjects if not isinstance(s, list)])
        return estimated.memory_bytes, estimated.disk_bytes, estimated.core_s

    plain, one_fold, pooled, final = of(), of(fold=0), of(train={"pool": "subjects"}), of(fold="final")
    assert final[0] == plain[0]
    assert final[1] > plain[1], "a model more"
    assert one_fold[1] < plain[1]
    assert one_fold[2] < plain[2]
    assert pooled[0] > plain[0]


def test_channels_that_not_all_sessions_have_are_named(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model takes those that all sessions of the subject have."""
    other_montage(work)
    assert main(["doctor", "config.yaml"]) == 0
    assert "sim02: channels that not all sessions have are left out: LA1, XX1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("accelerator", "has_card", "built_for", "words"),
    [
        ("auto", True, "cuda: Optional[str] = None", "GPU seen, CPU build of torch installed"),
        ("gpu", True, "cuda: Optional[str] = None", "make run GPU=1"),
        ("auto", True, "cuda: Optional[str] = '12.8'", "a GPU (CUDA 12.8 build of torch)"),
        ("auto", True, "hip: Optional[str] = '6.4'", "a GPU (ROCm 6.4 build of torch)"),
        ("auto", False, "cuda = '12.8'", "the CPU: no GPU seen (CUDA 12.8 build of torch)"),
        ("cpu", True, "cuda = '12.8'", "the CPU, as runtime.accelerator says"),
    ],
)
def test_the_device_is_found_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerator: str, has_card: bool, built_for: str, words: str
) -> None:
    (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{built_for}\n")
    (tmp_path / "card0").touch()
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(device, "find_spec", lambda name: spec)
    assert words in device.device_text(accelerator, (tmp_path / "card0",) if has_card else ())


def test_the_build_of_the_installed_torch_is_what_torch_says() -> None:
    torch = pytest.importorskip("torch")
    expected = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    assert device.torch_build() == expected or torch.version.hip
