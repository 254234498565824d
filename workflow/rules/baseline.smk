rule baseline:
    input:
        unpack(lambda w: PLAN.data_of(w.subject)),
    output:
        "results/baselines/{subject}/fold{fold}.h5",
    log:
        "logs/baseline/{subject}/fold{fold}.log",
    benchmark:
        "logs/baseline/{subject}/fold{fold}.benchmark.tsv"
    resources:
        **needs(PLAN, "baseline", lambda w: PLAN.recordings_of(w.subject)),
    params:
        *PLAN.code("baseline"),
        config=PLAN.config_json("baseline"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/baseline.py --config {params.config:q} --code {CODE[baseline]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q} --fold {wildcards.fold:q}"
        " --output {output:q}"
