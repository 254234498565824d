"""Where mel and sound go: files that are whole at the end, and a sound device.

A sink has ``write`` and ``close``; :class:`~pipeline.live.lsl.LslSink` is another.
"""

from __future__ import annotations

import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipeline.artifacts.files import WRITE_ERRORS, atomic_path, writing
from pipeline.errors import InputError, Problem

Array = NDArray[np.float32]
DEVICE_QUEUE_S = 0.1  # sound that waits at most for a device


class Sink(Protocol):
    """Takes new mel (frame, band) [nats] and sound (sample,)."""

    def write(self, mel: Array, sound: Array) -> None:
        """Take what a chunk completed."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class _Filled:
    """A file that is filled piece by piece and has its name once it is closed.

    Nothing of it stays where a piece cannot be written, which raises :class:`pipeline.errors.CannotWriteError`.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._stack = path, ExitStack()
        self._temporary = self._stack.enter_context(atomic_path(path))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with writing(self._path, WRITE_ERRORS):
                yield
        except Exception:
            with suppress(Exception):  # the same once more, as the file is closed
                self._stack.__exit__(*sys.exc_info())
            self._finish = lambda: None  # type: ignore[method-assign]
            raise

    def _finish(self) -> None:
        """What is written last."""

    def close(self) -> None:
        with self._writing():
            self._finish()
        self._stack.close()


class WavSink(_Filled):
    """A wav of 16 bits, clipped, under its name once it is closed; of more than 4 GB in RF64 (EBU Tech 3306)."""

    _HEADER = 80  # bytes
    _MOST = 0xFFFFFFFF  # what a size in RIFF holds

    def __init__(self, path: Path, rate_hz: int) -> None:
        super().__init__(path)
        self._n, self._rate_hz = 0, rate_hz
        with self._writing():
            self._file = self._stack.enter_context(self._temporary.open("wb"))
            self._file.write(bytes(self._HEADER))

    def write(self, mel: Array, sound: Array) -> None:
        with self._writing():
            self._file.write(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
        self._n += len(sound)

    def _finish(self) -> None:
        self._file.seek(0)
        size = 2 * self._n
        sizes = struct.pack("<QQQI", self._HEADER - 8 + size, size, self._n, 0)
        is_large = self._HEADER - 8 + size > self._MOST
        riff, place = (b"RF64", b"ds64") if is_large else (b"RIFF", b"JUNK")  # room for the sizes in 64 bits
        shown = [self._MOST if is_large else n for n in (self._HEADER - 8 + size, size)]
        rate_hz = self._rate_hz
        self._file.write(struct.pack("<4sI4s", riff, shown[0], b"WAVE"))
        self._file.write(struct.pack("<4sI", place, len(sizes)) + (sizes if is_large else bytes(len(sizes))))
        self._file.write(struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16))
        self._file.write(struct.pack("<4sI", b"data", shown[1]))
        assert self._file.tell() == self._HEADER


class MelSink(_Filled):
    """``.npy`` (frame, band), under its name once it is closed."""

    _HEADER = 128  # bytes; numpy's smallest

    def __init__(self, path: Path, n_bands: int) -> None:
        super().__init__(path)
        self._n, self._n_bands = 0, n_bands
        with self._writing():
            self._file = self._stack.enter_context(self._temporary.open("wb"))
            self._file.write(bytes(self._HEADER))

    def write(self, mel: Array, sound: Array) -> None:
        with self._writing():
            self._file.write(np.ascontiguousarray(mel, "<f4").tobytes())
        self._n += len(mel)

    def _finish(self) -> None:
        self._file.seek(0)
        shape = (self._n, self._n_bands)
        npy.write_array_header_1_0(self._file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        assert self._file.tell() == self._HEADER


class ClockFile(_Filled):
    """A table (.tsv) of when each stretch of mel and sound came out, under its name once it is closed.

    ``trial``, ``mel_frame`` and ``sound_sample`` number the stretch's trial, and its first frame and sample among all
    that came out; ``signal_s`` is the stream's time of the newest sample of the signal by then, empty where it has no
    clock, and for what is left at a trial's end; ``out_s`` is the time by ``now`` [s].
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(path)
        self._now = now
        with self._writing():
            self._file = self._stack.enter_context(self._temporary.open("w", encoding="utf-8"))
            self._file.write("trial\tmel_frame\tsound_sample\tsignal_s\tout_s\n")

    def write(self, trial: int, mel_frame: int, sound_sample: int, signal_s: float | None) -> None:
        """Add a row, now."""
        signal = "" if signal_s is None else f"{signal_s:.6f}"
        with self._writing():
            self._file.write(f"{trial}\t{mel_frame}\t{sound_sample}\t{signal}\t{self._now():.6f}\n")


class SoundDevice:
    """Plays as soon as sound comes; what a device cannot take in time goes, so that no delay grows.

    ``device`` is a name or number of sounddevice, None its default.  Raises :class:`InputError` where there is none.
    """

    def __init__(self, rate_hz: int, device: str | None = None) -> None:
        self._waiting: deque[Array] = deque()
        self._n, self._limit, self.dropped = 0, round(DEVICE_QUEUE_S * rate_hz), 0
        self._lock = Lock()
        try:
            import sounddevice

            named = int(device) if device and device.isdecimal() else device
            self._stream: Any = sounddevice.OutputStream(
                samplerate=rate_hz, channels=1, dtype="float32", device=named, latency="low", callback=self._fill
            )
            self._stream.start()
        except (ImportError, OSError, ValueError) as error:
            got = str(error).splitlines()[0][:120]
            fix = 'pip install "seeg-to-audio[live]", install PortAudio (Debian: libportaudio2), name another device'
            raise InputError(Problem("--sound-device", "", got, "a sound device", fix)) from error
        except Exception as error:  # sounddevice.PortAudioError, where it was imported
            got, fix = str(error).splitlines()[0][:120], "Name a device of python -m sounddevice"
            raise InputError(Problem("--sound-device", "", got, "a sound device", fix)) from error

    @property
    def latency_s(self) -> float:
        """The driver's own figure [s]."""
        return float(self._stream.latency)

    def write(self, mel: Array, sound: Array) -> None:
        with self._lock:
            self._waiting.append(sound)
            self._n += len(sound)
            while self._n - len(self._waiting[0]) > self._limit:
                gone = len(self._waiting.popleft())
                self._n -= gone
                self.dropped += gone

    def close(self) -> None:
        self._stream.stop()
        self._stream.close()

    def _fill(self, out: NDArray[np.float32], frames: int, clock: Any, status: Any) -> None:
        """Called by the device: sound that waits, then silence."""
        with self._lock:
            done = 0
            while done < frames and self._waiting:
                first = self._waiting.popleft()
                taken = first[: frames - done]
                out[done : done + len(taken), 0] = taken
                done += len(taken)
                self._n -= len(taken)
                if len(taken) < len(first):
                    self._waiting.appendleft(first[len(taken) :])
            out[done:] = 0
