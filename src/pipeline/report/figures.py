"""Pictures of the report as SVG in data URIs, those of arrays by :mod:`pipeline.report.maps`; equal input, equal bytes.

Colours are Okabe and Ito's, which people with colour-blind vision can tell apart; no
meaning rests on colour alone.  Figures are drawn half a page wide, so that their text stays readable
on a phone.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.aligned import Event
from pipeline.artifacts.pictures import Axes, Axis, Figure, style
from pipeline.evaluation.types import Mel, Values
from pipeline.report import maps
from pipeline.report.listening import flac_bytes

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#6b7280",
)  # fmt: skip
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, GREY)
WIDTH_IN = 4.5
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": "#374151",
    "axes.linewidth": 0.8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,
    "svg.hashsalt": "seeg-to-audio",
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a label of the user's data may hold anything
}
NO_DATES: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
MOST_NAMED = 3 * len(CYCLE)
"""Lines of which no two look alike: in each colour whole, dashed and dotted."""
MAP = "magma"
MOST_HEADS = 4
LAG_LABEL = "lag [s], positive: the sound in the signal is late"
PROJECTIONS = (("coronal", 0, 2), ("sagittal", 1, 2), ("axial", 0, 1))
"""Name, and the axes across and up, where x points right, y to the front and z up, as in RAS coordinates."""
ROUND_HZ = (500, 1000, 2000, 4000, 7500)
styled = style.context(["default", STYLE])
"""Decorator of every function that draws; a ``matplotlibrc`` of the working directory changes nothing."""


def data_uri(figure: Figure) -> str:
    """The drawn figure as an SVG whose text is text, without dates or program versions.

    ``savefig`` draws twice, once to measure.
    """
    from matplotlib import rc_context  # only after pipeline.artifacts.pictures
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata=NO_DATES["svg"])
    text = re.sub(r"\n *", " ", buffer.getvalue())
    return maps.svg_uri(text.replace("'DejaVu Sans'", maps.FONTS))


@styled
def save(figure: Figure, place: Path, kind: str) -> None:
    """Write the drawn figure without dates or program versions; equal input, equal bytes."""
    figure.savefig(place, format=kind, metadata=NO_DATES[kind], dpi=300)


def flac_uri(sound: NDArray[np.float32], rate_hz: int) -> str:
    """A mono sound as a data URI."""
    return f"data:audio/flac;base64,{base64.b64encode(flac_bytes(sound, rate_hz)).decode()}"


def axes(height_in: float, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure half a page wide and its axes."""
    figure = Figure(figsize=(WIDTH_IN, height_in))
    return figure, list(figure.subplots(1, columns, squeeze=False, **options).ravel())


