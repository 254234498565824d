rule window:
    input:
        lambda w: expand("results/aligned/{session}.h5", session=PLAN.sessions_of(w.subject)),
    output:
        "results/windows/{subject}.h5",
    log:
        "logs/window/{subject}.log",
    benchmark:
        "logs/window/{subject}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "window", lambda w: PLAN.sessions_of(w.subject)),
    params:
        *PLAN.code("window"),
        code=lambda w, input: PLAN.code("window"),
        config=PLAN.config_json("window"),
        order=lambda w: " ".join(PLAN.sessions_of(w.subject)),
    shell:
        "{resources.python:q} {resources.scripts:q}/window.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --aligned {input:q} --output {output:q}"
