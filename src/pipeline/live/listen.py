"""Decode a source as it comes, until it ends, is interrupted, or can be decoded no more."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.errors import InputError, Problem
from pipeline.live.replay import Session
from pipeline.live.stream import (
    QUEUE_S,
    RECONNECT_S,
    STALL_S,
    Description,
    Event,
    Mending,
    Queue,
    Source,
    StreamLostError,
)


def listen(
    session: Session, source: Source, say: Callable[[str], None], seconds: float | None = None,
    reconnect_s: float = RECONNECT_S, queue_s: float = QUEUE_S,
) -> None:  # fmt: skip
    """Push what a source gives, for so many ``seconds``; a line each second, and one for each fault.

    At most ``queue_s`` of samples wait; a stream that is lost is looked for ``reconnect_s``.

    Raises :class:`InputError` for a stream that does not fit, before its first sample; later for one that is lost for
    good or changes its rate or channels, once the sound so far is out.
    """
    mending = Mending(session.decoder.montage, Description.of(source), say)
    queue = Queue(source, queue_s, reconnect_s)
    try:
        _listen(session, mending, queue, seconds)
    except KeyboardInterrupt:
        say("interrupted: what was decoded so far is kept")
    except StreamLostError as error:
        got, fix = f"nothing of it for {reconnect_s:g} s", "Start the amplifier again"
        raise InputError(Problem("stream", str(error), got, "a stream", fix)) from error
    finally:
        queue.close()
        session.finish()


def _listen(session: Session, mending: Mending, queue: Queue, seconds: float | None) -> None:
    started_s = said_s = heard_s = time.monotonic()
    stalled, say = False, mending.say
    while seconds is None or time.monotonic() - started_s < seconds:
        event = queue.get(0.1)
        now_s = time.monotonic()
        if event is None:
            if not stalled and now_s - heard_s >= STALL_S:
                stalled = True
                mending.stalled()
                say(f"no samples for {STALL_S:g} s: silence until they come")
            continue
        if event.error is not None:
            raise event.error
        if event.chunk is None:
            return
        if stalled:
            say(f"samples again, after {now_s - heard_s:.1f} s")
        heard_s, stalled = now_s, False
        _take(session, mending, event)
        session.dropped = queue.dropped
        if now_s - said_s >= 1.0:
            said_s = now_s
            say(session.line())


def _take(session: Session, mending: Mending, event: Event) -> None:
    assert event.chunk is not None
    for piece in mending.pieces(event.chunk, cut=event.cut, found=event.found):
        if piece.begins:
            session.reset()
        session.push(piece.samples, piece.time_s)
    session.late_s = time.monotonic() - event.came_s
