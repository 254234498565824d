"""Matplotlib without settings of elsewhere: a ``matplotlibrc`` of the working directory may be anybody's file and no
text at all, and what the environment names may not be there.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_ELSEWHERE = {name: os.environ.pop(name) for name in ("MPLBACKEND", "MATPLOTLIBRC") if name in os.environ}
# Matplotlib reads this file when it is imported, before any other: no setting keeps it from that.
with contextlib.chdir("/") if Path("matplotlibrc").exists() else contextlib.nullcontext():
    from matplotlib import style
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
os.environ.update(_ELSEWHERE)

__all__ = ["Axes", "Axis", "Figure", "style"]
