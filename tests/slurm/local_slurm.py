"""A real Slurm cluster on this one machine, to try the cluster profile: ``local_slurm.py up | down | status``.

Runs as root on Debian or Ubuntu; ``up`` installs the packages that are missing.  Three nodes
(cpu1, cpu2, gpu1) of 8 declared CPUs each, all on the loopback interface; partitions ``cpu``,
``gpu`` and ``spare`` (the GPU node again, preempted by ``gpu``); two stand-in GPUs, so that
jobs are handed CUDA_VISIBLE_DEVICES; account ``lab``; real accounting, hence a real ``sacct``.
One cluster per machine.  Logs stay after ``down``, in the folder that ``up`` prints.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

HOME = Path(os.environ.get("LOCAL_SLURM_HOME", Path(tempfile.gettempdir()) / "local-slurm-cluster"))
SLURM_CONF = Path("/etc/slurm/slurm.conf")  # the executor's jobs forget the variable SLURM_CONF
PROCESSES = HOME / "processes.json"
NODES = {"cpu1": 27021, "cpu2": 27022, "gpu1": 27023}
CONTROLLER_PORT, ACCOUNTING_PORT = 27017, 27019
DATABASE_SOCKET = HOME / "run" / "mysql.sock"
PACKAGES = (
    "munge", "slurm-client", "slurmctld", "slurmd", "slurmdbd", "slurm-wlm-mysql-plugin",
    "mariadb-client-core", "mariadb-server-core",
)  # fmt: skip
STAND_IN_GPUS = ("/dev/null", "/dev/zero")  # a GPU needs a character device; nothing is written to it
PATIENCE_S = 40.0


class ClusterError(Exception):
    """The cluster could not be brought up; says where to look."""


def up() -> None:
    """Start everything from an empty state and wait until every node is idle."""
    _refuse_what_is_not_ours()
    down()
    shutil.rmtree(HOME, ignore_errors=True)
    for folder in ("run", "log", "state", "spool", "db"):
        (HOME / folder).mkdir(parents=True, mode=0o755)
    _install()
    _configure()
    _start_accounting()
    start("slurmctld", ["slurmctld", "-D", "-i"])
    _until(lambda: _ok("scontrol", "ping"), "slurmctld")
    for node in NODES:
        start(node, ["slurmd", "-D", "-N", node])
    _until(lambda: _states() == ["idle"] * len(NODES), "an idle node each")
    print(f"{len(NODES)} nodes are idle; logs: {HOME / 'log'}")


def down() -> None:
    """Cancel what is queued and end every process of the cluster, in reverse order."""
    if "slurmctld" in running() and _ok("scontrol", "ping"):
        subprocess.run(["scancel", "--quiet", "--user", "root"], check=False)
        deadline = time.monotonic() + 20
        while _output("squeue", "--noheader") and time.monotonic() < deadline:
            time.sleep(0.3)
    for name in reversed(list(running())):
        stop(name)
    if SLURM_CONF.is_symlink() and SLURM_CONF.readlink().is_relative_to(HOME):
        SLURM_CONF.unlink()


def status() -> int:
    """What runs; 0 where every node answers."""
    print("running:", ", ".join(running()) or "nothing")
    if not (_ok("scontrol", "ping") and _ok("sinfo")):
        return 1
    print(_output("sinfo", "--long", "--Node"))
    return 0 if "down" not in " ".join(_states()) else 1


def running() -> dict[str, psutil.Process]:
    """The cluster's live processes by name, in the order of their start."""
    found = {}
    for name, (pid, created) in _recorded().items():
        if psutil.pid_exists(pid):
            process = psutil.Process(pid)
            if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                found[name] = process
    return found


def start(name: str, command: Sequence[str]) -> None:
    """Start one process of the cluster in the background; its words go to ``log/NAME.log``."""
    where = {"SLURM_CONF": str(HOME / "slurm.conf"), "MYSQL_UNIX_PORT": str(DATABASE_SOCKET)}
    with (HOME / "log" / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | where,
            start_new_session=True,
        )
    known = _recorded() | {name: (child.pid, psutil.Process(child.pid).create_time())}
    PROCESSES.write_text(json.dumps(known))


def stop(name: str, kill: bool = False) -> None:
    """End one process of the cluster; with ``kill`` at once, as a crash would."""
    process = running().get(name)
    if process is None:
        return
    process.kill() if kill else process.terminate()
    _, alive = psutil.wait_procs([process], timeout=15)
    for stubborn in alive:
        stubborn.kill()
    psutil.wait_procs(alive, timeout=5)


def _recorded() -> dict[str, tuple[int, float]]:
    return json.loads(PROCESSES.read_text()) if PROCESSES.is_file() else {}


def _refuse_what_is_not_ours() -> None:
    if os.geteuid() != 0:
        raise ClusterError("must be root")
    if SLURM_CONF.exists() and not (SLURM_CONF.is_symlink() and SLURM_CONF.readlink().is_relative_to(HOME)):
        raise ClusterError(f"{SLURM_CONF} is there: this machine has a Slurm of its own")
    if not socket.gethostbyname(socket.gethostname()).startswith("127."):
        raise ClusterError(f"{socket.gethostname()} has to mean 127.0.0.1 in /etc/hosts, since Slurm listens there")


