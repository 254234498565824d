"""The part that all formats share: arrays, declared values and tables become one Recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing.naming import ids, modality, sound_beside
from pipeline.importing.options import Options
from pipeline.importing.recording import (
    NEURAL_TYPES,
    Recording,
    Row,
    Signal,
    declared_gain,
    kept_channels,
    no_unit,
    unknown_channels,
)
from pipeline.importing.sound import sound_of_file
from pipeline.importing.tables import events_of, lasting, sidecar_rates
from pipeline.raw.agreement import EVENT_SLACK_S, outside_problems, rate_problems


def channel_rows(
    file: Path, n_channels: int, table: Sequence[Row] | None, names: Sequence[str] | None, own: Sequence[Row] = ()
) -> list[Row]:
    """One row for each channel of the array.

    The rows of ``table`` go by name where the file names its channels, else by their order; ``own`` is what
    the file itself says of each, and goes before a status of n/a.  Raises InputError where table and array do not fit.
    """
    own = own or [{}] * n_channels
    names = names or ([] if table else [f"ch{i + 1:03d}" for i in range(n_channels)])
    if table is None:
        return [own[i] | {"name": name} for i, name in enumerate(names)]
    if names:
        listed = {row.get("name", "n/a"): row for row in table}
        raise_if_any(unknown_channels(file, names, list(listed), "channels.tsv"))
        return [_merged(own[i], listed[name]) for i, name in enumerate(names)]
    if len(table) != n_channels:
        got, fix = f"{len(table)} channels", "List each channel of the array once."
        raise InputError(Problem(str(file), "channels.tsv", got, f"{n_channels} as in the array", fix))
    return [{"name": "n/a"} | _merged(own[i], row) for i, row in enumerate(table)]


def _merged(own: Row, listed: Row) -> Row:
    """A channel's row of the file itself under that of a table; a status and its description are of one of them."""
    status = ("status", "status_description")
    if listed.get("status", "n/a") != "n/a":
        own = {column: text for column, text in own.items() if column not in status}
    return own | {column: text for column, text in listed.items() if column not in status or text != "n/a"}


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
    subject: str | None = None,
    unused_sounds: Sequence[str] = (),
) -> Recording:
    """The recording as it will be written.

    ``gain_uv`` (channel,) is what the file declares, None where it declares nothing usable (``got_unit`` says
    what); ``words`` are events that the file itself holds, on the audio clock; ``left_out`` are channels that
    are no longer in the array, with the reason; ``subject`` is what the file itself calls it.  Raises InputError.
    """
    raise_if_any(unknown_channels(file, options.drop, [row["name"] for row in rows], "--drop"))
    kind, names = modality(file, options), ids(file, options, subject)
    keep, not_neural = kept_channels(rows, options.drop, kind)
    if not keep:
        expected, fix = f"{', '.join(NEURAL_TYPES[kind][:-1])} channels", "Correct the types in channels.tsv."
        raise InputError(Problem(str(file), "channels", "no neural channel", expected, f"{fix} Or set --modality."))
    raise_if_any(rate_problems(str(file), "rate", neural.rate_hz, _declared_rates(file, [rows[i] for i in keep])))
    _refuse_odd_status(file, [rows[i] for i in keep])
    units, gain = _gain(file, options, gain_uv, got_unit, keep)
    offset_s, offset_from = _offset(options, neural, sound)
    sound_name = options.sound_file.name if options.sound_file else matched
    aliases = frozenset(filter(None, [file.name, file.stem, names["recording"], sound_name, Path(sound_name).stem]))
    events = [_labelled(row) for row in list(words) or events_of(tables, options, offset_s, aliases)]
    inside = lasting(_inside(file, events, sound, neural, options), options.event_duration)
    return Recording(
        file=file,
        **names,  # type: ignore[arg-type]
        modality=kind,
        neural=neural,
        units=units,
        gain=gain,
        keep=keep,
        channels=[rows[i] | {"units": units, "sampling_frequency": f"{neural.rate_hz:.10g}"} for i in keep],
        sound=sound,
        offset_s=offset_s,
        offset_from=offset_from,
        drift_ppm=options.drift_ppm or 0.0,
        electrodes=tables.get("electrodes", []),
        events=inside,
        outside=len(events) - len(inside),
        annotations=tables.get("annotations", []),
        left_out={**(left_out or {}), **not_neural},
        matched=matched,
        aliases=aliases,
        unused_sounds=unused_sounds,
        text=options.text,
        start_s=options.start_s,
    )


