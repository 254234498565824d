"""Windows as batches for the network: whole batches sliced out of arrays in memory.

A batch is a dict of tensors: ``features`` (batch, (length + 2 context) * m, channel) raw,
``mel`` (batch, length, band) [nats], ``mask`` (batch, length) true where the frame
exists, ``subject`` (batch,), ``window`` (batch, 2): recording index and start frame.
Order and jitter of an epoch's windows depend on (seed, epoch) alone.

Instead of a data set that reads each item from HDF5 in two worker processes: 38 times as fast
(docs/benchmarks.md).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline.data.training_data import TrainingData
from pipeline.signal.frame_power import edge_rows

Array = NDArray[np.float32]
Batch = dict[str, Tensor]
Window = tuple[int, int]


#: Of a GPU's free memory, what the data may take; the network and its activations need the rest.
RESIDENT_SHARE = 0.5


class WindowSet(Dataset[Batch]):
    """Slices batches of windows out of one concatenated copy of all recordings.

    Each recording is padded by its edge frames (:func:`edge_rows`), so that a window with its
    context is always a plain slice.
    """

    def __init__(self, data: TrainingData, ridge_mel: Sequence[Array] = ()) -> None:
        self.length, self.m = data.length, data.rows_per_frame
        self.rows_per_window = (data.length + 2 * data.context) * data.rows_per_frame
        pads = [(data.context, data.context + max(0, data.length - len(mel)) + data.length) for mel in data.mel]
        self.features = _concatenate_padded(data.features, pads, self.m, data.n_channels)
        self.mel = _concatenate_padded(data.mel, pads, 1, data.mel[0].shape[1])
        self.ridge_mel = _concatenate_padded(ridge_mel, pads, 1, self.mel.shape[1]) if ridge_mel else None
        sizes = np.asarray([len(m) + sum(p) for m, p in zip(data.mel, pads, strict=True)])
        self.first_frame = torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)[:-1]]))
        self.n_frames = torch.tensor(data.ends)
        self.subject = torch.tensor(data.subject)
        self.context = data.context
        self.memory = ReusedMemory()

    def to(self, device: torch.device) -> None:
        """Move everything to a device, so that no batch crosses the bus; a GPU with too little room is left alone."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        needed = sum(value.nbytes for value in tensors.values())
        if device.type == "cuda" and needed > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            return
        for name, value in tensors.items():
            setattr(self, name, value.to(device))

    def __getitems__(self, windows: list[Window]) -> Batch:
        table = torch.tensor(windows, device=self.mel.device)
        recording, start = table[:, 0], table[:, 1]
        padded = self.first_frame[recording] + start
        frames = torch.arange(self.length, device=self.mel.device)
        batch = {
            "features": self._slices(self.features, padded * self.m, self.rows_per_window),
            "mel": self._slices(self.mel, padded + self.context, self.length),
            "mask": start[:, None] + frames < self.n_frames[recording][:, None],
            "subject": self.subject[recording],
            "window": table,
        }
        if self.ridge_mel is not None:
            batch["ridge_mel"] = self._slices(self.ridge_mel, padded + self.context, self.length)
        return batch

    def __getitem__(self, window: Window) -> Batch:
        return self.__getitems__([window])

    def _slices(self, rows: Tensor, starts: Tensor, length: int) -> Tensor:
        """``rows[start : start + length]`` for each start, (start, length, column).

        As one selection from the overlapping slices seen as long rows: 2.5 times as fast as an index of every row.
        """
        width = rows.shape[1]
        overlapping = rows.as_strided((len(rows) - length + 1, length * width), (width, 1))
        if rows.device.type != "cpu":
            return overlapping.index_select(0, starts).view(-1, length, width)
        out = self.memory.tensor((len(starts), length * width))
        return torch.index_select(overlapping, 0, starts, out=out).view(-1, length, width)


