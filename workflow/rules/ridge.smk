rule ridge:
    input:
        unpack(lambda w: PLAN.data_of(w.subject)),
    output:
        "results/{prefix}baselines/{subject}/fold{fold}.h5",
    log:
        "logs/{prefix}ridge/{subject}/fold{fold}.log",
    benchmark:
        "logs/{prefix}ridge/{subject}/fold{fold}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "ridge", lambda w: PLAN.sessions_of(w.subject)),
    params:
        *PLAN.code("ridge"),
        config=PLAN.config_json("ridge"),
        variant=lambda w: PLAN.variant_of(w.prefix),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/ridge.py --config {params.config:q} --code {CODE[ridge]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q} --fold {wildcards.fold:q}"
        " --variant {params.variant:q} --output {output:q}"
