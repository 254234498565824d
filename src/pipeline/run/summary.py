"""The summary at the end of a run: the main scores, the names of the models, and the paths of the results."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pipeline.artifacts import paths
from pipeline.artifacts.sidecar import damaged_files, read_sidecar
from pipeline.config.variants import FINAL
from pipeline.errors import InputError, Problem

ROWS = ("model", "ridge", "mean_template", "mean_spectrum")
COLUMNS = {"pearson_r": "r", "pearson_r_speech": "r speech", "mse": "MSE", "mcd_db": "MCD dB"}
WIDTH = 100
#: Whose models are named.
SUBJECTS = 5


def closing_summary() -> str:
    """A table of the headline figures in ``results/eval.json``, and the places to look.

    Raises :class:`InputError` where there is none, or one that evaluate did not write, or that of another version.
    """
    file = paths.RESULTS / "eval.json"
    if not file.is_file():
        raise InputError(Problem(str(file), "", "no such file", "the scores of a run", "Run the workflow first"))
    if file.name in damaged_files(paths.EVALUATION_SIDECAR):
        got, fix = "another file than evaluate wrote", "Run the workflow again"
        raise InputError(Problem(str(file), "sha256", got, "the scores as they were written", fix))
    try:
        return "\n".join(_lines(json.loads(file.read_text(encoding="utf-8"))))
    except KeyError as error:
        got, fix = "scores of another version", "Run the workflow again"
        raise InputError(Problem(str(file), str(error.args[0]), got, "what this version writes", fix)) from None


def _lines(scores: dict[str, Any]) -> list[str]:
    summary = scores["summary"]
    lines = ["", f"{'':14}" + "".join(f"{title:>10}" for title in COLUMNS.values())]
    rows = [name for name in ROWS if any(summary.get(name, {}).get(column) is not None for column in COLUMNS)]
    lines += [_row(name, summary[name]) for name in rows]
    if "mean_template" in rows:
        lines.append("(the mean template uses the true word onsets of the test blocks)")
    chance = summary["chance"]
    lines += [
        "",
        f"chance: r up to {_number(chance['pearson_r_p95'])} (95 %), p = {_number(chance['p_value'])}; "
        f"without slow drift, where the model has r {_number(chance['pearson_r_without_drift'])}",
    ]
    lines += _claim(scores["claims"])
    if scores["claims"]["simulated"]:
        lines.append("SIMULATED DATA: no finding about any brain.")
    return [
        *lines,
        "",
        *(list(_final_models()) or _fold_models(scores["subjects"])),
        f"scores       {paths.RESULTS / 'eval.json'}, {paths.RESULTS / 'scores.tsv'}",
        f"report       {paths.RESULTS / 'report.html'}",
        f"TensorBoard  tensorboard --logdir {paths.RESULTS / 'train'}",
    ]


def _final_models() -> Iterator[str]:
    """A line for each final model that carries these scores."""
    with suppress(InputError):
        scored = read_sidecar(paths.EVALUATION_SIDECAR)["content_digest"]
        for file in sorted(paths.RESULTS.glob(f"train/*/{FINAL}/model.json")):
            made = read_sidecar(file)
            if [str(paths.EVALUATION_SIDECAR), scored] in made["inputs"]:
                subject = made["subjects"][0]
                use = f"seeg-to-audio predict --subject {subject} --sheet new.tsv --out DIR"
                yield f"final model  {file.parts[-3]} {_name(made['content_digest'])}: {use}"


def _fold_models(subjects: dict[str, Any]) -> list[str]:
    """A line for each of the first subjects with the models of its folds."""
    lines = []
    for subject, own in list(subjects.items())[:SUBJECTS]:
        named = zip(own["folds"], own.get("models", []), strict=False)
        text = ", ".join(f"fold{fold['fold']} {_name(model)}" for fold, model in named)
        lines += textwrap.wrap(f"models       {subject}: {text}", WIDTH, subsequent_indent=" " * 13)
    more = len(subjects) - SUBJECTS
    return [*lines, f"             {more} more subjects: seeg-to-audio runs"] if more > 0 else lines


def _name(content_digest: str) -> str:
    return content_digest[: paths.DIGEST_CHARACTERS]


def _claim(claims: dict[str, Any]) -> list[str]:
    """The supported claim with its reason and its limits; where the first test could not be made, that it could not."""
    level = "not testable" if claims["level"] is None else claims["level"]
    lines = [f"supported claim: {level}: {claims['meaning']}"] if claims["level"] else [f"supported claim: {level}"]
    lines += textwrap.wrap(f"({claims['level_reason']})", WIDTH)
    for limit in claims["limits"]:
        if limit["limit"] != "simulated":  # said below, in capitals
            lines += textwrap.wrap(f"limit: {limit['reason']}", WIDTH, subsequent_indent="  ")
    return lines


def _row(name: str, scores: dict[str, Any]) -> str:
    return f"{name.replace('_', ' '):14}" + "".join(f"{_number(scores.get(key)):>10}" for key in COLUMNS)


def _number(value: Any) -> str:
    return "n/a" if not isinstance(value, int | float) else f"{value:.3f}"
