# A job per network.
rule train:
    input:
        unpack(lambda w: PLAN.data_of(w.model_id)),
        repeats="results/repeats/{model_id}.h5",
        folds=lambda w: PLAN.networks_behind(w.model_id, PLAN.fold_of(w.fold), w.network),
        ridge=lambda w: PLAN.ridges_of(w.model_id, PLAN.fold_of(w.fold), PLAN.variant_of(w.prefix), w.network),
        init=ancient(lambda w: PLAN.initial_of(w.model_id, PLAN.fold_of(w.fold), PLAN.variant_of(w.prefix))),
    output:
        network="results/{prefix}train/{model_id}/{fold}/{network}/network.ckpt",
        metrics="results/{prefix}train/{model_id}/{fold}/{network}/metrics.csv",
        sidecar="results/{prefix}train/{model_id}/{fold}/{network}/network.json",
    log:
        "logs/{prefix}train/{model_id}/{fold}/{network}.log",
    benchmark:
        "logs/{prefix}train/{model_id}/{fold}/{network}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: PLAN.training_cores
    resources:
        **resources_of(PLAN, "train", lambda w: PLAN.sessions_of_model(w.model_id)),
        gpu=0 if RUNTIME.accelerator == "cpu" else PLAN.config.train.devices,
    params:
        *PLAN.code("train"),
        code=lambda w, input: PLAN.code("train"),
        config=PLAN.config_json("train"),
        variant=lambda w: PLAN.variant_of(w.prefix),
        initial=lambda w: PLAN.initial_content(w.model_id, PLAN.fold_of(w.fold), PLAN.variant_of(w.prefix)),
    shell:
        "{resources.python:q} {resources.scripts:q}/train.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q} --ridge {input.ridge:q}"
        " --folds {input.folds:q} --init {input.init:q} --fold {wildcards.fold:q} --variant {params.variant:q} --network {wildcards.network:q}"
        " --accelerator {resources.accelerator:q} --output {output:q}"
