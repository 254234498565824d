"""Values of the report's head, and the scores: of all predictions, by band, by subject and by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.levels import MEANINGS
from pipeline.evaluation.methods import plural
from pipeline.evaluation.scores import title
from pipeline.evaluation.types import MODEL, TEACHER_FORCED, Document, Values
from pipeline.raw.modality import activity
from pipeline.report import figures
from pipeline.report.bands import band_curves, chance_of_bands, never_scored
from pipeline.report.view import (
    Picture,
    Table,
    Text,
    ci_text,
    digits_of,
    level_text,
    missing,
    number,
    p_text,
    scored,
)

COLUMNS = {
    "pearson_r": "r", "pearson_r_speech": "r speech", "pearson_r_without_bad": "r without bad",
    "mse": "MSE [nats²]", "mae": "MAE [nats]", "mcd_db": "MCD [dB]",
    "mse_calibrated": "MSE calibrated", "mcd_db_calibrated": "MCD calibrated", "stoi": "STOI", "estoi": "ESTOI",
}  # fmt: skip
ONE_SUBJECT = "One subject: no test over subjects is possible. Folds and seeds are not subjects."
FOLD_HEAD = ("Subject", "fold", "seed", "test min", "speech %", "r", "r speech", "ridge r", "ridge speech",
             "teacher-forced r", "MCD [dB]", "gap [s]")  # fmt: skip


@dataclass(frozen=True)
class Tile:
    """A headline figure, with a note below it."""

    label: str
    value: str
    note: str
    main: bool = False


@dataclass(frozen=True)
class Head:
    """The page's title, what was recorded, banners, what was scored, the four figures that count, and the claims."""

    title: str
    activity: str
    banners: Sequence[str]
    lead: str
    tiles: Sequence[Tile]
    verdicts: Sequence[str]


@dataclass(frozen=True)
class Scores:
    """The table of all predictions, what made the sound, which have no r and why, and r with its intervals."""

    table: Table
    vocoder: str | None
    undefined: Sequence[Text]
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Bands:
    """r of each band, on all and on speech frames."""

    pictures: Sequence[Picture]
    note: Text


@dataclass(frozen=True)
class Subjects:
    """Every subject in a picture, tests over subjects, and one row per fold."""

    picture: Picture | None
    tests: Table | None
    note: Text | None
    folds: Table


# -- head -----------------------------------------------------------------------------------------


def head(document: Document, *, share: bool, subject: str = "") -> Head:
    """What stands above the sections; of one subject its own scores and level alone."""
    summary, claims = document["summary"], document["claims"]
    recorded, digits = activity(claims.get("modalities", ())), digits_of(document)
    before = recorded, banners(claims, share=share), lead(document)
    if subject:
        level = claims["by_subject"][subject]["level"]
        meaning = "" if level is None else f": {MEANINGS[level]}"
        said = [f"Supported claim for {subject}: {level_text(level)}{meaning}."]
        return Head(f"{recorded}, {subject}", *before, subject_tiles(document["subjects"][subject], digits), said)
    sentences = [d["sentence"] for name, d in summary["differences"].items() if summary[name]["role"] == "baseline"]
    said = [claim_sentence(claims), *(f"Limit: {limit['reason']}." for limit in claims["limits"])]
    return Head(recorded, *before, tiles(summary, digits), [*said, *sentences])


def banners(claims: Mapping[str, Any], *, share: bool) -> list[str]:
    """Says on top what kind of data this is."""
    lines = []
    if claims.get("simulated"):
        lines.append("Simulated data: no finding about any brain.")
    if any(limit["limit"] == "contamination" for limit in claims["limits"]):
        lines.append("Sound may have leaked into the recording: no link can be claimed where the check suspects it.")
    if any(limit["limit"] == "one_fold" for limit in claims["limits"]):
        lines.append("A first look: one fold was scored.")
    if share:
        left_out = "true sound, target spectrograms, word labels and places of contacts"
        lines.append(f"Copy for sharing: {left_out} are left out.")
    return lines


