"""What a source of live samples has to be, and what is made of its faults.

An amplifier of your own is a class with the names, the rate and the two methods of :class:`Source`.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError, Problem
from pipeline.live.montage import Montage, of_channels

Array = NDArray[np.float32]

BRIDGE_S = 0.1  # a jump of the time stamps, or a stretch of NaN, by more begins a trial; a shorter one is bridged
MISSING_S = 0.02  # so much that stays missing is bridged: a chunk that is late catches up
SETTLED_S = 1.0  # for so long
STALL_S = 1.0  # without samples for so long, the stall is said
QUEUE_S = 0.5  # what waits at most for a decoder that is too slow
NOMINAL_TOLERANCE = 0.01  # of the rate that a stream states against the model's
RATE_OVER_S, RATE_TOLERANCE = 10.0, 0.02  # of the rate that its stamps show, over so long
ARRIVAL_TOLERANCE = 0.06  # where it has no stamps
RECONNECT_S = 30.0  # a stream that is lost is looked for so long


class Chunk(NamedTuple):
    """Samples (sample, channel), and the source's time of each (sample,) [s] where it has a clock."""

    samples: NDArray[np.floating]
    times_s: NDArray[np.float64] | None = None


class StreamLostError(Exception):
    """The stream is gone, and may come back."""


class Source(Protocol):
    """Live samples.  ``names`` of the channels and ``rate_hz`` hold until :meth:`reconnect`.

    ``read`` waits at most a tenth of a second, gives an empty chunk where nothing came and None at the end, and raises
    :class:`StreamLostError` where the stream is gone.  ``reconnect`` looks for it again, raises the same where it is
    not there, and may find other channels.  Both are called from a thread of their own.
    """

    names: Sequence[str]
    rate_hz: float

    def read(self) -> Chunk | None:
        """The samples since the last call."""
        ...

    def reconnect(self) -> None:
        """Look for the stream again."""
        ...


class Piece(NamedTuple):
    """Samples (sample, channel of the montage), finite and without gaps; whether a trial begins with them.

    ``time_s`` is the source's time of the last one, where it has a clock.
    """

    samples: Array
    begins: bool
    time_s: float | None = None


class Description(NamedTuple):
    """Channels and rate of a stream."""

    names: Sequence[str]
    rate_hz: float

    @classmethod
    def of(cls, source: Source) -> Description:
        """As it is now."""
        return cls(tuple(source.names), source.rate_hz)


class Event(NamedTuple):
    """What the reading thread hands on: a chunk, when it came, what happened before it; or an end."""

    chunk: Chunk | None
    came_s: float = 0.0
    cut: bool = False
    found: Description | None = None  # the stream after it was lost
    error: BaseException | None = None


class Queue:
    """Chunks that wait, read by a thread; of more than :data:`QUEUE_S` the oldest go, so that no delay grows."""

    def __init__(self, source: Source, limit_s: float = QUEUE_S, reconnect_s: float = RECONNECT_S) -> None:
        self.source, self.limit = source, max(1, round(limit_s * source.rate_hz))
        self.reconnect_s = reconnect_s
        self.dropped = 0  # samples that were thrown away
        self._waiting: deque[Event] = deque()
        self._n, self._cut, self._closed = 0, False, False
        self._ready = Condition()
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def get(self, timeout_s: float) -> Event | None:
        """The oldest; None where nothing came in time."""
        with self._ready:
            self._ready.wait_for(lambda: bool(self._waiting), timeout_s)
            if not self._waiting:
                return None
            event = self._waiting.popleft()
            self._n -= 0 if event.chunk is None else len(event.chunk.samples)
            return event

    def close(self) -> None:
        """End the reading."""
        self._closed = True
        self._thread.join(timeout=2.0)

    def _read(self) -> None:
        try:
            found = None
            while not self._closed:
                try:
                    chunk = self.source.read()
                except StreamLostError:
                    self._reconnect()
                    found = Description.of(self.source)
                    continue
                if chunk is None or len(chunk.samples):
                    self._put(Event(chunk, time.monotonic(), found=found))
                    found = None
                if chunk is None:
                    return
        except BaseException as error:  # whatever it is, the decoding thread has to know
            self._put(Event(None, error=error))

    def _reconnect(self) -> None:
        until_s = time.monotonic() + self.reconnect_s
        while not self._closed:
            try:
                return self.source.reconnect()
            except StreamLostError:
                if time.monotonic() > until_s:
                    raise
            time.sleep(0.05)

    def _put(self, event: Event) -> None:
        with self._ready:
            self._waiting.append(event)
            self._n += 0 if event.chunk is None else len(event.chunk.samples)
            while self._n > self.limit and len(self._waiting) > 1:
                oldest = self._waiting.popleft()
                n = 0 if oldest.chunk is None else len(oldest.chunk.samples)
                self._n -= n
                self.dropped += n
                following = self._waiting[0]
                self._waiting[0] = following._replace(cut=True, found=following.found or oldest.found)
            self._ready.notify()


