"""MATLAB files, version 5 to 7 (read whole with scipy.io) and 7.3 (HDF5, read in blocks), variables named.

``--neural``, ``--sound`` and ``--names`` name variables, ``data.eeg`` a field of a structure; ``--eeg-rate`` and
``--sound-rate`` a number or a scalar variable.  Arrays are (time, channel) as MATLAB shows them unless
``--layout channel_time``.  Objects, functions and opaque values are refused unread.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt
import scipy.io

from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem
from pipeline.importing.assembly import assembled, channel_rows, separate_sound
from pipeline.importing.hdf5 import GuardedFile
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Read, Recording, Signal, rate_hz
from pipeline.importing.sound import scaled
from pipeline.importing.tables import tables_of
from pipeline.raw.arrays import MAX_CHANNELS

_PLAIN = {"double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
_READABLE = {*_PLAIN, "char", "cell", "struct"}
_LONGEST_LIST = 60


class Variables(Protocol):
    """The variables of a MATLAB file."""

    def array(self, name: str) -> tuple[tuple[int, int], Callable[[bool], Read]]:
        """Shape in MATLAB, and a function that makes a reader of (samples, channels): is time the first axis?"""
        ...

    def scalar(self, name: str) -> float:
        """A single number."""
        ...

    def texts(self, name: str) -> list[str]:
        """A cell array of texts, or the rows of a character array."""
        ...


def find(source: Path, options: Options) -> list[Found]:
    """The recordings of a file or folder: one for each file."""
    files = [source] if source.is_file() else sorted(source.rglob("*.mat"))
    return [Found(file, _opener(file)) for file in files]


def _opener(file: Path) -> Any:
    return lambda closing, options: open_recording(file, options, closing)


def open_recording(file: Path, options: Options, closing: ExitStack) -> Recording:
    """The recording that a file holds.  Raises InputError."""
    variables = _variables(file, closing)
    if options.neural is None:
        _refuse_unnamed(file, variables)
    neural = _signal(variables, file, str(options.neural), options.layout, options.eeg_rate, "--eeg-rate")
    if options.sound:
        whole = _signal(variables, file, options.sound, None, options.sound_rate, "--sound-rate", is_sound=True)
        sound: Signal | None = scaled(whole, file, options)
        matched = ""
    else:
        sound, matched = separate_sound(file, options, closing)
    tables = tables_of(file, options)
    names = variables.texts(options.names) if options.names else None
    if names is not None and len(names) != neural.n_channels:
        got, expected = f"{len(names)} names in {options.names}", f"{neural.n_channels}, one for each channel"
        raise InputError(Problem(str(file), "--names", got, expected, "Name the right variable, or --layout."))
    rows = channel_rows(file, neural.n_channels, tables.get("channels"), names)
    return assembled(file, options, neural, rows, gain_uv=None, sound=sound, tables=tables, matched=matched)


def _variables(file: Path, closing: ExitStack) -> Variables:
    problem = file_problem(file, str(file), "")
    if problem:
        raise InputError(problem)
    if h5py.is_hdf5(file):
        return _Version73(closing.enter_context(GuardedFile(file)))
    return _Version5(file)


def _refuse_unnamed(file: Path, variables: Any) -> None:
    expected = "one of " + ", ".join(variables.listing()[:_LONGEST_LIST])
    raise InputError(Problem(str(file), "--neural", "no variable named", expected, "Name it: --neural NAME."))


def _signal(
    variables: Variables,
    file: Path,
    name: str,
    layout: str | None,
    rate: str | None,
    flag: str,
    *,
    is_sound: bool = False,
) -> Signal:
    shape, reader = variables.array(name)
    time_first = shape[0] > shape[1] if is_sound else layout != "channel_time"
    n_samples, n_channels = shape if time_first else shape[::-1]
    if n_channels > MAX_CHANNELS or (layout is None and n_channels > n_samples):
        got = f"{shape[0]} × {shape[1]}: {n_channels} channels of {n_samples} samples"
        fix = "State its axes: --layout time_channel or channel_time."
        raise InputError(Problem(str(file), name, got, "more samples than channels", fix))
    hz = rate_hz(rate, flag, file, variables.scalar)
    return Signal(reader(time_first), n_samples, n_channels, hz, clocked=not is_sound)


class _Version5:
    """Variables of a file before 7.3; each is read whole (the format ends at 2 GB)."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._classes = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(str(file))}
        except Exception as error:  # whatever a parser may raise on hostile bytes
            got = f"unreadable ({str(error)[:80]})"
            raise InputError(Problem(str(file), "", got, "a MATLAB file", "Save it again with -v7.3.")) from None

    def listing(self) -> list[str]:
        return [f"{name} {'×'.join(map(str, shape))} {kind}" for name, (shape, kind) in self._classes.items()]

    def _problem(self, name: str, got: str) -> InputError:
        expected = "one of " + ", ".join(self.listing()[:_LONGEST_LIST])
        return InputError(Problem(str(self._file), name, got, expected, "Name plain numbers, or save them as such."))

    def _value(self, name: str) -> npt.NDArray[Any]:
        top, *fields = name.split(".")
        if top not in self._classes:
            raise self._problem(name, "no such variable")
        if self._classes[top][1] not in _READABLE:
            raise self._problem(name, f"a variable of class {self._classes[top][1]}")
        try:
            value: Any = scipy.io.loadmat(str(self._file), variable_names=[top])[top]
        except Exception as error:  # whatever a parser may raise on hostile bytes
            raise self._problem(name, f"unreadable ({str(error)[:80]})") from None
        for part in fields:
            if value.dtype.names is None or part not in value.dtype.names or value.size != 1:
                raise self._problem(name, "no such field")
            value = value[part].flat[0]
        return np.asarray(value)

    def array(self, name: str) -> tuple[tuple[int, int], Callable[[bool], Read]]:
        value = self._value(name)
        if value.dtype.kind not in "iuf" or value.ndim != 2:
            raise self._problem(name, f"{value.ndim} axes of {value.dtype.name}")
        shape = (int(value.shape[0]), int(value.shape[1]))
        return shape, lambda time_first: lambda a, b: value[a:b] if time_first else value[:, a:b].T

    def scalar(self, name: str) -> float:
        value = self._value(name)
        if value.dtype.kind not in "iuf" or value.size != 1:
            raise self._problem(name, f"{value.size} values of {value.dtype.name}")
        return float(value.flat[0])

    def texts(self, name: str) -> list[str]:
        value = self._value(name)
        cells = [np.asarray(cell) for cell in value.ravel()]
        if any(cell.dtype.kind != "U" or cell.size > 1 for cell in cells):
            raise self._problem(name, "no texts")
        return [str(cell.item()).strip() if cell.size else "" for cell in cells]


