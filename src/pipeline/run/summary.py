"""The summary at the end of a run: the main scores, and the paths of the results."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from pipeline.artifacts import paths
from pipeline.errors import InputError, Problem

ROWS = ("model", "ridge", "mean_template", "mean_spectrum")
COLUMNS = {"pearson_r": "r", "pearson_r_speech": "r speech", "mse": "MSE", "mcd_db": "MCD dB"}
WIDTH = 100


def closing_summary() -> str:
    """A table of the headline figures in ``results/eval.json``, and the places to look.

    Raises :class:`InputError` where there is none.
    """
    file = paths.RESULTS / "eval.json"
    try:
        scores = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        got = error.strerror if isinstance(error, OSError) else "no JSON"
        raise InputError(Problem(str(file), "", str(got), "the scores of a run", "Run the workflow first")) from None
    summary = scores["summary"]
    lines = ["", f"{'':14}" + "".join(f"{title:>10}" for title in COLUMNS.values())]
    lines += [_row(name, summary[name]) for name in ROWS if name in summary]
    if "mean_template" in summary:
        lines.append("(the mean template uses the true word onsets of the test blocks)")
    chance = summary["chance"]
    lines += [
        "",
        f"chance: r up to {_number(chance['pearson_r_p95'])} (95 %), p = {_number(chance['p_value'])}",
    ]
    lines += _claim(scores["claims"])
    if scores["claims"]["simulated"]:
        lines.append("SIMULATED DATA: no finding about any brain.")
    lines += [
        "",
        f"scores       {paths.RESULTS / 'eval.json'}, {paths.RESULTS / 'scores.tsv'}",
        f"report       {paths.RESULTS / 'report.html'}",
        f"TensorBoard  tensorboard --logdir {paths.RESULTS / 'train'}",
    ]
    return "\n".join(lines)


def _claim(claims: dict[str, Any]) -> list[str]:
    """The supported claim with its reason."""
    return [f"supported claim: {claims['level']}", *textwrap.wrap(f"({claims['level_reason']})", WIDTH)]


def _row(name: str, scores: dict[str, Any]) -> str:
    return f"{name.replace('_', ' '):14}" + "".join(f"{_number(scores.get(key)):>10}" for key in COLUMNS)


def _number(value: Any) -> str:
    return "n/a" if not isinstance(value, int | float) else f"{value:.3f}"
