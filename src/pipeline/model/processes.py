"""One training in several processes of this machine, a device each; rank 0 alone writes.

The processes are started here and not by ``srun``: a Slurm job of one task with n GPUs
is all that is needed, and what Slurm says of tasks is not read.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import multiprocessing

Work = Callable[..., None]


def run_in_processes(work: Work, arguments: tuple[Any, ...], n: int, on_wait: Callable[[], None]) -> bool:
    """Run ``work(*arguments)`` in ``n`` processes, their rank in LOCAL_RANK; whether they were asked to end.

    ``work`` and ``arguments`` are pickled.  ``on_wait`` is called about every second.  Where one process
    fails, the others are ended and its exception is raised.
    """
    # torch would hand its tensors over in shared memory, and every process would move the same weights.
    job = pickle.dumps((work, arguments))
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    context = multiprocessing.start_processes(
        _process, (n, _free_port(), errors, job), nprocs=n, join=False, start_method="spawn"
    )
    asked: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for pid in context.pids():
            os.kill(pid, number)

    before = signal.signal(signal.SIGTERM, forward)
    try:
        while not context.join(timeout=1.0):
            on_wait()
    except Exception:
        if not errors.empty():
            raise errors.get() from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    on_wait()
    return bool(asked)


def _process(rank: int, n: int, port: int, errors: Any, job: bytes) -> None:
    os.environ.update(LOCAL_RANK=str(rank), WORLD_SIZE=str(n), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    work, arguments = pickle.loads(job)
    try:
        work(*arguments)
    except Exception as error:
        errors.put(error)
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
