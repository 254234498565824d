rule align:
    input:
        "results/recordings/{recording}.h5",
    output:
        "results/aligned/{recording}.h5",
    log:
        "logs/align/{recording}.log",
    benchmark:
        "logs/align/{recording}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "align", lambda w: [w.recording]),
    params:
        *PLAN.code("align"),
        config=PLAN.config_json("align"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/align.py --config {params.config:q} --code {CODE[align]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --recording {input:q} --output {output:q}"
