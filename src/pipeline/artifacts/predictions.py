"""``predictions/{subject}/fold{k}.h5`` and ``baselines/{subject}/fold{k}.h5``.

Both hold the test blocks of a fold laid out alike: ``/blocks/{i}/{series}`` (frame, mel)
float32 in nats beside ``/blocks/{i}/time`` [s on the audio clock].  Series of predictions
are ``target``, ``model``, ``model_teacher_forced``; of baselines ``ridge``,
``mean_spectrum`` and so on, and ``reference_{name}``, what timing or loudness alone tell of the true mel;
``/out_of_fold/{i}/{series}`` are the validation blocks, laid out alike, by what was fitted on training frames alone:
what is fitted after the predictions reads these.  ``/templates`` is the mean training mel of each word from the onset
of its voice on.  Predictions carry ``/band_hz``, the scale of their bands, and ``/attention`` of some windows,
baselines the ridge that networks correct (:mod:`pipeline.artifacts.ridge_skip`); the baselines of a variant hold
nothing but that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.core import Artifact, ArtifactWriter, Provenance, Schema, create, opened
from pipeline.artifacts.paths import SKIP

PREDICTIONS = Schema("predictions", 3, "predict")
BASELINES = Schema("baselines", 5, "ridge")
OUT_OF_FOLD = "out_of_fold"
BANDS = "band_hz"
"""Centre frequency of each band [Hz], the scale of the axis ``mel``."""
REFERENCE = "reference_"
"""Prefix of the series that tell what timing or loudness alone predict of the true mel."""


@dataclass(frozen=True)
class PredictedBlock:
    """Mel series of frames ``start:start + len(time_s)`` of one recording."""

    recording: str
    start: int
    time_s: np.ndarray
    series: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class PredictedFold:
    """All test blocks of a fold, their attributes, and extra arrays by path with their dimension labels.

    ``out_of_fold`` are other blocks, predicted by what was fitted without them.
    """

    blocks: Sequence[PredictedBlock]
    attributes: dict[str, Any]
    extras: dict[str, tuple[np.ndarray, tuple[str, ...]]] = field(default_factory=dict)
    out_of_fold: Sequence[PredictedBlock] = ()


def write_predicted(path: Path, schema: Schema, fold: PredictedFold, provenance: Provenance) -> None:
    """Write predictions or baselines."""
    with create(path, schema, provenance) as writer:
        writer.attributes(**fold.attributes, n_blocks=len(fold.blocks), n_out_of_fold=len(fold.out_of_fold))
        for part, blocks in (("blocks", fold.blocks), (OUT_OF_FOLD, fold.out_of_fold)):
            for i, block in enumerate(blocks):
                _write_block(writer, f"{part}/{i}", block)
        for name, (values, dims) in fold.extras.items():
            writer.array(name, values, dims)
        if BANDS in fold.extras:  # in a group above: netCDF finds it there
            parts = (("blocks", fold.blocks), (OUT_OF_FOLD, fold.out_of_fold))
            names = [f"{part}/{i}/{name}" for part, own in parts for i, b in enumerate(own) for name in b.series]
            writer.scale(BANDS, *((name, 1) for name in names))


def read_predicted(path: Path, schema: Schema) -> PredictedFold:
    """Read predictions or baselines, without the ridge skip."""
    with opened(path, schema) as artifact:
        attributes = artifact.root_attributes()
        blocks = [_read_block(artifact, f"blocks/{i}") for i in range(attributes.pop("n_blocks"))]
        count = attributes.pop("n_out_of_fold")
        out_of_fold = [_read_block(artifact, f"{OUT_OF_FOLD}/{i}") for i in range(count)]
        others = [n for n in artifact.datasets() if not n.startswith(("blocks/", f"{OUT_OF_FOLD}/", f"{SKIP}/"))]
        extras = {name: (artifact.read(name), artifact.dimensions(name)) for name in others}
        return PredictedFold(blocks, attributes, extras, out_of_fold)


def _write_block(writer: ArtifactWriter, group: str, block: PredictedBlock) -> None:
    writer.array(f"{group}/time", block.time_s, ["time"], units="s", recording=block.recording, start_frame=block.start)
    for name, values in block.series.items():
        writer.array(f"{group}/{name}", values.astype(np.float32, copy=False), ["time", "mel"], units="nat")
    writer.scale(f"{group}/time", *((f"{group}/{name}", 0) for name in block.series))


def _read_block(artifact: Artifact, group: str) -> PredictedBlock:
    series = {name: artifact.read(f"{group}/{name}") for name in artifact.file[group]}
    time_s = series.pop("time")
    attributes = artifact.attributes(f"{group}/time")
    recording = artifact.name_of_files(f"{group}/time", attributes["recording"])
    return PredictedBlock(recording, attributes["start_frame"], time_s, series)