class ReusedMemory:
    """Memory for batches, used again once no tensor refers to it.

    The allocator gives a batch's megabytes back to the system and takes them again, page by page, for the next one:
    half of the time of a batch.
    """

    def __init__(self) -> None:
        self.arrays: list[Array] = []

    def tensor(self, shape: tuple[int, ...]) -> Tensor:
        """Float32 of a shape, on the CPU, its values undefined."""
        for array in self.arrays:
            # Held by the list, this loop and the call: a tensor made from it, or a view of that, would hold it as well.
            if array.shape == shape and sys.getrefcount(array) == 3:
                return torch.from_numpy(array)
        self.arrays.append(np.empty(shape, np.float32))
        return torch.from_numpy(self.arrays[-1])


def _concatenate_padded(arrays: Sequence[Array], pads: Sequence[tuple[int, int]], m: int, width: int) -> Tensor:
    """All recordings one after another, (row, width), edges repeated by pads * m rows, columns zero-filled."""
    parts = []
    for array, (before, after) in zip(arrays, pads, strict=True):
        part = array[edge_rows(np.arange(-before * m, len(array) + after * m), 0, len(array), m)]
        parts.append(np.pad(part, ((0, 0), (0, width - array.shape[1]))))
    return torch.from_numpy(np.concatenate(parts).astype(np.float32, copy=False))


class EpochOrder(Sampler[Window]):
    """Training windows of one epoch: random order, random shift within the trained stretch.

    A window may start anywhere up to its right neighbour's start when the two touch or
    overlap: every such window lies under trained frames, so the purge gaps stay clean.
    An epoch is ``n_draws`` windows, whatever the amount of data.  Process ``rank`` of
    ``n_ranks`` gets its share of each batch; the first ``skip`` windows of the next epoch are
    passed over, since an interrupted run has seen them.
    """

    def __init__(self, windows: NDArray[np.int64], length: int, n_draws: int, seed: int) -> None:
        order = np.lexsort((windows[:, 1], windows[:, 0]))
        self.windows = windows[order]
        self.n_draws, self.seed, self.epoch = n_draws, seed, 0
        self.rank, self.n_ranks, self.skip = 0, 1, 0
        gap = np.diff(self.windows[:, 1], append=0)
        same = np.diff(self.windows[:, 0], append=-1) == 0
        self.room = np.where(same & (gap <= length), np.maximum(gap, 1), 1)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch with the number of epochs done."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_draws // self.n_ranks

    def __iter__(self) -> Iterator[Window]:
        rng = np.random.default_rng([self.seed, self.epoch])
        rounds = -(-self.n_draws // len(self.windows))
        index = np.concatenate([rng.permutation(len(self.windows)) for _ in range(rounds)])[: self.n_draws]
        shift = rng.integers(0, self.room[index])
        starts = self.windows[index, 1] + shift
        own = slice(self.skip + self.rank, None, self.n_ranks)
        self.skip = 0
        yield from zip(self.windows[index[own], 0].tolist(), starts[own].tolist(), strict=True)


class WindowData(LightningDataModule):
    """Train and validation loaders over one :class:`WindowSet`, without worker processes."""

    def __init__(
        self,
        data: TrainingData,
        batch_size: int,
        steps_per_epoch: int,
        seed: int,
        ridge_mel: Sequence[Array] = (),
    ) -> None:
        super().__init__()
        self.windows = WindowSet(data, ridge_mel)
        self.order = EpochOrder(data.train, data.length, batch_size * steps_per_epoch, seed)
        self.val = [tuple(w) for w in data.val.tolist()]
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        self.windows.to(self.trainer.strategy.root_device)
        self.order.rank, self.order.n_ranks = self.trainer.global_rank, self.trainer.world_size

    def train_dataloader(self) -> DataLoader[Batch]:
        if self.trainer is not None:
            done = self.trainer.fit_loop.epoch_loop.batch_progress.current.completed % self.steps_per_epoch
            self.order.skip = done * self.batch_size
        return DataLoader(
            self.windows, self.batch_size // self.order.n_ranks, sampler=self.order, collate_fn=_whole_batch
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """All windows in every process, so that each has the same figures to stop by."""
        batch = 64 if self.windows.mel.device.type == "cpu" else 1024
        return DataLoader(self.windows, batch, sampler=self.val, collate_fn=_whole_batch)


def _whole_batch(batch: Any) -> Batch:
    """The data set has already made the batch."""
    return cast(Batch, batch)
