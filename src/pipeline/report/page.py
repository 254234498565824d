"""results/report.html: one page with all scores, readable offline, on a phone and on paper.

In: the document of :func:`pipeline.evaluation.scores.score`, the folds it was made from, and
what only the report shows (learning curves, attention, contamination matrices, config).
Out: HTML as a string with all pictures and sound inside; equal input gives equal text.
``share=True`` leaves out true sound, target spectrograms and word labels, which identify a person.

The page's words and layout are in the template ``page.html.j2`` and in ``page.css`` beside this module.
The template escapes every value and refuses a name that is not defined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.types import Document, FoldPredictions
from pipeline.report import view_chance, view_checks, view_measures, view_model, view_scores, view_sound
from pipeline.report.extras import ReportExtras

TEMPLATES = Environment(
    loader=PackageLoader("pipeline.report", ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class Page:
    """What the template takes: a part for each section."""

    head: view_scores.Head
    scores: view_scores.Scores
    measures: view_measures.Measures
    sound: view_sound.Examples
    bands: view_scores.Bands
    subjects: view_scores.Subjects
    chance: view_chance.Chance
    attention: view_model.AttentionMaps
    importance: view_model.Importance
    training: view_model.Training
    contamination: view_checks.ContaminationCheck
    audit: view_checks.Audit | None
    origin: view_checks.Origin
    methods: str
    definitions: Mapping[str, str]


def report_html(
    document: Document,
    folds: Sequence[FoldPredictions],
    extras: ReportExtras,
    config: EvaluateConfig,
    *,
    share: bool = False,
) -> str:
    """The whole page."""
    page = Page(
        head=view_scores.head(document, share=share),
        scores=view_scores.scores(document),
        measures=view_measures.measures(document),
        sound=view_sound.examples(folds, config, extras.band_hz, share=share),
        bands=view_scores.bands(document, extras.band_hz),
        subjects=view_scores.subjects(document),
        chance=view_chance.chance(document),
        attention=view_model.attention(document, extras),
        importance=view_model.importance(document),
        training=view_model.training(extras),
        contamination=view_checks.contamination(document, extras),
        audit=view_checks.audit(document),
        origin=view_checks.origin(document, extras),
        methods=document.get("methods", ""),
        definitions=document["definitions"],
    )
    return TEMPLATES.get_template("page.html.j2").render(page=page)
