"""Pictures of arrays (spectrograms, attention, contamination) as SVG around small PNGs with a palette.

Written directly: matplotlib takes a quarter of a second for each, and four times the bytes.  Lengths are hundredths
of an inch.  Equal input gives equal bytes.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

FONTS = "'DejaVu Sans', Verdana, sans-serif"
"""What matplotlib measures with, and the nearest to it where a reader's system lacks that."""
TEXT = 11.8
SMALL_TEXT = 9.7
INK, SOFT, EDGE = "#374151", "#4b5563", "#9ca3af"
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that no XML may hold."""
PLAIN = " /:=,;+!~*()@$"
COLOURS = 256
LEAST = 1e-9
"""Of a span, so that a constant has a place in it."""
Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Colours:
    """A colour map between two values."""

    name: str
    low: float
    high: float

    def png(self, values: NDArray[np.floating]) -> bytes:
        """Values (row, column), the lowest row first, as a PNG of one pixel each whose top is the last row."""
        from matplotlib import colormaps  # after pipeline.artifacts.pictures, as below

        scaled = (values[::-1] - self.low) / max(self.high - self.low, LEAST) * COLOURS
        index = np.clip(scaled, 0, COLOURS - 1).astype(np.uint8)
        palette = colormaps[self.name](np.arange(COLOURS), bytes=True)[:, :3].tobytes()
        rows = np.pad(index, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter, which is none
        size = struct.pack(">2I5B", index.shape[1], len(index), 8, 3, 0, 0, 0)  # 8 bits, palette
        chunks = {b"IHDR": size, b"PLTE": palette, b"IDAT": zlib.compress(rows, 9), b"IEND": b""}
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks.items())


@dataclass(frozen=True)
class Axis:
    """The values from ``first`` to ``last`` along a side of a panel, with its ticks and its label."""

    first: float
    last: float
    ticks: Ticks = ()
    label: str = ""

    def share(self, value: float) -> float:
        """Place of a value between the ends, 0 … 1."""
        return (value - self.first) / max(self.last - self.first, LEAST)


@dataclass
class Drawing:
    """An SVG of ``width`` and ``height`` that grows element by element."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def element(self, name: str, content: str = "", **attributes: object) -> None:
        written = (f"{key.replace('_', '-')}={quoteattr(_number(value))}" for key, value in attributes.items())
        self.parts.append(f"<{name} {' '.join(written)}>{content}</{name}>")

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = EDGE, width: float = 1.1) -> None:
        self.element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width)

    def text(self, x: float, y: float, text: str, **attributes: object) -> None:
        """Text whose middle line is at ``y``."""
        shown = {"font_size": TEXT, "fill": SOFT} | attributes
        self.element("text", escape(text), x=x, y=y + 0.36 * float(str(shown["font_size"])), **shown)

    def upright(self, x: float, y: float, text: str) -> None:
        """Text from below to above, centred at ``y``."""
        place: dict[str, Any] = {
            "transform": f"translate({x:.1f} {y:.1f}) rotate(-90)",
            "fill": INK,
            "text_anchor": "middle",
        }
        self.text(0, 0, text, **place)

    def image(self, box: Box, png: bytes) -> None:
        uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        place: dict[str, Any] = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
        self.element("image", href=uri, preserveAspectRatio="none", style="image-rendering:pixelated", **place)

    def uri(self) -> str:
        """The picture as a data URI."""
        size = f'width="{self.width:g}" height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONTS}">'
        return svg_uri(f"{head}{''.join(self.parts)}</svg>")


@dataclass(frozen=True)
class Box:
    """A rectangle; ``x`` and ``y`` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float


def svg_uri(text: str) -> str:
    """An SVG as ``data:image/svg+xml,…``, without the characters that would make it no XML.

    What HTML would escape is percent-encoded; most else is as it was, where base64 would make it a third longer.
    """
    return f"data:image/svg+xml,{quote(NO_XML.sub('�', text), safe=PLAIN)}"


def ticks(first: float, last: float, most: int) -> Ticks:
    """At most ``most`` round values between two."""
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(first, last)
    shown = [round(float(value), 6) + 0.0 for value in values if first <= value <= last]
    digits = max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in shown), default=0)
    return [(value, f"{value:.{digits}f}".replace("-", "−")) for value in shown]


def panel(drawing: Drawing, box: Box, values: NDArray[np.floating], colours: Colours, x: Axis, y: Axis) -> None:
    """Values (column, row) in a box, with what stands below it and at its left."""
    drawing.image(box, colours.png(values.T))
    bottom = box.y + box.height
    for value, name in x.ticks:
        place = box.x + box.width * x.share(value)
        drawing.line(place, bottom, place, bottom + 5)
        drawing.text(place, bottom + 13, name, text_anchor="middle")
    for value, name in y.ticks:
        place = bottom - box.height * y.share(value)
        drawing.line(box.x - 5, place, box.x, place)
        drawing.text(box.x - 8, place, name, text_anchor="end")
    if x.label:
        drawing.text(box.x + box.width / 2, bottom + 30, x.label, fill=INK, text_anchor="middle")
    if y.label:
        drawing.upright(box.x - 48, box.y + box.height / 2, y.label)
    drawing.line(box.x, box.y, box.x, bottom)
    drawing.line(box.x, bottom, box.x + box.width, bottom)


def scale(drawing: Drawing, box: Box, colours: Colours, label: str) -> None:
    """A bar of the colours with their values at its right."""
    drawing.image(box, Colours(colours.name, 0, COLOURS).png(np.arange(COLOURS, dtype=np.float64)[:, None]))
    axis = Axis(colours.low, colours.high, ticks(colours.low, colours.high, 7))
    right = box.x + box.width
    for value, name in axis.ticks:
        place = box.y + box.height * (1 - axis.share(value))
        drawing.line(right, place, right + 5, place)
        drawing.text(right + 8, place, name)
    drawing.upright(right + 46, box.y + box.height / 2, label)


def _chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG (https://www.w3.org/TR/png-3/#5Chunk-layout)."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _number(value: object) -> str:
    """A length to a hundredth of its unit, or a word."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float | np.floating) else str(value)
