"""Training, validation and test blocks with purge gaps, and the windows in them.

In: per recording the range of usable mel frames, its events, its bad intervals
and the receptive field of filters and context.  Out: per fold a list of :class:`Block` (recording,
role, frames ``start:stop``) that keep the purge gap between roles, and the window
starts inside them.  Test blocks are never shortened, so over all folds each usable
frame is tested once; the gap is taken from training, else from validation.

Inner folds of a fold test the same blocks and validate on others: the n-th one on the n-th stretch, or the n-th
lot of trials, after the test block.  Where order decides what validates, all are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise
from random import Random
from typing import Literal

from pipeline.artifacts.aligned import Event
from pipeline.config.window import SplitConfig
from pipeline.data.intervals import covering_starts, window_starts
from pipeline.data.stimuli import whole_stimuli
from pipeline.errors import InputError, Problem

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")
PRECEDENCE = {"test": 2, "validation": 1, "train": 0}


@dataclass(frozen=True)
class Timeline:
    """One recording as the splitter sees it: usable mel frames ``start:stop`` and what lies in them."""

    recording: str
    session: str
    start: int
    stop: int
    events: tuple[Event, ...] = ()
    bad: tuple[tuple[int, int], ...] = ()
    text: str = ""

    @property
    def stimuli(self) -> tuple[str, ...]:
        """The whole stimulus, as the sheet and as the events tell it."""
        return whole_stimuli(self.text, [e.label for e in sorted(self.events, key=lambda e: e.onset_s)])

    @property
    def n_frames(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Block:
    """Frames ``start:stop`` of a recording (by index) that have one role."""

    recording: int
    role: Role
    start: int
    stop: int


def split(
    timelines: Sequence[Timeline], fold: int, config: SplitConfig, gap: int, frame_rate_hz: float, inner_fold: int = 0
) -> list[Block]:
    """The blocks of one inner fold of a fold, purge gaps applied, in order of recording and time.

    Trials that repeat a stimulus are left out; where nothing would be left then for a role, as of two recordings of one
    list, only those that no border cuts, and the audit counts the others.

    Raises :class:`InputError` when there is too little data for a role.
    """
    cut = _by_block if config.by == "block" else _by_label if config.by == "label" else _by_group
    blocks = cut(timelines, fold, inner_fold, config, gap, frame_rate_hz)
    choices = (_without_repeats(blocks, timelines, whole_trials_only=whole) for whole in (False, True))
    for kept in [blocks] if config.by == "label" else choices:
        purged = _purged(kept, gap)
        missing = [role for role in ROLES if not any(b.role == role for b in purged)]
        if not missing:
            return purged
    raise _too_little(missing[0], fold, config, gap / frame_rate_hz, len(blocks) - len(kept))


def windows_in(
    blocks: Iterable[Block], timelines: Sequence[Timeline], length: int, hop: int, margin: int | None
) -> list[tuple[int, int]]:
    """(recording index, first frame) of the windows that lie in ``blocks``: ``length`` frames each, ``hop`` apart.

    A window that comes within ``margin`` frames of a bad interval is left out; with
    None, bad intervals do not count.
    """
    starts = []
    for block in blocks:
        timeline = timelines[block.recording]
        bad = () if margin is None else timeline.bad
        # The windows of a whole trial reach its last frame; one shorter than a window has one, which is padded.
        is_whole = (block.start, block.stop) == (timeline.start, timeline.stop)
        starts_in = covering_starts if is_whole else window_starts
        for start in starts_in(block.start, block.stop, length, hop).tolist():
            stop = start + length
            if not any(start - (margin or 0) < b and a < stop + (margin or 0) for a, b in bad):
                starts.append((block.recording, start))
    return starts


def stimulus_groups(timelines: Sequence[Timeline]) -> list[int]:
    """For each trial, the number of the first one that it shares a whole stimulus with, directly or through others."""
    leader = list(range(len(timelines)))

    def root(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    first: dict[str, int] = {}
    for i, timeline in enumerate(timelines):
        for stimulus in timeline.stimuli:
            a, b = root(first.setdefault(stimulus, i)), root(i)
            leader[max(a, b)] = min(a, b)
    return [root(i) for i in range(len(timelines))]


def _without_repeats(
    blocks: Sequence[Block], timelines: Sequence[Timeline], *, whole_trials_only: bool = False
) -> list[Block]:
    """Blocks without those whose whole stimulus another trial has in a role that goes before theirs.

    Test goes before validation, and validation before training.  ``whole_trials_only``: trials of several roles stay.
    """
    groups = stimulus_groups(timelines)
    roles: dict[int, set[Role]] = {}
    trials: dict[tuple[int, int], set[int]] = {}
    for block in blocks:
        roles.setdefault(block.recording, set()).add(block.role)
        trials.setdefault((groups[block.recording], PRECEDENCE[block.role]), set()).add(block.recording)

    def is_repeat(block: Block) -> bool:
        if whole_trials_only and len(roles[block.recording]) > 1:
            return False
        own, before = {block.recording}, range(PRECEDENCE[block.role] + 1, len(ROLES))
        return any(trials.get((groups[block.recording], first), own) != own for first in before)

    return [block for block in blocks if not is_repeat(block)]


def _by_block(
    timelines: Sequence[Timeline], fold: int, inner_fold: int, config: SplitConfig, gap: int, frame_rate_hz: float
) -> list[Block]:
    """Contiguous stretches of the recordings laid end to end.

    A border that would leave two gaps of a recording or less on one side moves to the
    recording's end, so that many short recordings are divided between them, not within.
    """
    ends = list(accumulate((t.n_frames for t in timelines), initial=0))
    total = ends[-1]

    near = partial(_border, ends=ends, gap=gap)
    if config.order == "chronological":
        segment = total / (config.folds + 1)
        test = (near((fold + 1) * segment), near((fold + 2) * segment))
        start = near(test[0] - config.validation_fraction * test[0])
        if start == test[0]:
            start = max((e for e in ends if e < test[0]), default=start)
        marks: list[tuple[Role, int, int]] = [("train", 0, start), ("validation", start, test[0]), ("test", *test)]
    else:
        test = (near(fold * total / config.folds), near((fold + 1) * total / config.folds))
        validation = _validation_beside(test, inner_fold, config.validation_fraction * total, near, ends)
        free = _complement([test, validation], total)
        marks = [("test", *test), ("validation", *validation), *(("train", *f) for f in free)]
    blocks = [b for role, start, stop in marks for b in _located(timelines, role, start, stop)]
    return _snapped(blocks, timelines, frame_rate_hz) if config.snap_to_events else blocks


def _border(frame: float, ends: Sequence[int], gap: int) -> int:
    """The end of a recording where one is at most two gaps away, else the frame itself."""
    end = min(ends, key=lambda e: abs(e - frame))
    return end if abs(end - frame) <= 2 * gap else round(frame)


def _validation_beside(
    test: tuple[int, int], inner_fold: int, length: float, near: Callable[[float], int], ends: Sequence[int]
) -> tuple[int, int]:
    """The n-th stretch after the test block, going on at the beginning once the end is reached; empty where it would
    come upon the test block again."""
    start = stop = test[1]
    for _ in range(inner_fold + 1):
        start = stop if stop + length <= ends[-1] else 0
        stop = near(start + length)
        if stop == start:
            end = min((e for e in ends if e > start), default=stop)
            stop = round(start + length) if start < test[0] < end else end
    return (start, start) if start < test[1] and stop > test[0] else (start, stop)


def _by_group(
    timelines: Sequence[Timeline], fold: int, inner_fold: int, config: SplitConfig, gap: int, frame_rate_hz: float
) -> list[Block]:
    """Whole trials, or all trials of a session, held out together.

    Trials are dealt at random unless ordered by time, those of one whole stimulus together.
    """
    keys = [t.recording if config.by == "recording" else t.session for t in timelines]
    if config.by == "recording" and config.order == "any":
        groups = stimulus_groups(timelines)
        keys = [timelines[group].recording for group in groups]
    names = list(dict.fromkeys(keys))
    if config.by == "session" and _is_pair(names, config):
        return _by_pair(timelines, names, fold, config, gap, frame_rate_hz)
    if config.by == "recording" and config.order == "any":
        Random(config.seed).shuffle(names)
    roles = _group_roles(names, fold, inner_fold, config)
    return [
        Block(i, roles[key], t.start, t.stop)
        for i, (key, t) in enumerate(zip(keys, timelines, strict=True))
        if key in roles
    ]


def _is_pair(sessions: Sequence[str], config: SplitConfig) -> bool:
    return len(sessions) == 2 and config.folds <= (1 if config.order == "chronological" else 2)


def _by_pair(
    timelines: Sequence[Timeline], sessions: Sequence[str], fold: int, config: SplitConfig, gap: int,
    frame_rate_hz: float,
) -> list[Block]:  # fmt: skip
    """One of two sessions tested; the end of the other validates, since no third one can."""
    tested = sessions[1 if config.order == "chronological" else fold]
    own = [i for i, t in enumerate(timelines) if t.session != tested]
    ends = list(accumulate((timelines[i].n_frames for i in own), initial=0))
    start = _border((1 - config.validation_fraction) * ends[-1], ends, gap)
    if start == ends[-1]:
        start = ends[-2]
    others = [timelines[i] for i in own]
    blocks = _located(others, "train", 0, start) + _located(others, "validation", start, ends[-1])
    blocks = _snapped(blocks, others, frame_rate_hz) if config.snap_to_events else blocks
    test = [Block(i, "test", t.start, t.stop) for i, t in enumerate(timelines) if t.session == tested]
    return [*(replace(b, recording=own[b.recording]) for b in blocks), *test]


def _by_label(
    timelines: Sequence[Timeline], fold: int, inner_fold: int, config: SplitConfig, gap: int, frame_rate_hz: float
) -> list[Block]:
    """Words held out: a trial lasts from an event's onset to the next one's."""
    labels = sorted({e.label for t in timelines for e in t.events})
    Random(config.seed).shuffle(labels)
    roles = _group_roles(labels, fold, inner_fold, config)
    blocks = []
    for i, timeline in enumerate(timelines):
        events = sorted(timeline.events, key=lambda e: e.onset_s)
        borders = [round(e.onset_s * frame_rate_hz) for e in events] + [timeline.stop]
        for event, (start, stop) in zip(events, pairwise(borders), strict=True):
            start, stop = max(start, timeline.start), min(stop, timeline.stop)
            if start < stop and event.label in roles:
                blocks.append(Block(i, roles[event.label], start, stop))
    return _joined(blocks)


def _group_roles(names: Sequence[str], fold: int, inner_fold: int, config: SplitConfig) -> dict[str, Role]:
    """The role of each group: every group is tested in exactly one fold."""
    n = len(names)
    needed = config.folds + 2 if config.order == "chronological" else max(3, config.folds)
    fix = "Lower split.folds, add recordings, or use split.by: block"
    if config.by == "session" and n == 2:
        most = 1 if config.order == "chronological" else 2
        fix = f"Set split.folds: {most}: the end of the training session then validates. Or use split.by: recording"
    if n < needed:
        raise InputError(
            Problem(
                "config",
                "split.by",
                f"{n} {config.by}s for {config.folds} folds",
                f"at least {needed}: one or more each to train, validate and test",
                fix,
            )
        )
    n_validation = max(1, round(config.validation_fraction * n))
    if config.order == "chronological":
        segment = n / (config.folds + 2)
        first, last = math.ceil((fold + 2) * segment), math.ceil((fold + 3) * segment)
        test, n_validation = list(range(first, min(last, n))), min(n_validation, first - 1)
        validation = list(range(first - n_validation, first))
        others = list(range(first - n_validation))
    else:
        test = list(range(fold * n // config.folds, (fold + 1) * n // config.folds))
        n_validation = min(n_validation, n - len(test) - 1)
        held = [(test[-1] + 1 + i) % n for i in range(n - len(test))]
        validation = held[inner_fold * n_validation :][:n_validation]
        others = [i for i in range(n) if i not in test and i not in validation]
    roles: dict[str, Role] = {names[i]: "train" for i in others}
    return roles | {names[i]: "validation" for i in validation} | {names[i]: "test" for i in test}


def _complement(taken: Sequence[tuple[int, int]], total: int) -> list[tuple[int, int]]:
    edges = [0, *(x for pair in sorted(taken) for x in pair), total]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


def _located(timelines: Sequence[Timeline], role: Role, start: int, stop: int) -> list[Block]:
    """Frames ``start:stop`` of the recordings laid end to end, as blocks of each."""
    blocks, offset = [], 0
    for i, t in enumerate(timelines):
        a, b = max(start - offset, 0), min(stop - offset, t.n_frames)
        if a < b:
            blocks.append(Block(i, role, t.start + a, t.start + b))
        offset += t.n_frames
    return blocks


def _snapped(blocks: Iterable[Block], timelines: Sequence[Timeline], frame_rate_hz: float) -> list[Block]:
    """Borders between blocks moved to the middle of the nearest pause between events."""
    snapped = []
    for block in blocks:
        t = timelines[block.recording]
        pauses = _pauses(t, frame_rate_hz)

        def near(frame: int, t: Timeline = t, pauses: list[int] = pauses) -> int:
            is_edge = frame in (t.start, t.stop) or not pauses
            return frame if is_edge else min(pauses, key=lambda p: (abs(p - frame), p))

        start, stop = near(block.start), near(block.stop)
        if start < stop:
            snapped.append(replace(block, start=start, stop=stop))
    return snapped


def _pauses(timeline: Timeline, frame_rate_hz: float) -> list[int]:
    events = sorted(timeline.events, key=lambda e: e.onset_s)
    middles = [round(0.5 * (a.end_s + b.onset_s) * frame_rate_hz) for a, b in pairwise(events)]
    return [m for m in middles if timeline.start < m < timeline.stop]


def _joined(blocks: Iterable[Block]) -> list[Block]:
    """Neighbouring blocks of one role made one."""
    joined: list[Block] = []
    for block in sorted(blocks, key=lambda b: (b.recording, b.start)):
        last = joined[-1] if joined else None
        if last and (last.recording, last.role, last.stop) == (block.recording, block.role, block.start):
            joined[-1] = replace(last, stop=block.stop)
        else:
            joined.append(block)
    return joined


def _purged(blocks: Iterable[Block], gap: int) -> list[Block]:
    """Blocks cut back until those of different roles lie ``gap`` frames apart."""
    by_recording: dict[int, list[Block]] = {}
    for block in _joined(blocks):
        by_recording.setdefault(block.recording, []).append(block)
    return [b for own in by_recording.values() for block in own if (b := _cut_back(block, own, gap))]


def _cut_back(block: Block, others: Sequence[Block], gap: int) -> Block | None:
    """What is left of a block beside those of its recording that go before it."""
    start, stop = block.start, block.stop
    for other in others:
        if PRECEDENCE[other.role] <= PRECEDENCE[block.role]:
            continue
        if other.stop <= block.start:
            start = max(start, other.stop + gap)
        elif other.start >= block.stop:
            stop = min(stop, other.start - gap)
    return replace(block, start=start, stop=stop) if start < stop else None


def _too_little(role: Role, fold: int, config: SplitConfig, gap_s: float, n_repeats: int) -> InputError:
    """A role has no data, which may be due to ``n_repeats`` blocks left out."""
    got = f"no data left to {role} in fold {fold} of {config.folds}"
    need = f"blocks longer than the purge gap of {gap_s:.2f} s around them"
    fix = "Lower split.folds, raise split.validation_fraction, shorten window.context_s, or add recordings"
    if n_repeats:
        need += f"; {n_repeats} blocks repeat stimuli that are tested or validated, and were left out"
        fix += " of other stimuli"
    return InputError(Problem("config", "split", got, need, fix))
