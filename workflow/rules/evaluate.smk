rule evaluate:
    input:
        PLAN.evaluated,
    output:
        scores="results/eval.json",
        table="results/scores.tsv",
        report="results/report.html",
        note="results/eval.provenance.json",
    params:
        *PLAN.code("evaluate"),
        config=PLAN.config_json("evaluate"),
        folds=PLAN.fold_names,
        variants=PLAN.config.variants,
        pooled=PLAN.config.train.pool == "subjects",
    log:
        "logs/evaluate.log",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/evaluate.py --config {params.config:q} --code {CODE[evaluate]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --folds {params.folds:q} --variants {params.variants:q} --pooled {params.pooled:q} --sound {PLAN.config.writes_sound:q} --output {output:q}"
