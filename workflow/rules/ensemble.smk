rule ensemble:
    input:
        unpack(lambda w: PLAN.data_of(w.model_id)),
        folds=lambda w: PLAN.models_behind(w.model_id, PLAN.fold_of(w.fold)),
        scores=lambda w: PLAN.scores_behind(PLAN.fold_of(w.fold)),
        ridge=lambda w: PLAN.ridges_corrected(w.model_id, PLAN.fold_of(w.fold), PLAN.variant_of(w.prefix)),
        networks=lambda w: PLAN.networks_of(w.model_id, PLAN.fold_of(w.fold), PLAN.variant_of(w.prefix)),
    output:
        model="results/{prefix}train/{model_id}/{fold}/model.ckpt",
        metrics=report(
            "results/{prefix}train/{model_id}/{fold}/metrics.csv",
            caption="../report/training.rst",
            category="Training",
            subcategory="{model_id}",
            labels=lambda w: {"fold": w.fold.removeprefix("fold"), "variant": PLAN.variant_of(w.prefix)},
        ),
        sidecar="results/{prefix}train/{model_id}/{fold}/model.json",
    log:
        "logs/{prefix}ensemble/{model_id}/{fold}.log",
    benchmark:
        "logs/{prefix}ensemble/{model_id}/{fold}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: PLAN.config.train.cpu_threads
    resources:
        **resources_of(PLAN, "ensemble", lambda w: PLAN.sessions_of_model(w.model_id)),
    params:
        *PLAN.code("ensemble"),
        code=lambda w, input: PLAN.code("ensemble"),
        config=PLAN.config_json("ensemble"),
        variant=lambda w: PLAN.variant_of(w.prefix),
    shell:
        "{resources.python:q} {resources.scripts:q}/ensemble.py --config {params.config:q} --code {params.code:q}"
        " --log {log:q} --log-level {resources.log_level:q}"
        " --networks {input.networks:q} --windows {input.windows:q} --mel {input.mel:q} --aligned {input.aligned:q}"
        " --ridge {input.ridge:q} --folds {input.folds:q} --scores {input.scores:q}"
        " --fold {wildcards.fold:q} --variant {params.variant:q} --output {output:q}"
