"""results/report.html: one page with all scores, readable offline, on a phone and on paper.

In: the document of :func:`pipeline.evaluation.scores.score`, the folds it was made from, and
what only the report shows (learning curves, attention, contamination matrices, config).
Out: HTML as a string with all pictures and sound inside; equal input gives equal text.
``share=True`` leaves out true sound, target spectrograms, word labels and places of contacts, which identify a person.

Of more than :data:`~pipeline.artifacts.paths.SUBJECTS_OF_ONE_PAGE` subjects the page is a summary, and each has a page
of its own beside it (:func:`subject_html`).

The page's words and layout are in the template ``page.html.j2`` and in ``page.css`` beside this module.
The template escapes every value and refuses a name that is not defined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.artifacts import paths
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


SECTIONS = {
    "recordings": "Recordings",
    "scores": "Scores", "examples": "Examples", "bands": "Bands", "subjects": "Subjects", "chance": "Chance",
    "attention": "Attention", "importance": "Importance", "training": "Training", "contamination": "Contamination",
    "audit": "Leak audit", "methods": "Methods", "provenance": "Config",
}  # fmt: skip
OF_SUBJECT = ("recordings", "examples", "subjects", "chance", "attention", "importance", "training", "contamination")


@dataclass(frozen=True)
class Page:
    """What the template takes: a part for each of ``sections``, and links (file, text) to other pages."""

    sections: Mapping[str, str]
    links: Sequence[tuple[str, str]]

    head: view_scores.Head
    recordings: view_checks.Recordings
    scores: view_scores.Scores | None
    measures: view_measures.Measures
    sound: view_sound.Examples
    bands: view_scores.Bands | None
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
    """The whole page; a shared copy stands alone."""
    pages = {} if share else paths.subject_pages(document["subjects"])
    links = [(page.name, s) for s, page in pages.items()]
    return _html(document, folds, extras, config, SECTIONS, links, share=share, summary=bool(pages))


def subject_html(
    document: Document, folds: Sequence[FoldPredictions], extras: ReportExtras, config: EvaluateConfig, subject: str,
    summary: str,
) -> str:  # fmt: skip
    """The page of one subject: what the summary, whose file's name is given, leaves to it."""
    sessions, claims = extras.sessions.get(subject, ()), document["claims"]
    limits = [
        own for own in claims["limits"] if own["limit"] != "contamination" or subject in own["numbers"]["subjects"]
    ]
    own = {
        **document,
        "subjects": {subject: document["subjects"][subject]},
        "contamination": [found for found in document["contamination"] if found["recording"] in sessions],
        "claims": {**claims, "limits": limits, "tests": None, "by_subject": {subject: claims["by_subject"][subject]}},
    }
    of_subject = replace(
        extras,
        curves={name: curves for name, curves in extras.curves.items() if name[0] == subject},
        attention={name: weights for name, weights in extras.attention.items() if name[0] == subject},
        recorded=[own for own in extras.recorded if own.subject == subject],
        contacts={name: contacts for name, contacts in extras.contacts.items() if name == subject},
        contamination=[found for found in extras.contamination if found.recording in sessions],
    )
    sections = {key: SECTIONS[key] for key in OF_SUBJECT}
    own_folds = [fold for fold in folds if fold.subject == subject]
    return _html(own, own_folds, of_subject, config, sections, [(summary, "All subjects")], subject=subject)


def _html(
    document: Document, folds: Sequence[FoldPredictions], extras: ReportExtras, config: EvaluateConfig,
    sections: Mapping[str, str], links: Sequence[tuple[str, str]], *, share: bool = False, subject: str = "",
    summary: bool = False,
) -> str:  # fmt: skip
    """A page of these sections, of all subjects or, where it is named, of one; a ``summary`` has pages beside it."""
    page = Page(
        sections=sections,
        links=links,
        head=view_scores.head(document, share=share, subject=subject),
        recordings=view_checks.recordings(extras),
        scores=view_scores.scores(document) if "scores" in sections else None,
        measures=view_measures.measures(document),
        sound=view_sound.examples(folds, config, extras.band_hz, share=share),
        bands=view_scores.bands(document, extras.band_hz) if "bands" in sections else None,
        subjects=view_scores.subjects(document, tested=not subject),
        chance=view_chance.subject_chance(document, subject)
        if subject
        else view_chance.chance(document, summary=summary),
        attention=view_model.attention(document, extras),
        importance=view_model.importance(document, {} if share else extras.contacts, summary=summary),
        training=view_model.training(extras),
        contamination=view_checks.contamination(document, extras),
        audit=view_checks.audit(document),
        origin=view_checks.origin(document, extras),
        methods=document.get("methods", ""),
        definitions=document["definitions"],
    )
    return TEMPLATES.get_template("page.html.j2").render(page=page)
