rule predict:
    input:
        unpack(lambda w: PLAN.data_of(w.subject)),
        model=lambda w: f"results/{w.prefix}train/{PLAN.model_id_of(w.subject)}/{w.fold}/model.ckpt",
        sidecar=lambda w: f"results/{w.prefix}train/{PLAN.model_id_of(w.subject)}/{w.fold}/model.json",
        ridge=lambda w: PLAN.ridges_corrected(
            PLAN.model_id_of(w.subject), PLAN.fold_of(w.fold), PLAN.variant_of(w.prefix)
        ),
    output:
        "results/{prefix}predictions/{subject}/{fold}.h5",
    log:
        "logs/{prefix}predict/{subject}/{fold}.log",
    benchmark:
        "logs/{prefix}predict/{subject}/{fold}.benchmark.tsv"
    wildcard_constraints:
        fold=r"fold\d+",
    conda:
        "../envs/pipeline.yaml"
    resources:
        **resources_of(PLAN, "predict", lambda w: PLAN.sessions_of(w.subject)),
        gpu=1 if RUNTIME.accelerator == "gpu" else 0,
    params:
        *PLAN.code("predict"),
        code=lambda w, input: PLAN.code("predict"),
        config=PLAN.config_json("predict"),
    shell:
        "{resources.python:q} {resources.scripts:q}/predict.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --model {input.model:q} --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q}"
        " --ridge {input.ridge:q} --fold {wildcards.fold:q} --accelerator {resources.accelerator:q} --output {output:q}"
