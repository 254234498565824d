"""XDF files of LabRecorder, read with pyxdf; streams named with ``--neural``, ``--sound`` and ``--words``.

All streams lie on one clock: pyxdf applies the clock offsets that were measured during the recording, and fits time
stamps that are evenly spaced.  Both arrays keep their nominal rates and are cut to their common time; the offset and
the drift between the two follow from the stamps.  A marker stream becomes events.  A file is read whole into memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing.assembly import assembled, channel_rows, separate_sound
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording, Row, Signal, unit_gain_uv
from pipeline.importing.sound import scaled
from pipeline.importing.tables import interval, marker_label, tables_of
from pipeline.raw.agreement import rate_problems

SUFFIXES = (".xdf", ".xdfz")


@dataclass(frozen=True)
class Stream:
    """An evenly sampled stream: sample ``n`` lies at ``start_s + n / measured_hz`` on the clock of the file."""

    name: str
    data: npt.NDArray[Any]
    start_s: float
    measured_hz: float
    rate_hz: float
    info: Mapping[str, Any]

    @property
    def end_s(self) -> float:
        """Time of the last sample."""
        return self.start_s + (len(self.data) - 1) / self.measured_hz

    @property
    def stretch(self) -> float:
        """Seconds by the nominal rate in one second of the file's clock."""
        return self.measured_hz / self.rate_hz

    def within(self, start_s: float, end_s: float) -> Stream:
        """The samples between two times of the file's clock."""
        first = max(0, int(np.ceil((start_s - self.start_s) * self.measured_hz - 1e-6)))
        last = int(np.floor((end_s - self.start_s) * self.measured_hz + 1e-6))
        return replace(self, data=self.data[first : last + 1], start_s=self.start_s + first / self.measured_hz)

    def signal(self, start_s: float = 0.0) -> Signal:
        """The samples at the nominal rate."""
        data = self.data if self.data.ndim == 2 else self.data[:, None]
        return Signal(lambda a, b: data[a:b], len(data), data.shape[1], self.rate_hz, start_s)


def find(source: Path, options: Options) -> list[Found]:
    """The recordings of a file or folder."""
    if source.is_file():
        files = [source]
    else:
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return [Found(file, _opener(file)) for file in files]


def _opener(file: Path) -> Any:
    return lambda closing, options: open_recording(file, options, closing)


def open_recording(file: Path, options: Options, closing: ExitStack) -> Recording:
    """The recording that a file holds.  Raises InputError."""
    wanted = [("--neural", options.neural), ("--sound", options.sound), ("--words", options.words)]
    with _said(_pyxdf()) as damage:
        streams = _load(file, wanted)
    neural, voice = _even(file, streams["--neural"]), None
    if "--sound" in streams:
        _refuse_unlinked(file, streams["--neural"], streams["--sound"], options)
        neural, voice = _together(file, neural, _even(file, streams["--sound"]))
    sound, matched = _sound(file, neural, voice, options, closing)
    tables = tables_of(file, options)
    rows = _rows(file, neural, tables.get("channels"))
    units = [row.get("units", "n/a") for row in rows]
    return assembled(
        file,
        replace(options, drift_ppm=_drift_ppm(neural, voice) if options.drift_ppm is None else options.drift_ppm),
        neural.signal(),
        rows,
        gain_uv=np.array([np.nan if (gain := unit_gain_uv(unit)) is None else gain for unit in units]),
        got_unit=f"the units {', '.join(dict.fromkeys(units))}",
        sound=sound,
        tables=tables,
        words=list(_words(streams["--words"], voice or neural, options)) if "--words" in streams else [],
        left_out={f"{len(damage)} damaged chunks": damage[0].partition("\n")[0][:80]} if damage else {},
        matched=matched,
    )


