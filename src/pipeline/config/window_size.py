"""The window's size: the keys that the network reads too."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.base import Section


class WindowSize(Section):
    """How much one window holds, in mel frames."""

    length_frames: int = Field(96, ge=8, description="Target length of a window [mel frames]")
    context_frames: int = Field(
        26,
        ge=0,
        description="Neural context on each side of a window (before it only, where causal) [mel frames]",
    )
