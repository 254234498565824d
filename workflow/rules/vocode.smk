rule vocode:
    input:
        predictions="results/predictions/{subject}/{fold}.h5",
        aligned=lambda w: expand("results/aligned/{session}.h5", session=PLAN.sessions_of(w.subject)),
        checkpoint=ancient(list(PLAN.vocoder_files)),
    output:
        directory("results/sound/{subject}/{fold}"),
    log:
        "logs/vocode/{subject}/{fold}.log",
    benchmark:
        "logs/vocode/{subject}/{fold}.benchmark.tsv"
    wildcard_constraints:
        fold=r"fold\d+",
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "vocode", lambda w: PLAN.sessions_of(w.subject)),
    params:
        *PLAN.code("vocode"),
        code=lambda w, input: PLAN.code("vocode"),
        config=PLAN.config_json("vocode"),
        content=" ".join(PLAN.vocoder_files.values()),
    shell:
        "{resources.python:q} {resources.scripts:q}/vocode.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --predictions {input.predictions:q} --aligned {input.aligned:q} --checkpoint {input.checkpoint:q}"
        " --accelerator {resources.accelerator:q} --output {output:q}"
