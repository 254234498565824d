"""Trials of sessions, one file for each: ids from a pattern of the files' names, text and start from a table.

``{subject}_{session}_{trial}_emg.npy`` takes ids out of a name: a field holds none of the characters that separate
fields in the pattern, and ``*`` stands for any text.  A pattern with ``/`` is matched with the path below the folder,
else with the name alone.  ``--sound`` may be a pattern of the same fields; else the sound lies beside each file under
its name.  The table ``--trials`` has columns ``file``, ``recording``, or some of ``subject``, ``session`` and
``trial``, and says ``text``, ``start_s`` [s] or ``task`` of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.importing.naming import ids, key, safe_id, sounds_in
from pipeline.importing.options import Options
from pipeline.importing.recording import Found, Recording, Row
from pipeline.importing.tables import read_rows

FIELDS = ("subject", "session", "trial", "task")
_MOST_NAMED = 3
Find = Callable[[Path, Options], list[Found]]


def find_trials(source: Path, options: Options, find: Find, endings: Sequence[str]) -> list[Found]:
    """The trials of a folder: each file that fits the pattern, opened by ``find`` of its format.

    Raises InputError with the names of files that fit no pattern, or that lack their sound.
    """
    pattern = str(options.pattern)
    fits, by_path = compiled(pattern, "--pattern"), "/" in pattern
    files = sorted(p for p in source.rglob("*") if p.is_file())
    matched = {file: match.groupdict() for file in files if (match := fits.fullmatch(_name(file, source, by_path)))}
    if not matched:
        near = next((f for f in files if f.name.lower().endswith(tuple(endings))), files[0] if files else source)
        fix = "Correct the pattern: {subject}, {session} and {trial} stand for text, * for anything."
        raise InputError(
            Problem(
                "--pattern", "", pattern, f"a pattern that fits the files, such as {_name(near, source, by_path)}", fix
            )
        )
    sounds = _sounds(source, matched, files, options)
    found = []
    for file, fields in matched.items():
        own = _own_options(options, fields, sounds.get(file))
        found += [Found(file, _with(one, own), {**fields, "recording": str(own.recording)}) for one in find(file, own)]
    return found


def compiled(pattern: str, flag: str) -> re.Pattern[str]:
    """The pattern as a regular expression with a group for each field.  Raises InputError."""
    parts = re.split(r"\{([a-z]+)\}|(\*)", pattern)
    literals, named, stars = parts[0::3], parts[1::3], parts[2::3]
    problems = [
        Problem(flag, "", f"{{{name}}}", f"one of {', '.join(f'{{{f}}}' for f in FIELDS)}", "Rename the field.")
        for name in named
        if name is not None and name not in FIELDS
    ]
    if "trial" not in named:
        fix = "Say where the trial stands in a name: {subject}_{session}_{trial}.npy."
        problems.append(Problem(flag, "", pattern, "a pattern with {trial}", fix))
    raise_if_any(problems)
    separators = "".join(sorted({c for text in literals for c in text if not c.isalnum()} | {"/"}))
    text, seen = re.escape(literals[0]), set[str]()
    for literal, name, star in zip(literals[1:], named, stars, strict=True):
        if star:
            text += "[^/]*"
        elif name in seen:
            text += f"(?P={name})"
        else:
            text += f"(?P<{name}>[^{re.escape(separators)}]+)"
            seen.add(name)
        text += re.escape(literal)
    return re.compile(text)


def _name(file: Path, source: Path, by_path: bool) -> str:
    return file.relative_to(source).as_posix() if by_path else file.name


def _own_options(options: Options, fields: Mapping[str, str], sound: Path | None) -> Options:
    """What the name of a trial's file says."""
    subject = options.subject or fields.get("subject")
    session = options.session or fields.get("session")
    recording = safe_id("_".join(filter(None, [subject, session, fields["trial"]])))
    named_sound = options.sound if options.sound and "{" not in options.sound else None
    return replace(
        options,
        subject=subject,
        session=session,
        recording=recording,
        sound=named_sound,
        sound_file=sound,
        task=options.task or fields.get("task"),
    )


def _with(one: Found, own: Options) -> Callable[[ExitStack, Options], Recording]:
    """The trial opened with its own options, and with what was learnt of it since."""
    names = ("subject", "session", "recording", "sound", "sound_file")
    ours = {name: getattr(own, name) for name in names}

    def opened(closing: ExitStack, options: Options) -> Recording:
        recording = one.opened(closing, replace(options, **ours, task=options.task or own.task))
        return replace(recording, matched=own.sound_file.name if own.sound_file else "")

    return opened


