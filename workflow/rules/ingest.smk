rule ingest:
    input:
        lambda w: PLAN.made_raw_of(w.session),
    output:
        "results/recordings/{session}.h5",
    log:
        "logs/ingest/{session}.log",
    benchmark:
        "logs/ingest/{session}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "ingest", lambda w: [w.session]),
    params:
        *PLAN.code("ingest"),
        config=PLAN.config_json("ingest"),
        plan=lambda w: PLAN.ingest_plan(w.session).digest,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/ingest.py --config {params.config:q} --code {CODE[ingest]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --plan .snakemake/plan/ingest_{wildcards.session:q}.json --digest {params.plan:q} --output {output:q}"
