"""Keys of the stage ingest: limits of valid recordings, repair of missing samples, storage."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section


class IngestConfig(Section):
    """Limits of a plausible recording, and the treatment of missing samples."""

    nan_policy: Literal["reject", "interpolate", "mask"] = Field(
        "reject",
        description="Missing neural samples: refuse the recording; interpolate gaps up to nan_max_gap_s and refuse "
        "longer ones; or interpolate all and annotate them as BAD_missing",
    )
    nan_max_gap_s: float = Field(0.05, gt=0, le=60, description="Longest gap that nan_policy interpolate fills [s]")
    compression: Literal["none", "gzip"] = Field(
        "none", description="gzip (with shuffle) makes files about a fifth smaller and seven times slower"
    )
    min_sd_uv: float = Field(
        0.1, gt=0, description="Neural SD below this is no recording in µV (declared units only) [µV]"
    )
    max_sd_uv: float = Field(
        20000.0, gt=0, description="Neural SD above this is no recording in µV (declared units only) [µV]"
    )
    max_flat_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="A channel that repeats its previous value more often is bad [fraction of samples]",
    )
    max_clipped_share: float = Field(
        0.01, gt=0, le=1, description="A channel at its minimum or maximum more often is bad [fraction of samples]"
    )
    max_missing_share: float = Field(
        0.2, ge=0, le=1, description="A channel with more missing samples is bad [fraction of samples]"
    )
    max_bad_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="More bad channels than this: the recording is refused [fraction of channels]",
    )
    duration_tolerance_s: float = Field(
        1.0,
        ge=0,
        le=86_400,
        description="Neural recordings and sound of a session may end this far apart, or by 0.5 % [s]",
    )
    silence_dbfs: float = Field(
        -80.0,
        lt=0,
        description="Sound whose loudest 100 ms are below this is refused as silence [dB full scale]",
    )

    @model_validator(mode="after")
    def _limits_ordered(self) -> Self:
        if self.min_sd_uv >= self.max_sd_uv:
            raise ValueError("min_sd_uv must be below max_sd_uv")
        return self


class IngestStage(Section):
    """What the ingest stage reads."""

    ingest: IngestConfig
