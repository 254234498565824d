rule mel:
    input:
        "results/aligned/{session}.h5",
    output:
        "results/mel/{session}.h5",
    log:
        "logs/mel/{session}.log",
    benchmark:
        "logs/mel/{session}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "mel", lambda w: [w.session]),
    params:
        *PLAN.code("mel"),
        config=PLAN.config_json("mel"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/mel.py --config {params.config:q} --code {CODE[mel]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --aligned {input:q} --output {output:q}"
