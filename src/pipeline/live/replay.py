"""A recording of the run played to a model as if it were recorded now: chunks in, mel and sound out, with a clock.

The loop is the one of any source: :class:`Session` takes chunks and keeps what came out and when.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.live.decoder import LiveDecoder
from pipeline.live.sinks import Sink
from pipeline.vocoder.streaming import StreamingGriffinLim

Array = NDArray[np.float32]


@dataclass
class Session:
    """What a decoder and a vocoder make of chunks, handed on to sinks; seconds of computing for each of the last steps.

    A chunk counts as late by how long after its last sample was due, or came, its sound was there.  With ``keep`` all
    of the mel stays, for a score.
    """

    decoder: LiveDecoder
    vocoder: StreamingGriffinLim
    sinks: Sequence[Sink] = ()
    keep: bool = False
    step_s: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    late_s: float = 0.0
    dropped: int = 0
    n_frames: int = 0
    _waits: bool = False
    _mels: list[Array] = field(default_factory=list)
    _last: Array = field(default_factory=lambda: np.zeros(1, np.float32))

    def push(self, chunk: np.ndarray) -> Array:
        """The sound that a chunk (sample, channel) completes."""
        started_s = time.perf_counter()
        mel = self.decoder.push(chunk)
        sound = self.vocoder.push(mel)
        if len(mel):
            steps = len(mel) / self.decoder.stepper.step_frames
            self.step_s.append((time.perf_counter() - started_s) / steps)
        self._waits = self._waits or len(mel) > 0
        self.n_frames += len(mel)
        self._write(mel, sound)
        return sound

    def reset(self) -> None:
        """Begin another trial; the sound that still waits goes out."""
        self.finish()
        self.decoder.reset()

    def finish(self) -> None:
        """The sound that still waits, at the end."""
        if self._waits:
            self._write(np.zeros((0, self.decoder.model.a.n_bands), np.float32), self.vocoder.finish())
        self._waits = False

    def _write(self, mel: Array, sound: Array) -> None:
        for sink in self.sinks:
            sink.write(mel, sound)
        if self.keep:
            self._mels.append(mel)
        if len(sound):
            self._last = sound

    @property
    def mel(self) -> Array:
        """All of the mel (frame, band) [nats], where it is kept."""
        return np.concatenate(self._mels)

    def line(self) -> str:
        """Level of the last sound, how late it was, samples thrown away, and what a step costs."""
        level_db = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(self._last)))), 1e-6))
        p50, p99 = np.percentile(list(self.step_s) or [0.0], [50, 99]) * 1e3
        grid, step = self.decoder.config.mel, self.decoder.stepper.step_frames
        due_ms = 1e3 * step / grid.frame_rate_hz
        return (
            f"level {level_db:6.1f} dB, late {1e3 * self.late_s:5.0f} ms, dropped {self.dropped} samples, "
            f"compute p50 {p50:.1f} ms, p99 {p99:.1f} ms of {due_ms:.0f} ms"
        )


def chunks(read: Callable[[int, int], np.ndarray], n_samples: int, size: int) -> Iterator[np.ndarray]:
    """A recording in chunks of ``size`` samples."""
    return (read(start, min(start + size, n_samples)) for start in range(0, n_samples, size))


def play(
    session: Session, source: Iterator[np.ndarray], rate_hz: float, *, paced: bool, say: Callable[[str], None]
) -> None:
    """Push all chunks, at the speed of the recording where ``paced``; a line each second.

    An interrupt ends the playing, and what was decoded by then stays.
    """
    started_s = said_s = time.monotonic()
    n_samples = 0
    try:
        for chunk in source:
            n_samples += len(chunk)
            due_s = started_s + n_samples / rate_hz
            if paced:
                time.sleep(max(0.0, due_s - time.monotonic()))
            session.push(chunk)
            if paced:
                session.late_s = time.monotonic() - due_s
            if time.monotonic() - said_s >= 1.0:
                said_s = time.monotonic()
                say(session.line())
    except KeyboardInterrupt:
        say("interrupted: what was decoded so far is kept")
    session.finish()
