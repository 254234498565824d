rule simulate:
    input:
        ancient(list(PLAN.speech)),
    output:
        sheet=PLAN.raw_files[0],
        arrays=PLAN.raw_files[1:],
    log:
        "logs/simulate.log",
    benchmark:
        "logs/simulate.benchmark.tsv"
    resources:
        **resources_of(PLAN, "simulate", lambda w: PLAN.sessions),
    params:
        *PLAN.code("simulate"),
        config=PLAN.config_json("simulate"),
        content=" ".join(PLAN.speech.values()),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/simulate.py --config {params.config:q} --code {CODE[simulate]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --speech {input:q} --content {params.content:q} --output {output.sheet:q}"
