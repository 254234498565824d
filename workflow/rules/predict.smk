rule predict:
    input:
        windows="results/windows/{subject}.h5",
        mel=lambda w: expand("results/mel/{recording}.h5", recording=PLAN.recordings_of(w.subject)),
        aligned=lambda w: expand("results/aligned/{recording}.h5", recording=PLAN.recordings_of(w.subject)),
        model="results/train/{subject}/fold{fold}/model.ckpt",
    output:
        "results/predictions/{subject}/fold{fold}.h5",
    params:
        config=PLAN.config_json("predict"),
        code=PLAN.code("predict"),
    log:
        "logs/predict/{subject}/fold{fold}.log",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/predict.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {RUNTIME.log_level:q}"
        " --model {input.model:q} --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q}"
        " --fold {wildcards.fold:q} --accelerator {RUNTIME.accelerator:q} --output {output:q}"