def _sounds(
    source: Path, matched: Mapping[Path, Mapping[str, str]], files: Sequence[Path], options: Options
) -> dict[Path, Path]:
    """The sound of each trial; none where the format holds it.  Raises InputError where only some have one."""
    if options.sound and "{" not in options.sound:
        return {}
    if options.sound:
        fits, by_path = compiled(options.sound, "--sound"), "/" in options.sound
        named = [(f, m.groupdict()) for f in files if (m := fits.fullmatch(_name(f, source, by_path)))]
        found = {
            file: [f for f, own in named if own.items() <= dict(fields).items()] for file, fields in matched.items()
        }
    else:
        beside = {folder: _by_key(folder) for folder in {file.parent for file in matched}}
        found = {file: [s for s in beside[file.parent].get(key(file), ()) if s != file] for file in matched}
    _refuse_partial(source, found, must=bool(options.sound))
    return {file: sounds[0] for file, sounds in found.items() if sounds}


def _by_key(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for sound in sounds_in(folder):
        found.setdefault(key(sound), []).append(sound)
    return found


def _refuse_partial(source: Path, found: Mapping[Path, Sequence[Path]], *, must: bool) -> None:
    without = [file.name for file, sounds in found.items() if not sounds]
    several = [file.name for file, sounds in found.items() if len(sounds) > 1]
    fix = "Give --sound as a pattern of the same fields: '{subject}_{session}_{trial}_audio.wav'."
    problems = []
    if several:
        problems.append(Problem(str(source), "sound", f"several for {_few(several)}", "one for each trial", fix))
    if without and (must or len(without) < len(found)):
        got = f"none for {len(without)} of {len(found)} trials ({_few(without)})"
        problems.append(Problem(str(source), "sound", got, "one for each trial", f"{fix} Or move those trials away."))
    raise_if_any(problems)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")


# --- text and start of each trial -------------------------------------------------------------------------


def with_facts(found: Sequence[Found], options: Options) -> list[Found]:
    """The same recordings with what the table of trials says of each.  Raises InputError."""
    table = options.trials
    if table is None:
        return list(found)
    rows = read_rows(table)
    columns = [c for c in ("file", "recording", *FIELDS[:3]) if rows and c in rows[0]]
    if not columns:
        fix = "Name each trial in a column file, recording or trial."
        raise InputError(Problem(str(table), "trial", "no such column", "a column that names the trials", fix))
    known: dict[tuple[str, ...], Row] = {}
    problems = []
    for row in rows:
        name = tuple(row[c] for c in columns)
        if known.setdefault(name, row) is not row:
            problems.append(Problem(str(table), " ".join(name), "two rows", "one for each trial", "Remove one."))
    named = [(one, _facts_name(one, columns, options)) for one in found]
    lacking = [one.file.name for one, name in named if name not in known]
    if lacking:
        got = f"no row for {len(lacking)} of {len(found)} trials ({_few(lacking)})"
        fix = f"Write ids as in the files' names ({', '.join(columns)}), n/a where nothing is known."
        problems.append(Problem(str(table), ", ".join(columns), got, "a row for each trial", fix))
    raise_if_any([*problems, *_start_problems(table, rows)])
    return [replace(one, opened=_informed(one, known[name])) for one, name in named]


def _facts_name(one: Found, columns: Iterable[str], options: Options) -> tuple[str, ...]:
    own = {name: text or "n/a" for name, text in ids(one.file, options).items()} | dict(one.fields)
    own["file"] = one.file.name
    return tuple(own.get(column, "n/a") for column in columns)


def _start_problems(table: Path, rows: Sequence[Row]) -> list[Problem]:
    return [
        Problem(str(table), "start_s", row["start_s"], "a number [s]", "Write s since the session's start, or n/a.")
        for row in rows
        if row.get("start_s", "n/a") != "n/a" and not re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", row["start_s"])
    ]


def _informed(one: Found, row: Row) -> Callable[[ExitStack, Options], Recording]:
    said = {name: text for name, text in row.items() if text != "n/a"}
    text, start_s = said.get("text"), float(said["start_s"]) if "start_s" in said else None

    def opened(closing: ExitStack, options: Options) -> Recording:
        task = said.get("task", options.task)
        return one.opened(closing, replace(options, text=text, start_s=start_s, task=task))

    return opened
