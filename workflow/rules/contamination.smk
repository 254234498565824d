rule contamination:
    input:
        "results/recordings/{session}.h5",
    output:
        "results/contamination/{session}.h5",
    log:
        "logs/contamination/{session}.log",
    benchmark:
        "logs/contamination/{session}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "contamination", lambda w: [w.session]),
    params:
        *PLAN.code("contamination"),
        config=PLAN.config_json("contamination"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/contamination.py --config {params.config:q} --code {CODE[contamination]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --recording {input:q} --output {output:q}"
