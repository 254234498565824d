"""Parts of the report's page: texts, tables, pictures and players, with all values already formatted.

The template (``page.html.j2``) calculates nothing and formats no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.evaluation.types import Document


@dataclass(frozen=True)
class Text:
    """A paragraph; ``kind`` is its class in ``page.css``: note, missing, good or bad."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells below a head; the row whose first cell is ``main`` stands out; ``kind`` text: cells of words;
    why: words in the last cell of a row.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    main: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI; its caption is its text alternative."""

    uri: str
    caption: str


@dataclass(frozen=True)
class Player:
    """A sound as a data URI, and what it is."""

    uri: str
    label: str


def missing(what: str, why: str) -> Text:
    """Says that a part has no input, and why."""
    return Text(f"{what} is missing: {why}.", "missing")


def number(value: float | None, digits: int = 3) -> str:
    """A number for reading; an undefined one is a dash."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


SHORT_MIN = 10.0
"""Minutes of test sound below which a third decimal of r says nothing: intervals are a tenth wide."""


def digits_of(document: Document) -> int:
    """Decimals of r, and of errors: two where the test is short."""
    minutes = sum(f["duration_s"] for own in document["subjects"].values() for f in own["folds"]) / 60
    return 2 if minutes < SHORT_MIN else 3


def p_text(value: float | None) -> str:
    """A p-value for reading."""
    return "–" if value is None else f"{value:.2g}" if value >= 0.0001 else f"{value:.0e}"


def level_text(level: str | None) -> str:
    """A level of a claim for reading."""
    return "not testable" if level is None else level.replace("_", " ")


def ci_text(ci95: Sequence[float] | None, fold_spread: Sequence[float] | None = None, digits: int = 3) -> str:
    """A 95 % interval for reading; without one the spread over folds, where there is that."""
    if ci95 is not None:
        return f"95 % {number(ci95[0], digits)} to {number(ci95[1], digits)}"
    if fold_spread:
        return f"folds {number(fold_spread[0], digits)} to {number(fold_spread[1], digits)}"
    return "no interval"


def plain(value: Any) -> str:
    """A JSON value for reading."""
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    return {True: "yes", False: "no", None: "–"}[value] if value is None or isinstance(value, bool) else str(value)


def scored(document: Document) -> dict[str, Document]:
    """The summary's predictions by name: every entry that has a role."""
    return {n: v for n, v in document["summary"].items() if isinstance(v, dict) and "role" in v}
