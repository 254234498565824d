"""``python -m pipeline report``: draw the page of the eval.json in ``results/`` again."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from pipeline.artifacts import paths
from pipeline.artifacts.files import write_text
from pipeline.artifacts.sidecar import read_sidecar
from pipeline.config.evaluate import EvaluateStage
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.evaluation.inputs import Scope, read_inputs
from pipeline.report.extras import read_extras
from pipeline.report.page import report_html, subject_html


def draw_report(out: Path, *, share: bool) -> None:
    """Write the page to ``out``, and those of many subjects beside it; ``share`` leaves out what identifies a person.

    Raises :class:`pipeline.errors.InputError` where results are missing, damaged or do not belong together, and where a
    subject's page has that name.
    """
    scope = Scope.of_last_run()
    pages = {} if share else paths.subject_pages(scope.subjects)
    if out.name in [page.name for page in pages.values()]:
        expected, fix = "the file of the summary, beside which the subjects' pages lie", "Give another name."
        raise InputError(Problem("--out", "", f"{out.name}, the name of a subject's page", expected, fix))
    sidecar = read_sidecar(paths.EVALUATION_SIDECAR)
    fix = "Run the workflow again"
    try:
        config, scored = EvaluateStage.from_json(sidecar["config_json"]), dict(sidecar["inputs"])
    except ValidationError:
        got, expected = "a config of another version", "that of evaluate"
        raise InputError(Problem(str(paths.EVALUATION_SIDECAR), "config_json", got, expected, fix)) from None
    document = json.loads((paths.RESULTS / "eval.json").read_text(encoding="utf-8"))
    inputs = read_inputs(scope, config)
    raise_if_any(
        Problem(path, "content_digest", "other content than was scored", "what eval.json scores", fix)
        for path, made in inputs.made.items()
        if made["content_digest"] != scored.get(path)
    )
    shown = document, inputs.folds, read_extras(inputs, config), config.evaluate
    write_text(out, report_html(*shown, share=share))
    for subject, page in pages.items():
        write_text(out.with_name(page.name), subject_html(*shown, subject, out.name))
