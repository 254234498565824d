TRAIN = (
    "{PYTHON:q} {SCRIPTS:q}/train.py --config {params.config:q} --code {CODE[train]:q}"
    " --log {log:q} --log-level {RUNTIME.log_level:q}"
    " --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q} --fold {wildcards.fold:q}"
    " --variant {params.variant:q} --accelerator {RUNTIME.accelerator:q} --threads {threads:q} --output {output:q}"
)


rule train:
    input:
        unpack(lambda w: PLAN.data_of(w.trainee)),
    output:
        model="results/train/{trainee}/fold{fold}/model.ckpt",
        metrics=report(
            "results/train/{trainee}/fold{fold}/metrics.csv",
            caption="../report/training.rst",
            category="Training",
            subcategory="{trainee}",
            labels={"fold": "{fold}"},
        ),
        note="results/train/{trainee}/fold{fold}/model.json",
    log:
        "logs/train/{trainee}/fold{fold}.log",
    benchmark:
        "logs/train/{trainee}/fold{fold}.benchmark.tsv"
    threads: PLAN.training_cores
    resources:
        **needs(PLAN, "train", lambda w: PLAN.heard_in(w.trainee)),
        gpu=0 if RUNTIME.accelerator == "cpu" else PLAN.config.train.devices,
    params:
        *PLAN.code("train"),
        config=PLAN.config_json("train"),
        variant="full",
    shell:
        TRAIN


# A model beside the decoder itself: a null trained on rotated brain signals, or one without what follows the sound.
rule train_variant:
    input:
        unpack(lambda w: PLAN.data_of(w.trainee)),
    output:
        model="results/variants/{variant}/train/{trainee}/fold{fold}/model.ckpt",
        metrics=report(
            "results/variants/{variant}/train/{trainee}/fold{fold}/metrics.csv",
            caption="../report/training.rst",
            category="Training",
            subcategory="{trainee}",
            labels={"fold": "{fold}", "variant": "{variant}"},
        ),
        note="results/variants/{variant}/train/{trainee}/fold{fold}/model.json",
    log:
        "logs/train/{trainee}/fold{fold}.{variant}.log",
    benchmark:
        "logs/train/{trainee}/fold{fold}.{variant}.benchmark.tsv"
    threads: PLAN.training_cores
    resources:
        **needs(PLAN, "train", lambda w: PLAN.heard_in(w.trainee)),
        gpu=0 if RUNTIME.accelerator == "cpu" else PLAN.config.train.devices,
    params:
        *PLAN.code("train"),
        config=PLAN.config_json("train"),
        variant="{variant}",
    shell:
        TRAIN