class _Version73:
    """Variables of an HDF5 file; MATLAB's axes come reversed, its texts as 16-bit codes."""

    def __init__(self, file: GuardedFile) -> None:
        self._file = file

    def listing(self) -> list[str]:
        named = [(name, self._file.get(name)) for name in self._file.file if not name.startswith("#")]
        return [f"{name} {'×'.join(map(str, getattr(item, 'shape', ())[::-1]))}".strip() for name, item in named]

    def _dataset(self, name: str) -> h5py.Dataset:
        found = self._file.dataset(name.replace(".", "/"))
        if found is None:
            expected = "one of " + ", ".join(self.listing()[:_LONGEST_LIST])
            raise self._file.refused(name, "no such variable", expected, "Correct the name.")
        return found

    def _numbers(self, name: str) -> h5py.Dataset:
        data = self._dataset(name)
        kind = data.attrs.get("MATLAB_class", b"")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        opaque = "MATLAB_object_decode" in data.attrs or (kind and kind not in _PLAIN)
        if opaque or data.dtype.kind not in "iuf" or data.ndim != 2:
            got = f"class {kind or data.dtype.name} with {data.ndim} axes"
            raise self._file.refused(name, got, "a matrix of plain numbers", "Name another, or save its numbers.")
        return data

    def array(self, name: str) -> tuple[tuple[int, int], Callable[[bool], Read]]:
        data = self._numbers(name)
        shape = (int(data.shape[1]), int(data.shape[0]))
        return shape, lambda time_first: self._file.rows(data, 1 if time_first else 0)

    def scalar(self, name: str) -> float:
        data = self._numbers(name)
        if data.size != 1:
            raise self._file.refused(name, f"{data.size} values", "a single number", "Name another variable.")
        return float(data[0, 0])

    def texts(self, name: str) -> list[str]:
        data = self._dataset(name)
        if data.dtype != h5py.ref_dtype:
            return ["".join(map(chr, row)).strip() for row in np.asarray(data[:]).T]
        cells = [self._file.file[reference] for reference in data[:].ravel()]
        return ["".join(map(chr, np.asarray(cell[:]).ravel())).strip() for cell in cells]
