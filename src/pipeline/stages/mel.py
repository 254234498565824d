"""The continuous log-mel spectrogram of one recording, computed once."""

from __future__ import annotations

import numpy as np

from pipeline.artifacts.aligned import open_aligned
from pipeline.artifacts.mel import write_mel
from pipeline.config.mel import MelStage
from pipeline.signal.blocks import array_reader
from pipeline.signal.mel import log_mel_blocks
from pipeline.signal.mel_frames import frame_times_s, n_frames
from pipeline.stage import Stage


def mel(stage: Stage[MelStage]) -> str:
    config = stage.config.mel
    with open_aligned(stage.file("aligned")) as aligned:
        sound = aligned.dataset("audio/data")
        frames = n_frames(len(sound), config)
        write_mel(
            stage.file("output"),
            log_mel_blocks(array_reader(sound), len(sound), config),
            frame_times_s(frames, config),
            np.array(config.band_edges_hz()[1:-1]),
            {
                "recording": aligned.attribute("recording"),
                "simulated": aligned.attribute("simulated"),
                "frame_rate_hz": config.frame_rate_hz,
                "flavor": config.flavor,
                "log_floor": config.log_floor,
            },
            stage.provenance([(stage.file("aligned"), aligned.content_digest)]),
        )
    return f"mel ({frames}, {config.n_mels}) → {stage.file('output')}"
