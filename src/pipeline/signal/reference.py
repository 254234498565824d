"""Choice of channels, the rule that finds bad ones, and re-referencing of the good.

All on ``(samples, channels)`` blocks of the recording before any filter.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.config.align import ChannelChoice, ChannelsConfig
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.signal.blocks import Reader

Method = Literal["none", "car", "shaft", "bipolar", "laplacian"]

# Variances are taken over pieces of this length, so that slow drift does not pass for noise.
_PIECE_S = 1.0
# The least spread of log variance among channels that counts as a standard deviation [nats]: among
# channels that are nearly equal, small differences are no reason to call one noisy.
_LEAST_SPREAD = 0.5
# With fewer finite channels than this their spread says nothing.
_FEWEST_CHANNELS = 4
_NO_GROUP = ("", "n/a")
_CONTACT = re.compile(r"\s*([A-Za-z]+['’`]?)[\s_]*0*(\d+)")


@dataclass(frozen=True)
class Reference:
    """A linear map from recorded channels to referenced ones.

    Attributes:
        method: what it is.
        names: names of the outputs; a bipolar pair is ``LA1-LA2``.
        columns: the recorded channels that it reads, all good ones.
        matrix: ``(columns, outputs)`` float32, or None where outputs are the columns as they are.
        dropped: good channels that have no output, with the reason.
    """

    method: Method
    names: list[str]
    columns: np.ndarray
    matrix: np.ndarray | None
    dropped: dict[str, str]

    @classmethod
    def build(
        cls,
        method: Method,
        names: Sequence[str],
        good: Sequence[bool] | np.ndarray,
        shafts: Sequence[str] | None = None,
    ) -> Reference:
        """The reference for a recording's channels.

        Args:
            method: ``none``; ``car`` (minus the mean of all good channels); ``shaft`` (minus the mean of the
                good ones on the same shaft); ``bipolar`` (neighbours on a shaft subtracted); ``laplacian``
                (minus the mean of the existing neighbours on the shaft).
            names: names of all recorded channels.
            good: which of them are used.
            shafts: shaft of each; where it is ``n/a``, empty or not declared, the leading letters of its name with a
                prime (``A'12`` is on ``A'``).

        Raises:
            InputError: names from which shaft or contact number cannot be read, or nothing left.
        """
        columns = np.flatnonzero(np.asarray(good, bool))
        used = [names[c] for c in columns.tolist()]
        if method == "none":
            outputs = {name: {i: 1.0} for i, name in enumerate(used)}
        elif method == "car":
            outputs = _minus_mean(used, [list(range(len(used)))])
        else:
            named = ["" if shafts is None else shafts[c] for c in columns.tolist()]
            outputs = {"shaft": _by_shaft, "bipolar": _bipolar, "laplacian": _laplacian}[method](used, named)
        raise_if_any(_nothing_left(method, len(used)) if not outputs else [])
        missing = {i for i in range(len(used))} - {i for weights in outputs.values() for i in weights}
        dropped = {used[i]: f"no good neighbour for the {method} reference" for i in sorted(missing)}
        matrix = None if method == "none" else _dense(list(outputs.values()), len(used))
        return cls(method, list(outputs), columns, matrix, dropped)

    def apply(self, block: np.ndarray) -> np.ndarray:
        """``(samples, channels)`` of the recording to ``(samples, outputs)`` float32; bad channels may hold NaN."""
        every = len(self.columns) == block.shape[1]
        chosen = np.asarray(block if every else block[:, self.columns], np.float32)
        return chosen if self.matrix is None else chosen @ self.matrix


@dataclass(frozen=True)
class ChannelVerdict:
    """Whether a channel is used, and why not."""

    status: Literal["good", "bad"]
    reason: str


def bad_channels(
    trials: Iterable[tuple[Reader, int]],
    rate_hz: float,
    config: ChannelsConfig,
    sheet_status: Sequence[str] | None = None,
) -> list[ChannelVerdict]:
    """Judge every channel by the channel table and by rule.

    A channel is bad when the table says so (``use_status``), or (``find_bad``) when it holds NaN or infinity,
    its variance is below ``flat_ratio`` of the median channel's, or its log variance lies more than
    ``noisy_z`` robust standard deviations (1.4826 MAD, at least 0.5 nats) above the median. The variance
    is the median over pieces of one second. Channels that the table calls bad do not enter these medians.

    Args:
        trials: of each trial of a session, a reader of ``(samples, channels)`` and the number of samples.
        rate_hz: their rate.
        config: thresholds.
        sheet_status: ``good`` or ``bad`` (anything else counts as good) of each channel.
    """
    variance = np.median([v for trial in trials for v in _variances(*trial, rate_hz)], axis=0)  # NaN where any is
    reasons = [""] * len(variance)
    if config.use_status and sheet_status is not None:
        reasons = ["bad in the channel table" if status == "bad" else "" for status in sheet_status]
    if config.find_bad:
        found = _unusual(variance, np.array([not reason for reason in reasons]), config)
        reasons = [declared or rule for declared, rule in zip(reasons, found, strict=True)]
    return [ChannelVerdict("bad" if reason else "good", reason) for reason in reasons]


def selected_channels(names: Sequence[str], regions: Sequence[str] | None, config: ChannelChoice) -> np.ndarray:
    """Which channels ``align.channels.include`` and ``exclude`` leave, ``(channels,)`` bool.

    Each entry is the name of a channel or of a region (all channels in it).

    Raises:
        InputError: entries that name nothing in this recording, or no channel left.
    """
    places = [""] * len(names) if regions is None else list(regions)
    known = {*names, *places} - {""}
    problems = [
        _unknown(field, entry, known)
        for field, entries in (("include", config.include), ("exclude", config.exclude))
        for entry in entries
        if entry not in known
    ]
    raise_if_any(problems)
    labels = [{name, place} for name, place in zip(names, places, strict=True)]
    chosen = np.array([not config.include or bool(label & set(config.include)) for label in labels])
    chosen &= np.array([not label & set(config.exclude) for label in labels])
    if not chosen.any():
        raise InputError(
            Problem(
                "config",
                "align.channels",
                "a choice that leaves no channel",
                "at least one channel",
                "shorten align.channels.exclude or extend include",
            )
        )
    return chosen


def declared_use(table: Mapping[str, Sequence[str]], config: ChannelChoice) -> list[str]:
    """Of each channel of a channel table: ``used``, ``excluded`` or ``not included`` by the config, or ``bad``.

    Raises:
        InputError: as :func:`selected_channels`.
    """
    chosen = selected_channels(table["name"], table.get("region"), config)
    places = table.get("region", table["name"])
    found = []
    for keep, name, place, status in zip(chosen, table["name"], places, table["status"], strict=True):
        if keep:
            found.append("bad" if config.use_status and status == "bad" else "used")
        else:
            found.append("excluded" if {name, place} & set(config.exclude) else "not included")
    return found


def shaft_and_contact(name: str) -> tuple[str, int] | None:
    """Shaft and contact number that a name begins with: ``LA1`` is contact 1 of ``LA``, ``A'12`` 12 of ``A'``."""
    match = _CONTACT.match(name)
    return None if match is None else (match[1], int(match[2]))


def shaft_of(name: str, group: str = "n/a") -> str | None:
    """Shaft of a channel: its ``group`` in the channel table, else the letters that its name begins with."""
    if group not in _NO_GROUP:
        return group
    contact = shaft_and_contact(name)
    return None if contact is None else contact[0]


Weights = dict[int, float]
Contacts = dict[tuple[str, int], int]


def _contacts(names: list[str], shafts: list[str]) -> Contacts:
    """Index of the channel at each (shaft, contact number)."""
    found: Contacts = {}
    problems = []
    for i, (name, shaft) in enumerate(zip(names, shafts, strict=True)):
        contact = _contact(name, shaft)
        if contact is None or contact in found:
            problems.append(_unreadable(name, shaft, None if contact is None else names[found[contact]]))
        else:
            found[contact] = i
    raise_if_any(problems)
    return dict(sorted(found.items()))


def _contact(name: str, shaft: str) -> tuple[str, int] | None:
    """Shaft and contact number; on a named shaft the number is the last in the name."""
    if shaft in _NO_GROUP:
        return shaft_and_contact(name)
    numbers = re.findall(r"\d+", name)
    return (shaft, int(numbers[-1])) if numbers else None


def _minus_mean(names: list[str], groups: list[list[int]]) -> dict[str, Weights]:
    """Each channel minus the mean of its group; a group of one has no other channel to refer to."""
    outputs = {
        i: {j: (1.0 if i == j else 0.0) - 1.0 / len(group) for j in group}
        for group in groups
        if len(group) > 1
        for i in group
    }
    return {names[i]: outputs[i] for i in sorted(outputs)}


def _by_shaft(names: list[str], shafts: list[str]) -> dict[str, Weights]:
    """Numbers matter only where the name has to tell the shaft."""
    unnamed = [name for name, shaft in zip(names, shafts, strict=True) if shaft in _NO_GROUP]
    _contacts(unnamed, [""] * len(unnamed))
    groups: dict[str | None, list[int]] = {}
    for i, (name, shaft) in enumerate(zip(names, shafts, strict=True)):
        groups.setdefault(shaft_of(name, shaft), []).append(i)
    return _minus_mean(names, list(groups.values()))


def _bipolar(names: list[str], shafts: list[str]) -> dict[str, Weights]:
    contacts = _contacts(names, shafts)
    pairs = [
        (i, contacts[shaft, number + 1]) for (shaft, number), i in contacts.items() if (shaft, number + 1) in contacts
    ]
    return {f"{names[i]}-{names[j]}": {i: 1.0, j: -1.0} for i, j in pairs}


def _laplacian(names: list[str], shafts: list[str]) -> dict[str, Weights]:
    contacts = _contacts(names, shafts)
    outputs: dict[int, Weights] = {}
    for (shaft, number), i in contacts.items():
        near = [contacts[shaft, n] for n in (number - 1, number + 1) if (shaft, n) in contacts]
        if near:
            outputs[i] = {i: 1.0, **dict.fromkeys(near, -1.0 / len(near))}
    return {names[i]: outputs[i] for i in sorted(outputs)}


def _dense(outputs: list[Weights], n_columns: int) -> np.ndarray:
    matrix = np.zeros((n_columns, len(outputs)), np.float32)
    for column, weights in enumerate(outputs):
        matrix[list(weights), column] = list(weights.values())
    return matrix


def _variances(read: Reader, n_samples: int, rate_hz: float) -> list[np.ndarray]:
    """Each channel's variance within each second of a trial; NaN where a sample is not finite."""
    piece = min(n_samples, max(2, round(_PIECE_S * rate_hz)))
    pieces = []
    for start in range(0, n_samples - piece + 1, piece):
        stop = start + piece if start + 2 * piece <= n_samples else n_samples
        with np.errstate(invalid="ignore"):
            pieces.append(np.asarray(read(start, stop), np.float64).var(axis=0))
    return pieces


