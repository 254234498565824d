"""Values of the report on the scores beside r: each with its chance level and its ceiling in one row."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.evaluation.types import MODEL, Document
from pipeline.report.view import Table, Text, digits_of, missing, number, p_text

HEAD = ("Score", "model", "chance", "p", "ceiling", "ridge", "question")


@dataclass(frozen=True)
class Measures:
    """The table, how single utterances spread, and what was not scored or not tested and why."""

    table: Table | None
    spread: str
    missing: Text | None


def measures(document: Document) -> Measures:
    """One row per score that the model has."""
    found = document["summary"]["measures"]
    known = [own for own in found.values() if own.get(MODEL, {}).get("value") is not None]
    of_r = digits_of(document)
    spreads = [spread(own, of_r) for own in known if "median" in own[MODEL]]
    table = Table(HEAD, [row(own, of_r) for own in known], kind="why") if known else None
    return Measures(table, f"Median and SD: {'; '.join(spreads)}." if spreads else "", lacking(found))


def row(own: Document, of_r: int) -> list[str]:
    """A score as :data:`HEAD` names it."""
    model, digits = own[MODEL], decimals(own["title"], of_r)
    return [
        own["title"],
        number(model["value"], digits),
        number(model["chance_p95"], digits),
        p_text(model["p_value"]),
        number(own["ceiling"], digits),
        number(own["ridge"]["value"], digits) if "ridge" in own else "",
        own["question"],
    ]


def spread(own: Document, of_r: int) -> str:
    """How the score of single utterances or stretches spreads."""
    model, digits = own[MODEL], decimals(own["title"], of_r)
    both = " and ".join(number(model[key], digits) for key in ("median", "sd"))
    return f"{own['title'].split(' [')[0]} {both} of {model['segments']}"


def decimals(title: str, of_r: int) -> int:
    """Two for decibels, none for cents, for all others as many as r has."""
    return 2 if "[dB]" in title else 0 if "[cents]" in title else of_r


def lacking(found: Document) -> Text | None:
    """What was not scored or not tested, by reason."""
    titles: dict[str, list[str]] = {}
    for own in found.values():
        if reason := own.get(MODEL, {}).get("reason"):
            titles.setdefault(reason, []).append(own["title"])
    if not found:
        return missing("This table", "the model has no r, or evaluate.measures is off")
    parts = [f"{', '.join(own)} ({reason})" for reason, own in titles.items()]
    return Text(f"Not scored or not tested: {'; '.join(parts)}.", "missing") if parts else None
