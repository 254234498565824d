"""Sessions of many trials: one job and one file each, borders that nothing crosses, whole stimuli on one side."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from conftest import ROOT, jobs_run, snakemake
from entry import Lab, brain, plan_options, stage_config, voice
from pipeline.artifacts.aligned import Event
from pipeline.artifacts.predictions import PREDICTIONS, read_predicted
from pipeline.artifacts.windows import ROLE_NAMES, read_windows
from pipeline.baselines.ridge import RidgeChoice
from pipeline.baselines.tuned_ridge import tuned_ridge
from pipeline.config.canonical import canonical, digest, with_rows
from pipeline.config.loader import load_config
from pipeline.config.predict import PredictStage
from pipeline.config.simulate import SimulateConfig
from pipeline.config.stages import stage_json
from pipeline.config.window import SplitConfig
from pipeline.data.splits import ROLES, Block, Timeline, split, stimulus_groups, windows_in
from pipeline.data.subject import load_subject
from pipeline.doctor import preflight
from pipeline.doctor.command import check_run
from pipeline.errors import InputError
from pipeline.model.inference import predict_continuous
from pipeline.model.model_file import load_model
from pipeline.raw import headers
from pipeline.raw.scan import NeuralScan
from pipeline.raw.sessions import SessionPlan, overlaps, sessions_of
from pipeline.raw.sheet import RecordingRow, rows_of
from pipeline.run.plan import load_plan
from pipeline.simulation.subject import write_subjects

TRIALS = """\
fold: 0
simulate: {trials: 9, trial_s: 4, channels: 6, dead_channels: 0, noisy_channels: 0}
split: {folds: 3, by: recording, validation_fraction: 0.2}
model: {preset: tiny}
train: {max_steps: 20, steps_per_epoch: 10}
evaluate: {bootstrap: 100}
"""
CAUSAL = "causal: true\n"


def row(recording: str, **changes: object) -> RecordingRow:
    given = {"subject": "s1", "recording": recording, "eeg": f"{recording}.npy", "eeg_rate_hz": 600.0}
    return RecordingRow(**{**given, **changes})


def cells(recording: str, **changes: str) -> dict[str, str]:
    given = {"subject": "s1", "recording": recording, "eeg": f"{recording}.npy", "eeg_rate_hz": "600"}
    return {**given, "audio": f"{recording}.wav", "audio_rate_hz": "16000", **changes}


def problems(*rows: dict[str, str]) -> str:
    with pytest.raises(InputError) as raised:
        rows_of(rows, Path("recordings.tsv"))
    return str(raised.value)


# --- the sheet ---------------------------------------------------------------------------------------------------


def test_rows_of_equal_subject_and_session_are_one_session() -> None:
    rows = [row("a", session="1"), row("b", session="1"), row("c"), row("d", subject="s2", session="1")]
    assert [(s.name, [t.recording for t in s.trials]) for s in sessions_of(rows)] == [
        ("s1_1", ["a", "b"]),
        ("c", ["c"]),
        ("s2_1", ["d"]),
    ]


def test_trials_lie_in_the_order_of_their_starts_where_all_are_known() -> None:
    rows = [row("a", session="1", start_s=9.0), row("b", session="1", start_s=1.0)]
    assert [t.recording for t in sessions_of(rows)[0].trials] == ["b", "a"]


@pytest.mark.parametrize("other", [{"recording": "s1_x"}, {"subject": "s1_x", "session": "y"}])
def test_two_sessions_of_one_name_are_refused(other: dict[str, str]) -> None:
    first = cells("a", session="x") if "session" not in other else cells("a", session="x_y")
    assert "a name that no other session has" in problems(first, cells("b") | other)


@pytest.mark.parametrize(
    ("column", "value"),
    [("eeg_rate_hz", "1000"), ("audio_rate_hz", "8000"), ("modality", "emg"), ("audio_modified", "none")],
)
def test_what_the_trials_of_a_session_share_must_agree(column: str, value: str) -> None:
    text = problems(cells("a", session="1"), cells("b", session="1") | {column: value})
    assert f"row 3, {column}" in text
    assert "the same in all rows of a session" in text


def test_nirs_is_refused_with_the_reason() -> None:
    assert "blood flow follows speech seconds later" in problems(cells("a", modality="nirs"))


def test_trials_that_overlap_are_named() -> None:
    rows = [row("a", start_s=0.0), row("b", start_s=1.5), row("c", start_s=9.0)]
    (found,) = overlaps(rows, {"a": 1200, "b": 600, "c": 600}, "recordings.tsv")
    assert (found.field, found.got) == ("b, start_s", "1.5 s, before a ends at 1.997 s")
    assert overlaps(rows, {"a": 900, "b": 600, "c": 600}, "recordings.tsv") == []


def test_raw_files_that_passed_are_looked_into_again_only_once_something_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of headers take longer to read than all else of a start with nothing to do."""
    monkeypatch.chdir(tmp_path)
    lines = ["\t".join(cells("a"))]
    for i, name in enumerate("abc"):
        np.save(f"{name}.npy", np.full((600, 4), i, np.float32))
        np.save(f"{name}_sound.npy", np.full(16000, i, np.int16))
        lines.append("\t".join(cells(name, audio=f"{name}_sound.npy").values()))
    Path("recordings.tsv").write_text("\n".join(lines) + "\n")
    Path("my.yaml").write_text("data: {sheet: recordings.tsv}\n")
    looked_into, opened = [], headers.opened_raw
    monkeypatch.setattr(headers, "opened_raw", lambda row, *a: (looked_into.append(row.recording), opened(row, *a))[1])

    def check(*settings: dict[str, object]) -> str:
        looked_into.clear()
        preflight.check_raw_files(load_plan(ROOT, [Path("my.yaml")], settings, is_job=False))
        return "".join(looked_into)

    assert [check(), check()] == ["abc", "abc"], "files that changed a moment ago may change again"
    for file in Path().glob("*.npy"):
        os.utime(file, (1e9, 1e9))
    assert [check(), check(), check({"train": {"lr": 1e-4}})] == ["abc", "", ""]
    assert check({"ingest": {"duration_tolerance_s": 2.0}}) == "abc", "another config of the checks"
    assert check() == "abc"
    np.save("b.npy", np.full((6000, 4), 1, np.float32))
    os.utime("b.npy", (1e9, 1e9))
    for _ in range(2):
        with pytest.raises(InputError, match=r"b, eeg_rate_hz"):
            check()
    np.save("b.npy", np.full((600, 4), 9, np.float32))
    os.utime("b.npy", (1e9, 1e9 + 1))
    assert [check(), check()] == ["abc", ""]


