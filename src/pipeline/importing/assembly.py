"""The part that all formats share: arrays, declared values and tables become one Recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing.naming import ids, sound_beside
from pipeline.importing.options import Options
from pipeline.importing.recording import Recording, Row, Signal, declared_gain, kept_channels, no_unit, unknown_channels
from pipeline.importing.sound import sound_of_file
from pipeline.importing.tables import events_of


def channel_rows(
    file: Path, n_channels: int, table: Sequence[Row] | None, names: Sequence[str] | None, own: Sequence[Row] = ()
) -> list[Row]:
    """One row for each channel of the array.

    The rows of ``table`` go by name where the file names its channels, else by their order; ``own`` is what
    the file itself says of each.  Raises InputError where table and array do not fit.
    """
    names = names or ([] if table else [f"ch{i + 1:03d}" for i in range(n_channels)])
    if table is None:
        return [(own[i] if own else {}) | {"name": name} for i, name in enumerate(names)]
    if names:
        listed = {row.get("name", "n/a"): row for row in table}
        raise_if_any(unknown_channels(file, names, list(listed), "channels.tsv"))
        return [(own[i] if own else {}) | listed[name] for i, name in enumerate(names)]
    if len(table) != n_channels:
        got, fix = f"{len(table)} channels", "List each channel of the array once."
        raise InputError(Problem(str(file), "channels.tsv", got, f"{n_channels} as in the array", fix))
    return [{"name": "n/a"} | row for row in table]


def assembled(
    file: Path,
    options: Options,
    neural: Signal,
    rows: Sequence[Row],
    *,
    gain_uv: npt.NDArray[np.float64] | None,
    got_unit: str = "no unit",
    sound: Signal | None,
    tables: Mapping[str, list[Row]],
    words: Sequence[Row] = (),
    left_out: Mapping[str, str] | None = None,
    matched: str = "",
) -> Recording:
    """The recording as it will be written.

    ``gain_uv`` (channel,) is what the file declares, None where it declares nothing usable (``got_unit`` says
    what); ``words`` are events that the file itself holds, on the audio clock; ``left_out`` are channels that
    are no longer in the array, with the reason.  Raises InputError.
    """
    raise_if_any(unknown_channels(file, options.drop, [row["name"] for row in rows], "--drop"))
    keep, not_neural = kept_channels(rows, options.drop)
    if not keep:
        fix = "Correct the types in channels.tsv."
        raise InputError(Problem(str(file), "channels", "no neural channel", "EEG, SEEG, ECOG or DBS channels", fix))
    units, gain = _gain(file, options, gain_uv, got_unit, len(rows))
    measured_s = sound.start_s - neural.start_s if sound else 0.0
    offset_s = round(options.offset_s if options.offset_s is not None else measured_s, 9)
    own = {"units": units, "sampling_frequency": f"{neural.rate_hz:.10g}"}
    return Recording(
        file=file,
        **ids(file, options),  # type: ignore[arg-type]
        neural=neural,
        units=units,
        gain=gain[keep],
        keep=keep,
        channels=[rows[i] | own for i in keep],
        sound=sound,
        offset_s=offset_s,
        drift_ppm=options.drift_ppm or 0.0,
        electrodes=tables.get("electrodes", []),
        events=list(words) or events_of(tables, options, offset_s),
        annotations=tables.get("annotations", []),
        left_out={**(left_out or {}), **not_neural},
        matched=matched,
    )


def _gain(
    file: Path, options: Options, gain_uv: npt.NDArray[np.float64] | None, got_unit: str, n_channels: int
) -> tuple[str, npt.NDArray[np.float64]]:
    declared = declared_gain(options)
    if declared:
        return declared[0], np.full(n_channels, declared[1])
    if gain_uv is None or not np.isfinite(gain_uv).all():
        raise no_unit(file, got_unit)
    return "uV", gain_uv


def separate_sound(
    file: Path, options: Options, closing: ExitStack, *, search: bool = True
) -> tuple[Signal | None, str]:
    """The sound from a file of its own: the one that is named, else one whose name fits; and that file's name."""
    if options.sound_file:
        return sound_of_file(options.sound_file, options, closing), ""
    found = sound_beside(file) if search else None
    return (sound_of_file(found, options, closing), found.name) if found else (None, "")
