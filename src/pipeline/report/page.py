"""results/report.html: one page with everything that was scored, readable offline, on a phone and on paper.

In: the document of :func:`pipeline.evaluation.scores.score`, the folds it was made from, and
what only the report shows (learning curves, attention, contamination matrices, config).
Out: HTML as a string with all pictures and sound inside; equal input gives equal text.
``share=True`` leaves out true sound, target spectrograms and word labels, which identify a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.fold import ALIGNMENTS
from pipeline.evaluation.scores import title
from pipeline.evaluation.types import (
    MODEL,
    TEACHER_FORCED,
    Document,
    FoldPredictions,
    Mel,
    TestBlock,
    Values,
)
from pipeline.report import figures
from pipeline.report.extras import ReportExtras
from pipeline.report.listening import SOUNDS, excerpts, stretch, words_of

CURVES = {
    "train_loss": "train_loss: loss on training windows, part of the time fed with the truth.",
    "val_loss": "val_loss: free-running loss on the validation blocks; its minimum picks the weights.",
    "val_loss_tf": "val_loss_tf: the same while fed with the true past; it may fall where the brain is ignored.",
    "val_r": "val_r: free-running r on the validation blocks.",
}
MOST_PICTURES = 4
"""Attention maps and contamination matrices shown at most."""
LATENCY_P = 0.05
"""A best lag is named where ridge beats chance with a smaller p."""


def report_html(
    document: Document,
    folds: Sequence[FoldPredictions],
    extras: ReportExtras,
    config: EvaluateConfig,
    *,
    share: bool = False,
) -> str:
    """The whole page."""
    sections = {
        "scores": ("Scores", scores_section(document)),
        "examples": ("Examples", examples_section(folds, extras, config, share=share)),
        "bands": ("Bands", bands_section(document, extras)),
        "subjects": ("Subjects", subjects_section(document)),
        "chance": ("Chance", chance_section(document)),
        "attention": ("Attention", attention_section(document, extras)),
        "importance": ("Importance", importance_section(document)),
        "training": ("Training", training_section(extras)),
        "contamination": ("Contamination", contamination_section(document, extras)),
        "audit": ("Leak audit", audit_section(document)),
        "provenance": ("Config", provenance_section(document, extras)),
    }
    body = "".join(
        f'<section id="{key}"><h2>{escape(name)}</h2>{html}</section>' for key, (name, html) in sections.items()
    )
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, (name, _) in sections.items())
    css = files("pipeline.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Speech from brain activity: evaluation</title><style>{css}</style></head><body>"
        f"{banner(document, share=share)}{headline(document)}<nav>{links}</nav><main>{body}</main>"
        f"<footer>{definitions(document)}</footer></body></html>\n"
    )


# -- small pieces ---------------------------------------------------------------------------------


def number(value: float | None, digits: int = 3) -> str:
    """A number for reading; an undefined one is a dash."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'s' * (count != 1)}"


def p_text(value: float | None) -> str:
    """A p-value for reading."""
    return "–" if value is None else f"{value:.2g}" if value >= 0.0001 else f"{value:.0e}"


def ci_text(ci95: Sequence[float] | None, digits: int = 3) -> str:
    """A 95 % interval for reading."""
    return "no interval" if ci95 is None else f"95 % {number(ci95[0], digits)} to {number(ci95[1], digits)}"