def _sound(
    file: Path, neural: Stream, voice: Stream | None, options: Options, closing: ExitStack
) -> tuple[Signal | None, str]:
    if voice is None:
        return separate_sound(file, options, closing)
    return scaled(voice.signal(neural.stretch * (voice.start_s - neural.start_s)), file, options), ""


def _together(file: Path, neural: Stream, voice: Stream) -> tuple[Stream, Stream]:
    """Both streams, cut to their common time.  Raises InputError where there is none."""
    start_s, end_s = max(neural.start_s, voice.start_s), min(neural.end_s, voice.end_s)
    if end_s <= start_s:
        got, fix = f"no common time of {neural.name} and {voice.name}", "Name streams that were recorded together."
        raise InputError(Problem(str(file), "streams", got, "brain and sound at once", fix))
    return neural.within(start_s, end_s), voice.within(start_s, end_s)


def _drift_ppm(neural: Stream, voice: Stream | None) -> float | None:
    """How much faster the neural clock runs than that of the sound, by their nominal rates."""
    return None if voice is None else round((neural.stretch / voice.stretch - 1) * 1e6, 3)


def _pyxdf() -> Any:
    """pyxdf, which is an optional extra."""
    try:
        import pyxdf
    except ImportError:
        fix = 'Install it: pip install "pyxdf>=1.17", or the project with its extra: pip install -e ".[import]".'
        raise InputError(Problem("import", "pyxdf", "no such package", "pyxdf, which reads XDF", fix)) from None
    return pyxdf


@contextmanager
def _said(package: Any) -> Iterator[list[str]]:
    """What a package logs as errors within the block; nothing of its log is printed.

    pyxdf goes on behind a chunk that it cannot read, as a recorder that was cut off leaves one.
    """
    errors: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                errors.append(record.getMessage())

    log, handler = logging.getLogger(package.__name__), Collect()
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield errors
    finally:
        log.removeHandler(handler)
        log.propagate = before


def _load(file: Path, wanted: Sequence[tuple[str, str | None]]) -> dict[str, Mapping[str, Any]]:
    """The named streams, by their flags.  Raises InputError with a list of the streams where names do not fit."""
    pyxdf = _pyxdf()
    problem = file_problem(file, str(file), "")
    if problem:
        raise InputError(problem)
    try:
        listed = pyxdf.resolve_streams(str(file))
    except Exception as error:  # whatever a parser may raise on damaged bytes
        raise _unreadable(file, error) from None
    chosen = {flag: _chosen(file, listed, flag, name) for flag, name in wanted if name or flag == "--neural"}
    try:
        streams, _ = pyxdf.load_xdf(str(file), select_streams=sorted(set(chosen.values())), verbose=False)
    except Exception as error:  # whatever a parser may raise on damaged bytes
        raise _unreadable(file, error) from None
    found = {int(stream["info"]["stream_id"]): stream for stream in streams}
    empty = [flag for flag, number in chosen.items() if number not in found or not len(found[number]["time_stamps"])]
    raise_if_any(Problem(str(file), flag, "a stream without a sample", "samples", "Name another.") for flag in empty)
    return {flag: found[number] for flag, number in chosen.items()}


def _unreadable(file: Path, error: Exception) -> InputError:
    got = f"unreadable ({str(error).partition(chr(10))[0][:80] or type(error).__name__})"
    return InputError(Problem(str(file), "", got, "an XDF file", "Copy it again, or export it with LabRecorder."))


def _chosen(file: Path, listed: Sequence[Mapping[str, Any]], flag: str, name: str | None) -> int:
    """The number of the stream of a name, or of that number."""
    texts = [
        f"{s['stream_id']}: {s['name']} ({s['type']}, {s['channel_count']} × {float(s['nominal_srate']):g} Hz)"
        for s in listed
    ]
    fitting = [int(s["stream_id"]) for s in listed if name in (s["name"], str(s["stream_id"]))]
    if len(fitting) == 1:
        return fitting[0]
    got = "no stream named" if name is None else f"{len(fitting)} streams called {name}"
    fix = f"Name one, or give its number: {flag} NAME."
    raise InputError(Problem(str(file), flag, got, "one of " + "; ".join(texts), fix))