def lead(document: Document) -> str:
    """What was scored, in one sentence."""
    claims, subjects = document["claims"], document["subjects"]
    folds = [f for s in subjects.values() for f in s["folds"]]
    minutes = sum(f["duration_s"] for f in folds) / 60
    kind = ", ".join(claims.get("modalities", ())) or "n/a"
    causal = "causal model" if claims.get("causal") else "non-causal model"
    cues = " Events are cues: onsets of words are taken from the sound." if claims.get("events_are") == "cue" else ""
    return (
        f"{plural(len(subjects), 'subject')}, {plural(len(folds), 'fold')}, {minutes:.1f} min of test sound; "
        f"{kind}, {causal}, free-running predictions, split by {claims.get('split_by', 'n/a')}, "
        f"normalisation {claims.get('normalisation', 'n/a')}.{cues}"
    )


def tiles(summary: Document, digits: int) -> list[Tile]:
    """The four figures that count."""
    model, ridge, chance = summary["model"], summary["ridge"], summary["chance"]
    ridge_note = f"speech frames {number(ridge['pearson_r_speech'], digits)}"
    chance_note = chance["reason"] if chance["p_value"] is None else without_drift(chance, digits)
    return [
        *(
            Tile(f"r, {frames} frames", number(model[metric], digits), around(model, metric, digits), main=True)
            for frames, metric in (("all", "pearson_r"), ("speech", "pearson_r_speech"))
        ),
        Tile("Ridge, all frames", number(ridge["pearson_r"], digits), ridge_note),
        Tile("Chance, 95th percentile", number(chance["pearson_r_p95"], digits), chance_note),
    ]


def subject_tiles(own: Document, digits: int) -> list[Tile]:
    """A subject's own figures, means over its folds."""
    null = own["chance"].get(MODEL, {}).get("pearson_r", {})
    p_note = f"p = {p_text(null.get('p_value'))}" if null.get("reason") is None else null["reason"]
    found = {name: own["mean"].get(name, {}) for name in (MODEL, "ridge")}
    return [
        *(
            Tile(f"r, {frames} frames", number(found[MODEL].get(metric), digits), "mean over folds", main=True)
            for frames, metric in (("all", "pearson_r"), ("speech", "pearson_r_speech"))
        ),
        Tile("Ridge, all frames", number(found["ridge"].get("pearson_r"), digits), "mean over folds"),
        Tile("Chance, 95th percentile", number(null.get("p95"), digits), p_note),
    ]


def around(entry: Mapping[str, Any], metric: str, digits: int) -> str:
    """The interval of a score, or the spread over folds."""
    return ci_text(entry[f"{metric}_ci95"], entry[f"{metric}_fold_spread"], digits)


def without_drift(chance: Mapping[str, Any], digits: int) -> str:
    """What chance is compared with, over which subjects where not all are testable."""
    tested = chance["subjects_tested"]
    of = f" of {plural(tested, 'testable subject')}" if tested < chance["subjects"] else ""
    r = number(chance["pearson_r_without_drift"], digits)
    return f"r without slow drift{of} {r}, p = {p_text(chance['p_value'])}"


def claim_sentence(claims: Mapping[str, Any]) -> str:
    """What the nulls allow to be said."""
    return f"Supported claim: {level_text(claims['level'])}: {claims['meaning']} ({claims['level_reason']})."


# -- all predictions ------------------------------------------------------------------------------


def scores(document: Document) -> Scores:
    """What each prediction scores."""
    entries, chance = scored(document), document["summary"]["chance"]
    pictures = [
        intervals(entries, "pearson_r", chance["pearson_r_p95"],
                  "All frames: mean r with its 95 % interval. Chance is that of r without slow drift."),
        intervals(entries, "pearson_r_speech", chance.get("pearson_r_speech_p95"), "Speech frames alone."),
    ]  # fmt: skip
    undefined = [
        Text(f"{title(name)}: no r ({values['reasons']['pearson_r']}).", "missing")
        for name, values in entries.items()
        if values["pearson_r"] is None
    ]
    vocoder = document["summary"][MODEL].get("stoi_vocoder")
    return Scores(score_table(entries, digits_of(document)), vocoder, undefined, [p for p in pictures if p])


def score_table(entries: Mapping[str, Document], digits: int) -> Table:
    """One row per prediction that has a score; a score that none has gets no column."""
    used = [c for c in COLUMNS if c != "pearson_r" and any(v[c] is not None for v in entries.values())]
    rows = [
        [title(name), number(values["pearson_r"], digits), around(values, "pearson_r", digits),
         *(number(values[c], digits) for c in used)]
        for name, values in entries.items()
        if any(values[c] is not None for c in COLUMNS)
    ]  # fmt: skip
    return Table(["Prediction", "r", "interval", *(COLUMNS[c] for c in used)], rows, main=title(MODEL))


