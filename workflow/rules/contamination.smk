rule contamination:
    input:
        "results/recordings/{recording}.h5",
    output:
        "results/contamination/{recording}.h5",
    log:
        "logs/contamination/{recording}.log",
    benchmark:
        "logs/contamination/{recording}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "contamination", lambda w: [w.recording]),
    params:
        *PLAN.code("contamination"),
        config=PLAN.config_json("contamination"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/contamination.py --config {params.config:q} --code {CODE[contamination]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --recording {input:q} --output {output:q}"
