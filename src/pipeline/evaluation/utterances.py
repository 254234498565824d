"""Utterances of one subject, aligned at the onset of the voice: what the levels beyond timing are tested on.

An utterance is an annotated word, or, in a block without events, a stretch of voice.  All are compared over the same
number of frames.  With each come the courses and references that tell what timing or loudness alone know.
Mels are (utterance, frame, active band) in nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.aligned import Event
from pipeline.baselines.references import REFERENCES, lagged, loudness_of, voice_of
from pipeline.evaluation.drift import RUNNING_MEAN_S, without_drift
from pipeline.evaluation.fold import Prepared
from pipeline.evaluation.types import MODEL, TestBlock, Values
from pipeline.signal.voice import voice_onset_frame, voiced_stretches

FAR_S = 1.5
FLOOR_S = (0.18, 0.03)
"""The background is the least of each band in this stretch before the onset, and in one as long after the end."""
FLOORS = ("before", "after", "before_mean", "after_mean")
"""The background before and after, and its means over what lies within 2 s."""
LOUDNESS_LAGS_S = (-0.25, -0.17, -0.1, -0.05, 0.0, 0.05, 0.1, 0.17, 0.25)
ABOVE_THRESHOLD_LAGS_S = (-0.08, 0.0, 0.08)
STEADY, LEAST_SPREAD_NATS = 5.0, 0.02
"""A background that changes by more than this many standard deviations beyond the usual, and their least."""
QUIET_PERCENTILE, QUIETER = 5, (0.25, 0.5)
"""Without events voice is on above these shares, too, of the way from the quiet to the threshold of speech."""
NORMAL_MAD = 0.6745
"""Median absolute deviation of a standard normal variable."""
EDGE_STEP_S, EDGE_REACH_S = 0.035, 0.45
"""Responses to an onset and to an end are of these straight pieces, as far before and after it."""


@dataclass(frozen=True)
class Utterances:
    """Aligned segments of all folds of a subject.

    ``target``, ``prediction``, ``envelope`` and the values of ``references`` and ``floor`` are
    (utterance, frame, band), slow drift taken off all but ``floor``; ``envelope`` is NaN where none was predicted.
    ``voice_course`` and ``loudness_course`` (utterance, frame, column) hold what they tell; ``timing`` (utterance, 4)
    [s] is duration, latency of the voice after the annotated onset, and the time to the next and from the previous
    onset.  ``place`` numbers fold, session and speaker, in which neighbours may change places, ``fold`` the fold.
    """

    target: Values
    prediction: Values
    envelope: Values
    references: Mapping[str, Values]
    floor: tuple[Values, ...]
    voice_course: Values
    loudness_course: Values
    timing: Values
    fold: NDArray[np.intp]
    place: NDArray[np.intp]
    labels: tuple[str, ...]
    templates: Values | None
    seconds: float

    def __len__(self) -> int:
        return len(self.target)

    def chosen(self, which: NDArray[Any]) -> Utterances:
        """Some of the utterances, by index or mask."""

        def part(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                return value[which]
            if isinstance(value, Mapping):
                return {name: values[which] for name, values in value.items()}
            return value

        kept = {f.name: part(getattr(self, f.name)) for f in fields(self)}
        labels = tuple(np.array(self.labels, dtype=object)[which].tolist())
        return replace(self, **kept | {"labels": labels, "floor": tuple(part(own) for own in self.floor)})


def utterances_of(block: TestBlock, speech: NDArray[np.bool_], frame_rate_hz: float) -> list[Event]:
    """The words of a block, or its stretches of voice where it has no events; times from the block's first frame."""
    first_s = float(block.times_s[0])
    if block.events:
        return sorted(
            (Event(e.onset_s - first_s, e.duration_s, e.label) for e in block.events),
            key=lambda e: e.onset_s,
        )
    found = voiced_stretches(speech, frame_rate_hz)
    return [Event(a / frame_rate_hz, (b - a) / frame_rate_hz, "") for a, b in found]


def compared_frames(utterances: Sequence[Sequence[Event]], frame_rate_hz: float) -> int:
    """Compared frames of each: the shortest quarter of durations, before nearly every next onset."""
    durations = [e.duration_s for own in utterances for e in own]
    steps = [b.onset_s - a.onset_s for own in utterances for a, b in pairwise(own)]
    limits = [float(np.percentile(durations, 25))] if durations else [0.0]
    return int(min(limits + ([float(np.percentile(steps, 10))] if steps else [])) * frame_rate_hz)


