"""Where the recordings come from."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.base import Section


class DataConfig(Section):
    """The sample sheet."""

    sheet: str | None = Field(
        None,
        min_length=1,
        description="Path of recordings.tsv, relative to the working directory; null: the simulated subject",
    )
