"""The continuous log-mel spectrogram of each trial of a session, computed once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.artifacts.aligned import open_aligned
from pipeline.artifacts.core import Artifact
from pipeline.artifacts.mel import TrialMel, write_mel
from pipeline.artifacts.trials import trial_rows, within
from pipeline.config.mel import MelConfig, MelStage
from pipeline.signal.blocks import array_reader
from pipeline.signal.mel import log_mel_blocks
from pipeline.signal.mel_frames import frame_times_s, n_frames
from pipeline.stage import Stage


def mel(stage: Stage[MelStage]) -> str:
    config = stage.config.mel
    with open_aligned(stage.file("aligned")) as aligned:
        frames = write_mel(
            stage.file("output"),
            _mels(aligned, config),
            np.array(config.band_edges_hz()[1:-1]),
            {
                "session": aligned.attribute("session"),
                "simulated": aligned.attribute("simulated"),
                "frame_rate_hz": config.frame_rate_hz,
                "flavor": config.flavor,
                "log_floor": config.log_floor,
            },
            stage.provenance([(stage.file("aligned"), aligned.content_digest)]),
        )
    return f"mel ({frames}, {config.n_mels}) → {stage.file('output')}"


def _mels(aligned: Artifact, config: MelConfig) -> Iterator[TrialMel]:
    for row in trial_rows(aligned):
        if row["has_audio"]:
            sound = aligned.rows(within(row["recording"], "audio/data"))
            times_s = frame_times_s(n_frames(len(sound), config), config)
            yield TrialMel(row["recording"], log_mel_blocks(array_reader(sound), len(sound), config), times_s)
