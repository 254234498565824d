rule mel:
    input:
        "results/aligned/{recording}.h5",
    output:
        "results/mel/{recording}.h5",
    log:
        "logs/mel/{recording}.log",
    benchmark:
        "logs/mel/{recording}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "mel", lambda w: [w.recording]),
    params:
        *PLAN.code("mel"),
        config=PLAN.config_json("mel"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/mel.py --config {params.config:q} --code {CODE[mel]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --aligned {input:q} --output {output:q}"