def paragraph(text: str, kind: str = "") -> str:
    """One escaped paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def missing(what: str, why: str) -> str:
    """Says that a part has no input, and why."""
    return paragraph(f"{what} is missing: {why}.", "missing")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], main_row: str = "", kind: str = "") -> str:
    """An escaped table that scrolls by itself; the row whose first cell is ``main_row`` stands out."""
    header = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = ""
    for row in rows:
        marked = ' class="main"' if main_row and row[0] == main_row else ""
        body += f"<tr{marked}>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>"
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def picture(uri: str, caption: str) -> str:
    """A figure; its caption is its text alternative."""
    return f'<figure><img src="{uri}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'


def pairs(parts: Sequence[str]) -> str:
    """Side by side on a desktop, one below the other on a phone."""
    return f'<div class="pair">{"".join(f"<div>{part}</div>" for part in parts)}</div>' if parts else ""


# -- head -----------------------------------------------------------------------------------------


def banner(document: Document, *, share: bool) -> str:
    """Says on top what kind of data this is."""
    lines = []
    if document["claims"].get("simulated"):
        lines.append("Simulated data: nothing on this page is a finding about a brain.")
    if share:
        lines.append("Copy for sharing: true sound, target spectrograms and word labels are left out.")
    return "".join(f'<div class="banner">{escape(line)}</div>' for line in lines)


def tile(label: str, value: str, note: str, kind: str = "", value_kind: str = "") -> str:
    """One headline figure."""
    return (
        f'<div class="tile {kind}"><p class="label">{escape(label)}</p>'
        f'<p class="value {value_kind}">{escape(value)}</p><p class="note">{escape(note)}</p></div>'
    )


def headline(document: Document) -> str:
    """Title, what was scored, the four figures that count, and what may be said."""
    summary, subjects = document["summary"], document["subjects"]
    model, ridge, chance = summary["model"], summary["ridge"], summary["chance"]
    folds = [f for s in subjects.values() for f in s["folds"]]
    minutes = sum(f["duration_s"] for f in folds) / 60
    claims = document["claims"]
    causal = "causal model" if claims.get("causal") else "non-causal model"
    lead = (
        f"{counted(len(subjects), 'subject')}, {counted(len(folds), 'fold')}, {minutes:.1f} min of test sound; "
        f"{causal}, free-running predictions, split by {claims.get('split_by', 'n/a')}, "
        f"normalisation {claims.get('normalisation', 'n/a')}."
    )
    testable = chance["p_value"] is not None
    tiles = [
        tile("r, all frames", number(model["pearson_r"]), ci_text(model["pearson_r_ci95"]), "main"),
        tile("r, speech frames", number(model["pearson_r_speech"]), ci_text(model["pearson_r_speech_ci95"]), "main"),
        tile("Ridge, all frames", number(ridge["pearson_r"]),
             f"speech frames {number(ridge['pearson_r_speech'])}"),
        tile("Chance, 95th percentile", number(chance["pearson_r_p95"]),
             f"rotation p = {p_text(chance['p_value'])}" if testable else chance["reason"]),
    ]  # fmt: skip
    sentences = [d["sentence"] for name, d in summary["differences"].items() if summary[name]["role"] == "baseline"]
    verdicts = "".join(f"<li>{escape(s)}</li>" for s in [claim_sentence(claims), *sentences])
    return (
        f'<header><h1>Speech from brain activity: evaluation</h1><p class="lead">{escape(lead)}</p>'
        f'<div class="tiles">{"".join(tiles)}</div><ul class="verdicts">{verdicts}</ul></header>'
    )


def claim_sentence(claims: Mapping[str, Any]) -> str:
    """What the nulls allow to be said."""
    return f"Supported claim: {claims['level']} ({claims['level_reason']})."


# -- scores ---------------------------------------------------------------------------------------


def predictions(document: Document) -> dict[str, Document]:
    """Rows of the summary: everything that has a role."""
    return {n: v for n, v in document["summary"].items() if isinstance(v, dict) and "role" in v}


def scores_section(document: Document) -> str:
    """The table of all predictions, and a picture of r with intervals."""
    columns = ("pearson_r", "pearson_r_speech", "pearson_r_without_bad", "mse", "mae", "mcd_db", "stoi", "estoi")
    entries = predictions(document)
    used = [c for c in columns if c == "pearson_r" or any(v[c] is not None for v in entries.values())]
    heads = {
        "pearson_r": "r", "pearson_r_speech": "r speech", "pearson_r_without_bad": "r without bad",
        "mse": "MSE [nats²]", "mae": "MAE [nats]", "mcd_db": "MCD [dB]", "stoi": "STOI", "estoi": "ESTOI",
    }  # fmt: skip
    rows, notes = [], []
    for name, values in entries.items():
        interval = values["pearson_r_ci95"]
        between = f"{number(interval[0])} to {number(interval[1])}" if interval else "–"
        cells = [number(values[c]) for c in used]
        rows.append([title(name), cells[0], between, *cells[1:]])
        if values["pearson_r"] is None and name != "vocoded_true":
            notes.append(f"{title(name)}: no r ({values['reasons']['pearson_r']}).")
    shown = [
        (title(n), v["pearson_r"], v["pearson_r_ci95"])
        for n, v in entries.items()
        if v["pearson_r"] is not None and n != TEACHER_FORCED
    ]
    html = table(
        ["Prediction", "r", "95 % interval", *(heads[c] for c in used if c != "pearson_r")],
        rows,
        main_row=title(MODEL),
    )
    html += paragraph(
        "r is Pearson's over time within each mel band, averaged over bands, folds and subjects. Oracles use the "
        "true sound of the test and mark an upper bound; the teacher-forced model is fed with the true past. The mean "
        "template is told the true onset of every test word, which the model has to find out.", "note"
    )  # fmt: skip
    html += "".join(paragraph(n, "missing") for n in notes)
    if shown:
        chance = document["summary"]["chance"]["pearson_r_p95"]
        speech = [(n, v["pearson_r_speech"], v["pearson_r_speech_ci95"]) for n, v in (
            (title(k), entries[k]) for k in entries if k != TEACHER_FORCED
        ) if v["pearson_r_speech"] is not None]  # fmt: skip
        speech_chance = document["summary"]["chance"].get("pearson_r_speech_p95")
        html += pairs(
            [
                picture(figures.intervals(shown, chance), "All frames: mean r with its block-bootstrap 95 % interval."),
                picture(figures.intervals(speech, speech_chance), "Speech frames alone.") if speech else "",
            ]
        )
    return html


def examples_section(
    folds: Sequence[FoldPredictions], extras: ReportExtras, config: EvaluateConfig, *, share: bool
) -> str:
    """Target and predicted spectrograms side by side, with players where sound was made."""
    pictures = "" if share else " Both pictures share one colour scale."
    html = paragraph(
        "Test stretches of different folds, each the one with most speech of its block (chosen by the true "
        f"sound, not by the score).{pictures}", "note"
    )  # fmt: skip
    parts = [
        example(fold, block, cut, extras.band_hz, share=share)
        + words_table(fold, block, config.report_words, share=share)
        for fold, block, cut in excerpts(folds, config)
    ]
    if not parts:
        return missing("This section", "evaluate.report_examples is 0")
    return html + "".join(parts)


def example(fold: FoldPredictions, block: TestBlock, cut: slice, band_hz: Values | None, *, share: bool) -> str:
    """One stretch: heading, spectrograms, players."""
    predicted = block.predictions.get(MODEL)
    times = block.times_s[cut]
    heading = f"{fold.subject}, fold {fold.fold}, {block.recording}, {times[0]:.1f}–{times[-1]:.1f} s"
    html = f"<h3>{escape(heading)}</h3>"
    if predicted is None:
        return html + missing("The model's prediction", fold.missing.get(MODEL, "not computed"))
    scale = predicted[cut] if share else block.target[cut]
    limits = (float(scale.min()), float(scale.max()))
    events = [e for e in block.events if times[0] <= e.onset_s < times[-1]]
    shown = []
    if not share:
        target = figures.spectrogram(block.target[cut], times, limits, events, band_hz)
        shown.append(
            picture(target, "Target: log-mel of the true sound.")
            + player(block, cut, fold, "true")
            + player(block, cut, fold, "vocoded_true")
        )
    prediction = figures.spectrogram(predicted[cut], times, limits, () if share else events, band_hz)
    shown.append(picture(prediction, "Prediction of the model, free-running.") + player(block, cut, fold, "predicted"))
    if block.sound is None:
        shown.append(missing("Sound", "none was made (export.audio)"))
    return html + pairs(shown)


def player(block: TestBlock, cut: slice, fold: FoldPredictions, kind: str) -> str:
    """A captioned audio player for the stretch; nothing where that sound was not made."""
    wave = stretch(block, cut, fold, kind)
    if wave is None or block.sound is None:
        return ""
    caption = SOUNDS[kind]
    html = audio(wave, block.sound.rate_hz, caption)
    return f'<figure class="sound"><figcaption>{escape(caption)}</figcaption>{html}</figure>'


def audio(wave: Mel, rate_hz: int, label: str) -> str:
    """A bare audio player."""
    uri = figures.wav_uri(wave, rate_hz)
    return f'<audio controls preload="none" src="{uri}" aria-label="{escape(label)}"></audio>'


def words_table(fold: FoldPredictions, block: TestBlock, count: int, *, share: bool) -> str:
    """A row of players for some words of the block; nothing without events or sound."""
    rows = []
    for number, (event, waves) in enumerate(words_of(fold, block, count), start=1):
        assert block.sound is not None
        name = f"word {number}" if share else f"{event.label}, {event.onset_s:.1f} s"
        kinds = [kind for kind in waves if kind == "predicted" or not share]
        cells = "".join(f"<td>{audio(waves[k], block.sound.rate_hz, f'{name}: {SOUNDS[k]}')}</td>" for k in kinds)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    if not rows:
        return ""
    head = "".join(f"<th>{escape(SOUNDS[kind].partition(':')[0])}</th>" for kind in kinds)
    return (
        '<h4>Words of this test block</h4><div class="scroll"><table class="text words"><thead><tr><th>Word</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def band_mean(document: Document, name: str, metric: str) -> Values | None:
    """Mean over subjects of the mean over folds of a per-band list; ``None`` where no fold has it."""
    subjects = []
    for own in document["subjects"].values():
        found = [f["scores"].get(name, {}).get("per_band", {}).get(metric) for f in own["folds"]]
        rows = [[np.nan if v is None else v for v in row] for row in found if row]
        if rows:
            subjects.append(masked_mean(np.array(rows, dtype=np.float64)))
    return masked_mean(np.array(subjects)) if subjects else None


def masked_mean(rows: Values) -> Values:
    """Column means over the finite entries, NaN where a column has none."""
    finite = np.isfinite(rows)
    counts = finite.sum(axis=0)
    sums = np.where(finite, rows, 0).sum(axis=0)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


def bands_section(document: Document, extras: ReportExtras) -> str:
    """r of each band, all and speech frames, with chance and the bands left out."""
    names = [n for n in (MODEL, "ridge", "mean_template", "envelope") if n in predictions(document)]
    left_out = [f["bands_left_out"] for s in document["subjects"].values() for f in s["folds"]]
    always = sorted(set.intersection(*map(set, left_out))) if left_out else []
    parts = []
    for metric, caption in (("pearson_r", "All frames."), ("pearson_r_speech", "Speech frames.")):
        curves = {title(n): c for n in names if (c := band_mean(document, n, metric)) is not None}
        if not curves:
            continue
        chance = band_mean(document, MODEL, "chance_p95") if metric == "pearson_r" else None
        blank = np.full(len(next(iter(curves.values()))), np.nan)
        parts.append(
            picture(figures.by_band(curves, blank if chance is None else chance, always, extras.band_hz), caption)
        )
    text = f"Left out in every fold, because their target is constant: bands {always}." if always else (
        "Every band is scored in at least one fold.")  # fmt: skip
    return pairs(parts) + paragraph(text, "note") if parts else missing("r by band", "no prediction has an r")


def subjects_section(document: Document) -> str:
    """Every subject in a picture, tests over subjects, and the table of folds."""
    entries = predictions(document)
    names = [
        n for n, v in entries.items() if v["pearson_r"] is not None and v["role"] in ("model", "baseline", "variant")
    ]
    means = {s: [own["mean"].get(n, {}).get("pearson_r") for n in names] for s, own in document["subjects"].items()}
    parts = [picture(figures.by_subject([title(n) for n in names], means),
                     "Each subject's mean over folds, joined by a line.")] if names else []  # fmt: skip
    return pairs([*parts, group_text(document)]) + "<h3>Folds</h3>" + fold_table(document)


def group_text(document: Document) -> str:
    """Tests over subjects with n and the smallest p that n can reach."""
    group = document["summary"]["group"]
    if not group["tests"]:
        return missing("The test over subjects", "the model has no r")
    rows = [
        [
            "zero" if name == "zero" else title(name),
            number(t["mean"]),
            p_text(t["sign_flip_p"]),
            p_text(t["wilcoxon_p"]),
        ]
        for name, t in group["tests"].items()
    ]
    first = next(iter(group["tests"].values()))
    if first["n"] == 1:
        rows = [row[:2] for row in rows]
        note = (
            "One subject: nothing can be said about other people, so there is no test. Folds and seeds are not people."
        )
        return f"<div>{table(['Model minus', 'mean r'], rows)}{paragraph(note, 'note')}</div>"
    how = "exact" if first["exact"] else "randomised"
    note = (
        f"n = {counted(first['n'], 'subject')}; {how} two-sided sign-flip and Wilcoxon tests on one mean per "
        f"subject; the smallest p that can be reached is {p_text(first['smallest_p'])}. Folds and seeds "
        "are not people."
    )
    return (
        "<div>"
        + table(["Model minus", "mean r", "sign-flip p", "Wilcoxon p"], rows)
        + paragraph(note, "note")
        + "</div>"
    )


def fold_table(document: Document) -> str:
    """One row per subject, fold and seed."""
    head = ["Subject", "fold", "seed", "test min", "speech %", "r", "r speech", "ridge r", "ridge speech",
            "teacher-forced r", "MCD [dB]", "rotation p", "gap [s]"]  # fmt: skip
    rows = []
    for subject, own in document["subjects"].items():
        for fold in own["folds"]:
            of = {n: fold["scores"].get(n, {}) for n in (MODEL, "ridge", TEACHER_FORCED)}
            audit = fold["audit"] or {}
            chance = of[MODEL].get("chance", {}).get("pearson_r", {})
            rows.append(
                [
                    subject, str(fold["fold"]), str(fold["seed"]), number(fold["duration_s"] / 60, 1),
                    number(100 * fold["speech_frames"] / fold["frames"], 0),
                    number(of[MODEL].get("pearson_r")), number(of[MODEL].get("pearson_r_speech")),
                    number(of["ridge"].get("pearson_r")), number(of["ridge"].get("pearson_r_speech")),
                    number(of[TEACHER_FORCED].get("pearson_r")), number(of[MODEL].get("mcd_db"), 2),
                    p_text(chance.get("p_value")), number(audit.get("smallest_gap_s"), 2),
                ]
            )  # fmt: skip
    return table(head, rows)


# -- chance, attention, importance, training ------------------------------------------------------


def chance_section(document: Document) -> str:
    """All nulls in one table, words seen and unseen in another."""
    chance, words = document["summary"]["chance"], document["summary"]["words"]
    shift = chance["min_shift_s"]
    html = paragraph(
        f"Rotation: {chance['rotations']} random rotations of the predictions within their test blocks, by at "
        f"least {number(shift, 2)} s (the target's autocorrelation); {chance['folds_tested']} of "
        f"{chance['folds']} folds testable. Word swap: predicted words exchanged between test words of alike "
        "timing; a decoder that knows only when words start passes the rotation and fails this one. Content may "
        f"be claimed when both alignments are beaten. The smallest p that can be reached is "
        f"{p_text(1 / (chance['rotations'] + 1))}."
    )
    rows = []
    names = [n for n in predictions(document) if n in chance["by_prediction"] or n in words["by_prediction"]]
    for name in names:
        rotation = chance["by_prediction"].get(name, {})
        swaps = words["by_prediction"].get(name, {})
        rank = swaps.get("rank_accuracy", {})
        rows.append(
            [
                title(name),
                *(p_text(rotation.get(m, {}).get("p_value")) for m in ("pearson_r", "pearson_r_speech")),
                *(p_text(swaps.get(f"swap_{a}", {}).get("p_value")) for a in ALIGNMENTS),
                number(rank.get("observed")), p_text(rank.get("p_value")),
            ]
        )  # fmt: skip
    head = ["Prediction", "rotation p", "rotation p, speech frames", "word swap p, annotated onset",
            "word swap p, sound onset", "rank accuracy", "rank accuracy p"]  # fmt: skip
    html += table(head, rows, main_row=title(MODEL)) if rows else ""
    for what, reason in (("The rotation test", chance["reason"]), ("The word-swap test", words["reason"])):
        html += missing(what, reason) if reason else ""
    html += seen_words(words)
    mismatched, retrained = chance["mismatched_recordings"], chance["retrained"]
    html += (
        missing("The mismatched-recording null", mismatched["reason"])
        if mismatched["reason"]
        else paragraph(
            f"Predictions against targets dealt out anew over the recordings' test blocks: 95th percentile r "
            f"{number(mismatched['p95'])}, p = {p_text(mismatched['p_value'])}."
        )
    )
    return html + (
        missing("The null with retrained models", retrained["reason"])
        if retrained["reason"]
        else paragraph(
            f"{retrained['trainings']} models trained on rotated neural data reach r = "
            f"{', '.join(number(v) for v in retrained['pearson_r'])}; p = {p_text(retrained['p_value'])}."
        )
    )


def seen_words(words: Document) -> str:
    """Scores of the words that training contained and of those it did not."""
    own = words["by_prediction"].get(MODEL)
    if own is None:
        return ""
    share = words["seen_in_training"]
    rows = [
        [part, number(own[part]["pearson_r"]), number(own[part]["rank_accuracy"])]
        for part in ("seen", "unseen")
        if own[part]["pearson_r"] is not None
    ]
    note = (
        f"{words['words']} test words, {number(100 * share, 0)} % of them seen in training (chance rank accuracy 0.5)."
    )
    return (
        "<h3>Words seen and unseen in training</h3>"
        + table(["Model on words", "r", "rank accuracy"], rows)
        + paragraph(note, "note")
    )


def attention_section(document: Document, extras: ReportExtras) -> str:
    """Attention of some windows, diagonality, and the brain's latency from single-lag ridge."""
    parts = [
        picture(
            figures.attention(a.weights, a.output_s, a.encoder_s),
            f"{subject}, fold {fold}: where each stretch of sound looks in the brain activity of its window "
            f"(0 s: the window's first frame; {min(len(a.weights), figures.MOST_HEADS)} of {len(a.weights)} heads).",
        )
        for (subject, fold), a in list(sorted(extras.attention.items()))[:MOST_PICTURES]
    ]
    html = pairs(parts) if parts else missing("Attention", "predict exported none")
    facts = {s: own["attention"]["diagonality"] for s, own in document["subjects"].items() if "attention" in own}
    if facts:
        rows = [[s, ", ".join(number(v, 2) for v in heads)] for s, heads in facts.items()]
        html += table(["Subject", "attention diagonality per head"], rows)
    latency = {s: own["latency"] for s, own in document["subjects"].items() if "latency" in own}
    html += "<h3>Latency of the brain</h3>"
    if not latency:
        return html + missing("Latency", "no single-lag ridge was computed")
    curves = {s: (to_array(v["lags_s"]), to_array(v["r"])) for s, v in latency.items()}
    best = [v["best_s"] for v in latency.values() if v["best_s"] is not None]
    plot = figures.lines(curves, "lag [s], positive: the brain precedes the sound", "single-lag ridge r", best)
    best_ms = {s: v["best_s"] * 1000 for s, v in latency.items() if v["best_s"] is not None}
    text = "; ".join(f"{s} {number(value, 0)} ms" for s, value in best_ms.items())
    found = [own.get("algorithmic_latency_ms") for own in document["subjects"].values()]
    delays = [delay_ms for delay_ms in found if delay_ms is not None]
    delay = f" The model's own delay is {max(delays):.0f} ms (algorithmic latency)." if delays else ""
    of_ridge = document["summary"]["chance"]["by_prediction"].get("ridge", {}).get("pearson_r")
    if of_ridge is None or of_ridge["p_value"] >= LATENCY_P:
        text = "none: ridge does not beat chance"
    words = f"Best lag: {text or 'none'}. The network's attention offsets are not the brain's latency.{delay}"
    return html + pairs([picture(plot, "r of ridge regression at one lag at a time."), paragraph(words)])