def test_a_plan_of_5000_trials_reaches_its_job_by_a_file(tmp_path: Path) -> None:
    rows = [row(f"t{i:04d}", session="1", audio=f"t{i:04d}.wav", audio_rate_hz=16000.0) for i in range(5000)]
    (session,) = sessions_of(rows)
    content = {str(path): "0" * 64 for *_, path in session.files()}
    plan = SessionPlan.of(session, content)
    file = tmp_path / "plan.json"
    file.write_text(plan.text())
    assert SessionPlan.read(file, plan.digest) == plan
    assert plan.digest == digest(["s1_1", [json.loads(row) for row in session.rows_json.values()], plan.content])
    with pytest.raises(InputError, match="another plan"):
        SessionPlan.read(file, "0" * 64)


def test_rows_become_part_of_a_config_as_if_it_were_written_as_a_whole() -> None:
    """What recordings say of their config is compared with this text."""
    rows = {r: row(r, text='"rows":null, \\ Å').json_text for r in ("t10", "t2", "A", "a_1")}
    config = canonical({"zeta": {"rows": None, "x": 1.5}, "alpha": "rows", "sheet": None})
    with pytest.raises(ValueError, match="too many values"):
        with_rows(config, rows)
    config = canonical({"zeta": 1.5, "alpha": "rows"})
    whole = json.loads(config) | {"rows": {r: json.loads(text) for r, text in rows.items()}}
    assert with_rows(config, rows) == canonical(whole)
    assert with_rows(config, {}) == canonical(json.loads(config) | {"rows": {}})


# --- scans -------------------------------------------------------------------------------------------------------


def test_a_gap_ends_with_its_trial() -> None:
    from pipeline.config.ingest import IngestConfig

    rng = np.random.default_rng(0)
    trials = [rng.normal(0, 50, (1000, 4)).astype(np.float32) for _ in range(3)]
    trials[0][990:, 1] = np.nan
    trials[1][:5, 1] = np.nan
    scan = NeuralScan(IngestConfig(nan_policy="mask"), 4, 1000.0, "uV")
    for trial in trials:
        scan.update(trial)
        scan.end_trial()
    report = scan.finish("session")
    assert report.n_samples == 3000
    assert [(g.trial, g.start, g.stop) for g in report.gaps] == [(0, 990, 1000), (1, 0, 5)]
    for number, trial in enumerate(trials):
        report.repair(trial, number)
        assert np.isfinite(trial).all()
    assert report.missing_annotations(1000.0, 1).onset_s == (0.0,)


