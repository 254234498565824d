"""What turns raw channels into a model's features: the settings of align, and the channels that it used.

A model file carries it for each of its subjects, so that recordings which no run knows can be predicted with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.artifacts.aligned import open_aligned
from pipeline.artifacts.recording import read_tables
from pipeline.config.align import AlignStage, ChannelsConfig
from pipeline.signal.reference import Reference


@dataclass(frozen=True)
class FrontEnd:
    """Settings of align that choose ``channels`` and judge none; ``shafts`` of these channels, empty where unknown.

    ``feature_names`` are the columns that the model reads, ``feature_units`` their units.
    """

    settings: AlignStage
    channels: tuple[str, ...]
    shafts: tuple[str, ...]
    feature_names: tuple[str, ...]
    feature_units: tuple[str, ...]

    @classmethod
    def of_session(cls, aligned: Path, feature_names: Sequence[str]) -> Self:
        """As ``aligned/{session}.h5`` was made: of its good channels those that ``feature_names`` depend on."""
        with open_aligned(aligned) as artifact:
            settings = AlignStage.model_validate_json(str(artifact.attribute("config_json")))
            table = read_tables(artifact)["channels"]
            columns, units = (artifact.read(f"features/{name}").tolist() for name in ("name", "units"))
        places = [columns.index(name.encode()) for name in feature_names]
        shafts = table.get("group", ["n/a"] * len(table["name"]))
        reference = Reference.build(settings.align.reference, table["name"], table["used"], shafts)
        # Columns are the referenced channels, once for each label of the features.
        outputs = sorted({place % len(reference.names) for place in places})
        matrix = np.eye(len(reference.columns)) if reference.matrix is None else reference.matrix
        read = reference.columns[matrix[:, outputs].any(axis=1)].tolist()
        channels = tuple(table["name"][c] for c in read)
        return cls(
            settings=_choosing(settings, channels),
            channels=channels,
            shafts=tuple(shafts[c] if shafts[c] != "n/a" else "" for c in read),
            feature_names=tuple(feature_names),
            feature_units=tuple(units[place].decode() for place in places),
        )

    @property
    def units(self) -> dict[str, str]:
        """The unit of each column."""
        return dict(zip(self.feature_names, self.feature_units, strict=True))

    def as_json(self) -> dict[str, Any]:
        """For the model file."""
        names = ("channels", "shafts", "feature_names", "feature_units")
        return {"settings": self.settings.model_dump(mode="json")} | {name: list(getattr(self, name)) for name in names}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Back from :meth:`as_json`."""
        lists = {name: tuple(value) for name, value in values.items() if name != "settings"}
        return cls(settings=AlignStage.from_json(json.dumps(values["settings"])), **lists)


def _choosing(settings: AlignStage, channels: tuple[str, ...]) -> AlignStage:
    """The settings with these channels: which are bad was judged on what the model was trained on."""
    chosen = ChannelsConfig(include=channels, use_status=False, find_bad=False)
    return settings.model_copy(update={"align": settings.align.model_copy(update={"channels": chosen})})
