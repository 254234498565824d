"""Ids of a recording, and which sound belongs to which brain signal, from the names of their files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.errors import InputError, Problem
from pipeline.importing.options import Options
from pipeline.raw.modality import MODALITIES

SOUND_SUFFIXES = (".wav", ".flac", ".npy")
_BRAIN = {"eeg", "ieeg", "seeg", "ecog", "emg", "meg", "neural", "brain", "lfp", "ephys", "raw"}
_SOUND = {"audio", "sound", "voice", "speech", "mic", "microphone", "wav"}
_NO_SUBJECT = {"unknown", "n/a", "none"}
_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9]+)")


def entities(file: Path) -> dict[str, str]:
    """``sub-01_task-x_ieeg.nwb`` as ``{"sub": "01", "task": "x"}``."""
    parts = (_ENTITY.fullmatch(part) for part in file.stem.split("_"))
    return {match[1]: match[2] for match in parts if match}


def modality(file: Path, options: Options) -> str:
    """What was recorded, as BIDS calls it: as declared, else by the folder of a BIDS file, else ``ieeg``.

    Raises InputError where a name says otherwise.
    """
    if options.modality:
        return options.modality
    if file.parent.name in MODALITIES and entities(file):
        return file.parent.name
    said = next((word for word in _words(file) if word in ("emg", "meg")), None)
    if said:
        fix = f"State it: --modality {said}, or ieeg."
        raise InputError(Problem(str(file), "--modality", f"{said} in the name", "what was recorded", fix))
    return "ieeg"


def safe_id(text: str) -> str:
    """``text`` as an id of the sample sheet: letters, digits, ``-``, ``_`` and ``.``."""
    cleaned = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9_.-]+", "_", text)).strip("-._")[:80]
    if not cleaned:
        fix = "Give --subject and --recording in plain letters."
        raise InputError(Problem(text, "id", "no letter or digit", "an id", fix))
    return cleaned


def ids(file: Path, options: Options, own_subject: str | None = None) -> dict[str, str | None]:
    """Subject, recording, session and task of a file: as declared, else from BIDS entities, else from its stem.

    ``own_subject`` is what the file itself calls its subject, and goes before the stem where it is an id.
    """
    stated, stem = entities(file), key(file)
    own = own_subject or ""
    if own.lower() in _NO_SUBJECT or not re.search("[A-Za-z0-9]", own):
        own = stem.split("_")[0]
    subject = options.subject or _subject_from(options.subject_from, stem)
    if subject is None:
        subject = f"sub-{stated['sub']}" if "sub" in stated else own
    session, task = options.session or stated.get("ses"), options.task or stated.get("task")
    return {
        "subject": safe_id(subject),
        "recording": safe_id(options.recording or stem),
        "session": safe_id(session) if session else None,
        "task": safe_id(task) if task else None,
    }


def _subject_from(pattern: str | None, stem: str) -> str | None:
    if pattern is None:
        return None
    try:
        found = re.search(pattern, stem)
    except (re.error, RecursionError, OverflowError) as error:
        problem = Problem("--subject-from", "", f"{pattern} ({error})", "a regular expression", "Correct it.")
        raise InputError(problem) from None
    if found is None:
        raise InputError(Problem("--subject-from", stem, "no match", "the subject", f"Correct {pattern}."))
    return found.group(1 if found.groups() else 0)


def key(file: Path) -> str:
    """The stem without the word that says what the file holds: ``s01_run1`` of ``s01_run1_sEEG.npy``."""
    parts = [part for part in re.split(r"[_ .]+", file.stem) if part]
    kept = [part for part in parts if part.lower() not in _BRAIN | _SOUND]
    return "_".join(kept or parts)


def kind(file: Path) -> str:
    """``neural`` or ``sound`` by a word in the name (or the suffix of a sound file); else empty."""
    if file.suffix.lower() in (".wav", ".flac"):
        return "sound"
    words = _words(file)
    return {(True, False): "neural", (False, True): "sound"}.get((bool(words & _BRAIN), bool(words & _SOUND)), "")


def _words(file: Path) -> set[str]:
    return {part.lower() for part in re.split(r"[_ .-]+", file.stem)}


def sound_beside(file: Path) -> Path | None:
    """The one sound file in the same folder that has the same key."""
    fitting = [p for p in sounds_in(file.parent) if key(p) == key(file) and p != file]
    if len(fitting) > 1:
        names = ", ".join(p.name for p in fitting)
        raise InputError(Problem(str(file), "sound", names, "one sound", "Name it with --sound-file."))
    return fitting[0] if fitting else None


def sounds_in(folder: Path) -> list[Path]:
    """Files whose names say that they hold sound."""
    return [p for p in sorted(folder.iterdir()) if p.suffix.lower() in SOUND_SUFFIXES and kind(p) == "sound"]


def named_like(file: Path) -> list[str]:
    """Names of the sound files in the same folder that begin as ``file`` does."""
    return [p.name for p in sounds_in(file.parent) if p != file and p.name.lower().startswith(file.stem.lower())]


def repeated(names: Iterable[str], known: Sequence[str] = ()) -> list[str]:
    """Names that come more than once, or are known already, in any case."""
    seen = {name.lower() for name in known}
    found = []
    for name in names:
        if name.lower() in seen:
            found.append(name)
        seen.add(name.lower())
    return found
