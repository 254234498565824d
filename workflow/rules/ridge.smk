rule ridge:
    input:
        unpack(lambda w: PLAN.data_of(w.subject)),
        folds=lambda w: PLAN.ridges_behind(w.subject, PLAN.fold_of(w.fold)),
        repeats="results/repeats/{subject}.h5",
    output:
        "results/{prefix}baselines/{subject}/{fold}.h5",
    log:
        "logs/{prefix}ridge/{subject}/{fold}.log",
    benchmark:
        "logs/{prefix}ridge/{subject}/{fold}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "ridge", lambda w: PLAN.sessions_of(w.subject)),
    params:
        *PLAN.code("ridge"),
        code=lambda w, input: PLAN.code("ridge"),
        config=PLAN.config_json("ridge"),
        variant=lambda w: PLAN.variant_of(w.prefix),
    shell:
        "{resources.python:q} {resources.scripts:q}/ridge.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q} --folds {input.folds:q}"
        " --fold {wildcards.fold:q} --variant {params.variant:q} --output {output:q}"
