"""The common form of all formats: one recording whose arrays are read block by block.

A format module finds recordings (:class:`Found`) and opens each as a :class:`Recording`;
:mod:`pipeline.importing.writing` writes them.  Blocks are (samples, channels) as stored;
``gain`` turns neural values into ``units``.  Nothing is guessed: what a file does not
declare comes from :class:`~pipeline.importing.options.Options`; a value in neither is a Problem that names the option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError, Problem
from pipeline.importing.options import Options
from pipeline.raw.arrays import UNITS_UV

Row = dict[str, str]
Read = Callable[[int, int], npt.NDArray[Any]]

#: Spellings of units that files declare.
SPELLINGS = {
    "volts": "V", "volt": "V", "v": "V", "millivolts": "mV", "millivolt": "mV", "mv": "mV", "microvolts": "uV",
    "microvolt": "uV", "microv": "uV", "uv": "uV", "µv": "uV", "μv": "uV", "nanovolts": "nV", "nanovolt": "nV",
    "nv": "nV",
}  # fmt: skip

#: By modality, the channel types (of BIDS and mne) that are decoded from; the others are left out.
NEURAL_TYPES = {
    "ieeg": ("SEEG", "ECOG", "DBS", "EEG", "IEEG", "N/A"),
    "eeg": ("EEG", "N/A"),
    "meg": ("MEGMAG", "MEGGRADAXIAL", "MEGGRADPLANAR", "MAG", "GRAD", "N/A"),
    "emg": ("EMG", "N/A"),
}


@dataclass(frozen=True)
class Signal:
    """A series of (samples, channels): sample ``n`` lies at ``start_s + n / rate_hz``.

    ``read(start, stop)`` gives the values as stored.  ``clocked`` says whether ``start_s`` of a sound counts on the
    clock of the neural signal, rather than on none that both share.
    """

    read: Read
    n_samples: int
    n_channels: int
    rate_hz: float
    start_s: float = 0.0
    clocked: bool = True

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.rate_hz


@dataclass(frozen=True)
class Recording:
    """One recording, opened: its arrays, and its tables with BIDS columns.

    ``keep`` are the columns of ``neural`` that are written, ``channels`` one row for each of them, ``gain``
    (len(keep),) what turns them into ``units``.  Events are on the audio clock, annotations on the neural
    one.  ``offset_from`` says where ``offset_s`` comes from, ``text`` what was said and ``start_s`` when the trial
    began in its session.  ``left_out`` says why a channel is not written; ``matched`` that files were put together by
    name; ``aliases`` are names that a table may call the recording by, ``outside`` how many events were left out,
    ``unused_sounds`` series of the file that may be its sound.
    """

    file: Path
    subject: str
    recording: str
    neural: Signal
    units: str
    gain: npt.NDArray[np.float64]
    keep: Sequence[int]
    channels: Sequence[Row]
    sound: Signal | None = None
    offset_s: float = 0.0
    offset_from: str = "assumed"
    drift_ppm: float = 0.0
    session: str | None = None
    task: str | None = None
    modality: str = "ieeg"
    text: str | None = None
    start_s: float | None = None
    electrodes: Sequence[Row] = ()
    events: Sequence[Row] = ()
    annotations: Sequence[Row] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    matched: str = ""
    aliases: frozenset[str] = frozenset()
    outside: int = 0
    unused_sounds: Sequence[str] = ()

    @property
    def session_name(self) -> str:
        """The session that the recording belongs to, as in the sample sheet."""
        return f"{self.subject}_{self.session}" if self.session else self.recording


@dataclass(frozen=True)
class Found:
    """A recording that lies there; ``opened`` reads its headers and keeps files open on the stack.

    ``fields`` are the ids that a pattern took out of its name.
    """

    file: Path
    opened: Callable[[ExitStack, Options], Recording]
    fields: Mapping[str, str] = field(default_factory=dict)


def rate_hz(value: str | None, flag: str, file: Path, variable: Callable[[str], float] | None = None) -> float:
    """A declared rate; a name is looked up with ``variable``.  Raises InputError."""
    if value is None:
        fix = f"State it: {flag} HZ" + (", or the variable that holds it." if variable else ".")
        raise InputError(Problem(str(file), flag, "no rate", "the sampling rate; it is never guessed", fix))
    try:
        found = float(value)
    except ValueError:
        if variable is None:
            raise InputError(Problem(flag, "", value, "a rate in Hz", "Write a plain number.")) from None
        found = variable(value)
    if not 0 < found < 1e9:
        raise InputError(Problem(flag, "", f"{found:g}", "a rate in Hz", "Correct the rate."))
    return found


def declared_gain(options: Options) -> tuple[str, float] | None:
    """Units and gain that the command line declares."""
    if options.gain_uv is not None:
        return "uV", options.gain_uv
    if options.units is None:
        return None
    return ("a.u.", 1.0) if options.units == "a.u." else ("uV", UNITS_UV[options.units])


def unit_gain_uv(unit: str, scale: float = 1.0) -> float | None:
    """µV in one step of a value in ``unit`` times ``scale``; None for an unknown unit."""
    known = SPELLINGS.get(unit.strip().lower())
    return None if known is None else UNITS_UV[known] * scale


def no_unit(file: Path, got: str) -> InputError:
    """That the unit of the neural values has to be stated."""
    fix = f"Give --units {'|'.join([*UNITS_UV, 'a.u.'])} for the stored values, or --gain-uv."
    return InputError(Problem(str(file), "unit", got, "one unit", fix))


def kept_channels(rows: Sequence[Row], drop: Sequence[str], modality: str) -> tuple[list[int], dict[str, str]]:
    """Indices of the channels to decode from, and why each of the others is left out."""
    left_out = {}
    for row in rows:
        if row["name"] in drop:
            left_out[row["name"]] = "--drop"
        elif row.get("type", "n/a").upper() not in NEURAL_TYPES[modality]:
            left_out[row["name"]] = row["type"]
    return [i for i, row in enumerate(rows) if row["name"] not in left_out], left_out


def unknown_channels(file: Path, wanted: Sequence[str], names: Sequence[str], flag: str) -> list[Problem]:
    """A Problem for each wanted channel that the file does not have."""
    listed = ", ".join(names[:30]) + (" …" if len(names) > 30 else "")
    return [
        Problem(str(file), flag, f"no channel {name}", f"one of {listed}", "Correct the name.")
        for name in wanted
        if name not in names
    ]