# --- splits ------------------------------------------------------------------------------------------------------


def trials(n: int = 20, **changes: object) -> list[Timeline]:
    return [Timeline(f"t{i}", f"s{i // 5}", 0, 150 + 10 * i, **changes) for i in range(n)]  # type: ignore[arg-type]


def test_trials_are_dealt_at_random_and_each_is_tested_once() -> None:
    config = SplitConfig(by="recording", folds=5)
    folds = [split(trials(), k, config, 60, 86.0) for k in range(5)]
    tested = [b.recording for blocks in folds for b in blocks if b.role == "test"]
    assert sorted(tested) == list(range(20))
    assert tested != sorted(tested)
    again = split(trials(), 0, SplitConfig(by="recording", folds=5, seed=1), 60, 86.0)
    assert again != folds[0]


def test_trials_of_one_whole_stimulus_stay_together() -> None:
    texts = ["we will go home now", "they have not seen it", "what is the time", "one", "one"] * 8
    found = [Timeline(f"t{i}", "s", 0, 200, (), (), text) for i, text in enumerate(texts)]
    for by in ("recording", "block"):
        for fold in range(3):
            blocks = split(found, fold, SplitConfig(by=by, folds=3, seed=fold), 60, 86.0)
            roles: dict[str, set[str]] = {}
            for block in blocks:
                roles.setdefault(texts[block.recording], set()).add(block.role)
            assert all(len(r) == 1 for text, r in roles.items() if text != "one"), by


@pytest.mark.parametrize("frames", [[200] * 8, [4000, 4000]])
def test_two_sessions_take_turns_and_the_end_of_the_other_validates(frames: list[int]) -> None:
    """Of trials, and of one long recording each."""
    half, gap = len(frames) // 2, 60
    found = [Timeline(f"t{i}", f"s{i // half}", 0, n) for i, n in enumerate(frames)]
    for fold in range(2):
        blocks = split(found, fold, SplitConfig(by="session", folds=2), gap, 86.0)
        of = {role: [b for b in blocks if b.role == role] for role in ROLES}
        assert {found[b.recording].session for b in of["test"]} == {f"s{fold}"}
        assert sum(b.stop - b.start for b in of["test"]) == sum(frames) // 2
        assert {found[b.recording].session for b in of["train"] + of["validation"]} == {f"s{1 - fold}"}
        last = max(of["train"], key=lambda b: (b.recording, b.stop))
        first = min(of["validation"], key=lambda b: (b.recording, b.start))
        assert last.recording < first.recording or last.stop + gap <= first.start
    ordered = split(found, 0, SplitConfig(by="session", folds=1, order="chronological"), gap, 86.0)
    assert {found[b.recording].session for b in ordered if b.role == "test"} == {"s1"}


def test_more_folds_than_two_sessions_name_what_would_do() -> None:
    with pytest.raises(InputError, match=r"2 sessions for 5 folds.*Set split.folds: 2"):
        split(trials(10), 0, SplitConfig(by="session"), 60, 86.0)


def test_words_in_equal_order_are_one_stimulus_and_single_words_are_not() -> None:
    def said(*words: str) -> tuple[Event, ...]:
        return tuple(Event(float(i), 0.5, word) for i, word in enumerate(words))

    found = [
        Timeline(f"t{i}", "s", 0, 200, e)
        for i, e in enumerate([said("a", "b"), said("b", "a"), said("a", "b"), said("a"), said("a")])
    ]
    assert stimulus_groups(found) == [0, 1, 0, 3, 4]


def test_every_frame_of_a_trial_is_trained_on_or_tested() -> None:
    """By count, in trials that are shorter and longer than a window."""
    found = [Timeline(f"t{i}", "s", 3, 3 + n) for i, n in enumerate([40, 96, 97, 150, 500, 60, 119, 120, 200, 300])]
    length, hop = 96, 24
    for fold in range(3):
        blocks = split(found, fold, SplitConfig(by="recording", folds=3), 60, 86.0)
        seen = {role: np.zeros((len(found), 600), bool) for role in ROLES}
        for role in ROLES:
            for r, start in windows_in([b for b in blocks if b.role == role], found, length, hop, 26):
                seen[role][r, start : min(start + length, found[r].stop)] = True
        for i, trial in enumerate(found):
            covered = [role for role in ROLES if seen[role][i].any()]
            assert len(covered) == 1
            assert seen[covered[0]][i].sum() == trial.n_frames