def _refuse_odd_status(file: Path, rows: Sequence[Row]) -> None:
    """Raise :class:`InputError` with the first channel of which nobody says whether it is good or bad."""
    for row in rows:
        if row.get("status", "n/a").lower() not in ("good", "bad", "n/a"):
            got = f"{row['status']} ({row.get('status_description', 'n/a')}) for {row['name']}"
            fix = "State it in a table of channels: --channels TABLE."
            raise InputError(Problem(str(file), "status", got, "good, bad or n/a", fix))


def _declared_rates(file: Path, rows: Sequence[Row]) -> dict[str, float]:
    """What tables and sidecars beside the file state of the rate [Hz], by their names."""
    listed = {f"channels.tsv ({row['name']})": _number(row.get("sampling_frequency", "n/a")) for row in rows}
    return {name: hz for name, hz in listed.items() if np.isfinite(hz)} | sidecar_rates(file)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _labelled(row: Row) -> Row:
    """An event whose label stands in the column ``label``, wherever its table has it."""
    known = (row.get(column, "n/a") for column in ("label", "word", "trial_type"))
    return row | {"label": next((text for text in known if text != "n/a"), "n/a")}


def _offset(options: Options, neural: Signal, sound: Signal | None) -> tuple[float, str]:
    """The offset of the clocks [s], and where it comes from."""
    if options.offset_s is not None:
        return options.offset_s, "declared"
    if sound and sound.clocked:
        return round(sound.start_s - neural.start_s, 9), "file"
    return 0.0, "assumed"


def _inside(file: Path, events: list[Row], sound: Signal | None, neural: Signal, options: Options) -> list[Row]:
    """The events within the sound; others are an error unless they are to be dropped."""
    length_s, what = (sound.duration_s, "the sound") if sound else (neural.duration_s, "the neural recording")
    onsets = [_number(row.get("onset", "n/a")) for row in events]
    if options.drop_outside:
        kept = zip(events, onsets, strict=True)
        return [row for row, s in kept if not s < -EVENT_SLACK_S and not s > length_s + EVENT_SLACK_S]
    found = outside_problems(str(options.events or options.markers or file), onsets, length_s, what)
    raise_if_any(replace(problem, fix=f"{problem.fix} Or leave them out: --drop-outside.") for problem in found)
    return events


def _gain(
    file: Path, options: Options, gain_uv: npt.NDArray[np.float64] | None, got_unit: str, keep: Sequence[int]
) -> tuple[str, npt.NDArray[np.float64]]:
    """Units, and what turns each of the channels to ``keep`` into them."""
    declared = declared_gain(options)
    if declared:
        return declared[0], np.full(len(keep), declared[1])
    if gain_uv is None or not np.isfinite(gain_uv[list(keep)]).all():
        raise no_unit(file, got_unit)
    return "uV", gain_uv[list(keep)]


def separate_sound(
    file: Path, options: Options, closing: ExitStack, *, search: bool = True
) -> tuple[Signal | None, str]:
    """The sound from a file of its own: the one that is named, else one whose name fits; and that file's name."""
    if options.sound_file:
        return sound_of_file(options.sound_file, options, closing), ""
    found = sound_beside(file) if search else None
    return (sound_of_file(found, options, closing), found.name) if found else (None, "")