def aligned_utterances(prepared: Sequence[Prepared], name: str = MODEL) -> Utterances | str:
    """All utterances of a subject's folds that lie in their blocks and touch no bad frame; or why there are none."""
    rate_hz = prepared[0].fold.frame_rate_hz
    if not all(set(REFERENCES) <= set(b.references) for p in prepared for b in p.fold.blocks):
        return "the baselines hold no references of timing and loudness"
    listed = [
        [utterances_of(b, s, rate_hz) for b, s in zip(p.fold.blocks, p.by_block(p.speech), strict=True)]
        for p in prepared
    ]
    frames = compared_frames([own for blocks in listed for own in blocks], rate_hz)
    active = np.all([p.active for p in prepared], axis=0)
    if frames < 5 or not active.any():
        return "no utterance long enough to compare" if active.any() else "the target is constant in every band"
    without_events = not all(block.events for p in prepared for block in p.fold.blocks)
    places: dict[tuple[int, str, str], int] = {}
    rows = [
        row
        for k, (p, blocks) in enumerate(zip(prepared, listed, strict=True))
        for block, own in zip(p.fold.blocks, blocks, strict=True)
        for row in _rows(p, block, own, name, frames, active, k, places, quieter=without_events)
    ]
    if not rows:
        return "no utterance lies whole in the test blocks"
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0] if key not in ("label", "template")}
    known = all(row["template"] is not None for row in rows)
    return Utterances(
        target=columns["target"], prediction=columns["prediction"], envelope=columns["envelope"],
        references={r: columns[r] for r in REFERENCES}, floor=tuple(columns[key] for key in FLOORS),
        voice_course=columns["voice_course"], loudness_course=columns["loudness_course"], timing=columns["timing"],
        fold=columns["fold"], place=columns["place"], labels=tuple(row["label"] for row in rows),
        templates=np.array([row["template"] for row in rows]) if known else None,
        seconds=sum(len(p.target) for p in prepared) / rate_hz,
    )  # fmt: skip


def with_steady_background(found: Utterances) -> Utterances:
    """Without the utterances in which the background changes: a fan that switches is no course of the voice."""
    before, after, *_ = found.floor
    change = np.abs(after - before)[:, 0].mean(axis=1)
    usual = np.median(change)
    spread = np.median(np.abs(change - usual)) / NORMAL_MAD
    return found.chosen(change <= usual + STEADY * np.maximum(spread, LEAST_SPREAD_NATS))


def with_templates(prepared: Sequence[Prepared], found: Utterances) -> Utterances | str:
    """The utterances whose label has a template of its fold's training, each with it; or why there are none."""
    length, active = found.target.shape[1], np.all([p.active for p in prepared], axis=0)
    rows, templates = [], []
    for i, (label, fold) in enumerate(zip(found.labels, found.fold, strict=True)):
        mel = prepared[fold].fold.templates.get(label)
        if label and mel is not None and len(mel) >= length:
            rows.append(i)
            templates.append(mel[:length, active].astype(np.float64))
    if not rows:
        return "no test word whose label occurs in training"
    return replace(found.chosen(np.array(rows)), templates=np.array(templates))


