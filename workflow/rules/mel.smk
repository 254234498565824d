rule mel:
    input:
        "results/aligned/{session}.h5",
    output:
        "results/mel/{session}.h5",
    log:
        "logs/mel/{session}.log",
    benchmark:
        "logs/mel/{session}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "mel", lambda w: [w.session]),
    params:
        *PLAN.code("mel"),
        code=lambda w, input: PLAN.code("mel"),
        config=PLAN.config_json("mel"),
    shell:
        "{resources.python:q} {resources.scripts:q}/mel.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --aligned {input:q} --output {output:q}"
