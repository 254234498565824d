"""A head start for the processes that training puts beside its own."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver


def prepare_workers(module: str) -> None:
    """Import ``module`` in a process that later ones are forked from, while this one does so itself.

    With torch and Lightning the import takes seconds.  The process forks and does
    nothing else, so that no thread and no lock of this one is copied; it ends with this one.
    """
    multiprocessing.set_forkserver_preload([module])
    forkserver.ensure_running()
