"""EDF, BDF, BrainVision and FIF files, read with MNE-Python (Gramfort et al. 2013, doi:10.3389/fnins.2013.00267).

Neural channels come in volts, as mne gives them, where the file states a unit of theirs; ``--units`` fills in
where it does not.  ``--sound`` names a channel that holds the sound.  Annotations with a duration become
events, and with ``--event-duration`` or ``--words-match`` marks without one, too; BAD intervals and other marks become
annotations.  Nothing is resampled: mne would bring the channels of
an EDF file to the highest rate, so that those of other rates have to be left out.
"""

from __future__ import annotations

import gzip
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem, StageFailureError, raise_if_any
from pipeline.importing.assembly import assembled, channel_rows, separate_sound
from pipeline.importing.naming import modality
from pipeline.importing.options import Options
from pipeline.importing.recording import (
    Found,
    Recording,
    Row,
    Signal,
    declared_gain,
    kept_channels,
    unit_gain_uv,
    unknown_channels,
)
from pipeline.importing.sound import scaled
from pipeline.importing.tables import interval, marker_label, tables_of
from pipeline.raw.bids import is_bad

SUFFIXES = (".edf", ".bdf", ".vhdr", ".fif", ".fif.gz")
_FIFF_UNIT_V = 107
#: The block (and the tag in it) that says which part is the next.
_FIFF_REF, _MAX_NAME = 118, 4096
#: Kind, type, size and place of the next tag.
_FIFF_TAG = struct.Struct(">iiii")
_MAX_HEADER_BYTES = 1_000_000
_ANNOTATION_SIGNALS = ("EDF Annotations", "BDF Annotations")


def find(source: Path, options: Options) -> list[Found]:
    """The recordings of a file or folder."""
    if source.is_file():
        files = [source]
    else:
        files = sorted(p for p in source.rglob("*") if p.name.lower().endswith(SUFFIXES) and p.is_file())
    return [Found(file, _opener(file)) for file in files]


def _opener(file: Path) -> Any:
    return lambda closing, options: open_recording(file, options, closing)


def open_recording(file: Path, options: Options, closing: ExitStack) -> Recording:
    """The recording that a file holds.  Raises InputError."""
    with _parsing(file):
        return _opened(file, options, closing)


def _opened(file: Path, options: Options, closing: ExitStack) -> Recording:
    whole = _read(file, None, closing)
    names = list(whole.ch_names)
    apart = [*options.drop, *([options.sound] if options.sound else [])]
    raise_if_any(unknown_channels(file, apart, names, "channel"))
    tables = tables_of(file, options)
    rows = channel_rows(file, len(names), tables.get("channels"), names, _own_rows(file, whole))
    keep, left_out = kept_channels(rows, apart, modality(file, options))
    _refuse_mixed_rates(file, [names[i] for i in keep])
    neural = _read(file, [names[i] for i in keep], closing)
    sound, matched = _sound(file, options, closing)
    takes_events = "events" not in tables and sound is not None
    labels = _labels(neural, options, marks_too=takes_events)
    if takes_events:
        tables["events"] = _events(labels)
    tables["annotations"] = [*tables.get("annotations", []), *_marks(labels)]
    if "electrodes" not in tables and (places := _places(neural)):
        tables["electrodes"] = places
    gain_uv, got, declared = _gain_uv(neural, options)
    return assembled(
        file,
        replace(options, drop=(), **declared),
        Signal(_reader(file, neural), int(neural.n_times), len(keep), float(neural.info["sfreq"])),
        [rows[i] for i in keep],
        gain_uv=gain_uv,
        got_unit=got,
        sound=sound,
        tables=tables,
        left_out=left_out | ({options.sound: "the sound"} if options.sound else {}),
        matched=matched,
    )


def _mne() -> Any:
    """mne, which is an optional extra."""
    try:
        import mne
    except ImportError:
        expected = "MNE-Python, which reads EDF, BDF, BrainVision and FIF"
        fix = 'Install it: pip install "mne>=1.8", or the project with its extra: pip install -e ".[import]".'
        raise InputError(Problem("import", "mne", "no such package", expected, fix)) from None
    return mne


def _read(file: Path, include: list[str] | None, closing: ExitStack) -> Any:
    """The file as an mne Raw of the channels to ``include``, nothing loaded."""
    mne = _mne()
    problem = file_problem(file, str(file), "")
    if problem:
        raise InputError(problem)
    suffix = next(s for s in SUFFIXES if file.name.lower().endswith(s))
    choice: dict[str, Any] = {"include": include} if include is not None and suffix in (".edf", ".bdf") else {}
    readers = {".edf": mne.io.read_raw_edf, ".bdf": mne.io.read_raw_bdf, ".vhdr": mne.io.read_raw_brainvision}
    if suffix == ".vhdr":
        _refuse_other_folders(file)
    if suffix in (".fif", ".fif.gz"):
        _refuse_parts_elsewhere(mne, file)
    raw = readers.get(suffix, mne.io.read_raw_fif)(file, preload=False, verbose="ERROR", **choice)
    if include is not None and not choice:
        raw = raw.pick(include, verbose="ERROR")
    closing.callback(raw.close)
    return raw


