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
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "simulate", lambda w: PLAN.sessions),
    params:
        *PLAN.code("simulate"),
        code=lambda w, input: PLAN.code("simulate"),
        config=PLAN.config_json("simulate"),
        content=" ".join(PLAN.speech.values()),
    shell:
        "{resources.python:q} {resources.scripts:q}/simulate.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --speech {input:q} --content {params.content:q} --output {output.sheet:q}"
