"""Processes that train one network on several devices and end with this one, however it ends.  No torch in here.

They are started here and not by ``srun``: a Slurm job of one task with n GPUs
is all that is needed, and what Slurm says of tasks is not read.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from types import FrameType, TracebackType
from typing import Any

from pipeline.errors import StageFailureError

Work = Callable[..., object]


class Worker:
    """A process that runs ``work(*arguments, tell)``, all of it pickled; what it tells reaches ``on_message`` here.

    Used in a ``with`` block, at whose end it has ended.
    """

    def __init__(
        self, work: Work, arguments: tuple[Any, ...], on_message: Callable[[Any], None], environment: dict[str, str]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._mail, theirs = context.Pipe()
        self._on_message = on_message
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        # torch would hand its tensors over in shared memory, and every process would move the same weights.
        self._mail.send_bytes(pickle.dumps((work, arguments, environment)))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.request_stop()
        self._process.join()
        self._mail.close()

    def is_done(self) -> bool:
        """Whether it has ended; raises what it ended with.  One that was asked to end has just ended."""
        while (message := self._next_message()) is not None:
            if isinstance(message, Exception):
                raise message from None
            self._on_message(message)
        code = self._process.exitcode
        if code is not None and code not in (0, -signal.SIGTERM):
            raise StageFailureError(f"a process of this job was killed or crashed (exit code {code}); start again", 1)
        return code is not None

    def _next_message(self) -> Any:
        """None where there is none, or only a part of one that ended in the middle of it."""
        try:
            return self._mail.recv() if self._mail.poll() else None
        except (EOFError, OSError):
            return None

    def request_stop(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()


def wait_for(workers: Sequence[Worker]) -> bool:
    """Wait for the end of all, passing SIGTERM on; whether it came.  Raises what the first to fail ended with."""
    signals: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        for worker in workers:
            worker.request_stop()

    before = signal.signal(signal.SIGTERM, forward)
    try:
        while not all([worker.is_done() for worker in workers]):
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGTERM, before)
    return bool(signals)


def run_in_processes(work: Work, arguments: tuple[Any, ...], n: int, on_message: Callable[[Any], None]) -> bool:
    """``work`` in ``n`` processes that find each other, their rank in LOCAL_RANK; whether they were asked to end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    together = {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with ExitStack() as stack:
        ranks = [{**together, "LOCAL_RANK": str(rank)} for rank in range(n)]
        workers = [stack.enter_context(Worker(work, arguments, on_message, rank)) for rank in ranks]
        return wait_for(workers)


def _serve(mail: Connection) -> None:
    """The life of a worker."""
    # One that was started in the background has inherited to ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work, arguments, environment = pickle.loads(mail.recv_bytes())
    except EOFError:
        return
    os.environ.update(environment)
    try:
        work(*arguments, mail.send)
    except Exception as error:
        mail.send(_sendable(error))
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    """At once and without a checkpoint: the next run may be at work in the same folder already."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
