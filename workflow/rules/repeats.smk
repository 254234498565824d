# Before ridge and train, which read nothing of it: a copy that it refuses stops them. Of a pooled model, all subjects
# together, and each alone before its ridge.
rule repeats:
    input:
        mel=lambda w: PLAN.data_of(w.model_id)["mel"],
        aligned=lambda w: PLAN.data_of(w.model_id)["aligned"],
    output:
        "results/repeats/{model_id}.h5",
    log:
        "logs/repeats/{model_id}.log",
    benchmark:
        "logs/repeats/{model_id}.benchmark.tsv"
    wildcard_constraints:
        model_id=PLAN.one_of(PLAN.compared),
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "repeats", lambda w: PLAN.sessions_of_model(w.model_id)),
    params:
        *PLAN.code("repeats"),
        code=lambda w, input: PLAN.code("repeats"),
        config=PLAN.config_json("repeats"),
    shell:
        "{resources.python:q} {resources.scripts:q}/repeats.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --mel {input.mel:q} --aligned {input.aligned:q} --output {output:q}"
