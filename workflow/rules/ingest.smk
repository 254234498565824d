rule ingest:
    input:
        lambda w: PLAN.made_raw_of(w.session),
    output:
        "results/recordings/{session}.h5",
    log:
        "logs/ingest/{session}.log",
    benchmark:
        "logs/ingest/{session}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "ingest", lambda w: [w.session]),
    params:
        *PLAN.code("ingest"),
        code=lambda w, input: PLAN.code("ingest"),
        config=PLAN.config_json("ingest"),
        plan=lambda w: PLAN.ingest_plan(w.session).digest,
    shell:
        "{resources.python:q} {resources.scripts:q}/ingest.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --plan .snakemake/plan/ingest_{wildcards.session:q}.json --digest {params.plan:q} --output {output:q}"
