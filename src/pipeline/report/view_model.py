"""Values of the report on the models: attention, latency, importance of shafts and regions, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.types import Document
from pipeline.raw.modality import activity
from pipeline.report import figures
from pipeline.report.extras import Contacts, ReportExtras
from pipeline.report.view import Picture, Table, Text, missing, number, p_text

CURVES = {
    "train_loss": "train_loss: loss on training windows, partly with teacher forcing.",
    "val_loss": "val_loss: free-running loss on the validation blocks; its minimum selects the weights.",
    "val_loss_tf": "val_loss_tf: the same with teacher forcing; it may fall although the signal is ignored.",
    "val_r": "val_r: free-running r on the validation blocks.",
}
MOST_PICTURES = 4
"""Attention maps shown at most."""
IMPORTANCE = "permutation_importance"
IMPORTANT_P = 0.05
LAG_LABEL = "lag [s], positive: the signal precedes the sound"


@dataclass(frozen=True)
class Latency:
    """r of ridge regression by lag, and the best lags."""

    picture: Picture
    text: Text


@dataclass(frozen=True)
class AttentionMaps:
    """Attention of some windows, how diagonal it is, and the latency of the signal; ``missing`` says what lacks."""

    pictures: Sequence[Picture]
    missing: Text | None
    diagonality: Table | None
    latency: Latency | None


@dataclass(frozen=True)
class Importance:
    """Loss of r by shaft and by region, and where it lies; ``missing`` says what lacks."""

    pictures: list[Picture]
    contacts: list[Picture]
    tables: Sequence[Table]
    missing: Sequence[Text]


@dataclass(frozen=True)
class Training:
    """Each logged value over steps; ``missing`` says what lacks."""

    pictures: Sequence[Picture]
    missing: Text | None


# -- attention and latency ------------------------------------------------------------------------


def attention(document: Document, extras: ReportExtras) -> AttentionMaps:
    """Attention of some windows, and the signal's latency from single-lag ridge."""
    recorded = activity(document["claims"].get("modalities", ()))
    pictures = [
        Picture(
            figures.attention(a.weights, a.output_s, a.encoder_s),
            f"{subject}, fold {fold}: where each stretch of sound looks in the {recorded} of its window "
            f"(0 s: the window's first frame; {min(len(a.weights), figures.MOST_HEADS)} of {len(a.weights)} heads).",
        )
        for (subject, fold), a in sorted(extras.attention.items())[:MOST_PICTURES]
    ]
    lacking = None if pictures else missing("Attention", "predict exported none")
    return AttentionMaps(pictures, lacking, diagonality(document), latency(document))


def diagonality(document: Document) -> Table | None:
    """How diagonal each head's attention is, one row per subject."""
    found = {s: own["attention"]["diagonality"] for s, own in document["subjects"].items() if "attention" in own}
    rows = [[subject, ", ".join(number(v, 2) for v in heads)] for subject, heads in found.items()]
    return Table(["Subject", "attention diagonality per head"], rows) if rows else None


def latency(document: Document) -> Latency | None:
    """r of single-lag ridge over lags; ``None`` where no subject has it."""
    found = {s: own["latency"] for s, own in document["subjects"].items() if "latency" in own}
    if not found:
        return None
    curves = {s: (np.array(v["lags_s"], float), np.array(v["r"], float)) for s, v in found.items()}
    best_s = {s: v["best_s"] for s, v in found.items() if v["best_s"] is not None}
    plot = figures.lines(curves, LAG_LABEL, "single-lag ridge r", list(best_s.values()))
    text = (
        f"Best lag: {best_lags(best_s)}. "
        f"The network's attention offsets are not the signal's latency.{own_delay(document)}"
    )
    return Latency(Picture(plot, "r of ridge regression at one lag at a time."), Text(text))


def best_lags(best_s: dict[str, float]) -> str:
    """The best lag of each subject whose ridge is above chance."""
    lags = "; ".join(f"{s} {number(lag_s * 1000, 0)} ms" for s, lag_s in best_s.items())
    return lags or "none: ridge is not above chance"


def own_delay(document: Document) -> str:
    """The longest delay of the models themselves, as a sentence; nothing where it is not known."""
    found = [own.get("algorithmic_latency_ms") for own in document["subjects"].values()]
    delays_ms = [delay for delay in found if delay is not None]
    return f" The model's own delay is {max(delays_ms):.0f} ms (algorithmic latency)." if delays_ms else ""


# -- importance -----------------------------------------------------------------------------------


