"""Sound of a fold's test blocks: predicted, and on request true and vocoded true."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import soundfile

from pipeline.artifacts.aligned import open_aligned
from pipeline.artifacts.core import content_digest
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.predictions import PREDICTIONS, PredictedBlock, read_predicted
from pipeline.artifacts.sidecar import write_sidecar
from pipeline.config.vocode import VocodeStage
from pipeline.signal.mel import mel_filter_bank
from pipeline.stage import Stage, run_stage
from pipeline.vocoder.base import Vocoder
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.hifigan_config import read_hifigan_config


def main(stage: Stage[VocodeStage]) -> str:
    config = stage.config
    vocoder = _vocoder(stage)
    fold = read_predicted(stage.file("predictions"), PREDICTIONS)
    wants_all = config.export.audio == "all" or (config.export.audio == "auto" and fold.facts["simulated"])
    aligned = {path.stem: path for path in stage.files["aligned"]}
    folder = stage.file("output")
    part = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for block in fold.blocks:
            sounds = {"predicted": vocoder(block.series["model"])}
            if wants_all:
                sounds["vocoded_true"] = vocoder(block.series["target"])
                sounds["true"] = _true_sound(aligned[block.recording], block, config.mel.hop_length)
            for name, sound in sounds.items():
                _write_wav(part / f"{block.recording}_{block.start}_{name}.wav", sound, config.mel.sample_rate_hz)
        inputs = [stage.file("predictions"), *stage.files["aligned"]]
        voice = [(path, file_sha256(path)) for path in stage.files["voice"]]
        provenance = stage.provenance([*((path, content_digest(path)) for path in inputs), *voice])
        write_sidecar(part / "provenance.json", "vocode", list(part.iterdir()), provenance)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return f"{len(fold.blocks)} block(s) → {folder}"


def _vocoder(stage: Stage[VocodeStage]) -> Vocoder:
    config = stage.config
    if config.vocode.vocoder == "griffin_lim":
        return GriffinLim(mel_filter_bank(config.mel), config.mel, config.vocode)
    checkpoint, config_file = stage.files["voice"]
    shape = read_hifigan_config(config_file, config.mel)
    # Griffin-Lim should not wait for torch.
    import torch

    from pipeline.device import device_of
    from pipeline.vocoder.hifigan import HifiGan

    torch.set_num_threads(1)
    return HifiGan(checkpoint, shape, device_of(stage.options["accelerator"]))


def _true_sound(path: Path, block: PredictedBlock, hop_length: int) -> np.ndarray:
    start = block.start * hop_length
    with open_aligned(path) as aligned:
        return aligned.read("audio/data", start, start + len(block.time_s) * hop_length)


def _write_wav(path: Path, sound: np.ndarray, rate_hz: int) -> None:
    """16 bit, scaled down where it would clip."""
    peak = float(np.abs(sound).max(initial=0.0))
    wav = io.BytesIO()  # libsndfile does not say why it cannot write
    soundfile.write(wav, sound / max(1.0, peak / 0.99), rate_hz, subtype="PCM_16", format="WAV")
    path.write_bytes(wav.getbuffer())


run_stage(main, VocodeStage, files=["predictions", "aligned", "voice", "output"], options=["accelerator"])
