"""The cluster profile: what it asks for, what recovers, and a run of the workflow on a real Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from conftest import ROOT, SMALL
from pipeline.config.loader import load_config
from pipeline.errors import InputError
from pipeline.run.ownership import owned_folder, stop_jobs
from pipeline.run.plan import load_plan
from pipeline.run.resources import RESOURCES, raw_gb, resources
from pipeline.run.slurm import ControllerSilentError, cancel_hopeless, jobs_here, refuse_orphans

sys.path.insert(0, str(ROOT / "tests" / "slurm"))
import local_slurm

PROFILES = {name: yaml.safe_load((ROOT / f"profiles/{name}/profile.yaml").read_text()) for name in ("default", "slurm")}
RUN = "seeg_0b0d8f4c-6a2e-4d0c-9f38-0d2a3c1f5e77"
SCRIPTS = ROOT / "workflow" / "scripts"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Slurm: squeue prints this file, scancel takes lines out of it; the work is in tmp_path/work."""
    bin_dir, work, file = tmp_path / "bin", tmp_path / "work", tmp_path / "queue"
    bin_dir.mkdir()
    work.mkdir()
    file.touch()
    commands = {"squeue": f"cat {file}", "scancel": f'for job; do sed -i "/^$job\x1f/d" {file}; done'}
    for name, command in commands.items():
        (bin_dir / name).write_text(f"#!/bin/sh\n{command}\n")
        (bin_dir / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_dir}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.chdir(work)
    return file


def line(
    number: int, name: str = RUN, folder: Path | None = None, state: str = "RUNNING", reason: str = "None",
    what: str = "rule_train_wildcards_a_0",
) -> str:  # fmt: skip
    return "\x1f".join([str(number), state, reason, what, name, str(folder or Path.cwd())]) + "\n"


def numbers(file: Path) -> list[str]:
    return [row.split("\x1f")[0] for row in file.read_text().splitlines()]


# --- the profile


def test_the_profiles_share_no_key() -> None:
    assert PROFILES["default"].keys() & PROFILES["slurm"].keys() == set()


def test_the_profile_names_rules_that_there_are() -> None:
    lines = [line for file in ROOT.glob("workflow/rules/*.smk") for line in file.read_text().splitlines()]
    rules = {line.split()[1].rstrip(":") for line in lines if line.startswith("rule ")}
    assert set(PROFILES["slurm"]["groups"]) | set(PROFILES["slurm"]["set-resources"]) <= rules


def test_training_alone_goes_to_the_gpus_and_gets_a_signal_before_its_time_is_up() -> None:
    chosen = PROFILES["slurm"]["set-resources"]
    assert {rule for rule, wants in chosen.items() if wants["slurm_partition"] == "gpu"} == {"train"}
    assert all("--signal=TERM@" in chosen[rule]["slurm_extra"] for rule in chosen)


@pytest.mark.parametrize("stage", RESOURCES)
def test_what_is_asked_for_grows_with_the_data_and_the_attempt(tmp_path: Path, stage: str) -> None:
    small, large = (load_plan(ROOT, [], [{"simulate": {"minutes": minutes}}], is_job=False) for minutes in (1.0, 200.0))
    for resource, growth in (("mem_mb", 1.5), ("runtime", 2.0)):
        a, b = (resources(plan, stage, lambda _, p=plan: p.sessions)[resource] for plan in (small, large))
        assert a(None, attempt=2) == pytest.approx(growth * a(None, attempt=1), abs=1)
        assert b(None, attempt=1) > a(None, attempt=1)


def test_size_of_raw_data_is_that_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.simulation.subject import write_subjects

    monkeypatch.chdir(tmp_path)
    config = load_config([], [{"simulate": {"minutes": 0.5, "channels": 4}}])
    sheet = write_subjects(config.simulate, Path("raw"))
    assumed = raw_gb(load_plan(ROOT, [], [{"simulate": {"minutes": 0.5, "channels": 4}}], False), ["sim01_run01"])
    plan = load_plan(ROOT, [], [{"data": {"sheet": str(sheet)}}], is_job=False)
    assert raw_gb(plan, plan.sessions) == pytest.approx(assumed, rel=0.05)


# --- what a killed run left


def test_only_jobs_of_a_snakemake_in_this_folder_count(queue: Path, tmp_path: Path, monkeypatch) -> None:
    queue.write_text(line(1) + line(2, name="notebook") + line(3, folder=tmp_path) + line(4, name=RUN[5:]) + line(5))
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert [job.number for job in jobs_here()] == ["1", "4"]