def to_array(values: Sequence[float | None]) -> Values:
    """JSON numbers to an array, ``None`` to NaN."""
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def importance_section(document: Document) -> str:
    """Loss of r when a shaft's or a region's channels are rotated in time, mean over subjects that have it."""
    parts, tables, reasons = [], [], []
    for kind in ("shaft", "region"):
        found: dict[str, list[float]] = {}
        for own in document["subjects"].values():
            own_importance = own.get("permutation_importance", {})
            for place, drop in own_importance.get(kind, {}).items():
                if drop is not None:
                    found.setdefault(place, []).append(drop)
            if reason := own_importance.get("reasons", {}).get(kind):
                reasons.append(missing(f"Importance by {kind}", reason))
        if found:
            means = {place: float(np.mean(drops)) for place, drops in found.items()}
            parts.append(
                picture(
                    figures.bars(means, "loss of r"),
                    f"By {kind}: loss of r when its channels are rotated in time within the test blocks.",
                )
            )
            order = sorted(means, key=lambda place: -means[place])
            rows = [[place, number(means[place]), str(len(found[place]))] for place in order]
            tables.append(table([kind.capitalize(), "loss of r", "subjects"], rows, kind="text"))
    if not parts:
        return "".join(dict.fromkeys(reasons)) or missing("Permutation importance", "it was not computed")
    note = (
        "The model predicts the test blocks again while one group of channels no longer fits the sound. A small loss "
        "does not mean that a place says nothing: others may carry the same, and the model may not use it."
    )
    return pairs(parts) + pairs(tables) + "".join(dict.fromkeys(reasons)) + paragraph(note, "note")


