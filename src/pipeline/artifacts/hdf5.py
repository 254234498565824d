"""Opening an HDF5 file to read, of whatever origin: no filter is loaded from outside.

HDF5 loads the code of any filter that a file names, for data and for a group's links, from the folders of
``HDF5_PLUGIN_PATH``.  ``pipeline/__init__.py`` switches that off for whoever imports this package before h5py; here the
folders are taken away for everybody else.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py

#: What gzip saves at most, and the size up to which an array may be made of nothing [bytes].
MOST_SAVED, SMALL_BYTES = 1100, 1 << 28


def open_to_read(path: Path) -> h5py.File:
    """The file, opened without a lock.  Raises OSError where it is no HDF5 file."""
    for _ in range(h5py.h5pl.size()):
        h5py.h5pl.remove(0)
    return h5py.File(path, "r", locking=False)


def is_there(dataset: Any) -> bool:
    """Whether a dataset (by identifier) stores as much as it declares: a few bytes may declare petabytes."""
    size = math.prod(dataset.shape or (1,)) * dataset.dtype.itemsize
    return size <= max(SMALL_BYTES, MOST_SAVED * dataset.get_storage_size())


def has_other_names(item: Any) -> bool:
    """Whether a group or array (by identifier) has more names than one.

    Such links make cycles of groups, and an array in place of another whose checksums are right.
    """
    return bool(h5py.h5o.get_info(item).rc > 1)
