"""Panels over time that the pictures of artifacts are made of: traces, waveforms, maps, mels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.artifacts.pictures import Axes, Figure
from pipeline.report import figures
from pipeline.report.figures import BLUE, MAP

PAGE_IN = 7.0
MOST_POINTS = 2000
"""Columns that a waveform is drawn with: more would only make a vector file larger."""


def stacked(*heights_in: float) -> list[Axes]:
    """Axes one below the other over one time axis."""
    figure = Figure(figsize=(PAGE_IN, sum(heights_in) + 0.5))
    grid = figure.subplots(len(heights_in), 1, sharex=True, squeeze=False, height_ratios=list(heights_in))
    return list(grid.ravel())


def finished(panels: Sequence[Axes], span_s: tuple[float, float]) -> Figure:
    panels[-1].set_xlim(*span_s)
    panels[-1].set_xlabel("time in the recording [s]")
    figure = panels[-1].figure
    assert isinstance(figure, Figure)
    return figure


def traces(ax: Axes, times_s: np.ndarray, values: np.ndarray, names: Sequence[str], units: str) -> None:
    """Channels below each other, evenly spaced, with a bar that says how much they are."""
    centred = values - np.median(values, axis=0)
    spacing = 2 * float(np.percentile(np.abs(centred), 99)) or 1.0
    places = -spacing * np.arange(len(names))
    ax.plot(times_s, centred + places, color="#1f2937", linewidth=0.5)
    ax.set_yticks(places, names)
    ax.set_ylim(places[-1] - spacing, spacing)
    bar = 10 ** np.floor(np.log10(spacing))
    right = times_s[-1] + 0.01 * (times_s[-1] - times_s[0])
    ax.plot([right, right], [places[-1], places[-1] + bar], color=BLUE, linewidth=2, clip_on=False)
    ax.annotate(f"{bar:g} {units}", (right, places[-1] + bar / 2), xytext=(4, 0), textcoords="offset points",
                va="center", color=BLUE, fontsize=7.5, annotation_clip=False)  # fmt: skip


def sound_panel(ax: Axes, dataset: Any, own: dict[str, Any], start_s: float, stop_s: float) -> None:
    """The sound between two times, as a part of full scale."""
    rate_hz = own["sampling_rate_hz"]
    first, stop = max(0, round(start_s * rate_hz)), min(len(dataset), round(stop_s * rate_hz))
    wave = np.asarray(dataset[first:stop], np.float32) / (32768 if dataset.dtype == np.int16 else 1)
    waveform(ax, wave, first / rate_hz, rate_hz)
    ax.set_ylabel("sound\n[full scale]")


def waveform(ax: Axes, values: np.ndarray, start_s: float, rate_hz: float) -> None:
    """A signal (time,) as the range between its lowest and highest samples."""
    edges = np.linspace(0, len(values), min(MOST_POINTS, len(values)) + 1).astype(int)[:-1]
    low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
    ax.fill_between(start_s + edges / rate_hz, low, high, color=BLUE, linewidth=0.3)


def mel_panel(
    ax: Axes, values: np.ndarray, times_s: np.ndarray, span_s: tuple[float, float],
    band_hz: np.ndarray | None, limits: tuple[float, float] | None = None,
) -> None:  # fmt: skip
    seen = (times_s >= span_s[0]) & (times_s <= span_s[1])
    shown = values[seen]
    drawn = image(ax, shown, times_s[seen], limits or (float(shown.min()), float(shown.max())), MAP)
    figures.label_bands(ax.yaxis, band_hz)
    colorbar(ax, drawn, "log-mel [nat]")


def image(ax: Axes, values: np.ndarray, times_s: np.ndarray, limits: tuple[float, float], colours: str) -> Any:
    half_s = float(times_s[-1] - times_s[0]) / max(len(times_s) - 1, 1) / 2
    extent = (float(times_s[0]) - half_s, float(times_s[-1]) + half_s, -0.5, values.shape[1] - 0.5)
    return ax.imshow(values.T, origin="lower", aspect="auto", extent=extent, cmap=colours,
                     vmin=limits[0], vmax=limits[1], interpolation="nearest")  # fmt: skip


def colorbar(ax: Axes, drawn: Any, label: str) -> None:
    figure = ax.figure
    assert isinstance(figure, Figure)
    figure.colorbar(drawn, ax=ax, label=label, pad=0.01, aspect=12)