@contextmanager
def _parsing(file: Path) -> Iterator[None]:
    """Whatever mne may raise on damaged bytes, when it opens a file and later, as an InputError; no warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (InputError, StageFailureError):
            raise
        except Exception as error:
            got = f"unreadable ({str(error).partition(chr(10))[0][:80] or type(error).__name__})"
            suffix = next(s for s in SUFFIXES if file.name.lower().endswith(s))
            raise InputError(Problem(str(file), "", got, f"a {suffix} file", "Copy or export it again.")) from None


def _refuse_other_folders(header: Path) -> None:
    """A BrainVision header names its data; a foreign one must not make us read from elsewhere."""
    if header.stat().st_size > _MAX_HEADER_BYTES:
        fix = "Name the header: a small text file"
        raise InputError(Problem(str(header), "", "more than 1 MB", "a BrainVision header", fix))
    text = header.read_text(encoding="utf-8", errors="replace")
    for name in re.findall(r"^\s*(?:DataFile|MarkerFile)\s*[=:](.*)$", text, re.MULTILINE | re.IGNORECASE):
        if Path(name.strip()).name != name.strip() or "\\" in name:
            fix = "Put the three files into one folder and name them plainly."
            raise InputError(Problem(str(header), "DataFile", name.strip(), "a file beside the header", fix))


def _refuse_parts_elsewhere(mne: Any, file: Path) -> None:
    """A FIF file names its next part; one in another folder was not named by anybody here, and is not opened.

    Nor is one again that was read before: mne would read on for ever.
    """
    parts = [file]
    for part in parts:
        for name in _next_parts(mne, part) if part.is_file() else ():
            if Path(name).name != name:
                fix = "Put all parts into one folder, as they were recorded."
                raise InputError(Problem(str(part), "next part", name, "a file beside this one", fix))
            if (another := part.with_name(name)) in parts:
                expected, fix = "a part that was not read before", "Copy or export it again."
                raise InputError(Problem(str(part), "next part", name, expected, fix))
            parts.append(another)


def _next_parts(mne: Any, part: Path) -> list[str]:
    """What a part names as the next one; where it states a number only, the name that mne makes of it."""
    _refuse_loops(part)
    shown = mne.io.show_fiff(part, tag=_FIFF_REF, max_str=_MAX_NAME, verbose="ERROR")
    if named := re.findall(r"FIFF_REF_FILE_NAME \(.*?\)\s+= (.*) \.\.\. str len=\d+$", shown, re.MULTILINE):
        return named
    stem, ending = part.name.partition(".")[::2]
    base = re.sub(r"-\d+$", "", stem)
    return [f"{base}-{n}.{ending}" for n in re.findall(r"FIFF_REF_FILE_NUM \(.*?\)\s+= \[(-?\d+)\]", shown)]


def _refuse_loops(file: Path) -> None:
    """A FIF file is a list of tags, each of which says where the next lies; mne would follow a circle for ever."""
    opener = gzip.open if file.name.lower().endswith(".gz") else open
    with opener(file, "rb") as handle:
        at = 0
        while len(head := handle.read(_FIFF_TAG.size)) == _FIFF_TAG.size:
            _, _, size, following = _FIFF_TAG.unpack(head)
            if following < 0:
                return
            at, before = following or at + _FIFF_TAG.size + size, at
            if at <= before:
                fix = "Copy or export it again."
                raise InputError(Problem(str(file), "tag", f"one at {at} after {before}", "tags in order", fix))
            handle.seek(at)


def _refuse_mixed_rates(file: Path, names: Sequence[str]) -> None:
    rates = _edf_rates(file) if file.suffix.lower() in (".edf", ".bdf") else {}
    by_rate: dict[int, list[str]] = {}
    for name in names:
        if name in rates:
            by_rate.setdefault(rates[name], []).append(name)
    if len(by_rate) > 1:
        rarest = min(by_rate.values(), key=len)
        got = "; ".join(f"{n} samples in {', '.join(c[:5])}{' …' if len(c) > 5 else ''}" for n, c in by_rate.items())
        fix = f"Leave out those of another rate: --drop {' '.join(rarest)}"
        raise InputError(Problem(str(file), "channels", f"{got} of a record", "one rate", fix))


def _edf_rates(file: Path) -> dict[str, int]:
    """Samples in a record of each signal, by the name that mne gives it (EDF specification, www.edfplus.info)."""
    with file.open("rb") as handle:
        head = handle.read(256)
        n = int(head[252:256])
        signals = handle.read(256 * n)
    labels = [signals[16 * i : 16 * i + 16].decode("latin-1").strip() for i in range(n)]
    counts = [int(signals[216 * n + 8 * i : 216 * n + 8 * i + 8]) for i in range(n)]
    return {label: c for label, c in zip(labels, counts, strict=True) if label not in _ANNOTATION_SIGNALS}


def _reader(file: Path, raw: Any) -> Any:
    def read(start: int, stop: int) -> Any:
        with _parsing(file):
            return raw.get_data(start=start, stop=stop).T

    return read


def _own_rows(file: Path, raw: Any) -> list[Row]:
    """Type and status of each channel, as the file has them; mne says EEG where only FIF would state a type."""
    bad, typed = set(raw.info["bads"]), file.name.lower().endswith((".fif", ".fif.gz"))
    types = [t.upper() if typed or t != "eeg" else "n/a" for t in raw.get_channel_types()]
    return [
        {"type": kind, "status": "bad" if name in bad else "good"}
        for name, kind in zip(raw.ch_names, types, strict=True)
    ]


def _gain_uv(raw: Any, options: Options) -> tuple[np.ndarray, str, dict[str, Any]]:
    """µV in one step of what mne gives, NaN where the file states no unit; what it states; options used up here."""
    stated = getattr(raw, "_orig_units", None) or {}
    known = [
        unit_gain_uv(stated[name]) is not None if name in stated else int(channel["unit"]) == _FIFF_UNIT_V
        for name, channel in zip(raw.ch_names, raw.info["chs"], strict=True)
    ]
    declared = declared_gain(options)
    filled = declared[1] if declared else np.nan
    unknown = [
        f"{name} [{stated.get(name, 'n/a')}]" for name, fine in zip(raw.ch_names, known, strict=True) if not fine
    ]
    got = f"no unit of voltage for {', '.join(unknown[:10])}" + (" …" if len(unknown) > 10 else "")
    used: dict[str, Any] = {} if options.units == "a.u." else {"units": None, "gain_uv": None}
    return np.where(known, 1e6, filled), got, used


def _sound(file: Path, options: Options, closing: ExitStack) -> tuple[Signal | None, str]:
    if options.sound is None:
        return separate_sound(file, options, closing)
    raw = _read(file, [options.sound], closing)
    return scaled(Signal(_reader(file, raw), int(raw.n_times), 1, float(raw.info["sfreq"])), file, options), ""


def _intervals(raw: Any) -> list[tuple[float, float, str]]:
    """Annotations from the first sample on: with a date, mne counts them from the measurement's start."""
    start_s = raw.first_time if raw.info["meas_date"] is not None else 0.0
    found = zip(raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True)
    return [(float(onset) - start_s, float(duration), str(text)) for onset, duration, text in found]


