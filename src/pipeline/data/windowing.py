"""The window index of a subject: blocks, windows, roles and the raw samples each role saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.artifacts.aligned import AlignedInfo
from pipeline.artifacts.windows import ROLE_CODES, BadRow, BlockRow, EventRow, SpanRow, Windows
from pipeline.config.window import WindowStage
from pipeline.data.intervals import merge_windows
from pipeline.data.spans import ReceptiveField, covered_frames, raw_spans, receptive_field, widest
from pipeline.data.splits import ROLES, Block, Role, Timeline, split, windows_in
from pipeline.data.subject import interpolation_support_s
from pipeline.errors import InputError, Problem
from pipeline.raw.bids import is_bad

KEPT_SHARE = 0.9  # of the first inner fold's training windows, at least
#: By role, its blocks and the starts of its windows.
Part = dict[Role, tuple[list[Block], list[tuple[int, int]]]]


def window_index(infos: Sequence[AlignedInfo], n_frames: Sequence[int], config: WindowStage) -> Windows:
    """Windows of all folds from the recordings that have sound.

    ``n_frames`` is the number of mel frames of each recording.  Raises
    :class:`InputError` where a recording, a block or the purge gap is too short.
    """
    grid = config.mel
    context = grid.frames(config.window.context_s)
    fields = widest(
        receptive_field(
            i,
            context,
            grid,
            grid.n_fft,
            interpolation_support_s(i.feature_rate_hz, grid, i.causal),
        )
        for i in infos
    )
    gap = _gap_frames(fields, config)
    timelines = [_timeline(info, n, config) for info, n in zip(infos, n_frames, strict=True)]
    n_inner = 1 if config.split.order == "chronological" else config.split.inner_folds
    parts: dict[tuple[int, int], Part] = {}
    for fold in range(config.split.folds):
        parts[fold, 0] = first = _part(config, timelines, fold, 0, gap)
        for inner_fold in range(1, n_inner):
            parts[fold, inner_fold] = _further_part(config, timelines, fold, inner_fold, gap, first)
    return _index(config, infos, timelines, parts, fields)


def _gap_frames(fields: ReceptiveField, config: WindowStage) -> int:
    needed = fields.gap_frames(config.mel.frame_rate_hz)
    wanted_s = config.window.purge_gap_s
    if wanted_s is None:
        return needed
    wanted = math.ceil(wanted_s * config.mel.frame_rate_hz)
    if wanted < needed:
        needed_s = needed / config.mel.frame_rate_hz
        raise InputError(
            Problem(
                "config",
                "window.purge_gap_s",
                f"{wanted_s:g} s",
                f"at least {needed_s:.2f} s, the receptive field of context and filters",
                "Raise window.purge_gap_s, or set it to null",
            )
        )
    return wanted


def _timeline(info: AlignedInfo, n_frames: int, config: WindowStage) -> Timeline:
    """The frames that have both sound and brain signal."""
    grid = config.mel
    start, covered = covered_frames(info, grid)
    stop = min(n_frames, covered)
    if start >= stop:
        raise InputError(
            Problem(
                info.recording,
                "duration",
                f"{max(0, stop - start) / grid.frame_rate_hz:.2f} s of neural recording and sound",
                "a mel frame with both",
                "Check audio_offset_s, or leave the trial out",
            )
        )
    bad = tuple(_bad_frames(info, config))
    return Timeline(info.recording, info.session, start, stop, info.listed_events(), bad, info.text)


def _bad_frames(info: AlignedInfo, config: WindowStage) -> list[tuple[int, int]]:
    table, rate_hz = info.annotations, config.mel.frame_rate_hz
    return [
        (math.floor(onset * rate_hz), math.ceil((onset + duration) * rate_hz))
        for onset, duration, text in zip(
            table.get("onset", []), table.get("duration", []), table.get("description", []), strict=True
        )
        if is_bad(str(text))
    ]


def _part(config: WindowStage, timelines: list[Timeline], fold: int, inner_fold: int, gap: int) -> Part:
    """Blocks and window starts by role in an inner fold.  Raises :class:`InputError` where a role has no window."""
    length, hop = config.mel.frames(config.window.length_s), config.mel.frames(config.window.hop_s)
    blocks = split(timelines, fold, config.split, gap, config.mel.frame_rate_hz, inner_fold)
    found: Part = {}
    for role in ROLES:
        own = [b for b in blocks if b.role == role]
        # Training leaves out what touches a bad interval; the other roles are scored with and without.
        margin = config.mel.frames(config.window.context_s) if role == "train" else None
        found[role] = own, windows_in(own, timelines, length, hop, margin)
        if not found[role][1] and role != "test":
            raise _no_window(role, fold, config)
    return found


def _further_part(
    config: WindowStage, timelines: list[Timeline], fold: int, inner_fold: int, gap: int, first: Part
) -> Part:
    """Another inner fold, or the first one again where its purge gaps would cost much of the training data."""
    try:
        part = _part(config, timelines, fold, inner_fold, gap)
    except InputError:
        return first
    return part if len(part["train"][1]) >= KEPT_SHARE * len(first["train"][1]) else first


def _index(
    config: WindowStage,
    infos: Sequence[AlignedInfo],
    timelines: list[Timeline],
    parts: dict[tuple[int, int], Part],
    fields: ReceptiveField,
) -> Windows:
    length = config.mel.frames(config.window.length_s)
    block_rows: list[BlockRow] = []
    spans: list[SpanRow] = []
    for (fold, inner_fold), part in parts.items():
        for role, (blocks, found) in part.items():
            seen = [(b.recording, b.start, b.stop) for b in blocks]
            if role == "train":
                seen = merge_windows(found, length, [t.stop for t in timelines])
            rows = [BlockRow(fold, role, *span, inner_fold) for span in seen]
            block_rows += rows
            spans += [s for row in rows for s in raw_spans(row, infos[row.recording], fields, config.mel)]
    starts = sorted({start for part in parts.values() for _, found in part.values() for start in found})
    folds = tuple(dict.fromkeys(fold for fold, _ in parts))
    whole = Windows(
        subject=infos[0].subject,
        recordings=tuple(i.recording for i in infos),
        sessions=tuple(i.session for i in infos),
        usable=np.array([(t.start, t.stop) for t in timelines], np.int64),
        texts=tuple(t.text for t in timelines),
        speakers=tuple(i.speaker for i in infos),
        folds=folds,
        starts=np.array(starts, np.int64),
        roles=np.zeros((len(starts), 0), np.uint8),
        blocks=(),
        spans=(),
        events=tuple(EventRow(e.onset_s, e.duration_s, e.label, i) for i, t in enumerate(timelines) for e in t.events),
        bad=tuple(BadRow(i, start, stop) for i, t in enumerate(timelines) for start, stop in t.bad),
        attributes=_attributes(config, infos, fields),
    )
    return whole.with_inner_folds(_roles(starts, parts, len(folds)), block_rows, spans)


def _roles(starts: Sequence[tuple[int, int]], parts: dict[tuple[int, int], Part], n_folds: int) -> np.ndarray:
    """Role codes (window, fold, inner fold)."""
    row = {start: i for i, start in enumerate(starts)}
    roles = np.zeros((len(starts), n_folds, len(parts) // n_folds), np.uint8)
    for (fold, inner_fold), part in parts.items():
        for role, (_, found) in part.items():
            roles[[row[start] for start in found], fold, inner_fold] = ROLE_CODES[role]
    return roles


def _attributes(config: WindowStage, infos: Sequence[AlignedInfo], fields: ReceptiveField) -> dict[str, object]:
    return {
        "simulated": any(i.simulated for i in infos),
        "causal": config.causal,
        "frame_rate_hz": config.mel.frame_rate_hz,
        "length_frames": config.mel.frames(config.window.length_s),
        "context_frames": config.mel.frames(config.window.context_s),
        "hop_frames": config.mel.frames(config.window.hop_s),
        "purge_gap_frames": _gap_frames(fields, config),
        "receptive_field_past_s": fields.past_s,
        "receptive_field_future_s": fields.future_s,
        "receptive_field_audio_s": fields.audio_s,
        "whole_recording_operations": sorted({name for i in infos for name in i.whole_recording_operations}),
        "modality": infos[0].modality,
        # One session of cues makes the annotated onsets of a subject unfit as onsets of its voice.
        "events_are": "cue" if any(i.events_are == "cue" for i in infos) else infos[0].events_are,
        "left_out_channels": _left_out(infos),
        "split_by": config.split.by,
        "split_order": config.split.order,
    }


def _left_out(infos: Sequence[AlignedInfo]) -> list[str]:
    """Channels that not all sessions of the subject have: the model uses those that all have."""
    names = {info.session: info.channels["name"] for info in infos}
    shared = set.intersection(*map(set, names.values()))
    return list(dict.fromkeys(name for own in names.values() for name in own if name not in shared))


def _no_window(role: str, fold: int, config: WindowStage) -> InputError:
    return InputError(
        Problem(
            "config",
            "split",
            f"no window of {config.window.length_s:.2f} s fits into the {role} blocks of fold {fold}",
            "longer blocks",
            "Lower split.folds, shorten window.length_s, or raise split.validation_fraction",
        )
    )
