"""Sound as int16 or as floats within full scale, from a file of its own or from a series of another.

In: a :class:`Signal` of one channel, in any numbers.  Out: int16 where the source is 16 bits (whole numbers
within ±32768, also stored as floats), float32 within ±1 otherwise; larger values need a declared full scale.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing.options import Options
from pipeline.importing.recording import Signal, rate_hz
from pipeline.importing.tables import sidecar_rates
from pipeline.raw.agreement import rate_problems
from pipeline.raw.arrays import open_audio

BLOCK_SAMPLES = 1 << 20


def sound_of_file(path: Path, options: Options, closing: ExitStack) -> Signal:
    """A ``.wav``, ``.flac`` or ``.npy`` file; only the last needs ``--sound-rate``.  Raises InputError."""
    try:
        reader = closing.enter_context(open_audio(path, options.sound_channel))
    except InputError as error:
        fix = "Say which is the voice: --sound-channel"
        raise InputError(
            replace(p, field="--sound-channel", got=p.got.replace("audio_channel", "--sound-channel"), fix=fix)
            if p.field == "audio_channel"
            else p
            for p in error.problems
        ) from None
    rate = reader.rate_hz if reader.rate_hz is not None else rate_hz(options.sound_rate, "--sound-rate", path)
    raise_if_any(rate_problems(str(path), "rate", rate, sidecar_rates(path)))
    return scaled(Signal(reader.read, reader.n_samples, 1, rate, clocked=False), path, options)


def scaled(sound: Signal, file: Path, options: Options) -> Signal:
    """The same sound as int16, or as float32 within full scale.  Reads it once.  Raises InputError."""
    sound = _one_channel(sound, file, options.sound_channel)
    if sound.read(0, 1).dtype == np.int16:
        return sound
    if options.sound_full_scale is not None:
        return _converted(sound, np.dtype(np.float32), options.sound_full_scale)
    peak, whole = _peak(sound)
    if peak <= 1:
        return _converted(sound, np.dtype(np.float32), 1.0)
    if whole and peak <= 32768:
        return _converted(sound, np.dtype(np.int16), 1.0)
    fix = "Give --sound-full-scale, the value that means full scale."
    raise InputError(Problem(str(file), "sound", f"values up to {peak:g}", "16-bit steps, or -1 … 1", fix))


def _one_channel(sound: Signal, file: Path, channel: str | None) -> Signal:
    if sound.n_channels == 1:
        return sound
    index = {"left": 0, "right": 1}.get(channel or "", int(channel) if channel and channel.isdigit() else -1)
    if not 0 <= index < sound.n_channels:
        fix = f"Give --sound-channel 0 … {sound.n_channels - 1}: the voice."
        raise InputError(Problem(str(file), "sound", f"{sound.n_channels} channels", "one", fix))
    read = sound.read
    return replace(sound, read=lambda a, b: read(a, b)[:, index : index + 1], n_channels=1)


def _peak(sound: Signal) -> tuple[float, bool]:
    """The largest magnitude, and whether all values are whole numbers."""
    peak, whole = 0.0, True
    for start in range(0, sound.n_samples, BLOCK_SAMPLES):
        block = np.asarray(sound.read(start, min(start + BLOCK_SAMPLES, sound.n_samples)), np.float64)
        block = block[np.isfinite(block)]
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        whole = whole and bool(np.array_equal(block, np.rint(block)))
    return peak, whole


def _converted(sound: Signal, dtype: np.dtype[Any], full_scale: float) -> Signal:
    def read(start: int, stop: int) -> npt.NDArray[Any]:
        block = np.asarray(sound.read(start, stop), np.float64) / full_scale
        return np.clip(block, -32768, 32767).astype(dtype) if dtype == np.int16 else block.astype(dtype)

    return replace(sound, read=read)
