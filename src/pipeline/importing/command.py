"""``python -m pipeline import``: choose the format, list the recordings, write them.

Everything is opened and checked before the first array is written, and all problems are reported at once.  Files
that were matched by their names are only listed; ``--yes`` confirms the matches and writes.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.evaluation.methods import plural
from pipeline.importing import bids_root, matlab, mne_files, npy_pairs, nwb, xdf
from pipeline.importing.cuts import cut
from pipeline.importing.naming import named_like
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording
from pipeline.importing.trials import find_trials, with_facts
from pipeline.importing.writing import SHEET, check_together, refuse_existing, sessions, size_bytes, write_recordings
from pipeline.raw.bids import REGION_COLUMNS, is_bad
from pipeline.raw.electrode_names import no_electrodes
from pipeline.raw.modality import source as source_of

#: Format -> endings of its files, and what finds its recordings.
FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Path, Options], list[Found]]]] = {
    "nwb": ((".nwb",), nwb.find),
    "mne": (mne_files.SUFFIXES, mne_files.find),
    "matlab": ((".mat",), matlab.find),
    "bids": ((), bids_root.find),
    "npy": ((".npy",), npy_pairs.find),
    "xdf": (xdf.SUFFIXES, xdf.find),
}
#: Options that some formats alone read, and what serves the others.
READ_BY = {
    "words": (("nwb", "xdf"), "Give a table with --events, or choose marks by --words-match."),
    "words_match": (("xdf", "mne", "bids"), "Give a table with --events."),
    "names": (("matlab",), "Give a table with --channels."),
    "layout": (("matlab", "npy"), "Leave it out: the file says which axis is which."),
}
_LISTED = "NWB, EDF, BDF, BrainVision (.vhdr), FIF, XDF, MATLAB (.mat) or .npy files"
_MOST_ALONE = 3
_MANY_ALONE = 10


def import_recordings(
    source: Path,
    out: Path,
    options: Options,
    *,
    file_format: str | None = None,
    append: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    say: Callable[[str], None] = print,
) -> Path | None:
    """Write what ``source`` holds to ``out``; returns the sample sheet, None where nothing was written.

    Raises InputError with the problems of all recordings; nothing has been written by then.
    """
    refuse_existing(out, append)
    chosen = file_format or format_of(source, options.pattern)
    raise_if_any(_unread(options, chosen))
    endings, find = FORMATS[chosen]
    found = find_trials(source, options, find, endings) if options.pattern else find(source, options)
    found = with_facts(found, options)
    if not found:
        raise InputError(Problem(str(source), "", "no such file in it", _LISTED, "Name the folder of the data."))
    if len(found) > 1:
        _refuse_for_one(options)
    found = cut(found, options)
    recordings = _checked(found, options)
    check_together(recordings, out, options)
    found_sessions = sessions(recordings)
    for session in found_sessions.values():
        say(described_session(session, options))
    for note in _notes(source, found_sessions):
        say(f"note: {note}")
    if dry_run or (not yes and (options.pattern or any(recording.matched for recording in recordings))):
        why = "" if dry_run else " Files were matched by name: add --yes if the lines above are right."
        say(f"Nothing written.{why}")
        return None
    say(f"Writing up to {sum(map(size_bytes, recordings)) / 1e6:.0f} MB to {out}")
    return write_recordings(found, out, options, append=append, on_written=lambda name: say(f"  {name} written"))


def format_of(source: Path, pattern: str | None = None) -> str:
    """The format of a file, or of the files in a folder, by their endings or that of a pattern.  Raises InputError."""
    if not source.exists():
        fix = "Check the path."
        raise InputError(Problem(str(source), "", "nothing there", f"a file or folder of {_LISTED}", fix))
    names = [source.name] if source.is_file() else [p.name for p in source.rglob("*") if p.is_file()]
    if pattern and any(pattern.endswith(endings) for endings, _ in FORMATS.values() if endings):
        names = [pattern]
    fitting = [kind for kind, (endings, _) in FORMATS.items() if any(n.lower().endswith(endings) for n in names)]
    if len(fitting) > 1 and source.is_dir():
        got = f"files of {' and '.join(fitting)}"
        raise InputError(Problem(str(source), "", got, "one format", f"Choose one: --format {'|'.join(fitting)}."))
    if not fitting:
        got = "a Zarr store" if source.name.endswith(".zarr") else "no file that can be imported"
        fix = "Name the file or folder that holds the recordings; sound goes with it as --sound-file."
        raise InputError(Problem(str(source), "", got, _LISTED, fix))
    is_bids = source.is_dir() and (source / "dataset_description.json").is_file()
    return "bids" if is_bids and fitting == ["mne"] else fitting[0]


def _unread(options: Options, file_format: str) -> list[Problem]:
    """Options that recordings of this format do not read."""
    return [
        Problem(
            f"--{name.replace('_', '-')}", "", f"the option for {file_format} files", f"{' or '.join(kinds)} files", fix
        )
        for name, (kinds, fix) in READ_BY.items()
        if getattr(options, name) is not None and file_format not in kinds
    ]


def _notes(source: Path, found: Mapping[str, Sequence[Recording]]) -> list[str]:
    """What somebody may have overlooked."""
    notes = []
    if len(found) >= _MANY_ALONE and all(len(session) == 1 for session in found.values()):
        text = f"{len(found)} recordings, each a session of its own; trials of one session are named by --pattern"
        notes.append(text + " '{subject}_{session}_{trial}_…'")
    if (source / SHEET).is_file():
        notes.append(f"{source / SHEET} is there already: if its arrays are .npy, a run reads it without import")
    return notes


def _refuse_for_one(options: Options) -> None:
    """What belongs to one recording cannot be said of several."""
    fix = "Import the recordings one by one with --append, or lay such files beside them under their names."
    names = ("recording", "sound_file", "events", "annotations", *(() if options.pattern else ("offset_s",)))
    raise_if_any(
        Problem(f"--{name.replace('_', '-')}", "", "several recordings", "one", fix)
        for name in names
        if getattr(options, name) is not None
    )


def _checked(found: Sequence[Found], options: Options) -> list[Recording]:
    """Every recording opened once; their arrays are closed again."""
    problems: list[Problem] = []
    recordings = []
    for one in found:
        with ExitStack() as closing:
            try:
                recordings.append(one.opened(closing, options))
            except InputError as error:
                problems += error.problems
    raise_if_any(_summarised(problems))
    return recordings


def _summarised(problems: Sequence[Problem]) -> list[Problem]:
    """Problems that many files share as one, which names the first."""
    alike: dict[tuple[str, ...], list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        alike.setdefault((problem.field, problem.got, problem.expected, problem.fix), []).append(problem)
    return [problem for same in alike.values() for problem in (same if len(same) <= _MOST_ALONE else [_of_many(same)])]


def _of_many(same: Sequence[Problem]) -> Problem:
    return replace(same[0], file=f"{same[0].file} and {len(same) - 1} more files")


def described_session(session: Sequence[Recording], options: Options) -> str:
    """What a session holds: its recordings, or, where they are many, a paragraph over all of them."""
    if len(session) <= _MOST_ALONE:
        return "\n".join(described(recording, options) for recording in session)
    first, lengths_s = session[0], [r.neural.duration_s for r in session]
    spread = f"{min(lengths_s):.1f} to {max(lengths_s):.1f} s, median {statistics.median(lengths_s):.1f} s"
    head = f"session {first.session_name} (subject {first.subject}): {len(session)} trials, {spread}"
    known = [sum(bool(r.text) for r in session), sum(r.start_s is not None for r in session)]
    stated = f"  sheet  text of {known[0]}, start_s of {known[1]} trials"
    events = sum(len(r.events) for r in session)
    parts = described(first, options).splitlines()
    return "\n".join([head, stated, f"  events {events} in all; the first trial:", *(f"  {line}" for line in parts)])


def described(recording: Recording, options: Options) -> str:
    """What a recording is, in a line or two."""
    neural, sound = recording.neural, recording.sound
    kinds = sorted({row.get("type", "n/a") for row in recording.channels} - {"n/a"})
    brain = f"{len(recording.keep)} channels{' ' + '/'.join(kinds) if kinds else ''}"
    signal = source_of(recording.modality)
    lines = [
        f"{recording.recording} (subject {recording.subject}) ← {recording.file.name}"
        + (f" + {recording.matched}" if recording.matched else ""),
        f"  {signal:6} {brain}, {neural.duration_s:.1f} s at {neural.rate_hz:g} Hz, "
        f"{recording.units}, {recording.modality}",
    ]
    if sound:
        clock = _clock_text(recording)
        lines.append(f"  sound  {sound.duration_s:.1f} s at {sound.rate_hz:g} Hz, {clock}")
    else:
        beside = named_like(recording.file)
        hint = f" ({', '.join(beside[:_MOST_ALONE])} beside it: --sound-file takes one)" if beside else ""
        if recording.unused_sounds:
            hint = f" ({', '.join(recording.unused_sounds[:_MOST_ALONE])} in it: --sound takes one)"
        lines.append(f"  sound  none: this recording can be predicted, not trained on{hint}")
    lines.append("  tables " + _tables_text(recording, options))
    if recording.left_out:
        lines.append("  left out: " + ", ".join(f"{name} ({why})" for name, why in recording.left_out.items()))
    if others := no_electrodes([row["name"] for row in recording.channels], recording.modality):
        quoted = " ".join(shlex.quote(name) for name in others)
        lines.append(f"  note   by their names no electrodes: {', '.join(others)}; to leave them out: --drop {quoted}")
    return "\n".join(lines)


def _clock_text(recording: Recording) -> str:
    if recording.offset_from == "assumed":
        return "ASSUMED 0 s on the neural clock: no offset is declared (--offset-s)"
    source = "declared" if recording.offset_from == "declared" else "from the files"
    drift = f", {recording.drift_ppm:+.1f} ppm" if recording.drift_ppm else ""
    return f"starts {recording.offset_s:+g} s on the neural clock{drift} ({source})"


def _tables_text(recording: Recording, options: Options) -> str:
    bad = sum(row.get("status", "").lower() == "bad" for row in recording.channels)
    regions = {row.get(c, "n/a") for row in recording.electrodes for c in REGION_COLUMNS}
    spoilt = sum(is_bad(row.get("description", "")) for row in recording.annotations)
    kind = {"cue": " (cues)", "voice": " (voice)", None: ""}[options.events_are]
    outside = f" ({recording.outside} outside the sound left out)" if recording.outside else ""
    parts = [
        plural(bad, "bad channel"),
        f"{plural(len(recording.electrodes), 'electrode')} in {plural(len(regions - {'n/a'}), 'region')}",
        f"{plural(len(recording.events), 'event')}{kind}{outside}",
        f"{plural(len(recording.annotations), 'annotation')} ({spoilt} BAD)",
    ]
    return ", ".join(parts)
