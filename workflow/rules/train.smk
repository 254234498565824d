rule train:
    input:
        windows="results/windows/{subject}.h5",
        mel=lambda w: expand("results/mel/{recording}.h5", recording=PLAN.recordings_of(w.subject)),
        aligned=lambda w: expand("results/aligned/{recording}.h5", recording=PLAN.recordings_of(w.subject)),
    output:
        model="results/train/{subject}/fold{fold}/model.ckpt",
        metrics="results/train/{subject}/fold{fold}/metrics.csv",
        note="results/train/{subject}/fold{fold}/model.json",
    params:
        *PLAN.code("train"),
        config=PLAN.config_json("train"),
    log:
        "logs/train/{subject}/fold{fold}.log",
    threads: PLAN.config.train.cpu_threads
    resources:
        gpu=0 if RUNTIME.accelerator == "cpu" else 1,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/train.py --config {params.config:q} --code {CODE[train]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q} --fold {wildcards.fold:q}"
        " --accelerator {RUNTIME.accelerator:q} --output {output:q}"
