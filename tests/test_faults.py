"""Full disks, limits, read-only folders, viewers, jobs that fail: messages, remaining files, kept results."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from conftest import ROOT, SMALL, jobs_run, snakemake
from pipeline import cli
from pipeline.artifacts import paths
from pipeline.artifacts.core import Provenance, Schema, create, header, opened_any, recomputed_digest
from pipeline.artifacts.files import require_space, write_text
from pipeline.artifacts.sidecar import damaged_files
from pipeline.doctor.preflight import check_raw_files
from pipeline.errors import EXIT_CANNOT_WRITE, CannotWriteError, InputError
from pipeline.provenance.freshness import content_of
from pipeline.run.archive import ARCHIVE, KEPT, keep_results, kept, kept_line
from pipeline.run.failures import exit_code, failures, written_logs
from pipeline.run.plan import load_plan

MEL, VOCODE = "mel", "vocode"
Run = subprocess.CompletedProcess[str]


def mounted(place: Path, *options: str) -> None:
    """Mount a tmpfs; skips where that is not allowed."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
    result = subprocess.run(command, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if result is None or result.returncode:
        pytest.skip("a small disk can be mounted by root only")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    place = tmp_path / "disk"
    mounted(place, "size=3m")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def stage(chain: Path, name: str, output: Path, prepare: Callable[[], None] | None = None) -> Run:
    """Run the script of ``mel`` or ``vocode`` on the inputs of a finished run, into ``output``."""
    made = chain / "results" / ("mel/sim01_run01.h5" if name == MEL else "sound/sim01/fold0/provenance.json")
    about = header(made) if made.suffix == ".h5" else json.loads(made.read_text())
    aligned = ["--aligned", "results/aligned/sim01_run01.h5"]
    inputs = (
        aligned if name == MEL else [*aligned, "--predictions", "results/predictions/sim01/fold0.h5", "--checkpoint"]
    )
    command = [sys.executable, str(ROOT / f"workflow/scripts/{name}.py"), "--config", about["config_json"], *inputs]
    command += ["--log", str(output.parent / f"{name}.log"), "--output", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=chain, capture_output=True, text=True, check=False, env=environment, preexec_fn=prepare
    )


def main_py(work: Path, *arguments: str, home: Path = ROOT, prepare: Callable[[], None] | None = None) -> Run:
    """``main.py`` of the source tree ``home`` in ``work``; what it said is in ``.stdout``."""
    command = [sys.executable, str(home / "main.py"), "--config", "config.yaml", "--cores", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(home / "src")}
    return subprocess.run(
        command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env=environment, preexec_fn=prepare,
    )  # fmt: skip


def errors_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


def files_in(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".log"}


# --- no space ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [MEL, pytest.param(VOCODE, marks=pytest.mark.slow)])
def test_a_full_disk_is_one_error_line_and_leaves_nothing(chain: Path, disk: Path, name: str) -> None:
    output = disk / ("mel.h5" if name == MEL else "sound")
    (disk / "ballast").write_bytes(bytes(2_500_000))
    full = stage(chain, name, output)
    assert full.returncode == EXIT_CANNOT_WRITE, full.stderr
    (line,) = errors_of(full.stderr)
    assert "space" in line
    assert line.endswith("Fix: Free space on its disk, then start again")
    assert "Traceback" not in full.stderr
    assert files_in(disk) == {"ballast"}
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    again = stage(chain, name, output)
    assert again.returncode == 0, again.stderr
    whole = output if name == MEL else output / "provenance.json"
    original = chain / "results" / ("mel/sim01_run01.h5" if name == MEL else "sound/sim01/fold0/provenance.json")
    assert content_of(str(whole)) == content_of(str(original))


def test_a_limit_on_the_size_of_files_is_named(chain: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    result = stage(chain, MEL, tmp_path / "mel.h5", limit)
    assert result.returncode == EXIT_CANNOT_WRITE, result.stderr
    (line,) = errors_of(result.stderr)
    assert "ulimit -f" in line
    assert files_in(tmp_path) == set()


HDF5_ON_A_FULL_DISK = """
import os, sys
from pathlib import Path
import numpy as np
from pipeline.artifacts import core
from pipeline.errors import CannotWriteError
core.require_space = lambda *_: None
try:
    with core.create(Path(sys.argv[1]), core.Schema("sample", 1, "align"), core.Provenance()) as writer:
        writer.array("x", np.random.default_rng(0).random(1_000_000), ["time"])
except CannotWriteError as error:
    print(error, flush=True)
    os._exit(error.exit_code)
"""


def test_a_disk_that_fills_up_while_hdf5_writes_leaves_nothing(disk: Path) -> None:
    """The check beforehand cannot know what others write meanwhile."""
    result = subprocess.run(
        [sys.executable, "-c", HDF5_ON_A_FULL_DISK, str(disk / "a.h5")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == EXIT_CANNOT_WRITE, result.stderr
    assert "no space left on device" in result.stdout
    assert files_in(disk) == set()


def test_space_is_checked_before_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=30_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    require_space(tmp_path, 20_000_000)
    with pytest.raises(CannotWriteError, match=r"30.0 MB of free space, expected at least 31.*"):
        require_space(tmp_path, 30_000_000)
    with (
        pytest.raises(CannotWriteError),
        create(tmp_path / "a.h5", Schema("sample", 1, "align"), Provenance()) as writer,
    ):
        writer.stream("x", (5_000_000,), np.float32, ["time"])
        writer.stream("y", (5_000_000,), np.float32, ["time"])
    assert files_in(tmp_path) == set()


# --- read-only --------------------------------------------------------------------------------------


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Permissions do not bind root, a mount does."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    mounted(folder, "ro")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("folder", ["results", "logs", ".snakemake", "results/mel"])
def test_a_read_only_folder_is_one_error_line(chain: Path, tmp_path: Path, folder: str) -> None:
    if folder == "results/mel":
        (tmp_path / folder).mkdir(parents=True)
        with read_only(tmp_path / folder):
            result = stage(chain, MEL, tmp_path / folder / "x.h5")
    else:
        (tmp_path / "config.yaml").write_text(SMALL)
        (tmp_path / folder).mkdir()
        with read_only(tmp_path / folder):
            result = main_py(tmp_path)
    printed = (result.stdout or "") + (result.stderr or "")
    assert result.returncode == EXIT_CANNOT_WRITE, printed
    (line,) = printed.splitlines()
    assert line.startswith("error: ")
    assert "read-only" in line or "permission denied" in line
    assert "Fix: Make " in line


@pytest.mark.parametrize("command", [["simulate"], ["import", "brain.npy", "--eeg-rate", "512", "--units", "uV"]])
def test_raw_data_cannot_be_written_into_a_read_only_folder(tmp_path: Path, capsys, monkeypatch, command) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("brain.npy", np.random.default_rng(0).normal(0, 50, (5120, 2)).astype(np.float32))
    Path("closed").mkdir()
    with read_only(tmp_path / "closed"):
        assert cli.main([*command, "--out", "closed/raw"]) == EXIT_CANNOT_WRITE
    assert "Fix: Make the folder writable" in capsys.readouterr().err


# --- viewers ----------------------------------------------------------------------------------------


def test_a_viewer_that_holds_files_open_breaks_nothing_and_sees_no_change(chain: Path, tmp_path: Path) -> None:
    output = tmp_path / "mel.h5"
    shutil.copy(chain / "results/mel/sim01_run01.h5", output)
    with h5py.File(output, "r") as viewer, h5py.File(chain / "results/aligned/sim01_run01.h5", "r"):
        before = viewer["trials/sim01_run01/mel/data"][:]
        result = stage(chain, MEL, output)
        assert result.returncode == 0, result.stderr
        np.testing.assert_array_equal(viewer["trials/sim01_run01/mel/data"][:], before)
        with opened_any(output) as fresh:
            assert recomputed_digest(fresh) == fresh.content_digest


# --- what became of a run's jobs ----------------------------------------------------------------------


def test_the_last_line_of_a_log_says_how_its_job_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = "2026-01-01 00:00:00,000 INFO mel: start, for x\n"
    logs = {
        "good": start + "2026-01-01 00:00:01,000 INFO mel: done in 1.0 s: x\n",
        "killed": start,
        "named": start + "2026-01-01 00:00:01,000 ERROR error: a\n2026-01-01 00:00:01,000 ERROR mel: exit code 3\n",
    }
    for name, text in logs.items():
        write_text(Path(f"logs/mel/{name}.log"), text)
    found = failures({})
    assert [(f.log.stem, f.exit_code) for f in found] == [("killed", None), ("named", 3)]
    assert str(found[0]).startswith("error: logs/mel/killed.log: the job was ended from outside")
    assert str(found[1]) == "error: a"
    assert exit_code(found, otherwise=1) == 1
    assert exit_code(found[1:], otherwise=1) == 3
    assert exit_code(found[:1], otherwise=1) == exit_code([], otherwise=1) == 1
    before = written_logs()
    os.utime("logs/mel/killed.log", (2**32, 2**32))
    before |= {Path("logs/mel/killed.log"): written_logs()[Path("logs/mel/killed.log")]}
    assert failures(before) == [], "of an earlier run, though its clock was ahead"
    write_text(Path("logs/mel/named.log"), logs["named"])
    assert [f.log.stem for f in failures(before)] == ["named"]


# --- the earlier results ------------------------------------------------------------------------------


@pytest.fixture
def work(chain: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, all times kept."""
    return Path(shutil.copytree(chain, tmp_path / "work", symlinks=True))


def test_finished_results_are_archived_once_whole_and_at_no_cost(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    folder = keep_results()
    assert folder is not None
    assert files_in(folder) == {"eval.json", "scores.tsv", "report.html", "eval.provenance.json", "fold0.h5"}
    assert damaged_files(folder / "eval.provenance.json") == []
    Path("results/scores.tsv").write_bytes(b"edited in place")
    assert damaged_files(folder / "eval.provenance.json") == []
    shutil.copy(folder / "scores.tsv", "results/scores.tsv")
    assert (folder / "predictions/sim01/fold0.h5").samefile("results/predictions/sim01/fold0.h5")
    assert keep_results() == folder
    assert kept_line() == [f"the earlier results are kept in {folder}"]


def test_damaged_or_inconsistent_results_are_not_archived(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    shutil.copy("results/baselines/sim01/fold0.h5", "results/predictions/sim01/fold0.h5")
    folder = keep_results()
    assert folder is not None
    assert "fold0.h5" not in files_in(folder), "predictions that were not scored do not belong to the scores"
    shutil.rmtree(ARCHIVE)
    Path("results/scores.tsv").write_text("other")
    assert keep_results() is None
    Path("results/eval.provenance.json").unlink()
    assert keep_results() is None
    assert kept() == []


def test_the_oldest_archives_go(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    for i in range(KEPT + 2):
        (ARCHIVE / f"{i:016d}").mkdir(parents=True)
        os.utime(ARCHIVE / f"{i:016d}", (i, i))
    newest = keep_results()
    assert kept() == [newest, *(ARCHIVE / f"{i:016d}" for i in (KEPT + 1, KEPT))]


def test_the_present_results_are_the_newest_though_the_clock_was_set_back(work: Path, monkeypatch) -> None:
    monkeypatch.chdir(work)
    for i in range(KEPT + 1):
        (ARCHIVE / f"{i:016d}").mkdir(parents=True)
        os.utime(ARCHIVE / f"{i:016d}", (2**32 + i, 2**32 + i))
    newest = keep_results()
    assert newest is not None
    assert kept() == [newest, *(ARCHIVE / f"{i:016d}" for i in (KEPT, KEPT - 1))]
    assert files_in(newest)


def test_a_clock_that_was_ahead_stops_no_run(work: Path) -> None:
    """Snakemake fails a job whose output is older than its inputs, with "clock skew": at every start again."""
    ahead = [file for file in (work / "results").rglob("*") if file.is_file()]
    for file in ahead:
        os.utime(file, (2**32, 2**32))
    result = snakemake(work, "results/eval.json", "--forcerun", "evaluate")
    assert result.returncode == 0, result.stdout[-2000:]
    assert jobs_run(result.stdout) == ["evaluate"]
    assert max(file.stat().st_mtime for file in ahead) < 2**32


def test_a_checkpoint_that_is_dated_ahead_is_named(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    shutil.copy(paths.model("sim01", 0), "begin.ckpt")
    shutil.copy(paths.model_sidecar("sim01", 0), "begin.json")
    os.utime("begin.ckpt", (2**32, 2**32))
    plan = load_plan(ROOT, [Path("config.yaml")], [{"train": {"init_from": "begin.ckpt"}}], is_job=False)
    with pytest.raises(InputError, match=r"begin\.ckpt: got a file that is dated in the future"):
        check_raw_files(plan)


# --- whole runs ---------------------------------------------------------------------------------------


@pytest.fixture
def faulty(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the source tree whose training meets a fault at step 20."""

    def make(fault: str) -> Path:
        home = tmp_path / "source"
        for part in ("src", "workflow", "profiles", "config"):
            shutil.copytree(ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for part in ("Snakefile", "main.py"):
            shutil.copy2(ROOT / part, home)
        module = home / "src/pipeline/training/lightning_module.py"
        place = "        if not torch.isfinite(loss):\n"
        text = module.read_text()
        assert place in text
        module.write_text(text.replace(place, f"        if self.global_step == 20:\n            {fault}\n{place}"))
        return home

    return make


NAMED = {
    "loss = loss * float('nan')": (3, r"error: stage train: loss is not finite at step 20, recordings sim01_run01"),
    "raise torch.cuda.OutOfMemoryError('CUDA out of memory')": (
        4,
        r"error: stage train: out of memory with train.batch_size \d+ and windows of [\d.]+ s; lower one of them",
    ),
    "os.kill(os.getpid(), 9)": (1, r"error: logs/train/sim01/fold0/0-corrector.log: the job was ended from outside .*"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", NAMED, ids=["not finite", "out of memory", "killed"])
def test_a_rerun_that_fails_names_its_reason_and_keeps_the_earlier_results(
    work: Path, faulty: Callable[[str], Path], fault: str
) -> None:
    code, line = NAMED[fault]
    earlier = {name: (work / "results" / name).read_bytes() for name in ("eval.json", "scores.tsv", "report.html")}
    home = faulty(fault if "os." not in fault else f"import os; {fault}")
    result = main_py(work, "--printshellcmds", home=home)
    assert result.returncode == code, result.stdout[-3000:]
    assert any(re.fullmatch(line, printed) for printed in errors_of(result.stdout)), result.stdout[-3000:]
    (kept_in,) = re.findall(r"^the earlier results are kept in (results/archive/\S+)$", result.stdout, re.MULTILINE)
    assert {name: (work / kept_in / name).read_bytes() for name in earlier} == earlier
    assert header(work / kept_in / "predictions/sim01/fold0.h5")["stage"] == "predict"
    command = re.search(r"^        (\S*python\S* \S*train\.py .*)$", result.stdout, re.MULTILINE)
    assert command
    if code > 1:
        environment = {**os.environ, "PYTHONPATH": str(home / "src")}
        alone = subprocess.run(
            ["bash", "-c", command[1]], cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        assert alone.returncode == code
        assert [printed for printed in errors_of(alone.stderr) if re.fullmatch(line, printed)]
        assert "Traceback" not in alone.stderr


@pytest.mark.slow
def test_evaluate_that_fails_on_a_rerun_loses_nothing(work: Path) -> None:
    earlier = (work / "results/eval.json").read_bytes()
    config = (work / "config.yaml").read_text()
    (work / "config.yaml").write_text(config.replace("bootstrap: 100", "bootstrap: 101"))
    read_by_evaluate_alone = work / "results/contamination/sim01_run01.h5"
    with h5py.File(read_by_evaluate_alone) as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) and item.chunks else None)
        place = found[0].id.get_chunk_info(0).byte_offset
    before = read_by_evaluate_alone.stat()
    with read_by_evaluate_alone.open("r+b") as file:  # values alone: what the start looks at is as it was
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    os.utime(read_by_evaluate_alone, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = main_py(work)
    assert result.returncode == 2, result.stdout[-3000:]
    assert any("contamination/sim01_run01.h5" in line for line in errors_of(result.stdout))
    assert not (work / "results/eval.json").exists(), "what Snakemake deletes"
    (kept_in,) = re.findall(r"^the earlier results are kept in (\S+)$", result.stdout, re.MULTILINE)
    assert (work / kept_in / "eval.json").read_bytes() == earlier
    read_by_evaluate_alone.unlink()
    assert main_py(work).returncode == 0
    assert damaged_files(work / "results/eval.provenance.json") == []


@pytest.mark.slow
def test_a_run_on_a_full_disk_recovers_once_there_is_space(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    mounted(place, "size=16m")
    try:
        (place / "config.yaml").write_text(SMALL)
        full = main_py(place)
        assert full.returncode == EXIT_CANNOT_WRITE, full.stdout[-3000:]
        assert any("space" in line and "Fix: Free space" in line for line in errors_of(full.stdout))
        assert not list(place.rglob("*.tmp"))
        for artifact in place.glob("results/**/*.h5"):
            with opened_any(artifact) as whole:
                assert recomputed_digest(whole) == whole.content_digest
        subprocess.run(["mount", "-o", "remount,size=512m", str(place)], check=True)
        again = main_py(place)
        assert again.returncode == 0, again.stdout[-3000:]
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_main_py_ends_its_jobs_on_a_signal_and_training_resumes(tmp_path: Path, number: int) -> None:
    (tmp_path / "config.yaml").write_text(SMALL.replace("max_steps: 30", "max_steps: 100000, patience: 99999"))
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml", "--cores", "2"]
    printed = tmp_path / "said"
    with printed.open("w") as log:
        run = subprocess.Popen(
            command, cwd=tmp_path, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    while run.poll() is None and " epoch 0: " not in printed.read_text():
        time.sleep(0.2)
    run.send_signal(number)
    assert run.wait() == 5, printed.read_text()[-3000:]
    assert "training was interrupted; start again to resume it" in printed.read_text()
    assert not list((tmp_path / ".snakemake/locks").glob("*"))
    assert list(tmp_path.glob("results/train/sim01/fold0/*/runs/*/last.ckpt"))