def _even(file: Path, stream: Mapping[str, Any]) -> Stream:
    """A stream of evenly spaced numbers.  Raises InputError for gaps, texts, and a rate unlike the nominal one."""
    info, stamps = stream["info"], np.asarray(stream["time_stamps"], np.float64)
    name, nominal_hz = str(info["name"][0]), float(info["nominal_srate"][0])
    data = stream["time_series"]
    segments = info.get("segments") or [(0, len(stamps) - 1)]
    if nominal_hz <= 0 or not isinstance(data, np.ndarray) or data.dtype.kind not in "iuf" or len(stamps) < 2:
        fix = "Name the stream of the amplifier, or of the microphone."
        raise InputError(Problem(str(file), name, "no even rate", "a stream of numbers at one rate", fix))
    if len(segments) > 1:
        at_s = float(stamps[segments[0][1]] - stamps[0])
        got, fix = (
            f"{len(segments) - 1} gaps, the first after {at_s:.3f} s",
            "Cut the file there, and import the parts.",
        )
        raise InputError(Problem(str(file), name, got, "samples without a gap", fix))
    measured_hz = (len(stamps) - 1) / float(stamps[-1] - stamps[0])
    raise_if_any(rate_problems(str(file), name, nominal_hz, {"the time stamps": round(measured_hz, 3)}))
    return Stream(name, data, float(stamps[0]), measured_hz, nominal_hz, info)


def _refuse_unlinked(file: Path, one: Mapping[str, Any], other: Mapping[str, Any], options: Options) -> None:
    """Streams of two computers lie on one clock only by the offsets that were measured between them."""
    hosts = [str((stream["info"].get("hostname") or ["n/a"])[0]) for stream in (one, other)]
    if hosts[0] != hosts[1] and not (one.get("clock_times") and other.get("clock_times")) and options.offset_s is None:
        got, fix = f"streams of {' and '.join(hosts)} without clock offsets", "State the offset: --offset-s."
        raise InputError(Problem(str(file), "clock", got, "clock offsets of both streams", fix))


def _rows(file: Path, stream: Stream, table: Sequence[Row] | None) -> list[Row]:
    """A row for each channel: name, type and units as the stream describes them, and what a table says of it."""
    n_channels = stream.data.shape[1] if stream.data.ndim == 2 else 1
    described = _description(stream.info)
    if len(described) != n_channels:
        described = [{} for _ in range(n_channels)]
    own = [{"type": one.get("type", "n/a"), "units": one.get("unit", "n/a")} for one in described]
    names = [one.get("label", "n/a") for one in described]
    if len(set(names)) < len(names) or "n/a" in names:
        names = [f"ch{i + 1:03d}" for i in range(n_channels)]
    return channel_rows(file, n_channels, table, names, own)


def _description(info: Mapping[str, Any]) -> list[dict[str, str]]:
    """``desc/channels/channel`` of a stream's header (https://github.com/sccn/xdf/wiki/Meta-Data)."""
    channels = ((info.get("desc") or [None])[0] or {}).get("channels") or [None]
    listed = (channels[0] or {}).get("channel") or []
    return [{k: str(v[0]).strip() for k, v in (one or {}).items() if v and isinstance(v[0], str)} for one in listed]


def _words(stream: Mapping[str, Any], clock: Stream, options: Options) -> Iterator[Row]:
    """One event for each marker, onset on the clock of the sound (without sound: of the brain)."""
    label_of = marker_label(options)
    for values, stamp in zip(stream["time_series"], stream["time_stamps"], strict=True):
        if label := label_of(str(values[0])):
            onset_s = (float(stamp) - clock.start_s) * clock.stretch
            yield interval(onset_s, 0.0, trial_type="marker", label=label)
