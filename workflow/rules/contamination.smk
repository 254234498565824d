rule contamination:
    input:
        "results/recordings/{session}.h5",
    output:
        "results/contamination/{session}.h5",
    log:
        "logs/contamination/{session}.log",
    benchmark:
        "logs/contamination/{session}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "contamination", lambda w: [w.session]),
    params:
        *PLAN.code("contamination"),
        code=lambda w, input: PLAN.code("contamination"),
        config=PLAN.config_json("contamination"),
    shell:
        "{resources.python:q} {resources.scripts:q}/contamination.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --recording {input:q} --output {output:q}"