def training_section(extras: ReportExtras) -> str:
    """Each logged value over steps, a line per fold and network."""
    networks = {
        (subject, fold, network): curve
        for (subject, fold), curves in sorted(extras.curves.items())
        for network, curve in curves.items()
    }
    names = sorted({n for curve in networks.values() for n in curve.values})
    if not names:
        return missing("Learning curves", "no metrics.csv was given")
    several = len({subject for subject, *_ in networks}) > 1
    parts = []
    for name in names:
        curves = {
            " ".join([f"{subject}," if several else "", f"fold {fold}", network]).strip(): (c.steps, c.values[name])
            for (subject, fold, network), c in networks.items()
            if name in c.values and np.isfinite(c.values[name]).any()
        }
        if curves:
            parts.append(picture(figures.lines(curves, "training step", name), CURVES.get(name, f"{name}.")))
    return pairs(parts)


# -- contamination, audit, provenance -------------------------------------------------------------


def contamination_section(document: Document, extras: ReportExtras) -> str:
    """Result per recording, and the matrices of the most suspicious ones."""
    found = document["contamination"]
    if not found:
        return missing("The contamination check", "it was not run")
    rows = [
        [
            c["recording"],
            c["result"],
            number(c["statistic"]),
            p_text(c["p"]),
            p_text(c["p_adjusted"]),
            c["reason"] or "",
        ]
        for c in found
    ]
    html = paragraph(
        "Does sound leak into the electrodes (Roussel et al. 2020)? Spectrograms of the raw signals are correlated, "
        "frequency by frequency; a leak shows as a dark diagonal. P is corrected over recordings (Benjamini–Hochberg). "
        "The check cannot prove data clean."
    )  # fmt: skip
    html += table(["Recording", "result", "mean diagonal r", "P", "corrected P", "why"], rows)
    worst = sorted((c for c in extras.contamination if c.p is not None), key=lambda c: (c.p, c.recording))
    return html + pairs(
        [
            picture(figures.matrix(c.matrix, c.frequencies_hz), f"{c.recording}: {c.result}, P = {p_text(c.p)}.")
            for c in worst[:MOST_PICTURES]
            if c.matrix is not None and c.frequencies_hz is not None
        ]
    )