@dataclass
class Mending:
    """Chunks of a source to pieces that a decoder may have; what is wrong is said when it begins.

    Raises :class:`InputError` where the stream lacks channels of the montage, or has another rate.
    """

    montage: Montage
    stream: Description
    say: Callable[[str], None]
    order: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        self._connect(self.stream)

    def _connect(self, stream: Description) -> None:
        wanted_hz, rate_hz = self.montage.rate_hz, stream.rate_hz
        if abs(rate_hz - wanted_hz) > NOMINAL_TOLERANCE * wanted_hz:
            _refuse_rate(rate_hz, wanted_hz)
        self.order, self.n_channels = self.montage.order_of(stream.names), len(stream.names)
        self.period_s, self.bridge = 1 / wanted_hz, round(BRIDGE_S * wanted_hz)
        self._broken = True  # the next sample begins a trial
        self._last: Array | None = None
        self._last_s: float | None = None
        self._bad = 0  # samples in a row that are not finite
        self._marks: deque[tuple[float, int]] = deque()
        self._lags: deque[tuple[float, float]] = deque()  # how far the count is behind the clock [samples]
        self._n = self._received = 0  # samples, with and without those that stand for missing ones
        self._faults: dict[str, tuple[int, float]] = {}  # how often since it was said, and when that was [samples]

    def pieces(self, chunk: Chunk, *, cut: bool = False, found: Description | None = None) -> Iterator[Piece]:
        """What a decoder may have of a chunk.

        ``cut`` where samples before it were thrown away, ``found`` is the stream where it was lost before.
        """
        if found is not None:
            self._connect(found)
            self.say("the stream is back: a trial begins")
        elif cut:
            self._break("decoding is slower than the stream: samples were thrown away, a trial begins")
            self._last_s = None
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
            samples = of_channels(np.asarray(chunk.samples, np.float32), self.n_channels)[:, self.order]
        chunk = chunk._replace(times_s=self._finite_times(chunk.times_s))
        times_s = [None] * len(samples) if chunk.times_s is None else chunk.times_s.tolist()
        start = 0
        for stop in self._jumps(chunk.times_s):
            yield from self._finite(samples[start:stop], times_s[start:stop])
            self._break("a gap in the stream's time: a trial begins")
            start = stop
        yield from self._finite(samples[start:], times_s[start:])
        self._n += len(samples)
        self._received += len(samples)
        if chunk.times_s is not None and (missing := self._missing(float(chunk.times_s[-1]))):
            self._n += missing
            self.say(f"{missing} samples are missing: bridged by the last one")
            if self._last is not None:
                yield from self._whole(np.repeat(self._last[None], missing, axis=0), times_s[-1:])
        self._measure(chunk.times_s)

    def stalled(self) -> None:
        """Nothing came for long; without a clock of the source nobody knows how many samples are missing."""
        if self._last_s is None:
            self._break("")

    def _break(self, why: str) -> None:
        """The next sample begins a trial."""
        if why:
            self.say(why)
        self._broken = True
        self._marks.clear()
        self._lags.clear()

    def _seldom(self, fault: str, n: int, text: str) -> None:
        """Say at most once a second how often something happened since it was said."""
        counted, said = self._faults.get(fault, (0, -math.inf))
        counted += n
        if self._n - said >= self.montage.rate_hz:
            self.say(f"{counted} {text}")
            counted, said = 0, self._n
        self._faults[fault] = counted, said

    def _jumps(self, times_s: NDArray[np.float64] | None) -> list[int]:
        """Where time jumps, on or back."""
        if times_s is None:
            return []
        before = times_s[0] - self.period_s if self._last_s is None else self._last_s
        steps = np.diff(times_s, prepend=before)
        self._last_s = float(times_s[-1])
        return [int(i) for i in np.flatnonzero(np.abs(steps - self.period_s) > BRIDGE_S)]

    def _finite_times(self, times_s: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        """The stamps of a chunk; where some are not finite, counted on from those before."""
        if times_s is None or np.isfinite(times_s).all():
            return times_s
        self._seldom("stamps", 1, "chunks with time stamps that are no time: counted on from those before")
        return (self._last_s or 0.0) + self.period_s * np.arange(1.0, len(times_s) + 1, dtype=np.float64)

    def _missing(self, now_s: float) -> int:
        """Samples that the last second lacks, by the clock, more than the second before.

        What a second lacks is what its best chunk lacks: others came late.  Clocks that drift change it slowly.
        """
        self._lags.append((now_s, now_s / self.period_s - self._n))
        while now_s - self._lags[0][0] > 2 * SETTLED_S:
            self._lags.popleft()
        if now_s - self._lags[0][0] < 1.9 * SETTLED_S:
            return 0
        earlier = [lag for at_s, lag in self._lags if at_s <= now_s - SETTLED_S]
        later = [lag for at_s, lag in self._lags if at_s > now_s - SETTLED_S]
        missing = round(min(later) - min(earlier))
        if missing * self.period_s < MISSING_S:
            return 0
        self._lags = deque((t, lag - missing if t > now_s - SETTLED_S else lag) for t, lag in self._lags)
        return missing

    def _finite(self, samples: Array, times_s: list[float | None]) -> Iterator[Piece]:
        """Samples with what is not finite bridged; beyond that they end a trial."""
        read = self.montage.reference.columns
        bad = np.asarray(~np.isfinite(samples[:, read]).all(axis=1))
        if not bad.any() and not self._bad:
            yield from self._whole(samples, times_s)
            return
        kept: list[Array] = []
        for i, (sample, is_bad) in enumerate(zip(samples, bad.tolist(), strict=True)):
            self._bad = self._bad + 1 if is_bad else 0
            if is_bad:
                self._seldom("bad", 1, "samples with NaN or infinity: bridged by the value before")
            if is_bad and (self._bad > self.bridge or self._last is None):
                yield from self._whole(np.array(kept, np.float32), times_s[:i])
                if self._bad == self.bridge + 1:
                    self._break("NaN or infinity for too long: silence, then a trial begins")
                kept, self._broken = [], True
                continue
            mended = np.where(np.isfinite(sample), sample, 0 if self._last is None else self._last)
            self._last = mended.astype(np.float32)
            kept.append(self._last)
        yield from self._whole(np.array(kept, np.float32), times_s)

    def _whole(self, samples: Array, times_s: list[float | None]) -> Iterator[Piece]:
        """A piece whose last sample has the last of the times."""
        if len(samples):
            begins, self._broken = self._broken, False
            self._last = samples[-1]
            yield Piece(samples, begins, times_s[-1])

    def _measure(self, times_s: NDArray[np.float64] | None) -> None:
        """Compare the rate that the stamps show with the model's.  Raises :class:`InputError`."""
        now_s = time.monotonic() if times_s is None else float(times_s[-1])
        tolerance = ARRIVAL_TOLERANCE if times_s is None else RATE_TOLERANCE
        self._marks.append((now_s, self._received))
        while len(self._marks) > 2 and now_s - self._marks[1][0] >= RATE_OVER_S:
            self._marks.popleft()
        first_s, first = self._marks[0]
        if now_s - first_s >= RATE_OVER_S:
            measured_hz, wanted_hz = (self._received - first) / (now_s - first_s), self.montage.rate_hz
            if abs(measured_hz - wanted_hz) > tolerance * wanted_hz:
                _refuse_rate(measured_hz, wanted_hz)


def _refuse_rate(rate_hz: float, wanted_hz: float) -> None:
    fix = "Set the amplifier to the rate of training, or train at its rate"
    raise InputError(Problem("stream", "rate", f"{rate_hz:.1f} Hz", f"{wanted_hz:g} Hz, as in training", fix))