def test_a_piece_of_a_recording_keeps_its_windows_as_they_were() -> None:
    found = windows_in([Block(0, "train", 100, 350)], [Timeline("a", "s", 0, 1000)], 96, 24, None)
    assert [start for _, start in found] == list(range(100, 350 - 96 + 1, 24))


# --- the workflow ------------------------------------------------------------------------------------------------


def test_the_simulator_makes_sessions_of_trials(tmp_path: Path) -> None:
    config = SimulateConfig(trials=3, trial_s=4, channels=4, dead_channels=0, noisy_channels=0, recordings=2)
    sheet = write_subjects(config, tmp_path)
    lines = sheet.read_text().splitlines()
    assert len(lines) == 1 + 6
    assert len(list(tmp_path.glob("*_channels.tsv"))) == 2
    assert len(np.load(tmp_path / "sim01_run01_0003_audio.npy")) == 4 * config.audio_rate_hz


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on one session of nine trials."""
    work = tmp_path_factory.mktemp("session")
    (work / "config.yaml").write_text(TRIALS)
    result = snakemake(work, "results/eval.json")
    assert result.returncode == 0, result.stdout[-4000:]
    (work / "jobs.txt").write_text("\n".join(jobs_run(result.stdout)))
    return work


def test_a_session_is_one_job_of_each_stage(session: Path) -> None:
    jobs = (session / "jobs.txt").read_text().split()
    assert {stage: jobs.count(stage) for stage in ("ingest", "align", "mel", "contamination")} == {
        **dict.fromkeys(("ingest", "align", "mel", "contamination"), 1)
    }
    with h5py.File(session / "results/recordings/sim01_run01.h5") as file:
        assert len(file["trials"]) == 9
        assert file["trials/sim01_run01_0002/eeg/data"].shape[1] == 6
        assert len(file["trial_table/start_s"]) == 9
    assert not jobs_run(snakemake(session, "results/eval.json").stdout), "a second run does nothing"


def test_windows_lie_within_their_trials(session: Path) -> None:
    windows = read_windows(session / "results/windows/sim01.h5")
    assert windows.session_names == ["sim01_run01"]
    for r, start in windows.starts.tolist():
        assert windows.usable[r, 0] <= start < windows.usable[r, 1]
    for block in windows.blocks:
        assert windows.usable[block.recording, 0] <= block.start < block.stop <= windows.usable[block.recording, 1]
    assert set(ROLE_NAMES.values()) == {"train", "validation", "test"}


@pytest.fixture(scope="module")
def causal_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, causal and hardly trained."""
    work = tmp_path_factory.mktemp("causal_session")
    (work / "config.yaml").write_text(
        TRIALS.replace("max_steps: 20, steps_per_epoch: 10", "max_steps: 4, steps_per_epoch: 2") + CAUSAL
    )
    result = snakemake(work, "results/predictions/sim01/fold0.h5", "results/baselines/sim01/fold0.h5")
    assert result.returncode == 0, result.stdout[-4000:]
    return work


def aligned_with_other_neighbours(work: Path, folder: Path, kept: str) -> Path:
    """The session of ``work`` aligned anew, with noise as the neural recording of every trial but ``kept``."""
    config = yaml.safe_load((work / "config.yaml").read_text())
    write_subjects(SimulateConfig(**config["simulate"]), folder / "raw")
    rng = np.random.default_rng(1)
    for file in (folder / "raw").glob("*_eeg.npy"):
        samples = np.load(file)
        if not file.name.startswith(f"{kept}_"):
            np.save(file, rng.normal(0, samples.std(), samples.shape).astype(samples.dtype))
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"data": {"sheet": "raw/recordings.tsv"}}))
    result = snakemake(folder, "results/aligned/sim01_run01.h5")
    assert result.returncode == 0, result.stdout[-4000:]
    return folder / "results/aligned/sim01_run01.h5"


