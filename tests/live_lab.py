"""A simulated session and a model with random weights for it, which tests of live use and of export share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conftest import snakemake
from pipeline.artifacts.aligned import AlignedInfo, aligned_trials, feature_columns
from pipeline.artifacts.recording import open_recording
from pipeline.artifacts.trials import within
from pipeline.config.base import pick
from pipeline.config.ensemble import ModelSettings
from pipeline.config.loader import load_config
from pipeline.config.mel import MelConfig
from pipeline.data.spans import covered_frames
from pipeline.data.subject import normalised_features, rows_per_frame
from pipeline.live.decoder import Clock, LiveDecoder
from pipeline.live.montage import Montage
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous
from pipeline.model.model_file import save_model
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture

SESSION = "sim01_run01"
SCALE = 1e-4  # largest difference of mels that count as equal, as a share of their standard deviation
VARIANTS: dict[str, dict[str, Any]] = {
    "envelope, running normalisation": {
        "align": {
            "features": [{"kind": "band_envelope", "bands": [[70, 170]], "log": True}, {"kind": "low_pass"}],
            "reference": "car",
        },
        "train": {"normalisation": "causal_running"},
    },
    "raw signal": {"align": {"features": [{"kind": "signal"}], "feature_rate_hz": 260}},
}


def random_model(names: list[str], rows: list[np.ndarray], info: AlignedInfo, config: ModelSettings) -> Ensemble:
    """A causal model of two networks and a ridge, normalised by the rows (row, column) of trials like ``info``."""
    torch.manual_seed(0)
    m, n = rows_per_frame(info.feature_rate_hz, config.mel), len(names)
    a = Architecture(n, 80, 96, 26, rows_per_frame=m, causal=True)
    networks = [Seq2Seq(a).eval(), Seq2Seq(Architecture(**a.as_dict() | {"ridge_skip": False})).eval()]
    for network in networks:
        network.fit_normalisation([torch.from_numpy(np.concatenate(rows))], [torch.randn(500, 80)])
    skip = networks[0].skip
    assert skip is not None
    taps = torch.arange(-26, 1)
    floor = torch.full((n,), 1e-3) if m > 1 else None
    weights = 0.05 * torch.randn(len(taps), n, 80)
    skip.set(0, weights, taps, torch.zeros(80), torch.zeros(n), torch.full((n,), 9.0), floor)
    model = Ensemble.of(networks)
    model.weights.copy_(torch.tensor([0.4, 0.4, 0.2]))
    return model


class Lab:
    """A simulated session of three trials, aligned, and a model with random weights for it."""

    def __init__(self, work: Path, changes: dict[str, Any]) -> None:
        simulate = {"minutes": 0.25, "trials": 3, "trial_s": 5, "channels": 6, "audio_offset_s": 0.137}
        config = {"simulate": simulate, "causal": True, **changes}
        (work / "config.json").write_text(json.dumps(config))
        self.work = work
        self.aligned = work / "results/aligned" / f"{SESSION}.h5"
        done = snakemake(work, f"results/aligned/{SESSION}.h5", "--notemp", config=work / "config.json")
        assert done.returncode == 0, done.stdout[-3000:]
        self.recording = work / "results/recordings" / f"{SESSION}.h5"
        self.config = pick(ModelSettings, load_config([work / "config.json"]))
        self.names = feature_columns(self.aligned)
        self.trials = aligned_trials(self.aligned)
        self.model = random_model(self.names, self.offline_rows(), self.trials[0], self.config)

    def save(self, model: Ensemble, **config: Any) -> Path:
        """The file of a model, as if this session had been in its training."""
        recordings = [t.recording for t in self.trials]
        settings = self.config.model_copy(update=config).model_dump(mode="json")
        mel = MelConfig().model_dump(mode="json") | settings["mel"]
        meta = {
            "subjects": ["sim01"], "feature_names": {"sim01": self.names}, "recordings": recordings,
            "config": settings, "hop_frames": 8, "simulated": True, "fold": 0, "variant": "full", "preset": "tiny",
            "mel": mel, "feature_rate_hz": {"sim01": self.trials[0].feature_rate_hz},
        }  # fmt: skip
        save_model(self.work / "model.ckpt", model, meta)
        return self.work / "model.ckpt"

    def offline_rows(self) -> list[np.ndarray]:
        n_frames = {info.recording: covered_frames(info, self.config.mel)[1] for info in self.trials}
        return normalised_features(self.aligned, self.names, n_frames, self.config)

    def offline(self) -> Iterator[np.ndarray]:
        """The offline prediction of each trial, from its first frame with brain signal to its last."""
        for info, rows in zip(self.trials, self.offline_rows(), strict=True):
            yield predict_continuous(self.model, rows, *covered_frames(info, self.config.mel), 24).mel

    def samples(self, info: AlignedInfo) -> np.ndarray:
        with open_recording(self.recording) as recording:
            return recording.read(within(info.recording, "eeg/data"))

    def decoder(self, info: AlignedInfo) -> LiveDecoder:
        montage = Montage.of_session(self.aligned, self.names)
        clock = Clock(info.audio_offset_s, info.audio_drift_ppm, info.first_feature)
        return LiveDecoder(self.model, self.config, montage, clock=clock)


def chunks(n: int, largest: int, rng: np.random.Generator) -> Iterator[slice]:
    start = 0
    while start < n:
        stop = min(n, start + int(rng.integers(1, largest + 1)))
        yield slice(start, stop)
        start = stop
