"""Options of ``python -m pipeline import`` that declare properties of recordings."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from pipeline.raw.modality import MODALITIES


@dataclass(frozen=True)
class Options:
    """Values declared on the command line; None without the option.

    ``neural``, ``sound`` and ``words`` name series, variables, channels or file patterns, as the
    format has them; ``text`` and ``start_s`` (when a trial began in its session) come from the table ``trials``.
    ``event_duration`` is that of events without one: s, or ``next``.  Rates are Hz, or the name of a variable of a
    MATLAB file.  The clock is t_neural = t_audio * (1 + drift_ppm * 1e-6) + offset_s.
    """

    subject: str | None = None
    subject_from: str | None = None
    recording: str | None = None
    session: str | None = None
    task: str | None = None
    pattern: str | None = None
    trials: Path | None = None
    cut: Path | None = None
    text: str | None = None
    start_s: float | None = None
    modality: str | None = None
    neural: str | None = None
    sound: str | None = None
    sound_file: Path | None = None
    sound_channel: str | None = None
    sound_full_scale: float | None = None
    words: str | None = None
    words_match: str | None = None
    names: str | None = None
    eeg_rate: str | None = None
    sound_rate: str | None = None
    units: str | None = None
    gain_uv: float | None = None
    layout: str | None = None
    drop: tuple[str, ...] = ()
    channels: Path | None = None
    electrodes: Path | None = None
    events: Path | None = None
    events_clock: str | None = None
    events_are: str | None = None
    event_duration: str | None = None
    markers: Path | None = None
    drop_outside: bool = False
    annotations: Path | None = None
    offset_s: float | None = None
    drift_ppm: float | None = None
    modified: str | None = None
    duration_tolerance_s: float = 1.0
    simulated: bool = False

    @classmethod
    def parsed(cls, arguments: argparse.Namespace) -> Self:
        """From what :func:`add_arguments` defined."""
        named = {field.name for field in fields(cls)} - {"text", "start_s"}
        return cls(**{name: getattr(arguments, name) for name in named} | {"drop": tuple(arguments.drop)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define source, place and everything of :class:`Options`."""
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="a file, a BIDS root, or a folder of files of one format"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--format", choices=["nwb", "mne", "bids", "matlab", "npy", "xdf"], help="where a folder holds several"
    )
    parser.add_argument("--dry-run", action="store_true", help="list the recordings, write nothing")
    parser.add_argument("--yes", action="store_true", help="write although files were matched by their names")
    parser.add_argument("--append", action="store_true", help="add to the folder of an earlier import")
    who = parser.add_argument_group(
        "who and when (default: from BIDS names, else an NWB file's subject, else the name)"
    )
    who.add_argument("--subject", metavar="ID")
    who.add_argument("--subject-from", metavar="REGEX", help="takes the subject out of each file name")
    for name in ("--recording", "--session", "--task"):
        who.add_argument(name, metavar="ID")
    who.add_argument(
        "--pattern", metavar="TEXT", help="trials of sessions, by their files: '{subject}_{session}_{trial}_emg.npy'"
    )
    who.add_argument("--trials", type=Path, metavar="TSV", help="text and start_s of each trial")
    who.add_argument(
        "--cut",
        type=Path,
        metavar="TSV",
        help="cuts a long recording into trials: onset, stim_file or duration of each",
    )
    who.add_argument("--modality", choices=MODALITIES, help="default: of the BIDS folder, else ieeg")
    what = parser.add_argument_group("what to take (series, variable, channel or file pattern, as the format has it)")
    what.add_argument("--neural", metavar="NAME")
    what.add_argument("--sound", metavar="NAME")
    what.add_argument("--sound-file", type=Path, metavar="FILE", help=".wav, .flac or .npy; of NWB, .nwb with --sound")
    what.add_argument("--sound-channel", metavar="CHANNEL", help="left, right, mean or an index from 0")
    what.add_argument("--words", metavar="NAME", help="NWB: a series of words, or TABLE:COLUMN; XDF: a marker stream")
    what.add_argument("--words-match", metavar="REGEX", help="XDF, BrainVision, EDF: markers that are events")
    what.add_argument("--names", metavar="VARIABLE", help="MATLAB: the channels' names")
    what.add_argument("--drop", nargs="+", default=[], metavar="CHANNEL", help="channels to leave out")
    _add_declarations(parser)
    tables = parser.add_argument_group("BIDS tables (default: those beside the file that carry its name)")
    for name in ("--channels", "--electrodes", "--events", "--annotations"):
        tables.add_argument(name, type=Path, metavar="TSV")
    tables.add_argument("--markers", type=Path, metavar="TSV", help="events of many recordings, named in a column file")
    tables.add_argument(
        "--events-clock", choices=["neural", "audio"], help="what the onsets of --events or --markers count on"
    )
    tables.add_argument("--events-are", choices=["cue", "voice"], help="what begins at an onset: a cue, or the voice")
    tables.add_argument("--event-duration", metavar="S|next", help="of events without one; next: until the next one")
    tables.add_argument("--drop-outside", action="store_true", help="leave out events outside the sound")


def _add_declarations(parser: argparse.ArgumentParser) -> None:
    stated = parser.add_argument_group("values that the files do not declare")
    stated.add_argument("--eeg-rate", metavar="HZ", help="MATLAB: or a variable")
    stated.add_argument("--sound-rate", metavar="HZ", help="MATLAB: or a variable")
    stated.add_argument("--units", choices=["uV", "mV", "V", "nV", "a.u."], help="of the stored neural values")
    stated.add_argument("--gain-uv", type=float, metavar="UV", help="µV of one step, instead of --units")
    stated.add_argument("--layout", choices=["time_channel", "channel_time"], help="axes of the neural array")
    stated.add_argument("--sound-full-scale", type=float, metavar="VALUE", help="the stored value of full scale")
    stated.add_argument("--offset-s", type=float, metavar="S", help="t_neural = t_audio + S")
    stated.add_argument("--drift-ppm", type=float, metavar="PPM", help="t_neural = t_audio * (1 + PPM * 1e-6) + S")
    stated.add_argument(
        "--modified",
        choices=["none", "pitch_shifted", "unknown"],
        help="whether the sound was modified after recording",
    )
    stated.add_argument(
        "--duration-tolerance-s",
        type=float,
        default=1.0,
        metavar="S",
        help="brain and sound may end this far apart, or by 0.5 %%",
    )
    stated.add_argument("--simulated", action="store_true", help="these are simulated signals")
