"""The model that training starts from (``train.init_from``): whether it may be used, and its weights in a new network.

A released model lists what its training has seen, by content: the mel frames of each trial, under the sha256 of the
trial's mel, and the sha256 of each whole stimulus.  Who starts from it is refused where a test block of its own fold
lies there, and takes the list over.  Equal sound of another rate, or cut otherwise, has another mel and is not found.

Weights are taken over where the new network has the same ones.  What belongs to channels is taken by the channel's
name, and new for others; normalisation and the ridge are those of the new data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.artifacts.windows import Windows
from pipeline.config.variants import FINAL, Fold
from pipeline.data.groups import WHOLE, Group, model_groups
from pipeline.data.intervals import union
from pipeline.data.loading import SubjectData, everything
from pipeline.data.stimuli import whole_stimuli
from pipeline.errors import Problem, raise_if_any
from pipeline.model.ensemble import Ensemble
from pipeline.model.model_file import load_model, model_digest
from pipeline.model.network import Encoder, Seq2Seq
from pipeline.model.presets import NetworkRole

STIMULUS_CHARACTERS = 16
#: Fitted on the new data: they are no weights.
FITTED = ("feature_", "mel_", "has_channel", "skip.", "front_end.offset", "front_end.gain")
#: Columns of these belong to channels.
OF_CHANNELS = ("encoder.first.weight", "input_layer")
#: What decides the shapes and the meaning of the weights, with the key that sets it.
KEYS = {
    "n_bands": "mel.n_mels",
    "rows_per_frame": "align.feature_rate_hz",
    "causal": "causal",
    **{
        name: f"model.{name}"
        for name in (
            "encoder_width", "encoder_hidden", "decoder_hidden", "heads", "reduction_factor", "feedback",
            "attention_bias", "postnet",
        )
    },
    "encoder_kernel": "model.preset",
    "network": "model.network",
}  # fmt: skip
FIX = "Name another model in train.init_from, or set this config as that model's"


@dataclass(frozen=True)
class Initial:
    """A finished model: its file, networks and meta."""

    path: Path
    model: Ensemble
    meta: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Initial:
        """Raises :class:`~pipeline.errors.InputError` where it is no model, or does not tell what it has seen."""
        model, meta = load_model(path)
        if not {"seen", "mel", "feature_names"} <= set(meta):
            fix = "Train it again with this version"
            raise_if_any([Problem(str(path), "seen", "no list of the trials of its training", "one", fix)])
        return cls(path, model, meta)

    def summary(self, subjects: Sequence[SubjectData], fold: Fold) -> dict[str, Any]:
        """What a model that started from this one tells of it; ``repeated_stimuli`` of the test, by subject."""
        own = set(self.meta["seen"]["stimuli"])
        repeated = {index.subject: len(own & set(_stimuli(index, _tested(index, fold)))) for index, _ in subjects}
        before = (self.meta.get("init_from") or {}).get("subjects", [])
        subjects_seen = sorted({*self.meta["subjects"], *before})
        return {"model": model_digest(self.model), "subjects": subjects_seen, "repeated_stimuli": repeated}

    def network_for(self, role: NetworkRole) -> Seq2Seq:
        """The network that a role starts from: of those that correct a ridge, or do without, as it does.

        Raises :class:`~pipeline.errors.InputError` where there is none.
        """
        found = [network for network in self.model.networks if network.a.ridge_skip == role.ridge_skip]
        if not found:
            kind = "a network that corrects the ridge" if role.ridge_skip else "a network without the ridge"
            got, fix = f"none, which {role.name} starts from", "Set model.ridge_skip and model.networks as its own"
            raise_if_any([Problem(str(self.path), "networks", got, kind, fix)])
        same = self.model.networks[role.index : role.index + 1]
        return same[0] if same and same[0].a.ridge_skip == role.ridge_skip else found[0]


# --- what training has seen -------------------------------------------------------------------------------------------


def seen_in_training(subjects: Sequence[SubjectData], fold: Fold, initial: Initial | None) -> dict[str, Any]:
    """What a model of this fold has seen in training and validation, the initial model's training included.

    ``trials``: sha256 of a trial's mel -> its frames as rising [start, stop]; ``stimuli``: sha256 of whole stimuli;
    ``purge_gap_frames``: how far from these frames nothing of them is used any more.
    """
    trials: dict[str, list[tuple[int, int]]] = {}
    stimuli: set[str] = set()
    gap = max(int(index.attributes["purge_gap_frames"]) for index, _ in subjects)
    for index, arrays in subjects:
        parts = [everything(index)] if fold == FINAL else index.inner_folds
        blocks = [b for part in parts for role in ("train", "validation") for b in part.blocks_of(fold, role)]
        for block in blocks:
            trials.setdefault(trial_digest(arrays.mel[block.recording]), []).append((block.start, block.stop))
        stimuli |= set(_stimuli(index, {block.recording for block in blocks}))
    if initial is not None:
        before = initial.meta["seen"]
        gap = max(gap, before["purge_gap_frames"])
        stimuli |= set(before["stimuli"])
        for name, spans in before["trials"].items():
            trials.setdefault(name, []).extend((start, stop) for start, stop in spans)
    spans = {name: [list(span) for span in union(found)] for name, found in sorted(trials.items())}
    return {"purge_gap_frames": gap, "trials": spans, "stimuli": sorted(stimuli)}


def refuse_seen(initial: Initial, subjects: Sequence[SubjectData], fold: Fold) -> None:
    """Raise :class:`~pipeline.errors.InputError` where the initial model's training saw a test block of the fold."""
    known = initial.meta["seen"]
    problems = []
    for index, arrays in subjects:
        gap = max(known["purge_gap_frames"], int(index.attributes["purge_gap_frames"]))
        tested = [] if fold == FINAL else index.blocks_of(fold, "test")
        met = {
            index.recordings[block.recording]: None
            for block in tested
            for start, stop in known["trials"].get(trial_digest(arrays.mel[block.recording]), ())
            if block.start - gap < stop and start < block.stop + gap
        }
        if met:
            got = f"{len(met)} trial(s) that fold {fold} of {index.subject} tests, {next(iter(met))} first"
            fix = "Name a model of the same fold and split ({fold} in train.init_from), or one trained on other trials"
            problems.append(Problem(str(initial.path), "seen", got, "none of them in its training", fix))
    raise_if_any(problems)


