rule simulate:
    output:
        PLAN.raw_files,
    params:
        config=PLAN.config_json("simulate"),
        code=PLAN.code("simulate"),
    log:
        "logs/simulate.log",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/simulate.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q} --output {output:q}"
