"""Free-running prediction of 10 minutes: batched, four frames a step, against a loop over frames and windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench import subject
from bench.harness import Contender, Figure, Measured, Run

TITLE = "free-running prediction of 10 min (32 channels, windows of 96 frames every 24)"
CHANNELS, FRAMES, HOP = 32, 51680, 24
#: The loop predicts a tenth and its time counts ten times: it takes window after window.
SHARE = 10


def prepare(work: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(work / "features.npy", rng.standard_normal((FRAMES, CHANNELS), np.float32))


def ours(work: Path) -> Run:
    import torch

    from pipeline.model.inference import predict_continuous
    from pipeline.model.network import Seq2Seq

    torch.manual_seed(0)
    features, model = np.load(work / "features.npy"), Seq2Seq(subject.architecture(CHANNELS))
    return lambda: predict_continuous(model, features, 0, FRAMES, HOP).mel


def loop(work: Path) -> Run:
    import torch

    from bench.tacotron import PerFrameModel

    torch.manual_seed(0)
    a = subject.architecture(CHANNELS)
    features = torch.from_numpy(np.load(work / "features.npy"))
    model = PerFrameModel(a).eval()

    def run() -> None:
        with torch.inference_mode():
            for start in range(a.context_frames, FRAMES // SHARE - a.length_frames, HOP):
                model(features[None, start - a.context_frames : start + a.length_frames + a.context_frames])

    return run


def judge(m: Measured) -> list[Figure]:
    faster = SHARE * m.faster("ours", "loop over frames, a tenth")
    return [
        Figure("times faster than the loop over frames", faster, ">=", 10.0),
        Figure("seconds of brain signal predicted per second", 600 / m["ours"].cpu),
    ]


CONTENDERS = (Contender("ours", ours), Contender("loop over frames, a tenth", loop))
