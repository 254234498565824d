"""The index of windows, blocks and seen samples of one subject, all folds."""

from __future__ import annotations

from pipeline.artifacts.aligned import aligned_info
from pipeline.artifacts.windows import write_windows
from pipeline.config.window import WindowStage
from pipeline.data.windowing import window_index
from pipeline.errors import raise_if_any
from pipeline.raw.bids import channel_differences
from pipeline.signal.mel_frames import n_frames
from pipeline.stage import Stage


def window(stage: Stage[WindowStage]) -> str:
    config = stage.config
    infos = {path: info for path in stage.files["aligned"] if (info := aligned_info(path)).has_audio}
    raise_if_any(channel_differences({i.recording: i.channels["name"] for i in infos.values()}))
    frames = [n_frames(info.n_audio, config.mel) for info in infos.values()]
    windows = window_index(list(infos.values()), frames, config)
    inputs = [(path, info.content_digest) for path, info in infos.items()]
    write_windows(stage.file("output"), windows, stage.provenance(inputs))
    counts = " / ".join(str(len(windows.of(0, role))) for role in ("train", "validation", "test"))
    return f"windows of fold 0: {counts} train / validation / test → {stage.file('output')}"
