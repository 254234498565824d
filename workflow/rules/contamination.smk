rule contamination:
    input:
        "results/recordings/{recording}.h5",
    output:
        "results/contamination/{recording}.h5",
    params:
        *PLAN.code("contamination"),
        config=PLAN.config_json("contamination"),
    log:
        "logs/contamination/{recording}.log",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/contamination.py --config {params.config:q} --code {CODE[contamination]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --recording {input:q} --output {output:q}"