def test_orphans_are_refused_and_recovered(queue: Path) -> None:
    queue.write_text(line(1) + line(2, name="notebook"))
    with pytest.raises(InputError, match="recover"):
        refuse_orphans()
    with owned_folder(SCRIPTS) as done:
        assert done == ["cancelled 1 Slurm job(s) that a killed run had left"]
    assert numbers(queue) == ["2"]
    refuse_orphans()
    with owned_folder(SCRIPTS) as done:
        assert done == []


def test_a_run_cancels_its_jobs_on_a_signal(queue: Path) -> None:
    queue.write_text(line(1) + line(2, name="notebook"))
    stop_jobs(SCRIPTS)
    assert numbers(queue) == ["2"]


def test_the_command_recovers(queue: Path) -> None:
    queue.write_text(line(1))
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.output.lock").touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "pipeline", "recover"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert printed.splitlines()[0] == "cancelled 1 Slurm job(s) that a killed run had left"
    assert "cleared the locks" in printed
    assert numbers(queue) == []
    assert not list(Path(".snakemake/locks").iterdir())


def test_without_an_answer_from_slurm_a_killed_run_is_not_recovered(queue: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ControllerSilentError):
        jobs_here()
    with owned_folder(SCRIPTS) as done:
        assert done == []
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.output.lock").touch()
    with pytest.raises(InputError, match="scontrol ping"), owned_folder(SCRIPTS):
        pass


def test_slurm_commands_without_a_cluster_are_no_cluster(queue: Path, tmp_path: Path) -> None:
    printed = "slurm_load_jobs error: Could not establish a configuration source"
    (tmp_path / "bin" / "squeue").write_text(f"#!/bin/sh\necho '{printed}' >&2; exit 1\n")
    assert jobs_here() == []


def test_a_job_that_can_never_start_is_cancelled_and_named(queue: Path, capsys) -> None:
    waiting = line(1, state="PENDING", reason="Resources") + line(2, state="PENDING", reason="PartitionTimeLimit")
    queue.write_text(waiting)
    rules = [SimpleNamespace(name=n, group=g, restart_times=3) for n, g in (("train", None), ("mel", "prepare"))]
    cancel_hopeless(rules)
    assert [rule.restart_times for rule in rules] == [0, 3], "it is not tried again"
    assert numbers(queue) == ["1"]
    assert "2 (rule_train_wildcards_a_0): got PartitionTimeLimit" in capsys.readouterr().err
    group = "rule_prepare_align_ingest_mel_wildcards_a_run1"
    queue.write_text(line(3, state="PENDING", reason="PartitionTimeLimit", what=group))
    cancel_hopeless(rules)
    assert [rule.restart_times for rule in rules] == [0, 0]


# --- a real cluster


def why_no_cluster() -> str:
    if os.geteuid() != 0:
        return "needs root: sudo -E python -m pytest -m slurm"
    if shutil.which("apt-get") is None:
        return "needs Debian or Ubuntu, whose Slurm packages it installs"
    if shutil.which("sinfo") and not local_slurm.HOME.exists() and Path("/etc/slurm/slurm.conf").exists():
        return "this machine belongs to a Slurm cluster: run the workflow with --profile profiles/slurm there"
    return ""


@pytest.fixture(scope="module")
def cluster():
    if reason := why_no_cluster():
        pytest.skip(reason)
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="make slurm installs it")
    local_slurm.up()
    try:
        yield
    finally:
        local_slurm.down()


@pytest.mark.slurm
def test_the_workflow_on_slurm_gives_what_it_gives_here(cluster, chain: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SMALL)
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml"]
    command += ["--profile", str(ROOT / "profiles" / "slurm")]
    command += ["--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "2"]
    run = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:]
    assert (tmp_path / "results/eval.json").read_bytes() == (chain / "results/eval.json").read_bytes()
    assert run.stdout.count("submitted with SLURM jobid") == 7
    asked = subprocess.run(
        ["sacct", "-X", "--parsable2", "--noheader", "--format=Partition,Account,State,Comment%80,ReqTRES%80"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    jobs = [job.split("|") for job in asked.stdout.splitlines()]
    assert {job[1] for job in jobs} == {"lab"}
    assert {job[2] for job in jobs} == {"COMPLETED"}
    (training,) = (job for job in jobs if job[0] == "gpu")
    assert training[3].startswith("rule_train")
    assert "gres/gpu=1" in training[4]
