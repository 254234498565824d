"""HDF5 files of unknown origin: nothing outside the file is opened, no foreign filter is loaded.

NWB and MATLAB 7.3 files are HDF5.  What is read is looked up part by part: a link to another file,
storage outside, a virtual data set or a filter that HDF5 itself lacks ends with an InputError.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.artifacts.core import ALLOWED_FILTERS
from pipeline.artifacts.hdf5 import is_there, open_to_read
from pipeline.config.checks import file_problem
from pipeline.errors import InputError, Problem

_DEEPEST = 16
UNEXPECTED = (RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, MemoryError)


class GuardedFile:
    """An HDF5 file opened for reading.  Also a context manager."""

    def __init__(self, path: Path) -> None:
        problem = file_problem(path, str(path), "")
        if problem:
            raise InputError(problem)
        self.path = path
        try:
            self.file = open_to_read(path)
        except OSError as error:
            raise self.refused("", f"unreadable HDF5 ({str(error)[:80]})", "an HDF5 file", "Copy it again.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.close()
        # h5py's own errors of what cannot be decoded have no number, unlike those of the system; the others come of
        # arrays of another shape or type than their place in the file promises.
        if isinstance(error, UNEXPECTED) or (isinstance(error, OSError) and error.errno is None):
            raise self.refused("", f"damaged HDF5 ({str(error)[:80]})", "readable data", "Copy it again.") from None

    def refused(self, where: str, got: str, expected: str, fix: str) -> InputError:
        return InputError(Problem(str(self.path), where, got, expected, fix))

    def get(self, name: str, depth: int = 0) -> h5py.Group | h5py.Dataset | None:
        """The group or data set of a path within the file, None where there is none.  Raises InputError."""
        item: Any = self.file
        for part in filter(None, name.split("/")):
            if not isinstance(item, h5py.Group) or part not in item:
                return None
            link = item.get(part, getlink=True)
            if isinstance(link, h5py.ExternalLink) or depth > _DEEPEST:
                raise self.refused(name, "a link to another file", "data in this file", "Export one whole file.")
            if isinstance(link, h5py.SoftLink):
                target = link.path if link.path.startswith("/") else f"{item.name}/{link.path}"
                item = self.get(target, depth + 1)
            else:
                item = item[part]
        if isinstance(item, h5py.Dataset):
            self._check(item)
        return item

    def dataset(self, name: str) -> h5py.Dataset | None:
        """The data set of that path."""
        found = self.get(name)
        return found if isinstance(found, h5py.Dataset) else None

    def _check(self, dataset: h5py.Dataset) -> None:
        plist = dataset.id.get_create_plist()
        outside = plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count()
        if outside:
            raise self.refused(dataset.name, "data in other files", "data in this file", "Export one whole file.")
        if not is_there(dataset.id):
            raise self.refused(dataset.name, "an array that is not stored", "data in this file", "Export it again.")
        filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
        if not filters <= ALLOWED_FILTERS:
            got = f"HDF5 filter {sorted(filters - ALLOWED_FILTERS)}"
            raise self.refused(dataset.name, got, "gzip or no compression", "Save it again with gzip.")

    def groups(self) -> Iterator[h5py.Group]:
        """Every group that is really in the file, once, each before its own."""
        pending, seen = [self.file], {h5py.h5o.get_info(self.file.id).addr}
        while pending:
            group = pending.pop()
            if group is not self.file:
                yield group
            own = [group[n] for n in group if isinstance(group.get(n, getlink=True), h5py.HardLink)]
            for item in reversed([item for item in own if isinstance(item, h5py.Group)]):
                if (address := h5py.h5o.get_info(item.id).addr) not in seen:
                    seen.add(address)
                    pending.append(item)

    def rows(self, data: h5py.Dataset, time_axis: int = 0) -> Any:
        """What reads samples ``start`` to ``stop`` of ``data`` as (samples, channels)."""

        def read(start: int, stop: int) -> npt.NDArray[Any]:
            try:
                block = data[start:stop] if time_axis == 0 else data[:, start:stop].T
            except (OSError, RuntimeError) as error:
                got = f"damaged data ({str(error)[:80]})"
                raise self.refused(data.name, got, "readable data", "Copy the file again.") from None
            return np.asarray(block).reshape(stop - start, -1)

        return read
