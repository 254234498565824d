"""Shuffled training batches of 64 windows of 2 s, 128 channels: slices of one copy in memory against HDF5 per item."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run

TITLE = "shuffled training batches (64 × 2 s × 128 channels), an epoch of 40"
CHANNELS, FRAMES, BANDS, LENGTH, BATCH, N_BATCHES = 128, 155040, 80, 172, 64, 40
HOP, CONTEXT = 24, 26


def prepare(work: Path) -> None:
    """Thirty minutes, as the project's artifact and as arrays."""
    from pipeline.artifacts.aligned import create_aligned
    from pipeline.artifacts.core import Provenance

    rng = np.random.default_rng(0)
    features = rng.standard_normal((FRAMES, CHANNELS), np.float32)
    np.save(work / "features.npy", features)
    np.save(work / "mel.npy", rng.standard_normal((FRAMES, BANDS), np.float32))
    with create_aligned(work / "aligned.h5", Provenance("{}", {}, [])) as writer:
        writer.array("features/data", features, ["time", "channel"], sampling_rate_hz=100.0)


def ours(work: Path) -> Run:

    from pipeline.data.batches import WindowData
    from pipeline.data.training_data import TrainingData

    starts = np.arange(0, FRAMES - LENGTH, HOP)
    windows = np.stack([np.zeros_like(starts), starts], axis=1)
    arrays = [np.load(work / "features.npy")], [np.load(work / "mel.npy")]
    data = TrainingData(*arrays, [0], windows, windows[:64], LENGTH, context=0)
    loaders = WindowData(data, BATCH, N_BATCHES, 0)

    def run() -> None:
        for batch in loaders.train_dataloader():
            assert batch["features"].shape == (BATCH, LENGTH, CHANNELS)

    return run


def plain_slices(work: Path) -> Run:
    """What memory allows: the same slices of the same two arrays, copied into new ones."""
    features, mel = np.load(work / "features.npy"), np.load(work / "mel.npy")
    rng = np.random.default_rng(0)

    def run() -> None:
        for _ in range(N_BATCHES):
            starts = rng.integers(0, FRAMES - LENGTH, BATCH)
            for array in (features, mel):
                batch = np.empty((BATCH, LENGTH, array.shape[1]), np.float32)
                for row, start in zip(batch, starts, strict=True):
                    row[:] = array[start : start + LENGTH]

    return run


def per_item(work: Path) -> Run:
    """A data set that reads each window from HDF5, in a DataLoader with two workers."""
    import h5py
    import torch
    from torch.utils.data import DataLoader, Dataset

    mel = np.load(work / "mel.npy", mmap_mode="r")

    class Windows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
        file: h5py.File | None = None

        def __len__(self) -> int:
            return BATCH * N_BATCHES

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            if self.file is None:
                self.file = h5py.File(work / "aligned.h5")
            start = index * 59 % (FRAMES - LENGTH)
            rows = self.file["features/data"][start : start + LENGTH]
            return torch.from_numpy(rows), torch.from_numpy(np.array(mel[start : start + LENGTH]))

    def run() -> None:
        for batch in DataLoader(Windows(), BATCH, shuffle=True, num_workers=2):
            assert batch[0].shape == (BATCH, LENGTH, CHANNELS)

    return run


def judge(m: Measured) -> list[Figure]:
    continuous = FRAMES * CHANNELS * 4
    overlapping = (FRAMES - LENGTH) // HOP * (LENGTH + 2 * CONTEXT) * CHANNELS * 4
    size = (m.work / "aligned.h5").stat().st_size
    per_s = BATCH * N_BATCHES / m["ours"].cpu
    return [
        Figure("times faster than HDF5 per item, 2 workers", m.faster("ours", "HDF5 per item"), ">=", 10.0),
        Figure("speed over plain slices in memory", m.faster("ours", "plain slices"), ">=", 0.75),
        Figure("windows per second", per_s),
        Figure("artifact over the continuous features, bytes", size / continuous, "<=", 1.05),
        Figure("artifact over materialised windows, bytes", size / overlapping, "<=", 1 / 3),
    ]


CONTENDERS = (Contender("ours", ours), Contender("HDF5 per item", per_item), Contender("plain slices", plain_slices))
