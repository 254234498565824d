rule ingest:
    input:
        lambda w: (PLAN.raw_of(w.recording) if PLAN.is_simulated else ancient(PLAN.raw_of(w.recording))),
    output:
        "results/recordings/{recording}.h5",
    log:
        "logs/ingest/{recording}.log",
    benchmark:
        "logs/ingest/{recording}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "ingest", lambda w: [w.recording]),
    params:
        *PLAN.code("ingest"),
        config=PLAN.config_json("ingest"),
        row=lambda w: PLAN.row_json(w.recording),
        content=lambda w: PLAN.raw_content(w.recording),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/ingest.py --config {params.config:q} --code {CODE[ingest]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --row {params.row:q} --content {params.content:q} --raw {input:q} --output {output:q}"