def trial_digest(log_mel: np.ndarray) -> str:
    """The name of a trial by its content: sha256 over shape and values of its mel (frame, band)."""
    values = np.ascontiguousarray(log_mel, np.float32)
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()


def _tested(index: Windows, fold: Fold) -> set[int]:
    return set() if fold == FINAL else {block.recording for block in index.blocks_of(fold, "test")}


def _stimuli(index: Windows, recordings: Iterable[int]) -> list[str]:
    """sha256 of what was said in trials, where it is more than a word."""
    events = index.events_of()
    found: list[str] = []
    for recording in recordings:
        words = [event.label for event in sorted(events.get(recording, ()), key=lambda event: event.onset_s)]
        found += whole_stimuli(index.texts[recording], words)
    return [hashlib.sha256(text.encode()).hexdigest()[:STIMULUS_CHARACTERS] for text in found]


# --- whether it fits, and its weights ---------------------------------------------------------------------------------


def refuse_other_mel(initial: Initial, mel: Mapping[str, Any]) -> None:
    """Raise :class:`~pipeline.errors.InputError` for a model of another mel, key by key."""
    own, file = initial.meta["mel"], str(initial.path)
    raise_if_any(
        Problem(file, f"mel.{key}", json.dumps(own.get(key)), json.dumps(mel.get(key)), FIX)
        for key in sorted({*own, *mel})
        if own.get(key) != mel.get(key)
    )


