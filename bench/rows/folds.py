"""Five folds beside the default job's one, and scoring and report of ten subjects with five folds each.

The ten are the built-in subject under ten names: what its folds predicted, its sound and its checks.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.harness import Contender, Figure, Measured, Run
from bench.subject import run_workflow

if TYPE_CHECKING:
    from pipeline.evaluation.inputs import EvaluationInputs
    from pipeline.evaluation.scores import RunContext
    from pipeline.evaluation.types import FoldPredictions
    from pipeline.report.extras import ReportExtras

TITLE = "all five folds of the default job on 2 cores; scores and report of ten subjects with five folds"
FOLDS: dict[str, int | str] = {"default": 0, "all folds": "all"}
SUBJECTS = [f"sim{number:02d}" for number in range(1, 11)]


def prepare(work: Path) -> None:
    """Nothing: the jobs make their own data."""


def _job(name: str) -> Callable[[Path], Run]:
    def start(work: Path) -> Run:
        def run() -> None:
            shutil.rmtree(work / name, ignore_errors=True)
            run_workflow(work / name, {"fold": FOLDS[name]}, "results/eval.json", cores=2)

        return run

    return start


def ten_subjects(work: Path) -> Run:
    def run() -> np.ndarray:
        """CPU time of drawing the pages [s]; sizes of the pages [MB], the summary's first."""
        from pipeline.config.base import pick
        from pipeline.config.evaluate import EvaluateStage
        from pipeline.config.loader import load_config
        from pipeline.evaluation.inputs import Scope, read_inputs
        from pipeline.evaluation.scores import score
        from pipeline.report.extras import read_extras
        from pipeline.report.page import report_html, subject_html

        before = Path.cwd()
        os.chdir(work / "all folds")
        try:
            config = pick(EvaluateStage, load_config([Path("config.json")]))
            inputs = read_inputs(Scope.of_last_run(), config)
            folds, extras = [_named(fold, s) for s in SUBJECTS for fold in inputs.folds], read_extras(inputs, config)
            document = score(folds, config.evaluate, config.chance, _context_of_ten(inputs))
        finally:
            os.chdir(before)
        shown = document, folds, _extras_of_ten(extras), config.evaluate
        start_s = time.process_time()
        pages = [report_html(*shown), *(subject_html(*shown, s, "report.html") for s in SUBJECTS)]
        return np.array([time.process_time() - start_s, *(len(page.encode()) / 1e6 for page in pages)])

    return run


def _named(fold: FoldPredictions, subject: str) -> FoldPredictions:
    blocks = tuple(replace(b, recording=b.recording.replace(fold.subject, subject)) for b in fold.blocks)
    return replace(fold, subject=subject, blocks=blocks)


def _extras_of_ten(extras: ReportExtras) -> ReportExtras:
    (contacts,), (sessions,) = extras.contacts.values(), extras.sessions.values()
    return replace(
        extras,
        curves={(s, k): v for s in SUBJECTS for (_, k), v in extras.curves.items()},
        attention={(s, k): v for s in SUBJECTS for (_, k), v in extras.attention.items()},
        contacts=dict.fromkeys(SUBJECTS, contacts),
        sessions=dict.fromkeys(SUBJECTS, sessions),
        recorded=[replace(own, subject=s) for s in SUBJECTS for own in extras.recorded],
    )


def _context_of_ten(inputs: EvaluationInputs) -> RunContext:
    context, (old,) = inputs.context, inputs.scope.subjects
    return replace(
        context,
        audits={(s, k): audit for s in SUBJECTS for (_, k), audit in context.audits.items()},
        contamination=[
            replace(c, recording=c.recording.replace(old, s)) for s in SUBJECTS for c in context.contamination
        ],
        subjects={s: context.subjects[old] for s in SUBJECTS},
        sessions={s: context.sessions[old] for s in SUBJECTS},
    )


def judge(m: Measured) -> list[Figure]:
    drawn_s, *pages = m.output("ten subjects").tolist()
    return [
        Figure("all five folds over the default job, wall time", m["all folds"].wall / m["default"].wall, "<=", 4.0),
        Figure("scores and report of ten subjects with five folds, CPU [s]", m["ten subjects"].cpu, "<=", 15.0),
        Figure("of it the pages, CPU [s]", drawn_s),
        Figure("its pages together [MB]", sum(pages), "<=", 25.0),
        Figure("the largest page [MB]", max(pages)),
    ]


CONTENDERS = (
    Contender("default", _job("default"), once=True),
    Contender("all folds", _job("all folds"), once=True),
    Contender("ten subjects", ten_subjects, once=True),
)
