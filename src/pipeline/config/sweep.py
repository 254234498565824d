"""The ``sweep`` section: several configs in one.  :mod:`pipeline.config.combinations` expands it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator

from pipeline.config.base import Section

# Strict pydantic refuses a list for a tuple, and lists are all that YAML and TOML have.
Values = Annotated[tuple[Any, ...], Field(strict=False)]


class SweepConfig(Section):
    """Which keys take which values; empty: one run of the config as it stands."""

    grid: dict[str, Values] = Field(
        {}, description="Values by dotted key, e.g. train.seed: [0, 1, 2]; main.py runs every combination"
    )
    list: tuple[dict[str, Any], ...] = Field(
        (),
        strict=False,
        description="Sets of values by dotted key; each is run as a whole, and combined with every point of the grid",
    )

    @field_validator("grid", mode="before")
    @classmethod
    def _dotted_grid(cls, grid: Any) -> Any:
        return _dotted(grid) if isinstance(grid, Mapping) else grid

    @field_validator("list", mode="before")
    @classmethod
    def _dotted_list(cls, sets: Any) -> Any:
        return [_dotted(s) if isinstance(s, Mapping) else s for s in sets] if isinstance(sets, Sequence) else sets


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key; TOML nests keys that are written as ``train.seed = …``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found
