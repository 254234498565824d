"""The stage repeats reads no key: what is one recording is no matter of taste."""

from __future__ import annotations

from pipeline.config.base import Section


class RepeatsStage(Section):
    """What the stage repeats reads: nothing."""
