rule evaluate:
    input:
        PLAN.evaluated,
    output:
        scores=report("results/eval.json", caption="../report/scores.rst", category="Scores"),
        table=report("results/scores.tsv", caption="../report/scores.rst", category="Scores"),
        report=report("results/report.html", caption="../report/report.rst", category="Scores"),
        sidecar="results/eval.provenance.json",
        pages=PLAN.subject_pages,
    log:
        "logs/evaluate.log",
    benchmark:
        "logs/evaluate.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "evaluate", lambda w: PLAN.sessions),
    params:
        *PLAN.code("evaluate"),
        code=lambda w, input: PLAN.code("evaluate"),
        config=PLAN.config_json("evaluate"),
        folds=PLAN.fold_names,
        variants=PLAN.config.variants,
        sound=PLAN.config.writes_sound,
        pooled=PLAN.config.train.pool == "subjects",
    shell:
        "{resources.python:q} {resources.scripts:q}/evaluate.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --folds {params.folds:q} --variants {params.variants:q} --pooled {params.pooled:q} --sound {params.sound:q} --output {output:q}"
