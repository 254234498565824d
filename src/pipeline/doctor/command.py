"""The command ``python -m pipeline doctor``: its checks and its output.

Each recording is printed when it has been checked, then folds, then cost.  All problems come last,
as one InputError (exit code 2).  Without problems the run can start (exit code 0).
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from pipeline.artifacts.files import file_sha256
from pipeline.config.align import AlignStage
from pipeline.config.contamination import ContaminationStage
from pipeline.config.stages import stage_json
from pipeline.config.window import WindowStage
from pipeline.data.splits import ROLES
from pipeline.doctor.cost import Cost, cost
from pipeline.doctor.device import device_text
from pipeline.doctor.folds import SubjectFolds, subject_folds
from pipeline.doctor.recordings import EXCERPT_S, Examined, Settings, examine
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.evaluation.levels import listed
from pipeline.evaluation.methods import plural
from pipeline.raw.bids import is_bad
from pipeline.raw.manifest import refuse_copies
from pipeline.raw.modality import source
from pipeline.run.plan import Plan

Say = Callable[[str], None]
_MOST_BAD = 8
_MOST_NAMED = 10
#: More sessions have two lines each.
_PARAGRAPHS = 5
_LEAK_OF = f"on {EXCERPT_S:g} s at most; the run checks everything"


def check_run(plan: Plan, say: Say = print) -> None:
    """Check everything that a run will read.  Raises InputError where it cannot start."""
    config = plan.config
    say(_headline(plan))
    say(f"device: {device_text(config.runtime.accelerator)}")
    if plan.is_simulated:
        say("The recordings are simulated by the run itself: there is nothing to check beforehand.")
        raise_if_any(_place_problems())
        say("Ready.")
        return
    settings = settings_of(plan)
    recordings = []
    many = len(plan.sessions) > _PARAGRAPHS
    for session in plan.sessions.values():
        recordings.append(examine(session, settings))
        say(session_lines(recordings[-1]) if many else "\n" + session_text(recordings[-1]))
    if many:
        say(shared_text(recordings))
    problems = [p for found in recordings for p in found.problems] + _copies(plan)
    subjects: list[SubjectFolds] = []
    stage = WindowStage.from_json(stage_json("window", config))
    for subject in plan.subjects:
        own = [found for found in recordings if found.row.subject == subject and found.session.has_audio]
        if all(len(found.infos) == len(found.session.trials) for found in own):
            made = subject_folds(subject, own, stage, config.folds)
            if isinstance(made, SubjectFolds):
                subjects.append(made)
                if left_out := made.windows.attributes["left_out_channels"]:
                    say(f"\n{subject}: channels that not all sessions have are left out: {', '.join(left_out)}")
            else:
                problems += made
    if subjects:
        say("\n" + folds_text(subjects))
    problems += _place_problems()
    if not problems:
        estimated = cost(config, recordings, subjects)
        say("\n" + cost_text(estimated))
        problems += _too_large(estimated)
    problems = list(dict.fromkeys(problems))
    if problems:
        say(f"\n{plural(len(problems), 'problem')}: the run cannot start.")
    raise_if_any(problems)
    say("\nReady.")


def settings_of(plan: Plan) -> Settings:
    """What the recordings of a plan are looked at with."""
    config = plan.config
    return Settings(
        str(config.data.sheet),
        config.ingest,
        AlignStage.from_json(stage_json("align", config)),
        ContaminationStage.from_json(stage_json("contamination", config)).contamination,
        len(plan.sessions) == 1,
    )


def _headline(plan: Plan) -> str:
    config = plan.config
    folds = f"fold {config.fold}" if isinstance(config.fold, int) else "all folds"
    final = " and the final model" if config.makes_final else ""
    return (
        f"{plural(len(plan.rows), 'recording')} in {plural(len(plan.sessions), 'session')} of "
        f"{plural(len({row.subject for row in plan.rows}), 'subject')}, "
        f"{folds} of {config.split.folds}{final}, split by "
        f"{config.split.by}, preset {config.model.preset}{', causal' if config.causal else ''}"
    )


# --- problems of the whole ---------------------------------------------------------------------------------


def _copies(plan: Plan) -> list[Problem]:
    """One array under two ids, as the workflow refuses it; only files of one size can be that."""
    files = {
        (row.subject, row.recording, column): row.names[column]
        for row in plan.rows
        for column in row.statuses
        if column in ("eeg", "audio")
    }
    sizes = {name: Path(path).stat().st_size for name, path in files.items()}
    often = Counter(sizes.values())
    alike = {name: path for name, path in files.items() if often[sizes[name]] > 1}
    try:
        content = {path: file_sha256(Path(path)) for path in alike.values()}
        refuse_copies(alike, content, str(plan.config.data.sheet), plan.config.train.pool == "subjects", plan.texts)
    except InputError as error:
        return error.problems
    return []


def _place_problems() -> list[Problem]:
    if os.access(Path.cwd(), os.W_OK):
        return []
    fix = "Start in a folder of your own: results/ is made there."
    return [Problem(str(Path.cwd()), "", "a folder that cannot be written to", "a place for results/", fix)]


def _too_large(found: Cost) -> list[Problem]:
    memory, disk = psutil.virtual_memory().total, shutil.disk_usage(Path.cwd()).free
    problems = []
    if found.memory_bytes > memory:
        fix = "Take a machine with more, fewer channels, or train.pool none."
        problems.append(Problem("memory", "", _gb(memory), f"about {_gb(found.memory_bytes)} for one job", fix))
    if found.disk_bytes > disk:
        fix = "Start in a folder on a larger disk."
        problems.append(Problem(str(Path.cwd()), "disk", f"{_gb(disk)} free", f"about {_gb(found.disk_bytes)}", fix))
    return problems


# --- text ---------------------------------------------------------------------------------------------------


def session_text(found: Examined) -> str:
    """A session in a few lines; of its trials, only those with a problem are named."""
    lines = [f"{found.session.name} (subject {found.row.subject}){'  ✗' * bool(found.problems)}"]
    lines += [f"  {kind:6} {text}" for kind, text in _facts(found)]
    lines += [f"  clock  {_clock(found)}"] if found.sounds_s else []
    if found.infos:
        lines.append("  tables " + _tables(found))
    if found.contamination:
        lines.append(f"  leak   {found.contamination}, {_LEAK_OF}")
    lines += [f"  note   {text}" for text in found.suggestions]
    return "\n".join(lines + _findings(found))


def session_lines(found: Examined) -> str:
    """A session in two lines, with its trials that have a problem; :func:`shared_text` has the rest."""
    facts = "; ".join(f"{kind} {text}" for kind, text in _facts(found))
    lines = [f"{found.session.name}{'  ✗' * bool(found.problems)}  {facts}"]
    lines += [f"  clock  {_clock(found)}"] if found.sounds_s else []
    return "\n".join(lines + _findings(found))


def shared_text(recordings: Sequence[Examined]) -> str:
    """What was found of leaks, and notes, each once with the sessions that it holds for."""
    sessions: dict[tuple[str, str], list[str]] = {}
    for found in recordings:
        leak = "no evidence" if found.contamination.startswith("no evidence") else found.contamination
        said = [("leak", f"{leak}, {_LEAK_OF}")] if leak else []
        for line in [*said, *(("note", text) for text in found.suggestions)]:
            sessions.setdefault(line, []).append(found.session.name)
    every = len(recordings)
    names = {line: "all sessions" if len(own) == every else listed(own) for line, own in sessions.items()}
    return "\n".join(f"{kind}    {names[kind, text]}: {text}" for kind, text in sorted(sessions))


def _facts(found: Examined) -> list[tuple[str, str]]:
    """What there is of trials, signal and sound."""
    row, facts = found.row, []
    if len(found.lengths_s) > 1:
        facts.append(("trials", _trials(list(found.lengths_s.values()))))
    if found.n_samples:
        seconds, channels = found.n_samples / row.eeg_rate_hz, f"{found.n_channels} channels at {row.eeg_rate_hz:g} Hz"
        facts.append((source(row.modality), f"{seconds:.1f} s, {channels}, {row.modality}; {_bad(found)}"))
    with_audio = next((r for r in found.session.trials if r.audio), None)
    if with_audio is None:
        facts.append(("sound", "none: it can be predicted, not trained on"))
    elif found.sounds_s and with_audio.audio_rate_hz:
        sound = f"{sum(found.sounds_s.values()):.1f} s at {with_audio.audio_rate_hz:g} Hz"
        facts.append(("sound", f"{sound}, audio_modified {with_audio.audio_modified}"))
    return facts


def _findings(found: Examined) -> list[str]:
    """Warnings and problems, a line each."""
    lines = [f"  ! {text}" for text in found.warnings[:_MOST_NAMED]] + _more(found.warnings)
    shown = found.problems[:_MOST_NAMED]
    return [*lines, *(f"  ✗ {_place(p, found)}{p.got} (expected {p.expected})" for p in shown), *_more(found.problems)]


def _trials(lengths_s: Sequence[float]) -> str:
    shortest, median, longest = min(lengths_s), statistics.median(lengths_s), max(lengths_s)
    return f"{len(lengths_s)}, of {shortest:.1f} to {longest:.1f} s, median {median:.1f} s"


def _place(problem: Problem, found: Examined) -> str:
    """The file or trial of a problem, where the session has several."""
    return f"{Path(problem.file).name}: " if len(found.session.trials) > 1 else ""


def _more(items: Sequence[object]) -> list[str]:
    return [f"    and {len(items) - _MOST_NAMED} more"] if len(items) > _MOST_NAMED else []


def _bad(found: Examined) -> str:
    if not found.bad:
        return "none bad" if not found.problems else "not judged"
    shown = [f"{name} ({reason})" for name, reason in list(found.bad.items())[:_MOST_BAD]]
    return f"{len(found.bad)} bad: " + ", ".join(shown) + (" …" if len(found.bad) > _MOST_BAD else "")


def _clock(found: Examined) -> str:
    row, lag = found.row, found.lag
    offsets = {r.audio_offset_s for r in found.session.trials}
    sources = {"assumed": "ASSUMED", "file": "from the files", "declared": "declared"}
    stated = sources.get(row.audio_offset_from or "", "declared" if row.audio_offset_s else "by the sheet")
    text = f"{stated} {row.audio_offset_s:+g} s, {row.audio_drift_ppm:g} ppm"
    if len(offsets) > 1:
        text = f"{stated} {min(offsets):+g} to {max(offsets):+g} s"
    if lag is None or lag.lag_s is None:
        return text + (f"; no lag estimate ({lag.reason})" if lag else "")
    if not lag.confidence:
        return f"{text}; no lag stands out: where the sound was recorded on a clock of its own, check the offset"
    verb = "leads" if lag.lag_s >= 0 else "follows"
    return (
        f"{text}; the {source(row.modality)} {verb} by {1e3 * abs(lag.lag_s):.0f} ms (confidence {lag.confidence:.2f})"
    )


def _tables(found: Examined) -> str:
    annotations = [
        (duration, text)
        for info in found.infos
        for duration, text in zip(info.annotations["duration"], info.annotations["description"], strict=True)
    ]
    bad_s = [float(duration) for duration, text in annotations if is_bad(str(text))]
    regions = {str(r) for r in found.infos[0].channels["region"]} - {"n/a", ""}
    events = sum(len(info.events["onset"]) for info in found.infos)
    kind = {"cue": " (cues; onsets are taken from the sound)", "voice": " (voice)"}.get(found.row.events_are or "", "")
    return f"{events} events{kind}, {len(bad_s)} BAD intervals ({sum(bad_s):.1f} s), {len(regions)} regions"


def folds_text(subjects: Sequence[SubjectFolds]) -> str:
    """Windows and minutes of each role, one line per subject and fold."""
    wide = max(7, *(len(one.subject) for one in subjects))
    lines = [f"{'subject':{wide}}  fold  " + "".join(f"{role:>25}" for role in ROLES)]
    for one in subjects:
        for fold, roles in one.counts.items():
            cells = [f"{roles[role].windows} windows, {roles[role].minutes:.1f} min" for role in ROLES]
            lines.append(f"{one.subject:{wide}}  {fold:4d}  " + "".join(f"{cell:>25}" for cell in cells))
    return "\n".join(lines)


def cost_text(found: Cost) -> str:
    """Memory, disk and time, with where each comes from."""
    memory, disk = psutil.virtual_memory().available, shutil.disk_usage(Path.cwd()).free
    return "\n".join(
        [
            f"memory  about {_gb(found.memory_bytes)} for the largest job, {_gb(memory)} free ({found.memory_from})",
            f"disk    about {_gb(found.disk_bytes)}, {_gb(disk)} free ({found.disk_from})",
            f"time    about {_duration(found.core_s)} of one core, less with more cores or a GPU ({found.time_from})",
        ]
    )


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
