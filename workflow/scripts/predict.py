"""Free-running predictions of a fold's test blocks, beside the target."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.artifacts.core import content_digest
from pipeline.artifacts.predictions import PREDICTIONS, PredictedBlock, PredictedFold, write_predicted
from pipeline.artifacts.windows import BlockRow, read_windows
from pipeline.config.predict import PredictStage
from pipeline.data.subject import load_subject
from pipeline.model.inference import diagonality, latency_frames, predict_continuous
from pipeline.model.model_file import load_model, model_digest
from pipeline.model.normalisation import normalise_recording
from pipeline.prediction import device_of, write_npy
from pipeline.stage import Stage, run_stage


def main(stage: Stage[PredictStage]) -> str:
    config, fold = stage.config, int(stage.options["fold"])
    windows = read_windows(stage.file("windows"))
    rate_hz = config.mel.frame_rate_hz
    arrays = load_subject(
        windows,
        stage.files["aligned"],
        stage.files["mel"],
        config.mel,
        config.causal,
        lambda features, m: normalise_recording(features, config.train.normalisation, m, rate_hz),
    )
    model, meta = load_model(stage.file("model"))
    model = model.to(device_of(stage.options["accelerator"]))
    own, hop = meta["subjects"].index(windows.subject), config.window.hop_frames
    extras: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}

    def predicted(block: BlockRow) -> PredictedBlock:
        r, start, stop = block.recording, block.start, block.stop
        kept = 0 if extras else config.predict.attention_windows
        predict = partial(predict_continuous, model, arrays.features[r], start, stop, hop, subject=own)
        free, forced = predict(n_attention=kept), predict(target=arrays.mel[r])
        if kept:
            extras["attention/weights"] = (free.attention, ("window", "head", "output", "encoder"))
            extras["attention/start_frame"] = (free.attention_starts, ("window",))
            extras["attention/diagonality"] = (diagonality(free.attention, model), ("head",))
            block_of = model.decoder.attention
            extras["attention/output_frame"] = (block_of.group_frames.cpu().numpy(), ("output",))
            extras["attention/encoder_frame"] = (block_of.position_frames.cpu().numpy(), ("encoder",))
        times_s = config.mel.first_frame_s + np.arange(start, stop) / rate_hz
        series = {"target": arrays.mel[r][start:stop], "model": free.mel, "model_teacher_forced": forced.mel}
        return PredictedBlock(windows.recordings[r], start, times_s, series)

    latency = latency_frames(model)
    facts = {
        "subject": windows.subject,
        "fold": fold,
        "simulated": bool(windows.facts["simulated"]),
        "causal": config.causal,
        "normalisation": config.train.normalisation,
        "preset": meta["preset"],
        "seed": meta["config"]["train"]["seed"],
        "model_digest": model_digest(model),
        "algorithmic_latency_ms": None if latency is None else 1e3 * max(latency) / rate_hz,
    }
    result = PredictedFold([predicted(b) for b in windows.blocks_of(fold, "test")], facts, extras)
    inputs = [*stage.files["windows"], *stage.files["mel"], *stage.files["aligned"]]
    digests = [
        *((p, content_digest(p)) for p in inputs),
        (stage.file("model").with_suffix(".json"), facts["model_digest"]),
    ]
    output = stage.file("output")
    write_predicted(output, PREDICTIONS, result, stage.provenance(digests))
    if config.export.npy:
        write_npy(result, output.with_suffix(""))
    return f"{sum(len(b.time_s) for b in result.blocks)} frames in {len(result.blocks)} block(s) → {output}"


run_stage(main, PredictStage, files=["model", "windows", "mel", "aligned", "output"], options=["fold", "accelerator"])
