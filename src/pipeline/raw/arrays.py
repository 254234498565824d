"""Raw arrays, read in blocks: neural ``.npy``; audio ``.npy``, ``.wav`` or ``.flac``.

Opening a file checks its header and its length.  Reading copies one block at a time from the file
(a memory map would fill memory with pages), so memory does not grow with the recording.
:mod:`pipeline.raw.scan` checks the samples themselves while ingest copies them.

Blocks are (samples, channels): neural float32 in µV (or a.u.), audio int16 or float32.
"""

from __future__ import annotations

import math
import os
import struct
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem

Layout = Literal["time_channel", "channel_time"]

#: µV in one declared unit.
UNITS_UV = {"uV": 1.0, "mV": 1e3, "V": 1e6, "nV": 1e-3}

_NEURAL_DTYPES = ("float16", "float32", "float64", "int16", "int32")
#: An array with more is taken for a transposed one.
MAX_CHANNELS = 4096

_MAX_HEADER_BYTES = 10_000
#: What libsndfile says of a stream of unknown length, or more than fits on a disk.
_UNKNOWN_FRAMES = 1 << 62
#: Formats of which a file that is cut is noticed; of others libsndfile reads what is there.
_SOUND_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC")
#: Of a WAV file before its data.
_MOST_CHUNKS = 10_000


class ArrayReader(ABC):
    """An array (samples, channels) in a file, read a block at a time.  Also a context manager.

    ``dtype`` is that of the file; ``rate_hz`` is the rate in the file's header (None for ``.npy``);
    ``units`` is ``uV``, ``a.u.`` or, for sound, ``full scale``.
    """

    path: Path
    n_samples: int
    n_channels: int
    dtype: np.dtype[Any]
    rate_hz: float | None = None
    units: str = "full scale"

    @abstractmethod
    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Samples ``start`` to ``stop`` (both within the array) as (samples, channels), C order."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_neural(
    path: Path, layout: Layout | None = None, units: str | None = None, gain_uv: float | None = None
) -> ArrayReader:
    """A two-dimensional ``.npy`` array whose blocks come as float32 (samples, channels).

    ``layout`` names the axes of the file; undeclared, they are (time, channel), and an array with
    more channels than samples is refused.  Values are multiplied by ``gain_uv`` [µV per step] or
    converted from ``units`` to µV; a float array without either stays in arbitrary units.
    Raises InputError with every problem that the header and the length of the file show.
    """
    header = read_npy_header(path)
    problems = list(_neural_problems(path, header, layout, units, gain_uv))
    if problems:
        raise InputError(problems)
    scale = gain_uv if gain_uv is not None else UNITS_UV.get(units or "", 1.0)
    reader = _NpyReader(path, header, layout != "channel_time", scale)
    reader.units = "a.u." if gain_uv is None and units in (None, "a.u.") else "uV"
    return reader


def open_audio(path: Path, channel: str | None = None) -> ArrayReader:
    """One sound channel of a ``.npy``, ``.wav`` or ``.flac`` file as blocks (samples, 1).

    int16 stays int16; floats become float32, and int32 (or 24 bit) is scaled to float32 in [-1, 1].
    ``channel`` is ``left``, ``right``, ``mean`` or an index from 0, and needed where there are several.
    Raises InputError with every problem that the header and the length of the file show.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        header = read_npy_header(path)
        problems = list(_audio_problems(path, header))
        if problems:
            raise InputError(problems)
        is_row = len(header.shape) == 1 or header.shape[0] == 1
        shape = (math.prod(header.shape), 1) if is_row else header.shape
        whole: ArrayReader = _AudioNpyReader(path, header._replace(shape=shape), True, None)
    elif suffix in (".wav", ".flac"):
        _check_file(path)
        whole = _SoundFileReader(path)
    else:
        expected = "a .npy, .wav or .flac file"
        raise InputError(Problem(str(path), "audio", f"{path.suffix or 'no'} suffix", expected, "Convert the sound."))
    try:
        return _OneChannel(whole, channel)
    except InputError:
        whole.close()
        raise


def _check_file(path: Path) -> None:
    problem = file_problem(path, str(path), "")
    if problem:
        raise InputError(problem)


# --- .npy -------------------------------------------------------------------------------------------


class NpyHeader(NamedTuple):
    """What a ``.npy`` header declares, and where the data begins [bytes]."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    offset: int


