"""Values of the report on chance: every null, and words seen and unseen in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.fold import ALIGNMENTS
from pipeline.evaluation.levels import LEVELS
from pipeline.evaluation.methods import plural
from pipeline.evaluation.scores import title
from pipeline.evaluation.types import MODEL, Document
from pipeline.report import figures
from pipeline.report.view import Picture, Table, Text, digits_of, level_text, missing, number, p_text, scored

COUNTED = ("counts", "edges")
NULL_HEAD = ("Prediction", "r without slow drift", "p", "p, speech frames", "word swap p, annotated onset",
             "word swap p, sound onset", "rank accuracy", "rank accuracy p")  # fmt: skip
SHIFTED = 4
"""The columns of :data:`NULL_HEAD` before those of words, which are of all subjects together."""


@dataclass(frozen=True)
class SeenWords:
    """Scores of the words that training contained and of those it did not."""

    table: Table
    note: Text


@dataclass(frozen=True)
class Chance:
    """How chance was drawn, the nulls of all predictions, what could not be tested and why.

    What is of all subjects together stands last, and a page of one subject has none of it.
    """

    test: str
    independent: str
    pictures: Sequence[Picture]
    table: Table | None
    levels: Table
    untested: Sequence[Text]
    over: OverSubjects | None = None
    words: SeenWords | None = None
    retrained: Text | None = None


@dataclass(frozen=True)
class OverSubjects:
    """How many subjects could be tested, the smallest p over them, and what the word swap is."""

    tested: str
    subjects: str
    smallest_p: str
    word_swap_note: str


def chance(document: Document, *, summary: bool) -> Chance:
    """All nulls of the summary; ``summary`` leaves those of each subject to the subject's page."""
    found, words = document["summary"]["chance"], document["summary"]["words"]
    reasons = (("Chance", found["reason"]), ("The word-swap test", words["reason"]))
    return Chance(
        test=found["test"] or "not drawn",
        independent=number(found["independent"], 0),
        pictures=histograms(document, summary=summary),
        table=null_table(document),
        levels=level_table(document["claims"]),
        untested=[missing(what, reason) for what, reason in reasons if reason],
        over=OverSubjects(
            str(found["subjects_tested"]), str(found["subjects"]), p_text(found["smallest_p"]), words["note"]
        ),
        words=seen_words(words, digits_of(document)),
        retrained=retrained(found["retrained"], digits_of(document)),
    )


def subject_chance(document: Document, subject: str) -> Chance:
    """The nulls of one subject alone."""
    found = document["subjects"][subject]["chance"]
    own = found.get(MODEL, {}).get("pearson_r", {"reason": "the model has no r"})
    digits = digits_of(document)
    rows = [null_row(name, found[name], {}, digits)[:SHIFTED] for name in scored(document) if name in found]
    return Chance(
        test=own.get("test", "not drawn"),
        independent=number(own.get("independent"), 0),
        pictures=histograms(document),
        table=Table(NULL_HEAD[:SHIFTED], rows, main=title(MODEL)) if rows else None,
        levels=level_table(document["claims"]),
        untested=[missing("Chance", f"not testable: {own['reason']}")] if own["reason"] else [],
    )


def histograms(document: Document, *, summary: bool = False) -> list[Picture]:
    """The model's draws without a link beside what was observed: over several subjects, and of each if no summary."""
    over = document["summary"]["chance"]
    own = {
        s: found["chance"][MODEL]["pearson_r"] for s, found in document["subjects"].items() if MODEL in found["chance"]
    }
    mean = f"Mean over {plural(over['subjects_tested'], 'testable subject')}"
    found = {mean: {**over, "p95": over["pearson_r_p95"]}} if len(own) > 1 else {}
    each = {} if summary else own
    digits = digits_of(document)
    return [histogram(name, null, digits) for name, null in {**found, **each}.items() if null.get("histogram")]


def histogram(name: str, null: Document, digits: int) -> Picture:
    """One null of the model."""
    observed, counts, edges = null["pearson_r_without_drift"], *(np.array(null["histogram"][k]) for k in COUNTED)
    caption = (
        f"{name}: r without slow drift of {counts.sum()} draws without a link, and what was observed "
        f"({number(observed, digits)}, p = {p_text(null['p_value'])})."
    )
    return Picture(figures.histogram(counts, edges, observed, null["p95"], "r without slow drift"), caption)


def level_table(claims: Document) -> Table:
    """p of each level's tests, subject by subject, and over subjects where there is such a test."""
    own = [(subject, found["level"], found["tests"]) for subject, found in claims["by_subject"].items()]
    if claims["tests"] is not None:
        own.insert(0, ("over subjects", claims["level"], claims["tests"]))
    rows = [
        [subject, level_text(level), *(p_text(tests[name]["p_value"]) for name in LEVELS[1:])]
        for subject, level, tests in own
    ]
    return Table(["Subject", "level", *(f"{level_text(name)} p" for name in LEVELS[1:])], rows)


def null_table(document: Document) -> Table | None:
    """One row per prediction that some null was drawn for."""
    shifted = document["summary"]["chance"]["by_prediction"]
    swapped = document["summary"]["words"]["by_prediction"]
    names = [n for n in scored(document) if n in shifted or n in swapped]
    digits = digits_of(document)
    rows = [null_row(name, shifted.get(name, {}), swapped.get(name, {}), digits) for name in names]
    return Table(NULL_HEAD, rows, main=title(MODEL)) if rows else None


def null_row(name: str, shifted: Document, swapped: Document, digits: int) -> list[str]:
    """The p-values of a prediction, as :data:`NULL_HEAD` names them."""
    rank = swapped.get("rank_accuracy", {})
    return [
        title(name),
        number(shifted.get("pearson_r", {}).get("pearson_r_without_drift"), digits),
        *(p_text(shifted.get(m, {}).get("p_value")) for m in ("pearson_r", "pearson_r_speech")),
        *(p_text(swapped.get(f"swap_{a}", {}).get("p_value")) for a in ALIGNMENTS),
        number(rank.get("observed"), digits),
        p_text(rank.get("p_value")),
    ]


def seen_words(words: Document, digits: int) -> SeenWords | None:
    """The model on words seen and unseen; ``None`` where words were not scored."""
    own = words["by_prediction"].get(MODEL)
    if own is None:
        return None
    rows = [
        [part, *(number(own[part][score], digits) for score in ("pearson_r", "rank_accuracy"))]
        for part in ("seen", "unseen")
        if own[part]["pearson_r"] is not None
    ]
    seen = number(100 * words["seen_in_training"], 0)
    note = f"{words['words']} test words, {seen} % of them seen in training (chance rank accuracy 0.5)."
    return SeenWords(Table(["Model on words", "r", "rank accuracy"], rows), Text(note, "note"))


def retrained(found: Document, digits: int) -> Text:
    """The null of models trained anew."""
    if found["reason"]:
        return missing("The null with retrained models", found["reason"])
    r = ", ".join(number(v, digits) for v in found["pearson_r"])
    models = f"{found['trainings']} models trained on circularly shifted neural data"
    return Text(f"{models} have r = {r}; p = {p_text(found['p_value'])}.")