def _rows(
    prepared: Prepared, block: TestBlock, own: Sequence[Event], name: str, frames: int, active: NDArray[np.bool_],
    fold: int, places: dict[tuple[int, str, str], int], *, quieter: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row per utterance that lies whole in a block."""
    rate_hz, target = prepared.fold.frame_rate_hz, block.target[:, active].astype(np.float64)
    envelope = block.predictions.get("envelope")
    predicted = block.predictions[name]
    assert predicted is not None
    series = {"target": target, "prediction": predicted[:, active].astype(np.float64)}
    series["envelope"] = np.full_like(target, np.nan) if envelope is None else envelope[:, active].astype(np.float64)
    series |= {r: block.references[r][:, active].astype(np.float64) for r in REFERENCES}
    series |= dict(
        zip(("voice_course", "loudness_course"), _courses(prepared, block, own, quieter=quieter), strict=True)
    )
    series = {key: without_drift(values, rate_hz) for key, values in series.items()}
    loudness = block.target.mean(axis=1)
    place = places.setdefault((fold, block.session or block.recording, block.speaker), len(places))
    found = []
    for event, known in zip(own, _timing(own), strict=True):
        first = voice_onset_frame(loudness, *(round(s * rate_hz) for s in (event.onset_s, event.duration_s)))
        stop = first + frames
        if first < 0 or stop > len(target) or block.bad[first:stop].any():
            continue
        latency = first / rate_hz - event.onset_s
        end = round((event.onset_s + event.duration_s) * rate_hz)
        near, far = (round(s * rate_hz) for s in FLOOR_S[::-1])
        before = _quietest(target, first - far, first - near, frames)
        after = _quietest(target, end + near, end + far, frames)
        found.append(
            {key: values[first:stop] for key, values in series.items()}
            | {"before": before, "after": after, "timing": [known[0], latency, *known[1:]]}
            | {"first": first, "fold": fold, "place": place, "label": event.label, "template": None}
        )
    return _with_local_floor(found, rate_hz)


def _with_local_floor(rows: list[dict[str, Any]], rate_hz: float) -> list[dict[str, Any]]:
    """Each row with the mean background of what lies within 2 s: slow drift took that off target and prediction."""
    at_s = np.array([row["first"] for row in rows]) / rate_hz
    for row, own_s in zip(rows, at_s, strict=True):
        near = np.flatnonzero(np.abs(at_s - own_s) <= RUNNING_MEAN_S / 2)
        row |= {f"{key}_mean": np.mean([rows[i][key] for i in near], axis=0) for key in ("before", "after")}
    return rows


def _quietest(target: Values, first: int, stop: int, frames: int) -> Values:
    """The least of each band in frames first … stop, as far as they lie in the block, (frames, band) repeated."""
    first = min(max(first, 0), len(target) - 1)
    return np.tile(target[first : max(stop, first + 1)].min(axis=0), (frames, 1))


def _courses(
    prepared: Prepared, block: TestBlock, own: Sequence[Event], *, quieter: bool
) -> tuple[Values, Values]:  # fmt: skip
    """What timing, and loudness, tell in a block: (frame, column) each.

    Events, and voice by energy, are courses of 0 and 1.  A response to their onsets need not be that to their ends
    turned round, so each has columns of its own.  ``quieter`` voice stands in for the ends of words without events.
    """
    rate_hz, threshold = prepared.fold.frame_rate_hz, prepared.fold.speech_threshold_nats
    loudness = loudness_of(block.target)
    states = voice_of(block.target, own, threshold, rate_hz)
    if quieter:
        quiet = np.percentile(loudness, QUIET_PERCENTILE)
        states = np.concatenate([states, loudness > quiet + np.array(QUIETER) * (threshold - quiet)], axis=1)
    spans_s = np.array([(e.onset_s, e.onset_s + e.duration_s) for e in own]).reshape(-1, 2)
    steps = np.diff(states[:, 1:], axis=0).T
    edges = [*(rate_hz * spans_s.T), *(np.flatnonzero(step == sign) + 1.0 for step in steps for sign in (1, -1))]

    def at(column: Values, lags_s: Sequence[float]) -> Values:
        return lagged(column, np.rint(np.array(lags_s) * rate_hz).astype(np.int64))

    above = np.maximum(loudness - threshold, 0)
    return (
        np.concatenate([states, *(_responses(edge, len(states), rate_hz) for edge in edges)], axis=1),
        np.concatenate([at(loudness, LOUDNESS_LAGS_S), at(above, ABOVE_THRESHOLD_LAGS_S)], axis=1),
    )


def _responses(edges: Values, count: int, rate_hz: float) -> Values:
    """Columns (frame, column) whose sums are all responses to edges [frame] of straight pieces."""
    step = max(1, round(EDGE_STEP_S * rate_hz))
    pieces = round(EDGE_REACH_S * rate_hz / step)
    frame = np.floor(edges).astype(np.intp)[:, None] + np.arange(1 - step, step + 1)
    height = np.maximum(0, 1 - np.abs(frame - edges[:, None]) / step)
    inside = (frame >= 0) & (frame < count)
    hats = np.zeros((count, 1))
    np.add.at(hats[:, 0], frame[inside], height[inside])
    return lagged(hats, step * np.arange(-pieces, pieces + 1))


def _timing(own: Sequence[Event]) -> list[tuple[float, float, float]]:
    """Duration, time to the next and from the previous onset of each [s]; distances are capped at 1.5 s."""
    onsets = np.array([e.onset_s for e in own])
    steps = np.minimum(np.diff(onsets, prepend=-np.inf, append=np.inf), FAR_S).tolist()
    return [(event.duration_s, *both) for event, *both in zip(own, steps[1:], steps[:-1], strict=True)]
