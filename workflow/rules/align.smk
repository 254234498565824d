rule align:
    input:
        "results/recordings/{session}.h5",
    output:
        "results/aligned/{session}.h5",
    log:
        "logs/align/{session}.log",
    benchmark:
        "logs/align/{session}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "align", lambda w: [w.session]),
    params:
        *PLAN.code("align"),
        config=PLAN.config_json("align"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/align.py --config {params.config:q} --code {CODE[align]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --recording {input:q} --output {output:q}"
