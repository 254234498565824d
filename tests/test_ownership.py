"""Two runs in one folder, and what a killed run leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from conftest import ROOT, SMALL
from pipeline.artifacts.files import locked
from pipeline.errors import CannotWriteError
from pipeline.run.ownership import _is_snakemake
from pipeline.run.prologue import answer_in_a_thread

SLOW_TRAINING = SMALL.replace("max_steps: 30", "max_steps: 100000")


def start(work: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml", "--cores", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = (work / "run.log").open("w")
    return subprocess.Popen(command, cwd=work, stdout=log, stderr=log, text=True, env=environment)


def wait_for(condition, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.2)


def here(work: Path) -> list[psutil.Process]:
    """All Python processes in the folder, those that training started among them."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.AccessDenied, psutil.NoSuchProcess):
            if process.cwd() == str(work) and "python" in process.name() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def jobs(work: Path) -> list[psutil.Process]:
    return [p for p in here(work) if any("workflow/scripts/train.py" in c for c in p.info["cmdline"] or [])]


@pytest.fixture
def training(tmp_path: Path):
    """A run whose training has written its first checkpoint and would go on for hours."""
    (tmp_path / "config.yaml").write_text(SLOW_TRAINING)
    run = start(tmp_path)
    try:
        wait_for(lambda: run.poll() is not None or list(tmp_path.glob("results/train/**/last.ckpt")))
        assert run.poll() is None, (tmp_path / "run.log").read_text()[-3000:]
        yield tmp_path, run
    finally:
        for process in [*psutil.Process(run.pid).children(recursive=True)] if run.poll() is None else []:
            process.kill()
        run.kill()
        run.wait()
        for job in jobs(tmp_path):
            job.kill()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/env/bin/python3", "/env/bin/snakemake", "--cores", "8", "results/eval.json"], True),
        (["/env/bin/python3", "-m", "snakemake", "--cores", "8"], True),
        (["python", "-m", "snakemake", "--cores", "all", "--mode", "remote"], False),
        (["python", "-m", "snakemake", "--directory", "elsewhere", "--cores", "8"], False),
        (["vim", "notes on snakemake.md"], False),
        (["bash", "-c", "cd x && snakemake --cores 8"], False),
        ([], False),
    ],
)
def test_snakemake_is_distinguished_from_what_only_names_it(command: list[str], expected: bool) -> None:
    assert _is_snakemake(command) is expected


def test_a_second_run_is_refused_and_a_killed_one_recovered(training) -> None:
    work, run = training
    second = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml"], cwd=work, capture_output=True, text=True
    )
    assert second.returncode == 2
    assert "one run at a time" in second.stderr

    for process in psutil.Process(run.pid).children():
        process.send_signal(signal.SIGKILL)
    run.send_signal(signal.SIGKILL)
    run.wait()
    (orphan,) = jobs(work)
    (work / "config.yaml").write_text(SMALL)
    recovered = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml"], cwd=work, capture_output=True, text=True
    )
    assert recovered.returncode == 0, recovered.stderr[-3000:]
    assert "ended 1 job(s)" in recovered.stderr
    assert not orphan.is_running()
    assert (work / "results/eval.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("everyone", [False, True], ids=["train.py killed", "SIGTERM to all"])
def test_processes_of_a_training_end_with_it(tmp_path: Path, everyone: bool) -> None:
    long = "devices: 2, max_steps: 100000, patience: 99999"
    (tmp_path / "config.yaml").write_text(SLOW_TRAINING.replace("max_steps: 100000", long))
    run = start(tmp_path)
    log = tmp_path / "run.log"
    wait_for(lambda: run.poll() is not None or list(tmp_path.glob("results/train/**/last.ckpt")))
    (training,) = jobs(tmp_path)
    shares = [p for p in training.children() if "spawn_main" in " ".join(p.cmdline())]
    assert len(shares) == 2, log.read_text()[-3000:]
    if everyone:
        for process in here(tmp_path):
            process.terminate()
    else:
        training.kill()
    psutil.wait_procs(shares, timeout=20)
    assert not any(share.is_running() for share in shares)
    run.wait()
    wait_for(lambda: here(tmp_path) == [], 20)
    if everyone:
        assert "training was interrupted; start again to resume it" in log.read_text()


@pytest.mark.slow
def test_networks_are_trained_side_by_side_and_end_with_their_run(tmp_path: Path) -> None:
    config = SLOW_TRAINING.replace("{preset: tiny}", "{preset: tiny, networks: 2}")
    (tmp_path / "config.yaml").write_text(config.replace("max_steps: 100000", "max_steps: 100000, patience: 99999"))
    run = start(tmp_path)
    wait_for(lambda: run.poll() is not None or len(list(tmp_path.glob("results/train/**/last.ckpt"))) == 2)
    assert len(jobs(tmp_path)) == 2, (tmp_path / "run.log").read_text()[-3000:]
    run.terminate()
    assert run.wait() == 5
    wait_for(lambda: here(tmp_path) == [], 20)
    said = (tmp_path / "run.log").read_text()
    assert said.count("error: stage train: training was interrupted; start again to resume it") >= 2


def test_a_signal_handler_does_not_wait_for_what_it_interrupted() -> None:
    """Snakemake's own takes a lock that the interrupted code may hold, and would wait for it for ever."""
    lock, named = threading.Lock(), threading.Event()

    def handler(number: int, frame: object) -> None:
        with lock:
            named.set()

    before = signal.signal(signal.SIGTERM, handler)
    try:
        answer_in_a_thread(signal.SIGTERM)
        with lock:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not named.wait(0.2)
        assert named.wait(5.0)
    finally:
        signal.signal(signal.SIGTERM, before)


# --- file systems without locks --------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_a_file_stands_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def without(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.lockf", without)
    lock, busy = tmp_path / "results/.run.lock", RuntimeError("busy")
    owner = lock.with_name(".run.lock.owner")
    with locked(lock, busy):
        mine = owner.read_text()
        with pytest.raises(RuntimeError, match="busy"), locked(lock, busy):
            pytest.fail("two at once")
    assert not owner.exists()
    ended = subprocess.Popen(["true"])
    ended.wait()
    owner.write_text(f"{mine.split()[0]} {ended.pid}\n")
    with locked(lock, busy):
        assert owner.read_text() == mine, "that of a killed process is taken over"
    owner.write_text(f"{'0' * 16} {ended.pid}\n")
    with pytest.raises(RuntimeError, match="busy"), locked(lock, busy):
        pytest.fail("another host's process may be alive")


def test_a_lock_is_held_against_other_processes_and_not_through_a_link(tmp_path: Path) -> None:
    lock, busy = tmp_path / "lock", RuntimeError("busy")
    code = "import sys; from pathlib import Path; from pipeline.artifacts.files import locked\n"
    code += "with locked(Path(sys.argv[1]), SystemExit(7)): pass"
    with locked(lock, busy):
        assert subprocess.run([sys.executable, "-c", code, str(lock)], check=False).returncode == 7
    assert subprocess.run([sys.executable, "-c", code, str(lock)], check=False).returncode == 0
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotWriteError, match="Remove the link"), locked(tmp_path / "link", busy):
        pytest.fail("it was followed")
    assert not (tmp_path / "elsewhere").exists()
