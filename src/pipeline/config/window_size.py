"""The window's size: the keys that the network reads too."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.base import Section


class WindowSize(Section):
    """How much one window holds; rounded to mel frames where it is used (:meth:`MelGrid.frames`)."""

    length_s: float = Field(1.12, gt=0, le=3600, description="Target length of a window, at least 8 mel frames [s]")
    context_s: float = Field(
        0.3, ge=0, le=3600, description="Neural context on each side of a window (before it only, where causal) [s]"
    )
