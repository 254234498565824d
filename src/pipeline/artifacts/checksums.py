"""A checksum of every chunk of an array and of all attributes, checked wherever they are read.

HDF5's own fletcher32 adds up words modulo 65535: a word of zeros that turns into ones goes unnoticed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

#: Attribute of a dataset: CRC-32 of the rows of each chunk, in order.
CHECKSUMS = "chunk_crc32"
#: Attribute of a file or a dataset: CRC-32 of its other attributes.
ATTRIBUTES_CHECKSUM = "attributes_crc32"


def attributes_checksum(values: Mapping[str, Any]) -> int:
    """CRC-32 of attributes as plain values, without that of the checksum itself."""
    others = {name: value for name, value in values.items() if name != ATTRIBUTES_CHECKSUM}
    return zlib.crc32(json.dumps(others, sort_keys=True, default=repr).encode())


class ChunkChecksums:
    """CRC-32 of chunks of ``rows`` rows, of an array that comes block by block."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._done: list[int] = []
        self._crc, self._filled = 0, 0

    def update(self, block: np.ndarray) -> None:
        """The next rows, C-contiguous."""
        start = 0
        while start < len(block):
            stop = min(len(block), start + self.rows - self._filled)
            self._crc = zlib.crc32(block[start:stop].data, self._crc)
            self._filled += stop - start
            start = stop
            if self._filled == self.rows:
                self._end_chunk()

    def values(self) -> np.ndarray:
        """The checksums (chunk,) uint32, once all rows have come."""
        if self._filled:
            self._end_chunk()
        return np.array(self._done, np.uint32)

    def _end_chunk(self) -> None:
        self._done.append(self._crc)
        self._crc, self._filled = 0, 0


class ChunkCheckedDataset(h5py.Dataset):
    """A dataset whose chunks are checked when rows of them are read for the first time.

    Raises ValueError where a chunk is not what was written.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        super().__init__(dataset.id)
        self._rows = self.chunks[0] if self.chunks else 0
        self._expected = self.attrs[CHECKSUMS] if self._rows and CHECKSUMS in self.attrs else np.zeros(0, np.uint32)
        self._checked: set[int] = set()

    def __getitem__(self, *arguments: Any) -> Any:
        if not self._rows:  # nothing in it
            return super().__getitem__(*arguments)
        first, *others = arguments[0] if isinstance(arguments[0], tuple) and arguments[0] else (arguments[0],)
        start, stop = self._span(first)
        chunks = range(start // self._rows, -(-stop // self._rows))
        if self._checked.issuperset(chunks):
            return super().__getitem__(*arguments)
        block = self._checked_rows(chunks)
        if not isinstance(first, slice) or len(arguments) > 1:
            return super().__getitem__(*arguments)
        begin = chunks.start * self._rows
        rows = block[start - begin : stop - begin : first.step]
        return rows[(slice(None), *others)] if others else rows

    def _span(self, rows: Any) -> tuple[int, int]:
        """First row and the one after the last that may be asked for."""
        if isinstance(rows, int | np.integer):
            row = int(rows) % max(1, len(self))
            return row, row + 1
        if isinstance(rows, slice) and (rows.step or 1) > 0:
            start, stop, _ = rows.indices(len(self))
            return start, max(start, stop)
        return 0, len(self)

    def _checked_rows(self, chunks: range) -> np.ndarray:
        """All rows of these chunks, checked."""
        block: np.ndarray = super().__getitem__(slice(chunks.start * self._rows, chunks.stop * self._rows))
        for number, chunk in enumerate(chunks):
            rows = np.ascontiguousarray(block[number * self._rows : (number + 1) * self._rows])
            if chunk >= len(self._expected) or zlib.crc32(rows.data) != self._expected[chunk]:
                raise ValueError(f"checksum of rows from {chunk * self._rows} on")
        self._checked.update(chunks)
        return block
