"""Signals that arrive at a bad moment."""

from __future__ import annotations

import _thread
import signal


def answer_in_a_thread(number: int) -> None:
    """Move the handler of a signal out of the way of what the signal interrupts.

    Snakemake's takes a lock that the interrupted code may hold, and would wait for it for ever.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        signal.signal(number, lambda *arguments: _thread.start_new_thread(handler, arguments))
