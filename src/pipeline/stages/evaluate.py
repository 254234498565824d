"""Score the predictions of all folds, and write eval.json, scores.tsv and the report."""

from __future__ import annotations

from pipeline.artifacts import paths
from pipeline.artifacts.files import write_text
from pipeline.artifacts.sidecar import write_sidecar
from pipeline.config.evaluate import EvaluateStage
from pipeline.evaluation.inputs import Scope, read_inputs
from pipeline.evaluation.methods import methods_text
from pipeline.evaluation.recorded import recorded_run
from pipeline.evaluation.scores import document_json, score, scores_table
from pipeline.report.extras import read_extras, switched_off_html
from pipeline.report.tensorboard import show_in_tensorboard
from pipeline.stage import Stage


def evaluate(stage: Stage[EvaluateStage]) -> str:
    config = stage.config
    scope = Scope(
        folds=tuple(map(str, stage.files["folds"])),
        variants=tuple(map(str, stage.files["variants"])),
        pooled=stage.options["pooled"] == "True",
        has_sound=stage.options["sound"] == "True",
    )
    inputs = read_inputs(scope, config)
    document = score(inputs.folds, config.evaluate, config.chance, inputs.context)
    document["methods"] = methods_text(document, recorded_run(inputs, config))
    scores_file, table_file, report_file, sidecar, *_ = stage.files["output"]
    subject_pages = paths.subject_pages(scope.subjects)
    pages = dict.fromkeys([report_file, *subject_pages.values()], switched_off_html())
    if config.evaluate.report:
        from pipeline.report.page import report_html, subject_html  # half a second of matplotlib and jinja2

        shown = document, inputs.folds, read_extras(inputs, config), config.evaluate
        pages = {report_file: report_html(*shown)}
        pages |= {page: subject_html(*shown, subject, report_file.name) for subject, page in subject_pages.items()}
    provenance = stage.provenance([(path, made["content_digest"]) for path, made in inputs.made.items()])
    provenance.check()
    write_text(scores_file, document_json(document))
    write_text(table_file, scores_table(document))
    for file, page in pages.items():
        write_text(file, page)
    outputs = [scores_file, table_file, *pages]
    write_sidecar(sidecar, "evaluate", outputs, provenance, scope=scope.as_json())
    show_in_tensorboard(scope, inputs.folds, document, config.evaluate)
    r = document["summary"]["model"]["pearson_r"]
    return f"{len(inputs.folds)} fold(s), model r {r if r is None else round(r, 3)} → {scores_file}, {report_file}"