@pytest.mark.parametrize("fixture", ["session", pytest.param("causal_session", marks=pytest.mark.slow)])
def test_a_trial_is_predicted_as_if_its_neighbours_were_others(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """From raw files on: features, the ridge and the trained networks say the same of it, to the bit."""
    work: Path = request.getfixturevalue(fixture)
    windows = read_windows(work / "results/windows/sim01.h5")
    block = windows.blocks_of(0, "test")[0]
    kept = block.recording
    own, mel = work / "results/aligned/sim01_run01.h5", work / "results/mel/sim01_run01.h5"
    other = aligned_with_other_neighbours(work, tmp_path, windows.recordings[kept])
    stage = PredictStage.from_json(stage_json("predict", load_config([work / "config.yaml"])))
    before, after = (load_subject(windows, [aligned], [mel], stage) for aligned in (own, other))
    for r, (x, y) in enumerate(zip(before.features, after.features, strict=True)):
        assert np.array_equal(x, y) == (r == kept)

    spans = {role: [(b.recording, b.start, b.stop) for b in windows.blocks_of(0, role)] for role in ROLES}
    lags = (26, 0 if stage.causal else 26)
    choice = RidgeChoice(False, None, 100.0)
    ridge = tuned_ridge(before.features, before.mel, spans["train"], spans["validation"], lags, choice=choice).refit
    model, _ = load_model(work / "results/train/sim01/fold0/model.ckpt")
    hop = stage.mel.frames(stage.window.hop_s)
    said: dict[bool, list[np.ndarray]] = {}
    for is_other, arrays in enumerate((before, after)):
        x, at = arrays.features[kept], (block.start, block.stop)
        said[bool(is_other)] = [predict_continuous(model, x, *at, hop).mel, ridge.predict(x, *at)]
    for mine, its in zip(said[False], said[True], strict=True):
        np.testing.assert_array_equal(mine, its)
    predictions = read_predicted(work / "results/predictions/sim01/fold0.h5", PREDICTIONS)
    (stored,) = [b for b in predictions.blocks if b.recording == windows.recordings[kept]]
    np.testing.assert_allclose(said[True][0], stored.series["model"], atol=1e-5)


def test_a_training_window_holds_nothing_of_the_next_trial() -> None:
    """A short trial's window and context repeat its edges, whoever follows."""
    from pipeline.data.batches import WindowSet
    from pipeline.data.training_data import TrainingData

    rng = np.random.default_rng(0)
    batches = []
    for _ in range(2):
        neighbours = [rng.standard_normal((n, 3)).astype(np.float32) for n in (150, 200)]
        own = np.arange(210, dtype=np.float32).reshape(70, 3)
        arrays = [neighbours[0], own, neighbours[1]]
        windows = np.array([[1, 0]])
        data = TrainingData(arrays, arrays, [0, 0, 0], windows, windows, length=96, context=26)
        batches.append(WindowSet(data).__getitems__([(1, 0)]))
    for name, values in batches[0].items():
        np.testing.assert_array_equal(values, batches[1][name])
    assert batches[0]["features"].max() == 209


def test_every_frame_of_every_trial_of_a_run_is_trained_on_or_tested(session: Path) -> None:
    """By count, in the windows that the run made: over the roles of a fold, each usable frame once."""
    windows = read_windows(session / "results/windows/sim01.h5")
    length = int(windows.attributes["length_frames"])
    for fold in windows.folds:
        seen = {r: np.zeros((len(ROLES), stop), bool) for r, (_, stop) in enumerate(windows.usable.tolist())}
        for code, role in enumerate(ROLES):
            for r, start in windows.of(fold, role).tolist():
                seen[r][code, start : start + length] = True
        for r, (start, stop) in enumerate(windows.usable.tolist()):
            assert seen[r][:, start:stop].any(axis=0).all(), windows.recordings[r]
            assert seen[r].any(axis=1).sum() == 1, windows.recordings[r]


def test_padding_enters_no_loss(session: Path) -> None:
    from pipeline.data.batches import WindowSet
    from pipeline.data.training_data import TrainingData

    rng = np.random.default_rng(0)
    features = [rng.standard_normal((n, 3)).astype(np.float32) for n in (70, 200)]
    mel = [rng.standard_normal((n, 4)).astype(np.float32) for n in (70, 200)]
    windows = np.array([[0, 0], [1, 104]])
    data = TrainingData(features, mel, [0, 0], windows, windows, length=96, context=26, stops=[60, 200])
    batch = WindowSet(data).__getitems__([(0, 0), (1, 104)])
    assert batch["mask"].sum(1).tolist() == [60, 96]
    assert data.spans("train") == [(0, 0, 60), (1, 104, 200)]


def test_the_doctor_has_a_paragraph_for_a_session(lab: Lab) -> None:
    lab.cell(0, session="1", modality="emg")
    lab.cell(1, session="1", modality="emg")
    from pipeline.doctor.command import session_text, settings_of
    from pipeline.doctor.recordings import examine

    lab.monkeypatch.chdir(lab.folder)
    plan = load_plan(Path(), [Path("my.yaml")], [], is_job=False)
    (one,) = plan.sessions.values()
    text = session_text(examine(one, settings_of(plan)))
    assert text.startswith("s1_1 (subject s1)\n  trials 2, of 8.0 to 8.0 s, median 8.0 s\n  muscle 16.0 s, 4 channels")


def test_the_doctor_has_two_lines_for_each_of_many_sessions(lab: Lab) -> None:
    """Six sessions: what holds for all is said once, and a silent trial is named with its own session."""
    row = lab.rows[0]
    for i in range(1, 7):
        np.save(lab.folder / f"eeg{i}.npy", brain(i))
        np.save(lab.folder / f"voice{i}.npy", voice(i))
    files = [{"recording": f"run{i}", "eeg": f"eeg{i}.npy", "audio": f"voice{i}.npy"} for i in range(1, 7)]
    lab.rows = [row | own | {"session": str(i), "modality": "emg"} for i, own in enumerate(files, 1)]
    lab.write_sheet()
    lab.monkeypatch.chdir(lab.folder)
    said: list[str] = []
    check_run(load_plan(Path(), [Path("my.yaml")], [], is_job=False), said.append)
    lines = "\n".join(said).splitlines()
    heads = [line for line in lines if line.startswith("s1_")]
    assert [head.split("sound ")[1] for head in heads] == ["8.0 s at 16000 Hz, audio_modified unknown"] * 6
    assert len([line for line in lines if line.startswith("  clock  ")]) == 6
    assert [line.split(": ")[0] for line in lines if line.startswith("note")] == ["note    all sessions"]
    assert any(line.startswith("leak    all sessions: no") for line in lines)
    assert len(lines) < 30
    np.save(lab.folder / "voice3.npy", np.zeros_like(voice(3)))
    said.clear()
    with pytest.raises(InputError, match=r"voice3\.npy.*silence"):
        check_run(load_plan(Path(), [Path("my.yaml")], [], is_job=False), said.append)
    (silent,) = (text for text in said if text.startswith("s1_3  ✗"))
    assert "\n  ✗ " in silent
    assert "silence" in silent


def test_a_further_trial_costs_each_stage_as_much_as_the_one_before(lab: Lab) -> None:
    """Counted in calls of Python functions, so that no clock decides."""
    lab.monkeypatch.chdir(lab.folder)
    np.save("eeg1.npy", brain()[:1500])
    np.save("voice1.npy", voice()[:24000])
    given = {
        "eeg": "eeg1.npy",
        "eeg_units": "uV",
        "audio": "voice1.npy",
        "audio_rate_hz": 16000.0,
        "eeg_rate_hz": 1000.0,
    }

    def calls(stage: str, n: int, *options: str) -> int:
        counter = itertools.count()
        sys.setprofile(lambda *event: next(counter) if event[1] == "call" else None)
        try:
            outcome = lab.script(stage, stage_config(stage), *options, "--output", f"{stage}{n}.h5")
        finally:
            sys.setprofile(None)
        assert outcome.code == 0, outcome.errors
        return next(counter)

    def stages(n: int) -> list[int]:
        """Calls of each stage, for a session of ``n`` trials."""
        (session,) = sessions_of(row(f"t{i:02d}", session="one", **given) for i in range(n))
        return [
            calls("ingest", n, *plan_options("plan.json", SessionPlan.of(session, {}))),
            calls("align", n, "--recording", f"ingest{n}.h5"),
            calls("contamination", n, "--recording", f"ingest{n}.h5"),
            calls("mel", n, "--aligned", f"align{n}.h5"),
        ]

    stages(1)  # imports
    for few, more, many in zip(stages(8), stages(16), stages(32), strict=True):
        assert many - more < 2.2 * (more - few)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    folder = tmp_path / "lab"
    folder.mkdir()
    return Lab(folder, monkeypatch, capsys)
