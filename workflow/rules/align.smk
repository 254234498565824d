rule align:
    input:
        "results/recordings/{session}.h5",
    output:
        "results/aligned/{session}.h5",
    log:
        "logs/align/{session}.log",
    benchmark:
        "logs/align/{session}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "align", lambda w: [w.session]),
    params:
        *PLAN.code("align"),
        code=lambda w, input: PLAN.code("align"),
        config=PLAN.config_json("align"),
    shell:
        "{resources.python:q} {resources.scripts:q}/align.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --recording {input:q} --output {output:q}"
