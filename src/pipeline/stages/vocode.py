"""Sound of a fold's test blocks and of the words in them: predicted, and on request true and vocoded true.

``{recording}_{start frame}_{kind}.wav`` for each block, ``…_word{number}_{label}_{kind}.wav`` for
each event that starts in it.  The kinds of a block, and those of a word, are equally loud.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipeline.artifacts.aligned import AlignedInfo, aligned_trials, open_aligned
from pipeline.artifacts.core import content_digest
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.predictions import PREDICTIONS, PredictedBlock, read_predicted
from pipeline.artifacts.sidecar import write_sidecar
from pipeline.artifacts.trials import within
from pipeline.config.mel_grid import MelGrid
from pipeline.config.vocode import VocodeStage
from pipeline.signal.mel import mel_filter_bank
from pipeline.stage import Stage
from pipeline.vocoder.base import Vocoder
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.hifigan_config import read_hifigan_config
from pipeline.vocoder.loudness import WORD_MARGIN_S, Wave, equally_loud, excerpt
from pipeline.vocoder.pulses import Pulses
from pipeline.vocoder.wav import clipped_wav

LABEL_CHARACTERS = 40


def vocode(stage: Stage[VocodeStage]) -> str:
    config = stage.config
    vocoder = _vocoder(stage)
    fold = read_predicted(stage.file("predictions"), PREDICTIONS)
    wants_all = config.export.audio == "all" or (config.export.audio == "auto" and fold.attributes["simulated"])
    sessions = {path: aligned_trials(path) for path in stage.files["aligned"]}
    aligned = {info.recording: (path, info) for path, infos in sessions.items() for info in infos}
    folder = stage.file("output")
    part = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    n_words = 0
    try:
        # HiFi-GAN is slow enough to show how far it is within a block.
        for block in fold.blocks if config.vocode.vocoder == "hifigan" else stage.progress(fold.blocks, "blocks"):
            sounds = {"predicted": vocoder(block.series["model"])}
            if wants_all and "target" in block.series:
                sounds["vocoded_true"] = vocoder(block.series["target"])
                sounds["true"] = _true_sound(aligned[block.recording][0], block, config.mel.hop_length)
            n_words += _write_block(part, block, sounds, aligned[block.recording][1], config.mel)
        inputs = [stage.file("predictions"), *stage.files["aligned"]]
        checkpoint = [(path, file_sha256(path)) for path in stage.files["checkpoint"]]
        provenance = stage.provenance([*((path, content_digest(path)) for path in inputs), *checkpoint])
        write_sidecar(part / "provenance.json", "vocode", list(part.iterdir()), provenance)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return f"{len(fold.blocks)} block(s), {n_words} word(s) by {config.vocode.vocoder} → {folder}"


def _vocoder(stage: Stage[VocodeStage]) -> Vocoder:
    config = stage.config
    if config.vocode.vocoder != "hifigan":
        griffin_lim = GriffinLim(mel_filter_bank(config.mel), config.mel, config.vocode)
        return griffin_lim if config.vocode.vocoder == "griffin_lim" else Pulses(griffin_lim, config.vocode.pitch_hz)
    checkpoint, config_file = stage.files["checkpoint"]
    shape = read_hifigan_config(config_file, config.mel)
    # Griffin-Lim should not wait for torch.
    import torch

    from pipeline.model.device import device_of
    from pipeline.vocoder.hifigan import HifiGan

    torch.set_num_threads(1)
    # A piece is a few seconds of sound, and may take as long on a CPU.
    watched = partial(stage.progress, what="pieces of sound")
    return HifiGan(checkpoint, shape, device_of(stage.options["accelerator"]), watched)


def _true_sound(path: Path, block: PredictedBlock, hop_length: int) -> Wave:
    start = block.start * hop_length
    with open_aligned(path) as aligned:
        return aligned.read(within(block.recording, "audio/data"), start, start + len(block.time_s) * hop_length)


def _write_block(folder: Path, block: PredictedBlock, sounds: dict[str, Wave], info: AlignedInfo, grid: MelGrid) -> int:
    """The sounds of a block and of its words; returns how many words there are."""
    name, rate_hz = f"{block.recording}_{block.start}", grid.sample_rate_hz
    sounds = _write_wavs(folder, name, sounds, rate_hz)
    words = list(_words(info, block, 1 / grid.frame_rate_hz))
    for word, start_s, stop_s in words:
        cut = {kind: excerpt(sound, rate_hz, start_s, stop_s) for kind, sound in sounds.items()}
        _write_wavs(folder, f"{name}_{word}", cut, rate_hz)
    return len(words)


def _words(info: AlignedInfo, block: PredictedBlock, frame_s: float) -> Iterator[tuple[str, float, float]]:
    """Name, start and stop [s from the block's start] of each event that starts in the block and lasts."""
    for number, event in enumerate(info.listed_events()):
        if block.time_s[0] <= event.onset_s <= block.time_s[-1] and event.duration_s > 0:
            readable = "".join(c if c.isalnum() or c in "-_" else "_" for c in event.label)[:LABEL_CHARACTERS]
            start_s, stop_s = (t_s - block.start * frame_s for t_s in (event.onset_s, event.end_s))
            yield f"word{number:03d}_{readable}", start_s - WORD_MARGIN_S, stop_s + WORD_MARGIN_S


def _write_wavs(folder: Path, name: str, sounds: dict[str, Wave], rate_hz: int) -> dict[str, Wave]:
    """One file of 16 bit for each kind; returns the sounds as they were written, equally loud."""
    matched = equally_loud(sounds, rate_hz)
    for kind, sound in matched.items():
        (folder / f"{name}_{kind}.wav").write_bytes(clipped_wav(sound, rate_hz))
    return matched
