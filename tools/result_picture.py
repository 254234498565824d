"""Draw target and prediction of one test excerpt: ``python tools/result_picture.py PREDICTIONS OUT.png``.

The picture of the README and of the documentation's first page: run where ``make run`` ran,
with ``results/predictions/sim01/fold0.h5``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.artifacts.pictures import Figure
from pipeline.artifacts.predictions import PREDICTIONS, read_predicted
from pipeline.report.figures import MAP, styled

START_S, LENGTH_S = 4.0, 10.0
COLOURS = 64


@styled
def draw(predictions: Path, out: Path) -> None:
    """Two log-mel spectrograms (frame, band) above one another, of the first test block."""
    fold = read_predicted(predictions, PREDICTIONS)
    block = fold.blocks[0]
    time_s = block.time_s - block.time_s[0]
    shown = (time_s >= START_S) & (time_s < START_S + LENGTH_S)
    figure = Figure(figsize=(8, 3.2))
    low, high = np.percentile(block.series["target"][shown], [1, 99.5])
    titles = {"target": "spoken", "model": "decoded from the brain signal"}
    simulated = " (simulated subject)" if fold.attributes["simulated"] else ""
    for axes, (name, title) in zip(figure.subplots(2, 1, sharex=True), titles.items(), strict=True):
        mel = block.series[name][shown].T
        extent = (0, LENGTH_S, 0, len(mel))
        axes.imshow(mel, origin="lower", aspect="auto", cmap=MAP, vmin=low, vmax=high, extent=extent)
        axes.set_title(title + simulated)
        axes.set_ylabel("mel band")
    axes.set_xlabel("time [s]")
    figure.savefig(out, dpi=110, metadata={"Software": None})
    Image.open(out).convert("RGB").quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