def audit_section(document: Document) -> str:
    """Shared raw samples and gaps between the roles."""
    audit = document["audit"]
    if audit["shared_samples"] is None:
        return missing("The leak audit", "no raw sample spans were given")
    verdict = (
        f"No raw sample, neural or audio, was seen by two of training, validation and test in any of "
        f"{counted(audit['folds_audited'], 'fold')}, filter support and context included."
        if audit["passed"]
        else f"LEAK: {audit['shared_samples']} raw samples were seen by two roles."
    )
    smallest = audit["smallest_gap_s"]
    gap = (
        "No two roles share a recording."
        if smallest is None
        else (f"Smallest gap that is left between roles after filter support and context: {smallest:.3f} s.")
    )
    rows = [
        [s, str(f["fold"]), pair, str(p["shared_samples"]), number(p["smallest_gap_s"], 3)]
        for s, own in document["subjects"].items()
        for f in own["folds"]
        if f["audit"]
        for pair, p in f["audit"]["pairs"].items()
    ]
    detail = table(["Subject", "fold", "roles", "shared samples", "smallest gap [s]"], rows)
    kind = "good" if audit["passed"] else "bad"
    return (
        paragraph(verdict, kind)
        + paragraph(gap)
        + paragraph(normalised(document["claims"]))
        + f"<details><summary>Every pair of roles</summary>{detail}</details>"
    )