def intervals(
    entries: Mapping[str, Document], metric: str, chance_p95: float | None, caption: str
) -> Picture | None:  # fmt: skip
    """``metric`` of each prediction with its interval, over chance; the teacher-forced model is no prediction."""
    rows = [
        (title(name), values[metric], values[f"{metric}_ci95"])
        for name, values in entries.items()
        if values[metric] is not None and name != TEACHER_FORCED
    ]
    return Picture(figures.intervals(rows, chance_p95), caption) if rows else None


# -- bands and subjects ---------------------------------------------------------------------------


def bands(document: Document, band_hz: Values | None) -> Bands:
    """r of each band with chance, and the bands left out."""
    always = never_scored(document)
    pictures = []
    for metric, caption in (
        ("pearson_r", "All frames. Chance is that of r without slow drift."),
        ("pearson_r_speech", "Speech frames."),
    ):
        if curves := band_curves(document, metric):
            size = len(next(iter(curves.values())))
            chance = chance_of_bands(document, size) if metric == "pearson_r" else np.full(size, np.nan)
            pictures.append(Picture(figures.by_band(curves, chance, always, band_hz), caption))
    if not pictures:
        return Bands([], missing("r by band", "no prediction has an r"))
    left_out = f"Left out in every fold, because their target is constant: bands {always}."
    return Bands(pictures, Text(left_out if always else "Every band is scored in at least one fold.", "note"))


def subjects(document: Document, *, tested: bool) -> Subjects:
    """What each subject scores, and the tests over subjects where they are wanted."""
    compared = [
        n for n, v in scored(document).items()
        if v["pearson_r"] is not None and v["role"] in ("model", "baseline", "variant")
    ]  # fmt: skip
    means = {s: [own["mean"].get(n, {}).get("pearson_r") for n in compared] for s, own in document["subjects"].items()}
    picture = None
    if compared:
        drawn = figures.by_subject([title(n) for n in compared], means)
        picture = Picture(drawn, "Each subject's mean over folds, joined by a line.")
    digits = digits_of(document)
    tests, note = group_tests(document["summary"]["group"]["tests"], digits) if tested else (None, None)
    return Subjects(picture, tests, note, fold_table(document, digits))


def group_tests(tests: Mapping[str, Document], digits: int) -> tuple[Table | None, Text]:
    """Tests over subjects with n and the smallest p that n can reach."""
    if not tests:
        return None, missing("The test over subjects", "the model has no r")
    rows = [
        [title(name), number(t["mean"], digits), p_text(t["sign_flip_p"]), p_text(t["wilcoxon_p"])]
        for name, t in tests.items()
    ]
    first = next(iter(tests.values()))
    if first["n"] == 1:
        return Table(["Model minus", "mean r"], [row[:2] for row in rows]), Text(ONE_SUBJECT, "note")
    note = (
        f"n = {plural(first['n'], 'subject')}; {'exact' if first['exact'] else 'randomised'} one-sided sign-flip and "
        "Wilcoxon tests on one mean per subject; the smallest possible p is "
        f"{p_text(first['smallest_p'])}. Folds and seeds are not people."
    )
    if first["reason"]:
        note = f"The test over subjects is {first['reason']}. Folds and seeds are not people."
    return Table(["Model minus", "mean r", "sign-flip p", "Wilcoxon p"], rows), Text(note, "note")


def fold_table(document: Document, digits: int) -> Table:
    """One row per subject, fold and seed."""
    rows = [fold_row(subject, fold, digits) for subject, own in document["subjects"].items() for fold in own["folds"]]
    return Table(FOLD_HEAD, rows)


def fold_row(subject: str, fold: Document, digits: int) -> list[str]:
    """What a fold scores, as :data:`FOLD_HEAD` names it."""
    model, ridge, forced = (fold["scores"].get(n, {}) for n in (MODEL, "ridge", TEACHER_FORCED))
    r = [s.get(m) for s in (model, ridge) for m in ("pearson_r", "pearson_r_speech")]
    return [
        subject,
        str(fold["fold"]),
        str(fold["seed"]),
        number(fold["duration_s"] / 60, 1),
        number(100 * fold["speech_frames"] / fold["frames"], 0),
        *(number(value, digits) for value in [*r, forced.get("pearson_r")]),
        number(model.get("mcd_db"), 2),
        number((fold["audit"] or {}).get("smallest_gap_s"), 2),
    ]