def read_npy_header(path: Path) -> NpyHeader:
    """The header of a ``.npy`` file of plain numbers, checked against the file's length; no data is read.

    Raises InputError for anything else: no code of the file runs, and no memory is allocated by its claimed size.
    """
    _check_file(path)
    with path.open("rb") as file:
        header = _parse_npy_header(path, file)
    size = header.offset + math.prod(header.shape) * header.dtype.itemsize
    found = path.stat().st_size
    if found < size:
        got = f"{found} bytes where the header claims {size}"
        raise InputError(Problem(str(path), "length", got, "the whole array", "The file is cut: copy it again."))
    if found > size:
        got = f"{found - size} bytes after the array"
        raise InputError(Problem(str(path), "length", got, "nothing after the array", "Save one array per file."))
    return header


def _parse_npy_header(path: Path, file: BinaryIO) -> NpyHeader:
    start = file.read(4)
    file.seek(0)
    if start != b"\x93NUM":
        raise InputError(Problem(str(path), "format", _kind_of_file(start), "a .npy array", _NPY_FIX))
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, _MAX_HEADER_BYTES)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file, _MAX_HEADER_BYTES)
        else:
            raise ValueError(f"format version {version[0]}.{version[1]}")
    except Exception as error:  # a parser may raise anything on hostile bytes
        what = f"a damaged header ({str(error).partition(chr(10))[0][:80]})"
        raise InputError(Problem(str(path), "header", what, "a .npy header of plain numbers", _NPY_FIX)) from None
    if dtype.hasobject:
        got = "an array of Python objects (a pickle)"
        raise InputError(Problem(str(path), "dtype", got, "plain numbers", _NPY_FIX))
    if any(length < 0 for length in shape):
        raise InputError(Problem(str(path), "shape", str(shape), "lengths of 0 or more", _NPY_FIX))
    return NpyHeader(dtype, tuple(int(length) for length in shape), fortran, file.tell())


_NPY_FIX = "Save the array of numbers itself with numpy.save(file, array, allow_pickle=False)."


def _kind_of_file(start: bytes) -> str:
    if start == b"PK\x03\x04":
        return "a .npz archive"
    if start.startswith(b"\x80"):
        return "a pickle"
    return {b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"\x89HDF": "an HDF5 file"}.get(start, "another format")


def _kind_problem(path: Path, header: NpyHeader, allowed: tuple[str, ...]) -> Problem | None:
    if header.dtype.newbyteorder("=").name in allowed:
        return None
    kinds = {
        "c": "complex numbers",
        "b": "booleans",
        "U": "text",
        "S": "text",
        "V": "a table of mixed columns",
    }
    kind = kinds.get(header.dtype.kind, str(header.dtype))
    return Problem(str(path), "dtype", kind, f"one of {', '.join(allowed)}", "Convert the array and save it again.")


def _neural_problems(
    path: Path, header: NpyHeader, layout: Layout | None, units: str | None, gain_uv: float | None
) -> list[Problem | Any]:
    problems = [_kind_problem(path, header, _NEURAL_DTYPES), _neural_shape_problem(path, header, layout)]
    if header.dtype.newbyteorder("=").name in ("int16", "int32") and gain_uv is None:
        fix = "State eeg_gain_uv, the µV of one step, in the sample sheet."
        problems.append(Problem(str(path), "eeg_gain_uv", f"{header.dtype.name} without scale", "µV per step", fix))
    if units is not None and units not in UNITS_UV and units != "a.u.":
        expected = f"one of {', '.join(UNITS_UV)}, a.u."
        problems.append(Problem(str(path), "eeg_units", units, expected, "Correct eeg_units."))
    if gain_uv is not None and units not in (None, "uV"):
        fix = "Leave out eeg_units: a gain in µV already states the unit."
        problems.append(Problem(str(path), "eeg_units", f"{units} beside eeg_gain_uv", "uV or nothing", fix))
    return [problem for problem in problems if problem]


def _neural_shape_problem(path: Path, header: NpyHeader, layout: Layout | None) -> Problem | None:
    shape = header.shape
    if len(shape) != 2:
        fix = "Save one array with two axes; a single channel has shape (samples, 1)."
        return Problem(str(path), "shape", f"{len(shape)} axes {shape}", "2 axes (time, channel)", fix)
    if 0 in shape:
        return Problem(str(path), "shape", f"an empty array {shape}", "samples and channels", "Export it again.")
    n_samples, n_channels = shape[::-1] if layout == "channel_time" else shape
    if n_channels > MAX_CHANNELS or (layout is None and n_channels > n_samples):
        got = f"{shape}: {n_channels} channels of {n_samples} samples"
        fix = "State eeg_layout, the axes of the array: time_channel or channel_time."
        return Problem(str(path), "shape", got, f"{layout or 'time_channel'} of at most {MAX_CHANNELS} channels", fix)
    return None