def legend_columns(labels: Iterable[str], most: int) -> int:
    """How many columns of a legend fit above a figure of half a page: a line of it holds some 66 characters."""
    return max(1, min(most, 66 // (max(map(len, labels), default=0) + 6)))


def label_bands(axis: Axis, band_hz: Values | None) -> None:
    """Ticks at round frequencies, which lie between mel bands; numbers of bands where these are unknown."""
    ticks, label = band_ticks(0, band_hz)
    axis.set_label_text(label)
    if band_hz is not None:
        axis.set_ticks([place for place, _ in ticks], [name for _, name in ticks])


def band_ticks(n_mels: int, band_hz: Values | None) -> tuple[maps.Ticks, str]:
    """Places and names of ticks at round frequencies, which lie between mel bands, and the axis' label."""
    if band_hz is None:
        return maps.ticks(0, max(n_mels - 1, 0), 5), "mel band, low to high"
    shown = [f for f in ROUND_HZ if band_hz[0] <= f <= band_hz[-1]]
    places = np.interp(shown, band_hz, np.arange(len(band_hz))).tolist()
    return [(place, f"{f / 1000:g}") for place, f in zip(places, shown, strict=True)], "mel band [kHz]"


@styled
def intervals(rows: Sequence[tuple[str, float, Sequence[float] | None]], chance_p95: float | None) -> str:
    """Dots with 95 % intervals, one row per prediction; dashed: 95th percentile of chance."""
    figure, (ax,) = axes(0.55 + 0.32 * len(rows))
    for place, (_, value, ci95) in enumerate(rows):
        colour = BLUE if place == 0 else GREY
        if ci95 is not None:
            ax.plot(ci95, [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
        ax.plot(value, place, "o", color=colour, markersize=6, markeredgecolor="white")
    if chance_p95 is not None:
        ax.axvline(chance_p95, color=VERMILLION, linestyle="--", linewidth=1)
        ax.annotate("chance (95th pct.)", (chance_p95, len(rows) - 0.55), xytext=(3, 0), fontsize=7.5,
                    textcoords="offset points", color=VERMILLION, va="center")  # fmt: skip
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.set_ylim(len(rows) - 0.3, -0.6)
    ax.set_xlim(min(0.0, *(v for _, v, _ in rows)) - 0.02, None)
    ax.set_xlabel("Pearson r over time, mean over bands")
    ax.grid(axis="x", color="#e5e7eb", linewidth=0.6)
    ax.set_axisbelow(True)
    return data_uri(figure)


def spectrograms(
    mels: Mapping[str, Mel],
    times_s: Values,
    limits: tuple[float, float],
    events: Sequence[Event] = (),
    band_hz: Values | None = None,
) -> str:
    """Log-mels (frames, n_mels) of one stretch below each other, with word labels above where there are events."""
    drawing = maps.Drawing(960, 70 + 145 * len(mels))
    top, pitch = (24 if events else 8), (drawing.height - (60 if events else 44)) / len(mels)
    colours = maps.Colours(MAP, *limits)
    half = max((times_s[-1] - times_s[0]) / max(len(times_s) - 1, 1) / 2, 1e-3)
    first_s, last_s = times_s[0] - half, times_s[-1] + half
    time = maps.Axis(first_s, last_s, maps.ticks(first_s, last_s, 9), "time in the recording [s]")
    for row, (name, mel) in enumerate(mels.items()):
        box = maps.Box(60, top + row * pitch, 802, pitch - 8)
        bands = maps.Axis(-0.5, mel.shape[1] - 0.5, *band_ticks(mel.shape[1], band_hz))
        below = time if row == len(mels) - 1 else maps.Axis(first_s, last_s)
        maps.panel(drawing, box, mel, colours, below, bands)
        for event in events:
            place = box.x + box.width * time.share(event.onset_s)
            drawing.element("line", x1=place, x2=place, y1=box.y, y2=box.y + box.height, stroke="#fff",
                            stroke_width=0.7, stroke_opacity=0.6)  # fmt: skip
            if not row:
                drawing.text(place, top - 9, event.label, font_size=maps.SMALL_TEXT, fill=maps.INK)
        drawing.text(box.x + 6, box.y + 12, name, fill="#fff", stroke="#000", stroke_width=4.0, stroke_opacity=0.6,
                     paint_order="stroke")  # fmt: skip
    maps.scale(drawing, maps.Box(876, top, 14, drawing.height - top - 44), colours, "nats")
    return drawing.uri()


@styled
def by_band(
    curves: Mapping[str, Values], chance_p95: Values, left_out: Sequence[int], band_hz: Values | None = None
) -> str:
    """r of each mel band for some predictions, over the band's chance level."""
    return data_uri(by_band_figure(curves, chance_p95, left_out, band_hz))


def by_band_figure(
    curves: Mapping[str, Values], chance_p95: Values, left_out: Sequence[int], band_hz: Values | None = None
) -> Figure:
    """The figure of :func:`by_band`."""
    figure, (ax,) = axes(2.7)
    bands = np.arange(len(chance_p95))
    if np.isfinite(chance_p95).any():
        ax.fill_between(bands, 0, chance_p95, color="#e5e7eb", label="chance (95th percentile)", linewidth=0)
    for (name, r), colour, dash in zip(curves.items(), CYCLE, ("-", "--", ":", "-.") * 2, strict=False):
        ax.plot(bands, r, color=colour, linestyle=dash, linewidth=1.8, label=name)
    for band in left_out:
        ax.axvspan(band - 0.5, band + 0.5, facecolor="#f3f4f6", zorder=0, hatch="////", edgecolor="#d1d5db")
    ax.axhline(0, color="#9ca3af", linewidth=0.8)
    ax.set_xlim(-0.5, len(bands) - 0.5)
    label_bands(ax.xaxis, band_hz)
    ax.set_ylabel("r over time")
    ax.set_ylim(min(-0.05, ax.get_ylim()[0]), None)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@styled
def by_subject(names: Sequence[str], means: Mapping[str, Sequence[float | None]]) -> str:
    """Every subject's mean r for every prediction, joined by a line."""
    figure, (ax,) = axes(2.9)
    for number, (subject, values) in enumerate(means.items()):
        y = [np.nan if v is None else v for v in values]
        few = len(means) <= len(CYCLE)
        colour = CYCLE[number] if few else GREY
        ax.plot(range(len(names)), y, "o-", color=colour, linewidth=0.8, markersize=5, alpha=0.9 if few else 0.6,
                label=subject if few else None)  # fmt: skip
    ax.axhline(0, color="#9ca3af", linewidth=0.8)
    ax.set_xticks(range(len(names)), [textwrap.fill(n, 10) for n in names], fontsize=8)
    ax.set_xlim(-0.4, len(names) - 0.6)
    ax.set_ylabel("r, all frames")
    if len(means) <= len(CYCLE):
        figure.legend(loc="outside upper left", ncols=legend_columns(means, 4))
    return data_uri(figure)


def attention(weights: Values, output_s: Values, encoder_s: Values) -> str:
    """Attention (heads, groups, positions) of one window, a panel for each of the first four heads."""
    shown = weights[:MOST_HEADS]
    drawing, pitch = maps.Drawing(450, 190), 396 / len(shown)
    signal = maps.Axis(encoder_s[0], encoder_s[-1], maps.ticks(encoder_s[0], encoder_s[-1], 3))
    sound = maps.Axis(output_s[0], output_s[-1], maps.ticks(output_s[0], output_s[-1], 5), "sound [s]")
    for head, own in enumerate(shown):
        box = maps.Box(58 + head * pitch, 22, pitch - 10, 124)
        beside = sound if head == 0 else maps.Axis(output_s[0], output_s[-1])
        colours = maps.Colours("viridis", float(own.min()), float(own.max()))
        maps.panel(drawing, box, own.T, colours, signal, beside)
        drawing.text(box.x, 11, f"head {head + 1}", fill="#000")
    drawing.text(251, 179, "recorded signal [s]", fill=maps.INK, text_anchor="middle")
    return drawing.uri()


def attention_figure(weights: Values, output_s: Values, encoder_s: Values) -> Figure:
    """The figure of :func:`attention`."""
    heads = min(len(weights), MOST_HEADS)
    figure, panels = axes(1.9, columns=heads, sharey=True)
    extent = (encoder_s[0], encoder_s[-1], output_s[0], output_s[-1])
    for head, ax in enumerate(panels):
        ax.imshow(weights[head], origin="lower", aspect="auto", extent=extent, cmap="viridis",
                  interpolation="nearest")  # fmt: skip
        ax.set_title(f"head {head + 1}")
    panels[0].set_ylabel("sound [s]")
    figure.supxlabel("recorded signal [s]", fontsize=8.5, color="#374151")
    return figure


@styled
def lines(curves: Mapping[str, tuple[Values, Values]], x_label: str, y_label: str, marks: Sequence[float] = ()) -> str:
    """Several lines; a legend where they are at most :data:`MOST_NAMED`."""
    return data_uri(lines_figure(curves, x_label, y_label, marks))


def lines_figure(
    curves: Mapping[str, tuple[Values, Values]], x_label: str, y_label: str, marks: Sequence[float] = ()
) -> Figure:
    """The figure of :func:`lines`, as much higher as its legend is."""
    columns = legend_columns(curves, 3)
    rows = -(-len(curves) // columns) if len(curves) <= MOST_NAMED else 0
    figure, (ax,) = axes(2.2 + 0.19 * rows)
    for number, (name, (x, y)) in enumerate(curves.items()):
        finite = np.isfinite(y)
        marker = "o" if finite.sum() == 1 else "None"  # a single point has no line
        ax.plot(x[finite], y[finite], marker=marker, color=CYCLE[number % len(CYCLE)], linewidth=1.3, label=name,
                linestyle=("-", "--", ":")[number // len(CYCLE) % 3])  # fmt: skip
    for mark in marks:
        ax.axvline(mark, color=GREY, linestyle=":", linewidth=1)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.grid(color="#f0f1f3", linewidth=0.6)
    if rows:
        figure.legend(loc="outside upper left", ncols=columns)
    return figure


@styled
def bars(values: Mapping[str, float], x_label: str, chance_p95: float | None = None) -> str:
    """Horizontal bars, largest first, over chance."""
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:20]
    figure, (ax,) = axes(0.6 + 0.24 * len(ordered))
    ax.barh([k for k, _ in ordered], [v for _, v in ordered], color=BLUE, height=0.7)
    ax.invert_yaxis()
    ax.axvline(0, color="#9ca3af", linewidth=0.8)
    if chance_p95 is not None:
        ax.axvline(chance_p95, color=ORANGE, linestyle="--", linewidth=1)
        ax.set_title("dashed: chance (95th pct.)", loc="right", color=ORANGE, fontsize=7.5)
    ax.set_xlabel(x_label)
    return data_uri(figure)


@styled
def histogram(counts: Values, edges: Values, observed: float, p95: float | None, x_label: str) -> str:
    """Draws of a null as a histogram, the observed value as a line; dashed: 95th percentile of the draws."""
    return data_uri(histogram_figure(counts, edges, observed, p95, x_label))


def histogram_figure(counts: Values, edges: Values, observed: float, p95: float | None, x_label: str) -> Figure:
    """The figure of :func:`histogram`."""
    figure, (ax,) = axes(2.1)
    ax.stairs(counts, edges, fill=True, color="#cbd5e1", label="without a link")
    if p95 is not None:
        ax.axvline(p95, color=VERMILLION, linestyle="--", linewidth=1, label="95th percentile")
    ax.axvline(observed, color=BLUE, linewidth=2, label="observed")
    ax.set_xlabel(x_label)
    ax.set_ylabel("draws")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@styled
def contacts(position: Values, values: Values, label: str) -> str:
    """Contacts (contact, axis) in three projections, coloured by a value; hollow where it is NaN."""
    return data_uri(contacts_figure(position, values, label))


def contacts_figure(position: Values, values: Values, label: str) -> Figure:
    """The figure of :func:`contacts`."""
    figure = Figure(figsize=(WIDTH_IN, 4.2))
    *panels, legend = figure.subplots(2, 2).ravel().tolist()
    largest = max(float(np.nanmax(np.abs(values), initial=0.0)), 1e-3)
    known = np.isfinite(values)
    for ax, (name, across, up) in zip(panels, PROJECTIONS, strict=True):
        ax.scatter(*position[~known][:, [across, up]].T, s=26, facecolors="none", edgecolors=GREY, linewidths=0.8)
        drawn = ax.scatter(*position[known][:, [across, up]].T, s=30, c=values[known], cmap="PuOr_r", vmin=-largest,
                           vmax=largest, edgecolors="#4b5563", linewidths=0.4)  # fmt: skip
        ax.set_title(name)
        ax.set_xlabel("xyz"[across])
        ax.set_ylabel("xyz"[up])
        ax.set_aspect("equal", adjustable="datalim")
    legend.set_axis_off()
    figure.colorbar(drawn, ax=legend, label=label, location="top", fraction=0.3, aspect=12)
    return figure


def matrix(values: Values, frequencies_hz: Values, lags_s: Values) -> str:
    """Contamination matrix (frequency, lag)."""
    drawing, box = maps.Drawing(450, 340), maps.Box(60, 8, 300, 286)
    largest = largest_of(values)
    lags = maps.Axis(lags_s[0], lags_s[-1], maps.ticks(lags_s[0], lags_s[-1], 6), LAG_LABEL)
    rows = maps.Axis(0, len(values), [(row + 0.5, f"{frequencies_hz[row]:g}") for row in labelled_rows(values)],
                     "frequency [Hz]")  # fmt: skip
    colours = maps.Colours("PuOr_r", -largest, largest)
    maps.panel(drawing, box, values.T, colours, lags, rows)
    maps.scale(drawing, maps.Box(376, 22, 14, 258), colours, "common phase [SD]")
    return drawing.uri()


def largest_of(matrix: Values) -> float:
    """What the colours of a contamination matrix reach either way."""
    return max(float(np.abs(matrix).max()), 5.0)


def labelled_rows(matrix: Values) -> NDArray[np.intp]:
    """The rows of a contamination matrix that are labelled."""
    return np.unique(np.linspace(0, len(matrix) - 1, 5).round().astype(np.intp))


def matrix_figure(values: Values, frequencies_hz: Values, lags_s: Values) -> Figure:
    """The figure of :func:`matrix`."""
    figure, (ax,) = axes(3.4)
    largest = largest_of(values)
    image = ax.imshow(values, origin="lower", aspect="auto", cmap="PuOr_r", interpolation="nearest",
                      extent=(lags_s[0], lags_s[-1], 0, len(values)), vmin=-largest, vmax=largest)  # fmt: skip
    rows = labelled_rows(values)
    ax.set_yticks(rows + 0.5, [f"{frequencies_hz[row]:g}" for row in rows])
    ax.set_xlabel(LAG_LABEL)
    ax.set_ylabel("frequency [Hz]")
    figure.colorbar(image, ax=ax, label="common phase [SD]", shrink=0.9)
    return figure
