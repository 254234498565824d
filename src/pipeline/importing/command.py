"""``python -m pipeline import``: choose the format, list the recordings, write them.

Everything is opened and checked before the first array is written, and all problems are reported at once.  Files
that were matched by their names are only listed; ``--yes`` confirms the matches and writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing import matlab, mne_files, npy_pairs, nwb
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording
from pipeline.importing.writing import check_together, refuse_existing, size_bytes, write_recordings
from pipeline.raw.bids import REGION_COLUMNS, is_bad

#: Format -> endings of its files, and what finds its recordings.
FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Path, Options], list[Found]]]] = {
    "nwb": ((".nwb",), nwb.find),
    "mne": (mne_files.SUFFIXES, mne_files.find),
    "matlab": ((".mat",), matlab.find),
    "npy": ((".npy",), npy_pairs.find),
}
_LISTED = "NWB, EDF, BDF, BrainVision (.vhdr), FIF, MATLAB (.mat) or .npy files"


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
    found = FORMATS[file_format or format_of(source)][1](source, options)
    if not found:
        raise InputError(Problem(str(source), "", "no such file in it", _LISTED, "Name the folder of the data."))
    if len(found) > 1:
        _refuse_for_one(options)
    recordings = _checked(found, options)
    check_together(recordings, out)
    for recording in recordings:
        say(described(recording))
    if dry_run or (not yes and any(recording.matched for recording in recordings)):
        why = "" if dry_run else " Files were matched by name: add --yes if the lines above are right."
        say(f"Nothing written.{why}")
        return None
    say(f"Writing up to {sum(map(size_bytes, recordings)) / 1e6:.0f} MB to {out}")
    return write_recordings(found, out, options, append=append, on_written=lambda name: say(f"  {name} written"))


def format_of(source: Path) -> str:
    """The format of a file, or of the files in a folder, by their endings.  Raises InputError."""
    if not source.exists():
        fix = "Check the path."
        raise InputError(Problem(str(source), "", "nothing there", f"a file or folder of {_LISTED}", fix))
    names = [source.name] if source.is_file() else [p.name for p in source.rglob("*") if p.is_file()]
    fitting = [kind for kind, (endings, _) in FORMATS.items() if any(n.lower().endswith(endings) for n in names)]
    if len(fitting) > 1 and source.is_dir():
        got = f"files of {' and '.join(fitting)}"
        raise InputError(Problem(str(source), "", got, "one format", f"Choose one: --format {'|'.join(fitting)}."))
    if not fitting:
        got = "a Zarr store" if source.name.endswith(".zarr") else "no file that can be imported"
        fix = "Name the file or folder that holds the recordings; sound goes with it as --sound-file."
        raise InputError(Problem(str(source), "", got, _LISTED, fix))
    return fitting[0]


def _refuse_for_one(options: Options) -> None:
    """What belongs to one recording cannot be said of several."""
    fix = "Import the recordings one by one with --append, or lay such files beside them under their names."
    names = ("recording", "sound_file", "events", "annotations", "offset_s")
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
    raise_if_any(problems)
    return recordings


def described(recording: Recording) -> str:
    """What a recording is, in a line or two."""
    neural, sound = recording.neural, recording.sound
    kinds = sorted({row.get("type", "n/a") for row in recording.channels} - {"n/a"})
    brain = f"{len(recording.keep)} channels{' ' + '/'.join(kinds) if kinds else ''}"
    lines = [
        f"{recording.recording} (subject {recording.subject}) ← {recording.file.name}"
        + (f" + {recording.matched}" if recording.matched else ""),
        f"  brain  {brain}, {neural.duration_s:.1f} s at {neural.rate_hz:g} Hz, {recording.units}",
    ]
    if sound:
        clock = f"starts {recording.offset_s:+g} s on the neural clock" if recording.offset_s else "starts with it"
        lines.append(f"  sound  {sound.duration_s:.1f} s at {sound.rate_hz:g} Hz, {clock}")
    else:
        lines.append("  sound  none: this recording can be predicted, not trained on")
    lines.append("  tables " + _tables_text(recording))
    if recording.left_out:
        lines.append("  left out: " + ", ".join(f"{name} ({why})" for name, why in recording.left_out.items()))
    return "\n".join(lines)


def _tables_text(recording: Recording) -> str:
    bad = sum(row.get("status", "").lower() == "bad" for row in recording.channels)
    regions = {row.get(c, "n/a") for row in recording.electrodes for c in REGION_COLUMNS}
    spoilt = sum(is_bad(row.get("description", "")) for row in recording.annotations)
    parts = [f"{bad} bad channels"]
    parts.append(f"{len(recording.electrodes)} electrodes in {len(regions - {'n/a'})} regions")
    parts.append(f"{len(recording.events)} events")
    parts.append(f"{len(recording.annotations)} annotations ({spoilt} BAD)")
    return ", ".join(parts)