def _install() -> None:
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *PACKAGES]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    missing = [p for p in PACKAGES if f"{p} installed" not in listed.splitlines()]
    if not missing:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    log = HOME / "log" / "apt.log"
    with log.open("wb") as out:
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            done = subprocess.run(
                ["apt-get", "--quiet", *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=quiet, check=False,
            )  # fmt: skip
            if done.returncode:
                raise ClusterError(f"apt-get {command[0]} failed: see {log}")


def _configure() -> None:
    """Write the configuration of Slurm, its GPUs and its accounting, and put a link where Slurm looks for it."""
    _configure_cluster()
    gpus = "".join(f"NodeName=gpu1 Name=gpu File={device}\n" for device in STAND_IN_GPUS)
    (HOME / "gres.conf").write_text(gpus)
    _configure_accounting()
    SLURM_CONF.parent.mkdir(parents=True, exist_ok=True)
    SLURM_CONF.unlink(missing_ok=True)
    SLURM_CONF.symlink_to(HOME / "slurm.conf")


def _configure_cluster() -> None:
    """``slurm.conf``: controller, nodes and partitions."""
    host, run, log = socket.gethostname(), HOME / "run", HOME / "log"
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=12000"
        + (f" Gres=gpu:{len(STAND_IN_GPUS)}" if node.startswith("gpu") else "")
        for node, port in NODES.items()
    )
    (HOME / "slurm.conf").write_text(f"""\
ClusterName=onemachine
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={CONTROLLER_PORT}
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthInfo=socket={run}/munge.sock,cred_expire=10
StateSaveLocation={HOME}/state
SlurmdSpoolDir={HOME}/spool/%n
SlurmctldPidFile={run}/slurmctld.pid
SlurmdPidFile={run}/slurmd.%n.pid
SlurmctldLogFile={log}/slurmctld.log
SlurmdLogFile={log}/%n.log
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={ACCOUNTING_PORT}
AccountingStoragePass={run}/munge.sock
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
# Without cgroups nothing else enforces the memory that a job asked for.
JobAcctGatherParams=OverMemoryKill
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
SlurmdTimeout=15
ReturnToService=2
KillWait=10
GresTypes=gpu
{nodes}
PartitionName=cpu Nodes=cpu1,cpu2 Default=YES DefMemPerCPU=500 DefaultTime=10 MaxTime=1-0
PartitionName=gpu Nodes=gpu1 DefMemPerCPU=500 DefaultTime=10 MaxTime=1-0 PriorityTier=10 PreemptMode=OFF
PartitionName=spare Nodes=gpu1 DefMemPerCPU=500 DefaultTime=10 MaxTime=1-0 PriorityTier=1 GraceTime=15
""")


def _configure_accounting() -> None:
    """``slurmdbd.conf``, for root's eyes only."""
    run, log = HOME / "run", HOME / "log"
    accounting = HOME / "slurmdbd.conf"
    accounting.touch(mode=0o600)
    accounting.write_text(f"""\
AuthInfo={run}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ACCOUNTING_PORT}
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile={log}/slurmdbd.log
PidFile={run}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounting
""")


def _start_accounting() -> None:
    """munge, the database and slurmdbd, and the one account in it."""
    run = HOME / "run"
    key = run / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    files = ("key-file", "munge.key"), ("socket", "munge.sock"), ("seed-file", "munge.seed"), ("pid-file", "munge.pid")
    start("munged", ["munged", "--foreground", *(f"--{option}={run / file}" for option, file in files)])
    tables = ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
    with (HOME / "log" / "mariadb-install.log").open("wb") as log:
        subprocess.run([*tables, "--user=root", f"--datadir={HOME / 'db'}"], stdout=log, stderr=log, check=True)
    database = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={HOME / 'db'}", "--skip-networking"]
    quick = ["--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"]
    start("mariadbd", [*database, f"--socket={DATABASE_SOCKET}", f"--pid-file={run / 'mariadbd.pid'}", *quick])
    ask = ["mariadb", "--no-defaults", "--user=root", f"--socket={DATABASE_SOCKET}", "--execute=select 1"]
    _until(lambda: _ok(*ask), "mariadbd")
    start("slurmdbd", ["slurmdbd", "-D"])
    _until(lambda: _ok("sacctmgr", "--noheader", "list", "cluster"), "slurmdbd")
    for what in ("cluster onemachine", "account lab", "user root account=lab defaultaccount=lab"):
        subprocess.run(["sacctmgr", "--quiet", "--immediate", "add", *what.split()], check=True)


def _states() -> list[str]:
    return _output("sinfo", "--noheader", "--Node", "--format=%T", "--partition=cpu,gpu").split()


def _ok(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"no sign of {what} after {PATIENCE_S:.0f} s: see {HOME / 'log'}")
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["up", "down", "status"])
    try:
        return int({"up": up, "down": down, "status": status}[parser.parse_args().action]() or 0)
    except ClusterError as error:
        print(f"local_slurm: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
