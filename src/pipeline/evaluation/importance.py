"""Permutation importance: loss of r of a decoder when a group of channels is shifted in time.

In: a trained model, a subject's features on the mel's grid, its test blocks.  Each group of
channels (a shaft, a region) is circularly shifted in time within the test blocks, the other channels stay, and
the model runs freely again.  Out: the loss of r, (group, shift), and what each piece of the test sound adds to its
mean, (group, piece), for its null (:mod:`pipeline.evaluation.importance_null`); all groups share the shifts.
A loss means that this model uses information of the group that other groups lack: two
shafts with the same information may both have a loss near zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.aligned import AlignedInfo
from pipeline.data.subject import SubjectArrays, circularly_shifted
from pipeline.evaluation.intervals import piece_frames, pseudo_values
from pipeline.evaluation.metrics import piece_starts
from pipeline.evaluation.types import Values
from pipeline.model.inference import Model, predict_continuous
from pipeline.signal.correlation import correlation, stretch_moments
from pipeline.signal.mel_statistics import active_or_all
from pipeline.signal.reference import shaft_of

Array = NDArray[np.float32]
Span = tuple[int, int, int]
SHORTEST_PIECE_S = 2.0


@dataclass(frozen=True)
class Importance:
    """Loss of mean r over active bands of each of ``names``: ``drop`` (group, shift), ``piece_drop`` (group, piece)."""

    names: tuple[str, ...]
    drop: Array
    piece_drop: Array


def channel_groups(columns: Sequence[str], info: AlignedInfo) -> dict[str, dict[str, list[int]]]:
    """For ``shaft`` and ``region``: columns of the features by the group that they belong to.

    The shaft is the channel's group in the channel table, else the letters that its name begins with; the
    region that of its electrode (of the first contact of a bipolar pair).  A column without one belongs to
    no group.
    """
    found: dict[str, dict[str, list[int]]] = {"shaft": {}, "region": {}}
    regions, shafts = _by_channel(info, "region"), _by_channel(info, "group")
    for i, column in enumerate(columns):
        channel = _channel_of(column, info.channels["name"])
        shaft = shaft_of(channel, shafts.get(channel, "n/a"))
        if shaft is not None:
            found["shaft"].setdefault(shaft, []).append(i)
        if regions.get(channel, "n/a") not in ("", "n/a"):
            found["region"].setdefault(regions[channel], []).append(i)
    return {kind: dict(sorted(groups.items())) for kind, groups in found.items()}


def _by_channel(info: AlignedInfo, column: str) -> dict[str, str]:
    """A column of the channel table by the channel's name; empty where the table has no such column."""
    return dict(zip(info.channels["name"], info.channels.get(column, []), strict=False))


def _channel_of(column: str, channels: Sequence[str]) -> str:
    """The recorded channel that a column's name begins with: columns add a band, or a bipolar partner."""
    return max((c for c in channels if column == c or column.startswith((f"{c} ", f"{c}-"))), key=len, default=column)


@dataclass(frozen=True)
class Contacts:
    """Recorded contacts whose places are known: ``position`` (contact, axis), finite, in the unit of their table.

    ``shaft`` and ``region`` of each are as in :func:`channel_groups`, empty where it has none.
    """

    position: Array
    shaft: tuple[str, ...]
    region: tuple[str, ...]


def contacts_of(columns: Sequence[str], info: AlignedInfo) -> Contacts | None:
    """The contacts behind the columns (of a bipolar pair the first), each once; None where no place is known."""
    table = info.electrodes
    places = dict(zip(table.get("name", []), zip(*(table.get(axis, []) for axis in "xyz"), strict=True), strict=True))
    groups = channel_groups(columns, info)
    found: dict[str, tuple[tuple[float, ...], str, str]] = {}
    for i, column in enumerate(columns):
        channel = _channel_of(column, info.channels["name"])
        if channel in places and np.isfinite(places[channel]).all():
            own = {kind: next((n for n, at in groups[kind].items() if i in at), "") for kind in groups}
            found.setdefault(channel, (places[channel], own["shaft"], own["region"]))
    if not found:
        return None
    position, shafts, regions = zip(*found.values(), strict=True)
    return Contacts(np.array(position, np.float32), shafts, regions)


def why_not(groups: Mapping[str, Sequence[int]]) -> str:
    """Why the groups of a kind cannot be compared; empty where they can."""
    if not groups:
        return "no channel has one"
    return f"{next(iter(groups))} is the only one" if len(groups) == 1 else ""


def permutation_importance(
    model: Model,
    arrays: SubjectArrays,
    spans: Sequence[Span],
    groups: Mapping[str, Sequence[int]],
    n_shifts: int,
    *,
    subjects: Sequence[int],
    seed: Sequence[int],
    frame_rate_hz: float,
) -> Importance:
    """Loss of r of each group over all of ``spans`` (recording, start, stop) [mel frames].

    Windows do not overlap here, in both predictions that are compared, which costs a
    quarter of the time.  Shifts are at least a quarter of a block long and follow from ``seed``.
    ``subjects`` numbers, for each span, its subject or session in the model.
    """
    cropped, inside = _cropped(arrays, spans, model.a.context_frames)
    truth = np.concatenate([arrays.mel[r][start:stop] for r, start, stop in spans])
    active, centre = active_or_all(truth), truth.mean(axis=0, dtype=np.float64)
    lengths = [stop - start for _, start, stop in spans]
    starts = piece_starts(lengths, piece_frames([lengths], frame_rate_hz, SHORTEST_PIECE_S))

    def mean_r(moments: Values) -> Values:
        return np.nan_to_num(correlation(moments)[..., active]).mean(axis=-1)

    def scored(features: Sequence[Array]) -> tuple[float, Values]:
        """r of all test sound, and of its pieces."""
        hop = model.a.length_frames
        parts = [
            predict_continuous(model, features[r], a, b, hop, subject=subject).mel
            for (r, a, b), subject in zip(inside, subjects, strict=True)
        ]
        sides = truth - centre, np.concatenate(parts) - centre
        moments = stretch_moments(*sides, np.ones(len(truth)), starts)
        return float(mean_r(moments.sum(axis=0))), pseudo_values(moments, mean_r)

    intact, intact_pieces = scored(cropped)
    drop = np.zeros((len(groups), n_shifts), np.float32)
    piece_drop = np.zeros((len(groups), len(starts)), np.float32)
    rng = np.random.default_rng(list(seed))
    for k in range(n_shifts):
        turned = circularly_shifted(cropped, inside, model.a.context_frames, arrays.rows_per_frame, rng)
        for g, columns in enumerate(groups.values()):
            changed = [f.copy() for f in cropped]
            for block, other in zip(changed, turned, strict=True):
                block[:, columns] = other[:, columns]
            r, pieces = scored(changed)
            drop[g, k] = intact - r
            piece_drop[g] += (intact_pieces - pieces) / n_shifts
    return Importance(tuple(groups), drop, piece_drop)


def _cropped(arrays: SubjectArrays, spans: Sequence[Span], context: int) -> tuple[list[Array], list[Span]]:
    """The rows of each span with the context around it, and the spans within them."""
    m = arrays.rows_per_frame
    cropped, inside = [], []
    for i, (r, start, stop) in enumerate(spans):
        first = max(0, start - context)
        cropped.append(arrays.features[r][first * m : (stop + context) * m])
        inside.append((i, start - first, stop - first))
    return cropped, inside
