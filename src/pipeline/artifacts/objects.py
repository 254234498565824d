"""Groups, arrays and attributes of a file, by HDF5's own identifiers.

A session has thousands of them: h5py's objects take three times as long to make and to read the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5ds, h5f, h5g, h5p, h5s, h5t

from pipeline.artifacts.checksums import CHECKSUMS

_CHECKSUMS = CHECKSUMS.encode()


def make_group(above: h5g.GroupID, name: str) -> h5g.GroupID:
    """A new group in one that is there."""
    return h5g.create(above, name.encode(), _utf8_links(), _plain_group())


def make_dataset(
    group: h5g.GroupID, name: str, shape: tuple[int, ...], dtype: np.dtype, chunks: tuple[int, ...] | None, gzip: bool
) -> h5d.DatasetID:
    """A new dataset with checksums by HDF5, in ``chunks`` (None: of nothing).

    One of a single chunk goes to the file as it is written, and holds none of it while it is open.
    """
    access = _uncached() if chunks == shape else None
    return h5d.create(group, name.encode(), _type(dtype), _space(shape), _layout(chunks, gzip), _utf8_links(), access)


def open_dataset(file: h5f.FileID, name: str) -> h5d.DatasetID:
    """A dataset that is there, by its whole name, for whole chunks: it keeps none in memory."""
    return h5d.open(file, name.encode(), _uncached())


def write_rows(dataset: h5d.DatasetID, first: int, rows: np.ndarray) -> None:
    """Write rows (C-contiguous, of the dataset's dtype) from the row ``first`` on."""
    into = dataset.get_space()
    into.select_hyperslab((first,) + (0,) * (rows.ndim - 1), rows.shape)
    dataset.write(_space(rows.shape), into, rows, _type(rows.dtype))


def read_single_chunk(file: h5f.FileID, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The values of a dataset that is one chunk, and its attribute of checksums; None for any other."""
    dataset = open_dataset(file, name)
    layout, shape = dataset.get_create_plist(), dataset.shape
    if layout.get_layout() != h5d.CHUNKED or layout.get_chunk() != shape or not h5a.exists(dataset, _CHECKSUMS):
        return None
    values, checksums = np.empty(shape, dataset.dtype), np.empty(1, np.uint32)
    attribute = h5a.open(dataset, _CHECKSUMS)
    if attribute.shape != checksums.shape:
        return None
    attribute.read(checksums)
    dataset.read(h5s.ALL, h5s.ALL, values)
    return values, checksums


def set_attribute(item: h5g.GroupID | h5d.DatasetID, name: str, value: Any) -> Any:
    """A new attribute, returned as it is stored; texts are as :func:`fixed_length` has them."""
    if isinstance(value, str):
        values, kind = _text(value)
    elif isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        values, kind = _text(tuple(value))
    else:
        values = np.asarray(value)
        kind = _type(values.dtype)
    h5a.create(item, name.encode(), kind, _space(values.shape)).write(values, kind)
    return values[()]


def label_axes(dataset: h5d.DatasetID, labels: Sequence[str]) -> None:
    """HDF5's own labels of a dataset's axes."""
    for axis, label in enumerate(labels):
        h5ds.set_label(dataset, axis, label.encode())


def make_scale(scale: h5d.DatasetID, name: str, axes: Sequence[tuple[h5d.DatasetID, int]]) -> None:
    """Make a dataset the dimension scale ``name`` of axes of other datasets."""
    h5ds.set_scale(scale, name.encode())
    for dataset, axis in axes:
        h5ds.attach_scale(dataset, scale, axis)


def fixed_length(values: Any) -> np.ndarray:
    """Texts as fixed-length UTF-8, which have a checksum in HDF5 (variable-length texts do not)."""
    encoded = np.array([str(v).encode("utf-8") for v in np.ravel(values)])
    length = max(1, encoded.dtype.itemsize if encoded.size else 1)
    return encoded.astype(h5py.string_dtype("utf-8", length)).reshape(np.shape(values))


@lru_cache(maxsize=256)
def _text(value: str | tuple[str, ...]) -> tuple[np.ndarray, h5t.TypeID]:
    values = fixed_length(value)
    return values, _type(values.dtype)


def _type(dtype: np.dtype) -> h5t.TypeID:
    # numpy takes texts of all encodings for equal.
    return h5t.py_create(dtype, logical=True) if dtype.kind == "S" else _type_of_numbers(dtype)


@cache
def _type_of_numbers(dtype: np.dtype) -> h5t.TypeID:
    return h5t.py_create(dtype, logical=True)


@lru_cache(maxsize=256)
def _space(shape: tuple[int, ...]) -> h5s.SpaceID:
    return h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)


@lru_cache(maxsize=256)
def _layout(chunks: tuple[int, ...] | None, gzip: bool) -> h5p.PropDCID:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    if chunks is None:
        return properties
    properties.set_chunk(chunks)
    if gzip:
        properties.set_shuffle()
        properties.set_deflate(4)
    properties.set_fletcher32()
    return properties


@cache
def _plain_group() -> h5p.PropGCID:
    properties = h5p.create(h5p.GROUP_CREATE)
    properties.set_obj_track_times(False)
    return properties


@cache
def _uncached() -> h5p.PropDAID:
    properties = h5p.create(h5p.DATASET_ACCESS)
    properties.set_chunk_cache(1, 0, 1.0)
    return properties


@cache
def _utf8_links() -> h5p.PropLCID:
    properties = h5p.create(h5p.LINK_CREATE)
    properties.set_char_encoding(h5t.CSET_UTF8)
    return properties
