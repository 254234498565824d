rule evaluate:
    input:
        PLAN.evaluated,
    output:
        scores=report("results/eval.json", caption="../report/scores.rst", category="Scores"),
        table=report("results/scores.tsv", caption="../report/scores.rst", category="Scores"),
        report=report("results/report.html", caption="../report/report.rst", category="Scores"),
        sidecar="results/eval.provenance.json",
    log:
        "logs/evaluate.log",
    benchmark:
        "logs/evaluate.benchmark.tsv"
    resources:
        **resources_of(PLAN, "evaluate", lambda w: PLAN.sessions),
    params:
        *PLAN.code("evaluate"),
        config=PLAN.config_json("evaluate"),
        folds=PLAN.fold_names,
        variants=PLAN.config.variants,
        pooled=PLAN.config.train.pool == "subjects",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/evaluate.py --config {params.config:q} --code {CODE[evaluate]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --folds {params.folds:q} --variants {params.variants:q} --pooled {params.pooled:q} --sound {PLAN.config.writes_sound:q} --output {output:q}"
