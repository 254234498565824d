"""Opening an HDF5 file to read, of whatever origin: no filter is loaded from outside.

HDF5 loads the code of any filter that a file names, for data and for a group's links, from the folders of
``HDF5_PLUGIN_PATH``.  ``pipeline/__init__.py`` switches that off for whoever imports this package before h5py; here the
folders are taken away for everybody else.
"""

from __future__ import annotations

from pathlib import Path

import h5py


def open_to_read(path: Path) -> h5py.File:
    """The file, opened without a lock.  Raises OSError where it is no HDF5 file."""
    for _ in range(h5py.h5pl.size()):
        h5py.h5pl.remove(0)
    return h5py.File(path, "r", locking=False)
