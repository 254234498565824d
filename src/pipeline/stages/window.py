"""The index of windows, blocks and seen samples of one subject, all folds."""

from __future__ import annotations

from pipeline.artifacts.aligned import aligned_trials
from pipeline.artifacts.windows import write_windows
from pipeline.config.window import WindowStage
from pipeline.data.windowing import window_index
from pipeline.signal.mel_frames import n_frames
from pipeline.stage import Stage


def window(stage: Stage[WindowStage]) -> str:
    config = stage.config
    sessions = {path: aligned_trials(path) for path in stage.files["aligned"]}
    infos = [info for trials in sessions.values() for info in trials if info.has_audio]
    windows = window_index(infos, [n_frames(info.n_audio, config.mel) for info in infos], config)
    inputs = [(path, trials[0].content_digest) for path, trials in sessions.items()]
    write_windows(stage.file("output"), windows, stage.provenance(inputs))
    counts = " / ".join(str(len(windows.of(0, role))) for role in ("train", "validation", "test"))
    return f"windows of fold 0: {counts} train / validation / test → {stage.file('output')}"