def _audio_problems(path: Path, header: NpyHeader) -> list[Problem]:
    kind = _kind_problem(path, header, _NEURAL_DTYPES)
    problems = [kind] if kind else []
    shape = header.shape
    if len(shape) not in (1, 2):
        problems.append(
            Problem(
                str(path),
                "shape",
                f"{len(shape)} axes {shape}",
                "(samples,) or (samples, 2)",
                "Save one sound.",
            )
        )
    elif 0 in shape:
        problems.append(Problem(str(path), "shape", f"no sample {shape}", "sound", "Export the sound again."))
    elif len(shape) == 2 and shape[1] > 2 and shape[0] > 1:
        fix = "Transpose it: time comes first." if shape[0] == 2 else "Save the microphone channel alone."
        problems.append(Problem(str(path), "shape", str(shape), "(samples,) or (samples, 2)", fix))
    return problems


class _NpyReader(ArrayReader):
    """Blocks of a ``.npy`` file whose samples, or whose channels, lie one after the other."""

    def __init__(self, path: Path, header: NpyHeader, time_first: bool, scale: float | None) -> None:
        self.path, self.dtype = path, header.dtype
        self.n_samples, self.n_channels = header.shape if time_first else header.shape[::-1]
        self._by_sample = time_first != header.fortran_order or self.n_channels == 1
        self._offset, self._scale = header.offset, scale
        self._file = path.open("rb", buffering=0)

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        if not 0 <= start <= stop <= self.n_samples:
            raise IndexError(f"samples {start} to {stop} of {self.n_samples}")
        if self._by_sample:
            return self._convert(self._numbers(start * self.n_channels, (stop - start, self.n_channels)))
        block = np.empty((stop - start, self.n_channels), self._convert(np.empty(0, self.dtype)).dtype)
        for channel in range(self.n_channels):
            block[:, channel] = self._convert(self._numbers(channel * self.n_samples + start, (stop - start,)))
        return block

    def _numbers(self, first: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """``shape`` numbers from the ``first`` on, in the byte order of the file."""
        numbers = np.empty(shape, self.dtype)
        view = numbers.reshape(-1).view(np.uint8).data
        position = self._offset + first * self.dtype.itemsize
        while view:
            n_read = os.preadv(self._file.fileno(), [view], position)
            if n_read == 0:
                fix = "It was changed while it was read: run again."
                raise InputError(Problem(str(self.path), "length", "a file that shrank", "the whole array", fix))
            view, position = view[n_read:], position + n_read
        return numbers

    def _convert(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """float32, scaled in the precision that the numbers need."""
        if self._scale == 1.0 and numbers.dtype.kind == "f":
            with np.errstate(over="ignore"):
                return numbers.astype(np.float32)
        wide = np.dtype(np.float64 if numbers.dtype.itemsize > 2 else np.float32)
        with np.errstate(over="ignore"):
            return np.multiply(numbers, self._scale or 1.0, dtype=wide).astype(np.float32)

    def close(self) -> None:
        self._file.close()


class _AudioNpyReader(_NpyReader):
    """int16 stays; int32 is scaled to full scale; floats become float32."""

    def _convert(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if numbers.dtype.kind == "f":
            with np.errstate(over="ignore"):
                return numbers.astype(np.float32)
        if numbers.dtype.itemsize == 2:
            return numbers.astype(np.int16)
        return np.multiply(numbers, 2.0**-31, dtype=np.float64).astype(np.float32)


# --- .wav, .flac ---------------------------------------------------------------------------------------


class _SoundFileReader(ArrayReader):
    """Blocks of a sound file: 16 bits and fewer as int16, others as float32."""

    def __init__(self, path: Path) -> None:
        self.path = path
        problem = _cut_wav(path)
        if problem:
            raise InputError(problem)
        try:
            self._file = soundfile.SoundFile(str(path))
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise InputError(_unreadable(path, error)) from None
        if self._file.format not in _SOUND_FORMATS:
            self._file.close()
            raise InputError(_unreadable(path, ValueError(f"{self._file.format_info} under another name")))
        self.n_samples, self.n_channels = self._file.frames, self._file.channels
        self.rate_hz = float(self._file.samplerate)
        narrow = self._file.subtype in ("PCM_16", "PCM_S8", "PCM_U8")
        self.dtype = np.dtype(np.int16 if narrow else np.float32)
        if self.n_samples <= 0 or self.n_samples >= _UNKNOWN_FRAMES:
            self._file.close()
            if self.n_samples > 0:  # as encoders leave it that write to a pipe
                fix = "Convert the file once more (ffmpeg -i old.flac new.flac): its header then states the length."
                raise InputError(Problem(str(path), "length", "a header that states none", "a length", fix))
            raise InputError(Problem(str(path), "length", "no sample", "sound", "Export the sound again."))

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        if not 0 <= start <= stop <= self.n_samples:
            raise IndexError(f"samples {start} to {stop} of {self.n_samples}")
        try:
            if self._file.tell() != start:
                self._file.seek(start)
            block = self._file.read(stop - start, dtype=self.dtype.name, always_2d=True)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise InputError(_unreadable(self.path, error)) from None
        if len(block) < stop - start:
            got = f"{start + len(block)} samples where the header claims {self.n_samples}"
            fix = "The file is cut: copy it again."
            raise InputError(Problem(str(self.path), "length", got, "the whole sound", fix))
        return np.asarray(block)

    def close(self) -> None:
        self._file.close()


def _unreadable(path: Path, error: Exception) -> Problem:
    what = str(error).rsplit(": ", 1)[-1].rstrip(".") or "unreadable sound"
    return Problem(str(path), "format", what, "a sound file", "Export the sound again as .wav or .flac.")


def _cut_wav(path: Path) -> Problem | None:
    """Refuse a WAV or RF64 file whose data chunk claims more bytes than follow: libsndfile reads what is there."""
    with path.open("rb") as file:
        size = path.stat().st_size
        kind = file.read(4)
        if kind not in (b"RIFF", b"RIFX", b"RF64"):
            return None
        position, length_64 = 12, 0
        for _ in range(_MOST_CHUNKS):
            file.seek(position)
            if len(header := file.read(8)) < 8:
                break
            name, length = struct.unpack(">4sI" if kind == b"RIFX" else "<4sI", header)
            if name == b"ds64":  # the sizes of an RF64 file, for which 32 bits are too few
                (length_64,) = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))
            if name == b"data":
                length, left = length_64 if kind == b"RF64" else length, size - position - 8
                if length > left and (kind == b"RF64" or length < 0xFFFFFF00):
                    got = f"{left} bytes of sound where the header claims {length}"
                    fix = "The file is cut: copy or export it again."
                    return Problem(str(path), "length", got, "the whole sound", fix)
                return None
            position += 8 + length + length % 2
    return Problem(str(path), "format", "a WAV file without sound", "a data chunk", "Export the sound again.")


# --- the choice of a channel --------------------------------------------------------------------------------


class _OneChannel(ArrayReader):
    """One channel, or the mean, of another reader."""

    def __init__(self, whole: ArrayReader, channel: str | None) -> None:
        self._whole = whole
        self.path, self.n_samples, self.n_channels = whole.path, whole.n_samples, 1
        self.dtype, self.rate_hz, self.units = whole.dtype, whole.rate_hz, whole.units
        self._index = self._choose(channel)

    def _choose(self, channel: str | None) -> int | None:
        """Index of the channel, or None for the mean."""
        n = self._whole.n_channels
        if channel == "mean" or (channel is None and n == 1):
            return None if n > 1 else 0
        choices = {str(i): i for i in range(n)} | ({"left": 0, "right": 1} if n == 2 else {})
        if channel in choices:
            return choices[channel]
        got = f"{n} channels and " + (f"audio_channel {channel}" if channel else "no audio_channel")
        expected = "one of " + ", ".join([*choices, "mean"])
        raise InputError(Problem(str(self.path), "audio_channel", got, expected, "State audio_channel in the sheet."))

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        block = self._whole.read(start, stop)
        if self._index is not None:
            return np.ascontiguousarray(block[:, self._index : self._index + 1])
        mean = block.mean(axis=1, keepdims=True, dtype=np.float32)
        return np.rint(mean).astype(np.int16) if block.dtype == np.int16 else mean

    def close(self) -> None:
        self._whole.close()