def _unusual(variance: np.ndarray, counted: np.ndarray, config: ChannelsConfig) -> list[str]:
    """Reason why each channel stands out, or nothing."""
    counted = counted & (variance > 0)
    typical = float(np.median(variance[counted])) if counted.any() else 0.0
    counted &= variance > config.flat_ratio * typical
    z = np.zeros(len(variance))
    if counted.sum() >= _FEWEST_CHANNELS:
        logs = np.log(np.maximum(variance, np.finfo(float).tiny))
        centre = np.median(logs[counted])
        z = (logs - centre) / max(1.4826 * float(np.median(np.abs(logs[counted] - centre))), _LEAST_SPREAD)
    reasons = []
    for v, score in zip(variance, z, strict=True):
        if not np.isfinite(v):
            reasons.append("holds NaN or infinity")
        elif v <= config.flat_ratio * typical:
            reasons.append(f"flat: variance {v:.3g}, median channel {typical:.3g}")
        elif score > config.noisy_z:
            reasons.append(f"noisy: log variance {score:.1f} robust standard deviations above the median")
        else:
            reasons.append("")
    return reasons


def _unknown(field: str, entry: str, known: set[str]) -> Problem:
    near = difflib.get_close_matches(entry, sorted(known), 1)
    return Problem(
        "config",
        f"align.channels.{field}",
        repr(entry),
        "the name of a channel or region of the recording",
        f"did you mean {near[0]!r}?" if near else "correct or remove it",
    )


def _unreadable(name: str, shaft: str, twin: str | None) -> Problem:
    is_named = shaft not in _NO_GROUP
    got = repr(name) + (f" on shaft {shaft!r}" if is_named else "")
    expected = "a contact number" if is_named else "a shaft's letters and a contact number, as in LA1 or A'12"
    fix = "correct" if is_named else "write its shaft into"
    return Problem(
        "channels",
        "name",
        got if twin is None else f"{got} at the same contact as {twin!r}",
        f"{expected}, each once",
        f"{fix} the column group of channels.tsv, exclude the channel, or set align.reference: car",
    )


def _nothing_left(method: str, n_good: int) -> list[Problem]:
    return [
        Problem(
            "config",
            "align.reference",
            f"{method} with {n_good} good channels",
            "at least one channel after referencing",
            "set align.reference: none or let more channels in",
        )
    ]
