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
from pipeline.live.sinks import ClockFile, Sink
from pipeline.signal.clock import audio_to_neural_s
from pipeline.vocoder.base import StreamingVocoder

Array = NDArray[np.float32]


@dataclass
class Session:
    """What a decoder and a vocoder make of chunks, handed on to sinks; seconds of computing for each of the last steps.

    A chunk counts as late by how long after its last sample was due, or came, its sound was there.  ``delay_s`` is how
    far the sound lies behind the signal, in the signal's own time, so that it plays without a gap.  With ``keep`` all
    of the mel and the sound stay, for a score.
    """

    decoder: LiveDecoder
    vocoder: StreamingVocoder
    sinks: Sequence[Sink] = ()
    keep: bool = False
    clock_file: ClockFile | None = None
    step_s: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    late_s: float = 0.0
    dropped: int = 0
    delay_s: float = 0.0
    n_trials: int = 0
    n_frames: int = 0
    n_samples: int = 0
    _waits: bool = False
    _heard: int = 0  # samples of the signal in this trial
    _sounded: int = 0  # and of its sound
    _mels: list[Array] = field(default_factory=list)
    _sounds: list[Array] = field(default_factory=list)
    _last: Array = field(default_factory=lambda: np.zeros(1, np.float32))

    def push(self, chunk: np.ndarray, time_s: float | None = None) -> Array:
        """The sound that a chunk (sample, channel) completes; ``time_s`` is the source's time of its last sample."""
        started_s = time.perf_counter()
        mel = self.decoder.push(chunk)
        sound = self.vocoder.push(mel)
        if len(mel):
            steps = len(mel) / self.decoder.stepper.step_frames
            self.step_s.append((time.perf_counter() - started_s) / steps)
        self._waits = self._waits or len(mel) > 0
        self._heard += len(chunk)
        if len(sound) and self._sounded:
            self.delay_s = max(self.delay_s, self._age_s())
        self._write(mel, sound, time_s)
        return sound

    def reset(self) -> None:
        """Begin another trial; the sound that still waits goes out."""
        self.finish()
        self.decoder.reset()
        self.n_trials += self._heard > 0
        self._heard = self._sounded = 0

    def finish(self) -> None:
        """The sound that still waits, at the end."""
        if self._waits:
            self._write(np.zeros((0, self.decoder.model.a.n_bands), np.float32), self.vocoder.finish())
        self._waits = False

    def _age_s(self) -> float:
        """From the newest sample of sound that is out to the newest of the signal."""
        decoder, mel = self.decoder, self.decoder.config.mel
        sounded_s = decoder.first_frame / mel.frame_rate_hz + self._sounded / mel.sample_rate_hz
        signal_s = audio_to_neural_s(np.array([sounded_s]), decoder.clock.offset_s, decoder.clock.drift_ppm)
        return self._heard / decoder.montage.rate_hz - float(signal_s[0])

    def _write(self, mel: Array, sound: Array, time_s: float | None = None) -> None:
        for sink in self.sinks:
            sink.write(mel, sound)
        if self.clock_file is not None and (len(mel) or len(sound)):
            self.clock_file.write(self.n_trials, self.n_frames, self.n_samples, time_s)
        if self.keep:
            self._mels.append(mel)
            self._sounds.append(sound)
        if len(sound):
            self._last = sound
        self.n_frames += len(mel)
        self.n_samples += len(sound)
        self._sounded += len(sound)

    @property
    def mel(self) -> Array:
        """All of the mel (frame, band) [nats], where it is kept."""
        return np.concatenate(self._mels)

    @property
    def sound(self) -> Array:
        """All of the sound (sample,), where it is kept."""
        return np.concatenate(self._sounds)

    def fastest_step_s(self) -> float:
        """The least time of computing a step [s] among ten of a silent signal, which leaves no trace."""
        own = self.decoder
        probe = Session(LiveDecoder(own.model, own.config, own.montage, own.subject, own.clock), self.vocoder)
        self.vocoder.push(np.zeros((self.vocoder.reads, own.model.a.n_bands), np.float32))
        n = round(self.step_lasts_s * own.montage.rate_hz)
        silence = np.zeros((n, len(own.montage.names)), np.float32)
        while len(probe.step_s) < 10:
            probe.push(silence)
        self.vocoder.reset()
        return min(probe.step_s)

    @property
    def step_lasts_s(self) -> float:
        """How much of the signal a step takes [s]."""
        return self.decoder.stepper.step_frames / self.decoder.config.mel.frame_rate_hz

    def line(self) -> str:
        """Level of the last sound, how late it was, samples thrown away, and what a step costs."""
        level_db = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(self._last)))), 1e-6))
        p50, p99 = np.percentile(list(self.step_s) or [0.0], [50, 99]) * 1e3
        return (
            f"level {level_db:6.1f} dB, late {1e3 * self.late_s:5.0f} ms, dropped {self.dropped} samples, "
            f"compute p50 {p50:.1f} ms, p99 {p99:.1f} ms of {1e3 * self.step_lasts_s:.0f} ms"
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
            session.push(chunk, n_samples / rate_hz)
            if paced:
                session.late_s = time.monotonic() - due_s
            if time.monotonic() - said_s >= 1.0:
                said_s = time.monotonic()
                say(session.line())
    except KeyboardInterrupt:
        say("interrupted: what was decoded so far is kept")
    session.finish()
