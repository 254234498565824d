rule simulate:
    input:
        ancient(list(PLAN.speech)),
    output:
        PLAN.raw_files,
    params:
        *PLAN.code("simulate"),
        config=PLAN.config_json("simulate"),
        content=" ".join(PLAN.speech.values()),
    log:
        "logs/simulate.log",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/simulate.py --config {params.config:q} --code {CODE[simulate]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --speech {input:q} --content {params.content:q} --output {output:q}"
