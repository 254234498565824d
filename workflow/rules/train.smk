TRAIN = (
    "{PYTHON:q} {SCRIPTS:q}/train.py --config {params.config:q} --code {CODE[train]:q}"
    " --log {log:q} --log-level {RUNTIME.log_level:q}"
    " --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q} --fold {wildcards.fold:q}"
    " --variant {params.variant:q} --accelerator {RUNTIME.accelerator:q} --threads {threads:q} --output {output:q}"
)


rule train:
    input:
        unpack(lambda w: PLAN.data_of(w.model_id)),
    output:
        model="results/train/{model_id}/fold{fold}/model.ckpt",
        metrics=report(
            "results/train/{model_id}/fold{fold}/metrics.csv",
            caption="../report/training.rst",
            category="Training",
            subcategory="{model_id}",
            labels={"fold": "{fold}"},
        ),
        sidecar="results/train/{model_id}/fold{fold}/model.json",
    log:
        "logs/train/{model_id}/fold{fold}.log",
    benchmark:
        "logs/train/{model_id}/fold{fold}.benchmark.tsv"
    threads: PLAN.training_cores
    resources:
        **resources_of(PLAN, "train", lambda w: PLAN.recordings_of_model(w.model_id)),
        gpu=0 if RUNTIME.accelerator == "cpu" else PLAN.config.train.devices,
    params:
        *PLAN.code("train"),
        config=PLAN.config_json("train"),
        variant="full",
    shell:
        TRAIN


# A model beside the decoder itself: a null trained on circularly shifted brain signals, or one without what follows the sound.
rule train_variant:
    input:
        unpack(lambda w: PLAN.data_of(w.model_id)),
    output:
        model="results/variants/{variant}/train/{model_id}/fold{fold}/model.ckpt",
        metrics=report(
            "results/variants/{variant}/train/{model_id}/fold{fold}/metrics.csv",
            caption="../report/training.rst",
            category="Training",
            subcategory="{model_id}",
            labels={"fold": "{fold}", "variant": "{variant}"},
        ),
        sidecar="results/variants/{variant}/train/{model_id}/fold{fold}/model.json",
    log:
        "logs/train/{model_id}/fold{fold}.{variant}.log",
    benchmark:
        "logs/train/{model_id}/fold{fold}.{variant}.benchmark.tsv"
    threads: PLAN.training_cores
    resources:
        **resources_of(PLAN, "train", lambda w: PLAN.recordings_of_model(w.model_id)),
        gpu=0 if RUNTIME.accelerator == "cpu" else PLAN.config.train.devices,
    params:
        *PLAN.code("train"),
        config=PLAN.config_json("train"),
        variant="{variant}",
    shell:
        TRAIN
