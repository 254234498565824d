TRAIN = (
    "{PYTHON:q} {SCRIPTS:q}/train.py --config {params.config:q} --code {CODE[train]:q}"
    " --log {log:q} --log-level {RUNTIME.log_level:q}"
    " --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q} --fold {wildcards.fold:q}"
    " --variant {params.variant:q} --accelerator {RUNTIME.accelerator:q} --output {output:q}"
)


rule train:
    input:
        unpack(lambda w: PLAN.data_of(w.trainee)),
    output:
        model="results/train/{trainee}/fold{fold}/model.ckpt",
        metrics="results/train/{trainee}/fold{fold}/metrics.csv",
        note="results/train/{trainee}/fold{fold}/model.json",
    params:
        *PLAN.code("train"),
        config=PLAN.config_json("train"),
        variant="full",
    log:
        "logs/train/{trainee}/fold{fold}.log",
    threads: PLAN.config.train.cpu_threads
    resources:
        gpu=0 if RUNTIME.accelerator == "cpu" else 1,
    shell:
        TRAIN


# A model beside the decoder itself: a null trained on rotated brain signals, or one without what follows the sound.
rule train_variant:
    input:
        unpack(lambda w: PLAN.data_of(w.trainee)),
    output:
        model="results/variants/{variant}/train/{trainee}/fold{fold}/model.ckpt",
        metrics="results/variants/{variant}/train/{trainee}/fold{fold}/metrics.csv",
        note="results/variants/{variant}/train/{trainee}/fold{fold}/model.json",
    params:
        *PLAN.code("train"),
        config=PLAN.config_json("train"),
        variant="{variant}",
    log:
        "logs/train/{trainee}/fold{fold}.{variant}.log",
    threads: PLAN.config.train.cpu_threads
    resources:
        gpu=0 if RUNTIME.accelerator == "cpu" else 1,
    shell:
        TRAIN
