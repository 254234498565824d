"""One network at a time on a graphics card: a lock file per card, which goes with the process that holds it.

Jobs of one user on one machine know each other by it, whichever folder and run they belong to; a second
network on a card would make both slower and could run out of its memory.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from pipeline.errors import EXIT_INTERRUPTED, StageFailureError

LOOK_EVERY_S = 0.5


def lock_folder() -> Path:
    """The user's folder of lock files.  Raises :class:`StageFailureError` where it belongs to somebody else."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    base = base if base.is_absolute() and os.access(base, os.W_OK) else Path(tempfile.gettempdir())
    folder = base / f"seeg-to-audio-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise StageFailureError(f"{folder} belongs to another user; set TMPDIR to a folder of your own", 1)
    return folder


@contextmanager
def held_cards(
    cards: Sequence[str], n: int, log: logging.Logger, folder: Path | None = None
) -> Iterator[tuple[int, ...]]:
    """Hold ``n`` of the machine's cards while the block lasts; yields their places in ``cards``, their names.

    One that nobody trains on, where a single card will do; else the first ``n``.  Waits where they are taken.
    Raises :class:`StageFailureError` where the process is asked to end meanwhile.
    """
    folder = folder or lock_folder()
    with ExitStack() as stack:
        locks = [stack.enter_context((folder / f"{card}.lock").open("w")) for card in cards]
        free = next((place for place, lock in enumerate(locks) if _take(lock)), None) if n == 1 else None
        if free is not None:
            yield (free,)
            return
        for card, lock in zip(cards[:n], locks, strict=False):
            if not _take(lock):
                _wait(lock, card, log)
        yield tuple(range(n))


def _take(lock: IO[str]) -> bool:
    """Lock a file unless another process has."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _wait(lock: IO[str], card: str, log: logging.Logger) -> None:
    """Lock a file once the other process lets go.

    A signal is only noted: an exception out of its handler would be lost in whatever it interrupts.
    """
    signals: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        log.info("train: waiting for card %s, on which another network is trained", card)
        while not _take(lock):
            if signals:
                raise StageFailureError("training was interrupted before it began; start again", EXIT_INTERRUPTED)
            time.sleep(LOOK_EVERY_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