def _labels(raw: Any, options: Options, *, marks_too: bool) -> list[tuple[float, float, str, str | None]]:
    """Onset and duration [s] and text of each annotation, and its label where it is an event; with ``marks_too`` also
    of marks without a duration, where options ask for them.

    BrainVision writes ``kind/description``; a pattern may fit either the whole or the description.
    """
    label_of = marker_label(options)
    marks_too &= options.event_duration is not None or options.words_match is not None
    found = []
    for onset_s, duration_s, text in _intervals(raw):
        own = label_of(text.rpartition("/")[2]) or label_of(text)
        no_event = is_bad(text) or text.upper().startswith(("EDGE", "NEW SEGMENT"))
        found.append((onset_s, duration_s, text, own if (duration_s > 0 or marks_too) and not no_event else None))
    return found


def _events(labels: Sequence[tuple[float, float, str, str | None]]) -> list[Row]:
    return [
        interval(onset_s, duration_s, trial_type=text.rpartition("/")[0] or "event", label=label)
        for onset_s, duration_s, text, label in labels
        if label is not None
    ]


def _marks(labels: Sequence[tuple[float, float, str, str | None]]) -> list[Row]:
    return [interval(max(0.0, o), d, description=text) for o, d, text, label in labels if label is None]


def _places(raw: Any) -> list[Row]:
    """Positions [mm, in the file's coordinates] of the contacts that have one."""
    montage = raw.get_montage()
    found = montage.get_positions()["ch_pos"] if montage else {}
    return [
        {"name": name, **{axis: f"{1e3 * v:.3f}" for axis, v in zip("xyz", place, strict=True)}}
        for name, place in found.items()
        if np.isfinite(place).all()
    ]
