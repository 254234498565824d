"""Values of the report on checks of the data, and on provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.artifacts.versions import version_now
from pipeline.evaluation.contamination import Contamination
from pipeline.evaluation.methods import plural
from pipeline.evaluation.types import Document
from pipeline.report import figures
from pipeline.report.extras import Recorded, ReportExtras
from pipeline.report.view import Picture, Table, Text, number, p_text, plain

MOST_PICTURES = 4
"""Contamination matrices shown at most."""
NORMALISED = {
    "train": "Mean and scale of the features and of the mel are those of the training frames.",
    "recording_unlabelled": "Mean and scale of the features are those of whole recordings, TEST INCLUDED, without "
    "their sound; those of the mel are of the training frames.",
    "causal_running": "Mean and scale of the features run along with the past; those of the mel are of the training "
    "frames.",
}


@dataclass(frozen=True)
class Recordings:
    """A row per session, and which version drew the page, of results of which code."""

    table: Table | None
    drawn_by: str


@dataclass(frozen=True)
class ContaminationCheck:
    """Result per recording, and the matrices of the most suspicious ones; no table where the check was not run."""

    table: Table | None
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Audit:
    """Shared raw samples and gaps between the roles, and where normalisation was fitted."""

    verdict: Text
    gap: str
    normalisation: str
    pairs: Table


@dataclass(frozen=True)
class Origin:
    """Claims, digests and versions of what was scored, and the config; no table and an empty text where none was given.

    ``mixture`` names the packages of which several versions made the results; ``None`` where there is none.
    """

    claims: Table
    provenance: Table | None
    versions: Table | None
    mixture: Text | None
    config: str


def recordings(extras: ReportExtras) -> Recordings:
    """What was recorded, session by session, and by what it was scored."""
    head = ["Subject", "session", "trials", "minutes", "signal [Hz]", "sound [Hz]", "channels chosen", "left out"]
    rows = [recordings_row(own) for own in extras.recorded]
    drawn_by = f"Drawn by seeg-to-audio {version_now('seeg-to-audio')}, from results of code {extras.code[:12]}."
    return Recordings(Table(head, rows, kind="why") if rows else None, drawn_by if extras.code else "")


def recordings_row(own: Recorded) -> list[str]:
    """A session; channels that no model used by the reason."""
    uses = list(own.channels.values())
    by_reason = {use: [n for n, u in own.channels.items() if u == use] for use in dict.fromkeys(uses) if use != "used"}
    left_out = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in by_reason.items())
    used = f"{uses.count('used')} of {len(uses)}" if uses else "features as given"
    rates = ["–" if rate_hz is None else f"{rate_hz:g}" for rate_hz in (own.signal_hz, own.sound_hz)]
    return [own.subject, own.session, str(own.trials), f"{own.minutes:.1f}", *rates, used, left_out or "none"]


def contamination(document: Document, extras: ReportExtras) -> ContaminationCheck:
    """Results as eval.json has them, matrices from the artifacts."""
    rows = [contamination_row(found) for found in document["contamination"]]
    head = ["Recording", "result", "normal score", "P", "corrected P", "a leak from … on would show", "why"]
    table = Table(head, rows, kind="why") if rows else None
    return ContaminationCheck(table, matrices(extras.contamination) if rows else [])


def contamination_row(found: Document) -> list[str]:
    """The result of one recording."""
    numbers = [number(found["statistic"]), p_text(found["p"]), p_text(found["p_adjusted"])]
    level = "" if found["detectable_db"] is None else f"{found['detectable_db']:g} dB"
    return [found["recording"], found["result"], *numbers, level, found["limit"] or found["reason"] or ""]


def matrices(found: Sequence[Contamination]) -> list[Picture]:
    """The matrices of the recordings with the smallest p."""
    worst = sorted((c for c in found if c.p is not None), key=lambda c: (c.p, c.recording))
    return [
        Picture(figures.matrix(c.matrix, c.frequencies_hz, c.lags_s), f"{c.recording}: {c.result}, P = {p_text(c.p)}.")
        for c in worst[:MOST_PICTURES]
        if c.matrix is not None and c.frequencies_hz is not None and c.lags_s is not None
    ]


def audit(document: Document) -> Audit | None:
    """The leak audit of all folds; ``None`` where it was not made."""
    found = document["audit"]
    if found["shared_samples"] is None:
        return None
    smallest = found["smallest_gap_s"]
    gap = (
        "No two roles share a recording."
        if smallest is None
        else f"Smallest gap that is left between roles after filter support and context: {smallest:.3f} s."
    )
    gap += (
        f" Test repeats {plural(found['repeated_stimuli'], 'whole text')} and "
        f"{plural(found['repeated_words'], 'word')} of training or validation, summed over folds."
    )
    return Audit(verdict(found), gap, normalised(document["claims"]), pairs_of_roles(document))


def verdict(found: Document) -> Text:
    """Whether two roles saw the same raw sample."""
    if not found["passed"]:
        return Text(f"LEAK: {found['shared_samples']} raw samples were seen by two roles.", "bad")
    return Text(
        "No raw sample, neural or audio, was seen by two of training, validation and test in any of "
        f"{plural(found['folds_audited'], 'fold')}, filter support and context included.",
        "good",
    )


def normalised(claims: Mapping[str, Any]) -> str:
    """Where mean and scale of the features come from, and what else looked at whole recordings."""
    whole = ", ".join(claims.get("whole_recording_operations", [])) or "none"
    return f"{NORMALISED.get(str(claims.get('normalisation')), '')} Operations on whole recordings: {whole}."


def pairs_of_roles(document: Document) -> Table:
    """Shared samples and the smallest gap of every pair of roles in every fold."""
    rows = [
        [subject, str(fold["fold"]), pair, str(p["shared_samples"]), number(p["smallest_gap_s"], 3)]
        for subject, own in document["subjects"].items()
        for fold in own["folds"]
        if fold["audit"]
        for pair, p in fold["audit"]["pairs"].items()
    ]
    return Table(["Subject", "fold", "roles", "shared samples", "smallest gap [s]"], rows)


TABLES_OF_CLAIMS = ("limits", "not_testable", "tests", "by_subject")
"""Parts of the claims that stand elsewhere on the page."""


def origin(document: Document, extras: ReportExtras) -> Origin:
    """Claims, provenance and the whole config."""
    claims = [[key, plain(value)] for key, value in document["claims"].items() if key not in TABLES_OF_CLAIMS]
    provenance = list(map(list, extras.provenance.items()))
    return Origin(
        Table(["Key", "value"], claims, kind="text"),
        Table(["Key", "value"], provenance, kind="text") if provenance else None,
        versions(extras),
        mixture(extras),
        extras.config_text,
    )


def versions(extras: ReportExtras) -> Table | None:
    """Python and packages that what was scored was made with, and how many outputs with each version."""
    rows = [
        [package, ", ".join(f"{version} ({plural(count, 'output')})" for version, count in found.items())]
        for package, found in extras.versions.items()
    ]
    return Table(["Package", "version"], rows, kind="text") if rows else None


def mixture(extras: ReportExtras) -> Text | None:
    """Says that results were made with different versions of a package."""
    mixed = [package for package, found in extras.versions.items() if len(found) > 1]
    return Text(f"The results were made with different versions of {', '.join(mixed)}.", "bad") if mixed else None
