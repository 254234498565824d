rule predict:
    input:
        windows="results/windows/{subject}.h5",
        mel=lambda w: expand("results/mel/{recording}.h5", recording=PLAN.recordings_of(w.subject)),
        aligned=lambda w: expand("results/aligned/{recording}.h5", recording=PLAN.recordings_of(w.subject)),
        model="results/train/{subject}/fold{fold}/model.ckpt",
        note="results/train/{subject}/fold{fold}/model.json",
    output:
        "results/predictions/{subject}/fold{fold}.h5",
    params:
        *PLAN.code("predict"),
        config=PLAN.config_json("predict"),
    log:
        "logs/predict/{subject}/fold{fold}.log",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/predict.py --config {params.config:q} --code {CODE[predict]:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --model {input.model:q} --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q}"
        " --fold {wildcards.fold:q} --accelerator {RUNTIME.accelerator:q} --output {output:q}"