def importance(document: Document, contacts: Mapping[str, Contacts], *, summary: bool = False) -> Importance:
    """Loss of r by shaft of each subject, and by region; over people regions alone are averaged.

    ``summary`` leaves the shafts and the contacts to the pages of the subjects.

    Shafts of two people have equal names and lie in different places.
    """
    own = {s: found["permutation_importance"] for s, found in document["subjects"].items() if found.get(IMPORTANCE)}
    shafts = {} if summary else {subject: found for subject, found in own.items() if found["shaft"]}
    parts = [("shaft", {subject: found}) for subject, found in shafts.items()]
    regions = {subject: found for subject, found in own.items() if found["region"]}
    parts += [("region", regions)] if regions else []
    lacking = [
        missing(f"Importance by {kind}", why) for found in own.values() for kind, why in found["reasons"].items()
    ]
    if not parts and not lacking:
        lacking = [missing("Permutation importance", "it was not computed")]
    pictures = [importance_picture(kind, found) for kind, found in parts]
    placed = {} if summary else contacts
    maps = [contact_map(s, own[s], found) for s, found in placed.items() if s in own]
    tables = [importance_table(*part) for part in parts]
    return Importance(pictures, [m for m in maps if m][:MOST_PICTURES], tables, list(dict.fromkeys(lacking)))


def contact_map(subject: str, own: Document, contacts: Contacts) -> Picture | None:
    """Where a subject's contacts lie, coloured by the loss of r of their shaft, else of their region; None without."""
    kind = next((kind for kind in ("shaft", "region") if own[kind]), None)
    if kind is None:
        return None
    losses = np.array([own[kind].get(name, np.nan) for name in contacts.groups[kind]])
    caption = (
        f"{subject}: contacts where the table of electrodes has them, coloured by the loss of r of their {kind}, "
        "hollow where they have none. The projections are called so where x, y and z point right, to the front and up."
    )
    return Picture(figures.contacts(contacts.position, losses, "loss of r"), caption)


def means_of(kind: str, found: Mapping[str, Document]) -> dict[str, list[float]]:
    """Loss of r of each place, one value per subject that has it; the largest mean first."""
    drops: dict[str, list[float]] = {}
    for own in found.values():
        for place, drop in own[kind].items():
            drops.setdefault(place, []).append(drop)
    return dict(sorted(drops.items(), key=lambda item: (-float(np.mean(item[1])), item[0])))


def importance_picture(kind: str, found: Mapping[str, Document]) -> Picture:
    """Mean loss of r of each place as bars, over chance where one subject is drawn."""
    means = {place: float(np.mean(values)) for place, values in means_of(kind, found).items()}
    alone = next(iter(found.values()))["chance"][kind]["p95"] if len(found) == 1 else None
    of = f", {next(iter(found))}" if len(found) == 1 else f", mean over {len(found)} subjects"
    caption = f"By {kind}{of}: loss of r when its channels are circularly shifted in time within the test blocks."
    return Picture(figures.bars(means, "loss of r", alone), caption)


def importance_table(kind: str, found: Mapping[str, Document]) -> Table:
    """Loss of r of each place, and p; over several subjects how many have it, and in how many it is above chance."""
    tests = [own["chance"][kind]["p_value"] for own in found.values()]
    head = [kind.capitalize(), "loss of r"]
    rows = [[place, number(float(np.mean(drops)))] for place, drops in means_of(kind, found).items()]
    if len(found) == 1:
        head[0] += f", {next(iter(found))}"
        return Table([*head, "p"], [[*row, p_text(tests[0].get(row[0]))] for row in rows], kind="text")
    for row in rows:
        own = [p[row[0]] for p in tests if row[0] in p]
        row += [str(len(own)), str(sum(p <= IMPORTANT_P for p in own))]
    return Table([*head, "subjects", f"with p ≤ {IMPORTANT_P:g}"], rows, kind="text")


# -- training -------------------------------------------------------------------------------------


def training(extras: ReportExtras) -> Training:
    """A picture for each logged value."""
    names = sorted({n for curves in extras.curves.values() for curve in curves.values() for n in curve.values})
    pictures = [p for name in names if (p := learning_curves(extras, name))]
    return Training(pictures, None if names else missing("Learning curves", "there is no metrics.csv"))


def learning_curves(extras: ReportExtras, name: str) -> Picture | None:
    """One logged value over steps, a line per fold and network; ``None`` where it is nowhere finite."""
    several = len({subject for subject, _ in extras.curves}) > 1
    networks = {network for curves in extras.curves.values() for network in curves}
    lines = {
        f"{f'{subject}, ' * several}fold {fold}{f' {network}' * (len(networks) > 1)}": (c.steps, c.values[name])
        for (subject, fold), curves in sorted(extras.curves.items())
        for network, c in curves.items()
        if name in c.values and np.isfinite(c.values[name]).any()
    }
    caption = CURVES.get(name, f"{name}.")
    if len(lines) > figures.MOST_NAMED:
        caption += f" {len(lines)} lines, too many to name: metrics.csv beside each network has them."
    return Picture(figures.lines(lines, "training step", name), caption) if lines else None
