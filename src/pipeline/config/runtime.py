"""Settings of speed and logging, which never change a result.

They are part of no fingerprint, so a change reruns nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section


class RuntimeConfig(Section):
    """The device of the network, and the detail of the logs."""

    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Device of training and prediction; auto: a GPU where there is one"
    )
    log_level: Literal["debug", "info", "warning"] = Field("info", description="Detail of the log files")
