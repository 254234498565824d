PREDICT = (
    "{PYTHON:q} {SCRIPTS:q}/predict.py --config {params.config:q} --code {CODE[predict]:q}"
    " --log {log:q} --log-level {RUNTIME.log_level:q}"
    " --model {input.model:q} --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q}"
    " --fold {wildcards.fold:q} --accelerator {RUNTIME.accelerator:q} --output {output:q}"
)


rule predict:
    input:
        unpack(lambda w: PLAN.data_of(w.subject)),
        model=lambda w: f"results/train/{PLAN.model_id_of(w.subject)}/fold{w.fold}/model.ckpt",
        sidecar=lambda w: f"results/train/{PLAN.model_id_of(w.subject)}/fold{w.fold}/model.json",
    output:
        "results/predictions/{subject}/fold{fold}.h5",
    log:
        "logs/predict/{subject}/fold{fold}.log",
    benchmark:
        "logs/predict/{subject}/fold{fold}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "predict", lambda w: PLAN.recordings_of(w.subject)),
        gpu=1 if RUNTIME.accelerator == "gpu" else 0,
    params:
        *PLAN.code("predict"),
        config=PLAN.config_json("predict"),
    shell:
        PREDICT


rule predict_variant:
    input:
        unpack(lambda w: PLAN.data_of(w.subject)),
        model=lambda w: f"results/variants/{w.variant}/train/{PLAN.model_id_of(w.subject)}/fold{w.fold}/model.ckpt",
        sidecar=lambda w: f"results/variants/{w.variant}/train/{PLAN.model_id_of(w.subject)}/fold{w.fold}/model.json",
    output:
        "results/variants/{variant}/predictions/{subject}/fold{fold}.h5",
    log:
        "logs/predict/{subject}/fold{fold}.{variant}.log",
    benchmark:
        "logs/predict/{subject}/fold{fold}.{variant}.benchmark.tsv"
    resources:
        **resources_of(PLAN, "predict", lambda w: PLAN.recordings_of(w.subject)),
        gpu=1 if RUNTIME.accelerator == "gpu" else 0,
    params:
        *PLAN.code("predict"),
        config=PLAN.config_json("predict"),
    shell:
        PREDICT