def normalised(claims: Document) -> str:
    """Where mean and scale of the features come from, and what else looked at whole recordings."""
    mode = claims.get("normalisation")
    text = {
        "train": "Mean and scale of the features and of the mel are those of the training frames.",
        "recording_unlabelled": "Mean and scale of the features are those of whole recordings, TEST INCLUDED, "
        "without their sound; those of the mel are of the training frames.",
        "causal_running": "Mean and scale of the features run along with the past; those of the mel are of the "
        "training frames.",
    }.get(str(mode), "")
    whole = ", ".join(claims.get("whole_recording_operations", [])) or "none"
    return f"{text} Operations on whole recordings: {whole}."


def provenance_section(document: Document, extras: ReportExtras) -> str:
    """Claims, provenance and the whole config."""
    rows = [[k, plain(v)] for k, v in document["claims"].items()]
    html = "<h3>Claims</h3>" + table(["Key", "value"], rows, kind="text")
    html += "<h3>Provenance</h3>"
    provenance = [[k, v] for k, v in extras.provenance.items()]
    html += table(["Key", "value"], provenance, kind="text") if provenance else missing("Provenance", "none was given")
    if not extras.config_text:
        return html + missing("The config", "none was given")
    return html + f"<details><summary>Config</summary><pre>{escape(extras.config_text)}</pre></details>"


def plain(value: Any) -> str:
    """A JSON value for reading."""
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    return {True: "yes", False: "no", None: "–"}[value] if value is None or isinstance(value, bool) else str(value)


def definitions(document: Document) -> str:
    """What each figure means, at the foot of the page."""
    return "".join(f"<p><b>{escape(k)}</b>: {escape(v)}.</p>" for k, v in document["definitions"].items())
