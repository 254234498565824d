"""Settings that change how fast or how loudly a run goes, never what comes out.

No fingerprint sees them, so a change reruns nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section


class RuntimeConfig(Section):
    """Where the network runs, and how much is logged."""

    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Device of training and prediction; auto: a GPU where there is one"
    )
    log_level: Literal["debug", "info", "warning"] = Field("info", description="Detail of the log files")
