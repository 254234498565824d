"""A folder of neural ``.npy`` arrays and their sound files, matched by their names.

``s01_run1_eeg.npy`` goes with ``s01_run1_audio.npy`` (or ``.wav``, ``.flac``): the names are the same but for the
word for the content.  With ``--neural '*_sEEG.npy' --sound '*_mic.wav'`` the parts that match the stars must be
equal.  Because names can mislead, the matches are listed before anything is written.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from pipeline.errors import InputError, Problem
from pipeline.importing.assembly import assembled, channel_rows
from pipeline.importing.naming import SOUND_SUFFIXES, key, kind
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording, Signal, rate_hz
from pipeline.importing.sound import sound_of_file
from pipeline.importing.tables import tables_of
from pipeline.raw.arrays import Layout, open_neural, read_npy_header

_FIX = "Rename the files, or give --neural '*_eeg.npy' --sound '*_audio.wav'."


def find(source: Path, options: Options) -> list[Found]:
    """The pairs of a folder, or the one array that is named.  Raises InputError for what has no partner."""
    if source.is_file():
        return [Found(source, _opener(source, options.sound_file))]
    files = sorted(p for p in source.rglob("*") if p.is_file() and p.suffix.lower() in SOUND_SUFFIXES)
    brains = _named(files, options.neural, "neural", source)
    sounds = _named(files, options.sound, "sound", source)
    if not brains:
        got = f"{len(files)} array or sound files, none with a name such as *_eeg.npy"
        raise InputError(Problem(str(source), "", got, "neural arrays", _FIX))
    lonely = [f"{sounds[name].name} has no neural array" for name in sounds if name not in brains]
    rest = [p.name for p in files if p not in brains.values() and p not in sounds.values() and p.suffix == ".npy"]
    if lonely or rest:
        got = "; ".join([*lonely, *(f"{name} is neither by its name" for name in rest)])
        raise InputError(Problem(str(source), "", got, "pairs of arrays", _FIX))
    return [Found(file, _opener(file, sounds.get(name))) for name, file in brains.items()]


def _named(files: Sequence[Path], pattern: str | None, what: str, source: Path) -> dict[str, Path]:
    """Files of a kind by what they share with their partner."""
    found: dict[str, Path] = {}
    for file in files:
        if pattern:
            match = re.fullmatch(fnmatch.translate(pattern).replace(".*", "(.*)"), file.name)
            name = "|".join(match.groups()) if match else None
        else:
            name = key(file) if kind(file) == what and (what == "sound" or file.suffix == ".npy") else None
        if name is None:
            continue
        name = str(file.parent.relative_to(source) / name)
        if name in found:
            got = f"{found[name].name} and {file.name}"
            raise InputError(Problem(str(source), what, got, f"one {what} file for {name}", _FIX))
        found[name] = file
    return found


def _opener(file: Path, sound: Path | None) -> Any:
    return lambda closing, options: open_recording(file, sound, options, closing)


def open_recording(file: Path, sound_file: Path | None, options: Options, closing: ExitStack) -> Recording:
    """One pair.  Raises InputError."""
    rate = rate_hz(options.eeg_rate, "--eeg-rate", file)
    whole_steps = read_npy_header(file).dtype.kind == "i"
    # Integers are refused without a scale; here the gain is applied where the recording is written.
    reader = closing.enter_context(open_neural(file, cast(Layout, options.layout), None, 1.0 if whole_steps else None))
    neural = Signal(reader.read, reader.n_samples, reader.n_channels, rate)
    sound = sound_of_file(sound_file, options, closing) if sound_file else None
    tables = tables_of(file, options)
    rows = channel_rows(file, reader.n_channels, tables.get("channels"), None)
    matched = sound_file.name if sound_file and sound_file != options.sound_file else ""
    return assembled(file, options, neural, rows, gain_uv=None, sound=sound, tables=tables, matched=matched)
