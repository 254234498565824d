"""A recording of the run played to a model as if it were recorded now: chunks in, mel and sound out, with a clock.

The loop is the one of any source: :class:`Session` takes chunks and keeps what came out and when.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.files import atomic_path
from pipeline.live.decoder import LiveDecoder
from pipeline.vocoder.streaming import StreamingGriffinLim
from pipeline.vocoder.wav import clipped_wav

Array = NDArray[np.float32]


@dataclass
class Session:
    """What a decoder made of the chunks so far: mel, sound, and seconds of computing for each step.

    A chunk counts as late by how long after its last sample was due its sound was there.
    """

    decoder: LiveDecoder
    vocoder: StreamingGriffinLim
    mels: list[Array] = field(default_factory=list)
    sounds: list[Array] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    late_s: float = 0.0

    def push(self, chunk: np.ndarray) -> Array:
        """The sound that a chunk (sample, channel) completes."""
        started_s = time.perf_counter()
        mel = self.decoder.push(chunk)
        sound = self.vocoder.push(mel)
        if len(mel):
            steps = len(mel) / self.decoder.stepper.step_frames
            self.step_s.append((time.perf_counter() - started_s) / steps)
        self.mels.append(mel)
        self.sounds.append(sound)
        return sound

    def finish(self) -> None:
        """The sound that still waits, at the end."""
        self.sounds.append(self.vocoder.finish())

    @property
    def mel(self) -> Array:
        """All of the mel (frame, band) [nats]."""
        return np.concatenate(self.mels)

    @property
    def sound(self) -> Array:
        """All of the sound (sample,)."""
        return np.concatenate(self.sounds)

    def line(self) -> str:
        """Level of the last sound, how late it was, and what a step costs."""
        last = next((s for s in reversed(self.sounds) if len(s)), np.zeros(1, np.float32))
        level_db = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(last)))), 1e-6))
        p50, p99 = np.percentile(self.step_s or [0.0], [50, 99]) * 1e3
        grid, step = self.decoder.config.mel, self.decoder.stepper.step_frames
        due_ms = 1e3 * step / grid.frame_rate_hz
        return (
            f"level {level_db:6.1f} dB, late {1e3 * self.late_s:5.0f} ms, "
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


def write_wav(path: Path, sound: Array, rate_hz: int) -> None:
    """The sound as 16 bits, clipped."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(clipped_wav(sound, rate_hz))


def write_mel(path: Path, mel: Array) -> None:
    """The mel (frame, band) [nats] as ``.npy``."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, mel, allow_pickle=False)
