"""Training in several processes of this machine, which end with the process that started them.

One network on several devices (rank 0 alone writes), or a network beside another.  The
processes are started here and not by ``srun``: a Slurm job of one task with n GPUs
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
from torch.multiprocessing.spawn import ProcessException

from pipeline.errors import EXIT_INTERRUPTED, StageFailureError

Work = Callable[..., object]


class Worker:
    """``work(*arguments, tell)`` in ``n`` processes of their own; ``on_message`` gets here what is told there.

    ``work`` and ``arguments`` are pickled.  Used in a ``with`` block, at whose end no process is left.
    """

    def __init__(
        self, work: Work, arguments: tuple[Any, ...], n: int = 1, on_message: Callable[[Any], None] | None = None
    ) -> None:
        self._on_message = on_message
        self._inbox = multiprocessing.get_context("forkserver").SimpleQueue()
        # torch would hand its tensors over in shared memory, and every process would move the same weights.
        job = pickle.dumps((work, arguments))
        self._processes = multiprocessing.start_processes(
            _process, (n, _free_port(), self._inbox, job), nprocs=n, join=False, start_method="forkserver"
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *raised: object) -> None:
        self._ask_to_end()
        for process in self._processes.processes:
            process.join()

    def is_done(self, wait_s: float = 0.0) -> bool:
        """Whether all processes have ended.  Where one failed, the others are ended and its exception is raised."""
        try:
            done = self._processes.join(timeout=wait_s)
        except ProcessException as error:
            self._read()
            message = f"a process of the training ended on its own ({error}); start again to resume it"
            raise StageFailureError(message, EXIT_INTERRUPTED) from error
        self._read()
        return bool(done)

    def join(self) -> bool:
        """Wait for the end, passing SIGTERM on; whether it came."""
        asked: list[int] = []

        def forward(number: int, frame: FrameType | None) -> None:
            asked.append(number)
            self._ask_to_end()

        before = signal.signal(signal.SIGTERM, forward)
        try:
            while not self.is_done(wait_s=0.5):
                pass
        finally:
            signal.signal(signal.SIGTERM, before)
        return bool(asked)

    def _ask_to_end(self) -> None:
        for process in self._processes.processes:
            process.terminate()

    def _read(self) -> None:
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Exception):
                raise message from None
            if self._on_message:
                self._on_message(message)


def _process(rank: int, n: int, port: int, outbox: Any, job: bytes) -> None:
    # Interrupted when the parent dies; a process started in the background would have inherited to ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if n > 1:
        os.environ.update(LOCAL_RANK=str(rank), WORLD_SIZE=str(n), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    work, arguments = pickle.loads(job)
    try:
        work(*arguments, outbox.put)
    except Exception as error:
        outbox.put(error)
        raise SystemExit(1) from None  # torch would keep any other exception in a file of its own
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