def start_from(
    network: Seq2Seq, initial: Initial, role: NetworkRole, channels: Sequence[tuple[Group, Sequence[str]]]
) -> None:
    """Give an untrained network the initial model's weights.

    ``channels`` are the feature names of all that has an input layer, subjects or sessions.

    Call it before the normalisation is fitted.  Raises :class:`~pipeline.errors.InputError` where sizes differ.
    """
    part = initial.network_for(role)
    _refuse_other_sizes(initial, part, network)
    before = part.state_dict()
    with torch.no_grad():
        for name, values in network.state_dict().items():
            if not name.startswith(FITTED) and name not in OF_CHANNELS:
                values.copy_(before[name])
        _start_channels(network, part, [_origin(names, group, initial.meta) for group, names in channels])


def _refuse_other_sizes(initial: Initial, part: Seq2Seq, network: Seq2Seq) -> None:
    own, new, file = part.a.as_dict(), network.a.as_dict(), str(initial.path)
    raw = network.a.rows_per_frame > 1
    keys = KEYS | ({"band_filters": "model.band_filters"} if raw else {})
    pairs = ((key, own.get(name, "null"), new.get(name, "null")) for name, key in keys.items())
    problems = [Problem(file, key, str(its), str(wanted), FIX) for key, its, wanted in pairs if its != wanted]
    if not isinstance(network.encoder, Encoder):
        fix = "Leave train.init_from out"
        problems.append(
            Problem("plug-in", network.a.network, "another encoder", "the one whose channels are known", fix)
        )
    if raw and part.input_layer is not None and network.input_layer is None:
        fix = "Set train.pool to subjects, or name a model of one subject"
        problems.append(Problem(file, "train.pool", "subjects, on raw features", "a model of one subject", fix))
    raise_if_any(problems)


@dataclass(frozen=True)
class Origin:
    """Where channels come from: a subject or session of the initial model, by number, and (own, its) channels."""

    layer: int
    channels: list[tuple[int, int]]


def _origin(names: Sequence[str], group: Group, meta: Mapping[str, Any]) -> Origin:
    """The session itself where the initial model knows it, else the whole of its subject, else who has most channels of
    the same names."""
    groups = model_groups(meta)
    known: list[Sequence[str]] = [meta["feature_names"][subject] for subject, _ in groups]

    def likeness(layer: int) -> tuple[bool, bool, int]:
        return groups[layer] == group, groups[layer] == (group[0], WHOLE), len(set(names) & set(known[layer]))

    chosen = max(range(len(groups)), key=likeness)
    theirs = {name: i for i, name in enumerate(known[chosen])}
    return Origin(chosen, [(i, theirs[name]) for i, name in enumerate(names) if name in theirs])


def _start_channels(network: Seq2Seq, part: Seq2Seq, origins: Sequence[Origin]) -> None:
    """The first convolution's columns of channels and, in a pooled model, each subject's input layer.

    A pooled model's input layer and first convolution become one convolution where the network is of one subject.
    """
    a, b = network.a, part.a
    per_channel = a.band_filters if a.rows_per_frame > 1 else 1
    new, old = network.encoder.first.weight, part.encoder.first.weight  # (filter, column, tap)
    new[:, a.n_channels * per_channel :] = old[:, b.n_channels * per_channel :]  # the ridge's mel
    if network.input_layer is not None:
        common = min(a.n_channels, b.n_channels)
        new[:, : common * per_channel] = old[:, : common * per_channel]
        for subject, origin in enumerate(origins):
            layer = _input_layer(part, origin.layer)
            for own, its in origin.channels:
                network.input_layer[subject, own] = 0.0
                network.input_layer[subject, own, :common] = layer[its, :common]
        return
    (origin,) = origins
    columns = old[:, : b.n_channels * per_channel].unflatten(1, (b.n_channels, per_channel))
    if part.input_layer is not None:
        columns = torch.einsum("cv,fvpt->fcpt", _input_layer(part, origin.layer), columns)
    own_columns = new[:, : a.n_channels * per_channel].unflatten(1, (a.n_channels, per_channel))
    for own, its in origin.channels:
        own_columns[:, own] = columns[:, its]


def _input_layer(part: Seq2Seq, number: int) -> Tensor:
    return torch.eye(part.a.n_channels) if part.input_layer is None else part.input_layer[number]
