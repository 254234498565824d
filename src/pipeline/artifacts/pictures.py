"""Matplotlib without the ``matplotlibrc`` of the working directory, which may be anybody's file and no text at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

# Matplotlib reads this file when it is imported, before any other: no setting keeps it from that.
with contextlib.chdir("/") if Path("matplotlibrc").exists() else contextlib.nullcontext():
    from matplotlib import style
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["Axes", "Axis", "Figure", "style"]
