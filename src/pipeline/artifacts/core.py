"""Reading and writing of artifacts: atomic writes, checked reads, digests.

An artifact is one HDF5 file.  Its arrays carry dimension labels, units and
rates; its root carries ``schema``, ``schema_version``, ``stage``,
``config_json``, ``code_fingerprint``, ``inputs``, ``output`` (the path it was
written for), ``versions``, ``content_digest``, ``attributes_crc32`` and ``complete``, and further
attributes of its kind.

Writing goes to a temporary file in the same folder that replaces the final
path in one step, so a reader sees the old file or the new one, never a part.
Reading refuses a file that is incomplete, has another schema, was written for
another place in ``results/``, or refers to other files (external links or
storage, virtual sources, foreign filters).
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g

from pipeline.artifacts import objects, versions
from pipeline.artifacts.checksums import (
    ATTRIBUTES_CHECKSUM,
    CHECKSUMS,
    ChunkCheckedDataset,
    ChunkChecksums,
    attributes_checksum,
)
from pipeline.artifacts.files import are_inputs, atomic_path, is_digest, require_space
from pipeline.artifacts.hdf5 import has_other_names, is_there, open_to_read
from pipeline.artifacts.paths import RESULTS, is_own_place
from pipeline.errors import InputError, Problem

SCHEMA_PREFIX = "seeg-to-audio/"
PROVENANCE = ("stage", "config_json", "code_fingerprint", "inputs", "output", "versions")
#: The root attribute with the columns of each table, as JSON.
TABLES = "tables"
MISSING = "no such file"
RESERVED = ("schema", "schema_version", *PROVENANCE, "content_digest", "complete", TABLES, ATTRIBUTES_CHECKSUM)
CHUNK_BYTES = 1 << 19
BLOCK_BYTES = 1 << 24
#: Short arrays of an artifact that are kept once they are read: a trial's brain and sound.
KEPT = 2
ALLOWED_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
# Metadata of version 1.10 have checksums: a flipped bit in them is an error, not another value.
LIBVER = ("v110", "v110")
#: Labels of a dataset's axes.  HDF5's own labels, which viewers display, have no checksum, and a flipped bit in
#: #: them crashes the process that reads them: they are written and never read.
DIMENSIONS = "dimensions"
#: What the root attribute with the digest of a group ends with.
PART = "_digest"


@dataclass(frozen=True)
class Schema:
    """Name and version of one kind of artifact, and the stage that makes it."""

    kind: str
    version: int
    stage: str

    @property
    def name(self) -> str:
        return SCHEMA_PREFIX + self.kind


@dataclass(frozen=True)
class Provenance:
    """Config, code and inputs that an artifact was made from; not part of its content digest.

    ``inputs`` are pairs of a path relative to the working directory and the
    sha256 of its content (of the bytes for a raw file, of the arrays for an
    artifact).  ``output`` is the path that the stage was given to write, empty where no stage writes.
    ``check`` is called before anything is published, and may raise.  ``plugins`` are the versions of their
    distributions.
    """

    config_json: str = "{}"
    code: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[tuple[str, str]] = ()
    output: str = ""
    check: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
    plugins: Mapping[str, str] = field(default_factory=dict)


class StreamedArray:
    """A dataset that is filled block by block along its first axis; ``attributes`` are its own.

    It is open only while it is filled: an open one takes 20 KB, and a session has thousands.
    """

    def __init__(
        self,
        writer: ArtifactWriter,
        name: str,
        dataset: h5d.DatasetID,
        shape: tuple[int, ...],
        dtype: np.dtype,
        chunk_rows: int,
        attributes: Mapping[str, Any],
    ) -> None:
        self.file, self.folder, self.name, self.attributes = writer.file, writer.folder, name, attributes
        self.shape, self.dtype, self.length = shape, dtype, shape[0]
        self.nbytes = math.prod(shape) * dtype.itemsize
        self.filled = 0
        self._open: h5d.DatasetID | None = dataset
        self._chunk_rows = chunk_rows
        self._parts: list[np.ndarray] = []
        self.hash, self.checksums = hashlib.sha256(), ChunkChecksums(chunk_rows)

    @property
    def id(self) -> h5d.DatasetID:
        """The dataset's identifier in HDF5."""
        return self._open or objects.open_dataset(self.file.id, self.name)

    @property
    def dataset(self) -> h5py.Dataset:
        return h5py.Dataset(self.id)

    def append(self, block: np.ndarray) -> None:
        """Append ``block``, cast to the dataset's dtype."""
        block = np.ascontiguousarray(block, dtype=self.dtype)
        stop = self.filled + len(block)
        if stop > self.length:
            raise ValueError(f"{self.name}: {stop} rows do not fit into {self.length}")
        if not len(block):
            return
        if len(block) < self.length:  # else the space was looked at as the dataset was made
            require_space(self.folder, block.nbytes)
        self.hash.update(block.data)
        self.checksums.update(block)
        self._write(block)
        self.filled = stop
        if stop == self.length:
            self._end()

    def _write(self, block: np.ndarray) -> None:
        """Write the block, or a single chunk once it is whole: HDF5 would read and check it again for each block."""
        assert self._open is not None
        if self._chunk_rows < self.length:
            objects.write_rows(self._open, self.filled, block)
            return
        whole = len(block) == self.length
        self._parts.append(block if whole else block.copy())
        if self.filled + len(block) == self.length:
            objects.write_rows(self._open, 0, block if whole else np.concatenate(self._parts))
            self._parts = []

    def _end(self) -> None:
        assert self._open is not None
        objects.set_attribute(self._open, CHECKSUMS, self.checksums.values())
        if self._chunk_rows < self.length:
            self._open.flush()  # where the disk is full, an error: closing would swallow it
        self._open = None

    def rehash(self) -> None:
        """Compute digest and checksums again from the dataset, after it was changed in place."""
        self.hash, self.checksums = hashlib.sha256(), ChunkChecksums(self._chunk_rows)
        for block in _blocks(self.dataset):
            self.hash.update(block.data)
            self.checksums.update(block)
        self.dataset.attrs.modify(CHECKSUMS, self.checksums.values())


class ArtifactWriter:
    """Fills one artifact; made by :func:`create`."""

    def __init__(self, file: h5py.File, schema: Schema) -> None:
        self.file = file
        self.schema = schema
        self.folder = Path(file.filename).parent
        self._groups: dict[str, h5g.GroupID] = {"": h5g.open(file.id, b"/")}
        self._streams: dict[str, StreamedArray] = {}
        self._unfilled: list[StreamedArray] = []
        self._reserved = 0
        self._tables: set[str] = set()

    def attributes(self, **values: Any) -> None:
        """Root attributes that belong to the content; ``None`` is left out."""
        for name, value in values.items():
            if name in RESERVED:
                raise ValueError(f"{name} is a reserved attribute")
            if value is not None:
                objects.set_attribute(self._group(""), name, value)

    def stream(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: Any,
        dims: Sequence[str],
        *,
        gzip: bool = False,
        **attributes: Any,
    ) -> StreamedArray:
        """A dataset to be filled by :meth:`StreamedArray.append`.

        ``dims`` labels the axes; ``attributes`` become the dataset's own
        (``units``, ``sampling_rate_hz``, ...), ``None`` left out.
        """
        shape, dtype = tuple(map(int, shape)), np.dtype(dtype)
        self._require_space(math.prod(shape) * dtype.itemsize)
        chunks = _chunk_shape(shape, dtype) if all(shape) else None
        folder, _, own_name = name.rpartition("/")
        dataset = objects.make_dataset(self._group(folder), own_name, shape, dtype, chunks, gzip)
        objects.label_axes(dataset, dims)
        own = {DIMENSIONS: list(dims)} | {key: value for key, value in attributes.items() if value is not None}
        described = {key: _plain(objects.set_attribute(dataset, key, value)) for key, value in own.items()}
        objects.set_attribute(dataset, ATTRIBUTES_CHECKSUM, attributes_checksum(described))
        stream = StreamedArray(self, f"/{name}", dataset, shape, dtype, chunks[0] if chunks else 1, described)
        self._streams[stream.name] = stream
        self._unfilled.append(stream)
        self._reserved += stream.nbytes
        return stream

    def array(self, name: str, values: np.ndarray, dims: Sequence[str], **attributes: Any) -> None:
        """A whole dataset at once."""
        values = np.asarray(values)
        self.stream(name, values.shape, values.dtype, dims, **attributes).append(values)

    def table(self, group: str, columns: Mapping[str, Sequence[Any] | np.ndarray], dim: str) -> None:
        """A group of equally long columns; texts are stored with a fixed length."""
        self._tables.add(group)
        for name, values in columns.items():
            self.array(f"{group}/{name}", _column(values), [dim])

    def scale(self, name: str, *targets: tuple[str, int]) -> None:
        """Make the dataset ``name`` the dimension scale of axes of other datasets."""
        axes = [(self._streams[f"/{target}"].id, axis) for target, axis in targets]
        objects.make_scale(self._streams[f"/{name}"].id, name.rsplit("/", 1)[-1], axes)

    def rows(self, name: str) -> np.ndarray | h5py.Dataset:
        """A filled array for reading rows back; one of a single chunk is read whole at once."""
        found = objects.read_single_chunk(self.file.id, name)
        return self.file[name] if found is None else found[0]

    def _group(self, name: str) -> h5g.GroupID:
        """A group, made with those above it where it is new."""
        if name not in self._groups:
            above, _, own_name = name.rpartition("/")
            self._groups[name] = objects.make_group(self._group(above), own_name)
        return self._groups[name]

    def _columns(self, group: str) -> list[str]:
        return sorted(name.removeprefix(f"/{group}/") for name in self._streams if name.startswith(f"/{group}/"))

    def _require_space(self, size: int) -> None:
        """For one array more of ``size`` bytes, and for what the others still lack."""
        self._unfilled = [s for s in self._unfilled if s.filled < s.length]
        missing = sum(math.ceil(s.nbytes * (1 - s.filled / s.length)) for s in self._unfilled)
        require_space(self.folder, size + missing, size + self._reserved)

    def _finish(self, provenance: Provenance) -> None:
        for name, stream in self._streams.items():
            if stream.filled != stream.length:
                raise ValueError(f"{name}: {stream.filled} of {stream.length} rows written")
        digests = {
            name: _array_digest(s.shape, s.dtype, s.attributes, s.hash.hexdigest()) for name, s in self._streams.items()
        }
        values = {
            "content_digest": _content_digest(self.schema, _root_attributes(self.file), digests),
            "schema": self.schema.name,
            "schema_version": self.schema.version,
            "stage": self.schema.stage,
            "config_json": provenance.config_json,
            "code_fingerprint": json.dumps(dict(provenance.code), sort_keys=True),
            "inputs": json.dumps(sorted(map(list, provenance.inputs))),
            "output": provenance.output,
            "versions": json.dumps({**versions.installed(), **provenance.plugins}),
            TABLES: json.dumps({group: self._columns(group) for group in sorted(self._tables)}),
            "complete": True,
        }
        for name, value in values.items():
            objects.set_attribute(self._group(""), name, value)
        objects.set_attribute(self._group(""), ATTRIBUTES_CHECKSUM, attributes_checksum(all_attributes(self.file)))


@contextmanager
def create(path: Path, schema: Schema, provenance: Provenance) -> Iterator[ArtifactWriter]:
    """Write the artifact at ``path``: it appears there whole, or not at all."""
    # No lock: no other process opens the temporary file, and some file systems have no locks.
    with atomic_path(Path(path)) as temporary, h5py.File(temporary, "w", libver=LIBVER, locking=False) as file:
        writer = ArtifactWriter(file, schema)
        yield writer
        provenance.check()
        writer._finish(provenance)


class CheckedDataset(ChunkCheckedDataset):
    """A dataset of an artifact that is checked whenever rows of it are read."""

    def __init__(self, dataset: h5py.Dataset, path: Path, stage: str) -> None:
        super().__init__(dataset)
        self._path, self._stage = path, stage

    def __getitem__(self, *rows: Any) -> Any:
        with _damage_named(self._path, str(self.name), self._stage):
            return super().__getitem__(*rows)


class ClosedDataset:
    """A dataset of an artifact that is opened for each read, and holds nothing in memory between.

    The artifact keeps the short ones (:meth:`Artifact.rows`) that were read last.
    """

    def __init__(self, artifact: Artifact, name: str) -> None:
        self._artifact, self._name = artifact, name

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._rows().shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        return self._rows()[rows]

    def _rows(self) -> np.ndarray | CheckedDataset:
        kept = self._artifact.kept
        if self._name in kept:
            return kept[self._name]
        rows = self._artifact.rows(self._name)
        if isinstance(rows, np.ndarray):
            rows.flags.writeable = False
            kept[self._name] = rows
            if len(kept) > KEPT:
                del kept[next(iter(kept))]
        return rows


class Artifact:
    """An opened, checked artifact."""

    def __init__(self, path: Path, file: h5py.File, stage: str) -> None:
        self.path = path
        self.file = file
        self.stage = stage
        self.kept: dict[str, np.ndarray] = {}

    @property
    def content_digest(self) -> str:
        return str(self.attribute("content_digest"))

    def attribute(self, name: str, default: Any = None) -> Any:
        """A root attribute as a plain Python value."""
        with _damage_named(self.path, name, self.stage):
            return _attribute(self.file, name, default)

    def root_attributes(self) -> dict[str, Any]:
        """All attributes of this artifact as plain Python values."""
        with _damage_named(self.path, "attributes", self.stage):
            return _root_attributes(self.file)

    def attributes(self, name: str) -> dict[str, Any]:
        """The own attributes of a dataset (units, rate, ...) as plain Python values."""
        with _damage_named(self.path, name, self.stage):
            own = _own_attributes(self.file[name])
            if self.file[name].attrs.get(ATTRIBUTES_CHECKSUM) != attributes_checksum(own):
                raise ValueError("checksum of the attributes")
            return own

    def datasets(self) -> list[str]:
        """Names of all datasets, from the root."""
        names: list[str] = []
        with _damage_named(self.path, "", self.stage):
            self.file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        return names

    def dimensions(self, name: str) -> tuple[str, ...]:
        """Labels of the axes of a dataset.  Raises :class:`InputError` where it has none."""
        found = self.attributes(name).get(DIMENSIONS)
        if not isinstance(found, list) or len(found) != self.dataset(name).ndim:
            raise _refused(self.path, name, "no labels of its axes", "one for each", self.stage)
        return tuple(found)

    def dataset(self, name: str) -> h5py.Dataset:
        """A dataset for reading in blocks; damaged data raises :class:`InputError` where they are read."""
        with _damage_named(self.path, name, self.stage):
            try:
                dataset = self.file[name]
            except KeyError:
                raise _refused(self.path, name, "nothing", "a dataset", self.stage) from None
            return CheckedDataset(dataset, self.path, self.stage)

    def rows(self, name: str) -> np.ndarray | CheckedDataset:
        """A dataset for reading rows: one of a single chunk is read and checked whole at once."""
        with _damage_named(self.path, name, self.stage):
            found = objects.read_single_chunk(self.file.id, name)
            if found is None:
                return self.dataset(name)
            values, checksums = found
            if zlib.crc32(values.data) != checksums[0]:
                raise ValueError("checksum of rows from 0 on")
            return values

    def closed_dataset(self, name: str) -> ClosedDataset:
        """A dataset as :meth:`dataset` has it that is open only while it is read: for the many of a session."""
        return ClosedDataset(self, name)

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> np.ndarray:
        """An array, or its rows ``start:stop``; damaged data raises :class:`InputError`."""
        dataset = self.dataset(name)
        return np.asarray(dataset[start:stop]) if dataset.shape else np.asarray(dataset[()])

    def name_of_files(self, where: str, name: Any) -> str:
        """An id that becomes part of file names: refused where it is a path."""
        is_name = isinstance(name, str) and Path(name).name == name and name.isprintable()
        if not is_name or name in ("", ".."):
            raise _refused(self.path, where, repr(name)[:80], "an id that is no path", self.stage)
        return name

    def table(self, group: str) -> dict[str, list[Any]]:
        """The columns of a table as lists, texts as ``str``; those that were written, where the file says which."""
        written = self.attribute(TABLES)
        with _damage_named(self.path, group, self.stage):
            names = list(self.file[group]) if group in self.file else []
            if written is not None and sorted(names) != (columns := json.loads(written).get(group, [])):
                raise ValueError(f"columns {', '.join(names)} of {', '.join(columns)}")
        columns = {name: self.read(f"{group}/{name}") for name in names}
        if len(lengths := {len(values) for values in columns.values()}) > 1:
            raise _refused(self.path, group, f"columns of {min(lengths)} to {max(lengths)} rows", "a table", self.stage)
        return {name: _plain(values) for name, values in columns.items()}


@contextmanager
def opened(path: Path, schema: Schema) -> Iterator[Artifact]:
    """Open the artifact at ``path`` for reading after checking its schema.

    Raises :class:`InputError` when it is absent, no HDF5, incomplete, of
    another schema, or refers to other files.
    """
    path = Path(path)
    with _opened_file(path, schema.stage) as file:
        with _damage_named(path, "header", schema.stage):
            _check_header(path, file, schema)
        yield Artifact(path, file, schema.stage)


@contextmanager
def opened_any(path: Path) -> Iterator[Artifact]:
    """Open an artifact of any kind (for inspection and verification)."""
    path = Path(path)
    with _opened_file(path, "that makes it") as file:
        with _damage_named(path, "header", "that makes it"):
            stage = str(_attribute(file, "stage", "that makes it"))
            _check_complete(path, file, stage)
        yield Artifact(path, file, stage)


def recomputed_digest(artifact: Artifact) -> str:
    """The content digest, computed from all arrays of the file."""
    digests: dict[str, str] = {}
    for name in artifact.datasets():
        with _damage_named(artifact.path, name, artifact.stage):
            item = artifact.dataset(name)
            digests["/" + name] = _array_digest(item.shape, item.dtype, _own_attributes(item), _dataset_hash(item))
    kind = str(artifact.attribute("schema")).removeprefix(SCHEMA_PREFIX)
    schema = Schema(kind, int(artifact.attribute("schema_version")), str(artifact.attribute("stage")))
    return _content_digest(schema, artifact.root_attributes(), digests)


def header(path: Path) -> dict[str, Any]:
    """The reserved attributes of a complete artifact, JSON fields decoded; ``parts`` has the digests of its groups."""
    with opened_any(path) as artifact:
        values = {name: artifact.attribute(name) for name in RESERVED}
        own = artifact.root_attributes()
    values |= {"versions": values["versions"] or "{}", "output": values["output"] or ""}  # earlier outputs do not say
    for name in ("code_fingerprint", "inputs", "versions"):
        with _damage_named(path, name, values["stage"]):
            values[name] = json.loads(values[name])
    is_whole = is_digest(values["content_digest"]) and are_inputs(values["inputs"])
    if not (is_whole and isinstance(values["code_fingerprint"], dict)):
        raise _refused(path, "inputs", "digests that are none", "what the artifact was made from", values["stage"])
    values["parts"] = {n.removesuffix(PART): str(v) for n, v in own.items() if n.endswith(PART)}
    return values


def content_digest(path: Path, schema: Schema | None = None) -> str:
    """The recorded content digest of a complete artifact; with ``schema``, of that schema only."""
    with opened(path, schema) if schema else opened_any(path) as artifact:
        return artifact.content_digest


def part_digest(part: Path) -> str:
    """The recorded digest of a group of an artifact, named as ``file.h5/group``.

    Its stage records it as the root attribute ``group_digest``, for readers that depend on nothing else in the file.
    """
    with opened_any(part.parent) as artifact:
        found = artifact.attribute(f"{part.name}{PART}")
        if found is None:
            raise _refused(artifact.path, part.name, "no digest", "the digest of a group", artifact.stage)
        return str(found)


def _chunk_shape(shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    row_bytes = max(1, int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize)
    return (int(np.clip(CHUNK_BYTES // row_bytes, 1, shape[0])), *shape[1:])


def _column(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    is_text = array.dtype.kind in "UO" or (array.size == 0 and isinstance(values, list | tuple))
    return objects.fixed_length(values) if is_text else array


def _plain(value: Any) -> Any:
    """A value from HDF5 as plain Python, texts decoded."""
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.item() if isinstance(value, np.generic) else value


def _attribute(item: h5py.Dataset | h5py.File, name: str, default: Any = None) -> Any:
    return _plain(item.attrs[name]) if name in item.attrs else default


def all_attributes(file: h5py.File) -> dict[str, Any]:
    """The attributes of a file's root as plain Python values."""
    return {name: _plain(file.attrs[name]) for name in file.attrs}


def _root_attributes(file: h5py.File) -> dict[str, Any]:
    return {name: _plain(file.attrs[name]) for name in file.attrs if name not in RESERVED}


SCALE_ATTRIBUTES = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS")


def _own_attributes(dataset: h5py.Dataset) -> dict[str, Any]:
    names = [name for name in dataset.attrs if name not in (*SCALE_ATTRIBUTES, CHECKSUMS, ATTRIBUTES_CHECKSUM)]
    return {name: _plain(dataset.attrs[name]) for name in names}


def _array_digest(shape: tuple[int, ...], dtype: np.dtype, attributes: Mapping[str, Any], bytes_digest: str) -> str:
    described = {
        "dtype": dtype.str,
        "shape": shape,
        "attributes": dict(attributes),
        "bytes": bytes_digest,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _dataset_hash(dataset: h5py.Dataset) -> str:
    """sha256 of a dataset's bytes."""
    digest = hashlib.sha256()
    for block in _blocks(dataset):
        digest.update(block.data)
    return digest.hexdigest()


def _blocks(dataset: h5py.Dataset) -> Iterator[np.ndarray]:
    """The rows of a dataset, a block of whole chunks at a time."""
    row_bytes = max(1, dataset.nbytes // max(1, len(dataset)))
    chunk = dataset.chunks[0] if dataset.chunks else 1
    step = max(1, BLOCK_BYTES // row_bytes // chunk) * chunk
    for start in range(0, len(dataset), step):
        block = np.ascontiguousarray(dataset[start : start + step])
        if block.size:
            yield block


def _content_digest(schema: Schema, attributes: Mapping[str, Any], arrays: Mapping[str, str]) -> str:
    content = {"schema": schema.name, "version": schema.version, "attributes": dict(attributes), "arrays": dict(arrays)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _refused(path: Path, where: str, got: str, expected: str, stage: str) -> InputError:
    """What is wrong with a file; only one among results may be deleted, any other is the user's."""
    fix = f"Name an artifact, an .h5 file of results/, or rerun the stage {stage}"
    if got == MISSING:
        fix = f"Name a file that is there, or rerun the stage {stage}"
    elif RESULTS.name in path.absolute().parts and path.suffix == ".h5":
        fix = f"Delete the file and rerun the stage {stage}"
    return InputError(Problem(str(path), where, got, expected, fix))


@contextmanager
def _opened_file(path: Path, stage: str) -> Iterator[h5py.File]:
    if not path.is_file():
        raise _refused(path, "", MISSING, "an artifact", stage)
    try:
        file = open_to_read(path)
    except OSError as error:
        raise _refused(path, "", f"unreadable HDF5 ({error})", "an artifact", stage) from None
    with file:
        with _damage_named(path, "", stage):
            _check_self_contained(path, file, stage)
        yield file


@contextmanager
def _damage_named(path: Path, where: str, stage: str) -> Iterator[None]:
    """HDF5's errors about damaged data as an :class:`InputError` that names the stage to rerun."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _refused(path, where, f"damaged data ({error})", "readable data", stage) from None


def _check_complete(path: Path, file: h5py.File, stage: str) -> None:
    if not _attribute(file, "complete", False):
        raise _refused(path, "complete", "an unfinished file", "a complete artifact", stage)
    if _attribute(file, ATTRIBUTES_CHECKSUM) != attributes_checksum(all_attributes(file)):
        raise _refused(path, "attributes", "others than were written", "readable data", stage)
    written_for = str(_attribute(file, "output", ""))
    if not is_own_place(path, written_for):
        raise _refused(path, "output", f"an artifact written as {written_for}", "the one of this name", stage)


def _check_header(path: Path, file: h5py.File, schema: Schema) -> None:
    got = _attribute(file, "schema", "no schema")
    if got != schema.name:
        raise _refused(path, "schema", str(got), schema.name, schema.stage)
    version = int(_attribute(file, "schema_version", -1))
    if version != schema.version:
        raise _refused(path, "schema_version", str(version), str(schema.version), schema.stage)
    _check_complete(path, file, schema.stage)


def _check_self_contained(path: Path, file: h5py.File, stage: str) -> None:
    """Refuse anything that makes HDF5 open another file or load a plugin.

    By identifiers, without h5py's objects: a session of many trials has a thousand datasets, and is opened often.
    """
    pending = [("", h5py.h5g.open(file.id, b"/"))]
    while pending:
        parent, group = pending.pop()
        for name, kind in _links(group):
            where = f"{parent}/{name.decode(errors='replace')}"
            if kind != h5py.h5l.TYPE_HARD:
                raise _refused(path, where, "a soft or external link", "data in this file", stage)
            item = h5py.h5o.open(group, name)
            if has_other_names(item):
                raise _refused(path, where, "a group or array of several names", "one name for each", stage)
            if isinstance(item, h5py.h5g.GroupID):
                if where.count("/") > 8:
                    raise _refused(path, where, "more than 8 nested groups", "an artifact's few", stage)
                pending.append((where, item))
            elif isinstance(item, h5py.h5d.DatasetID):
                _check_dataset(path, where, item.get_create_plist(), stage)
                if not is_there(item):
                    raise _refused(path, where, "an array that is not stored", "data in this file", stage)


def _links(group: Any) -> list[tuple[bytes, int]]:
    """Name and type of each link of a group."""
    found: list[tuple[bytes, int]] = []
    group.links.iterate(lambda name, info: found.append((name, info.type)), info=True)
    return found


def _check_dataset(path: Path, where: str, plist: Any, stage: str) -> None:
    """Refuse a dataset whose creation properties take its values from elsewhere or through a plugin."""
    if plist.get_layout() == h5py.h5d.VIRTUAL:
        raise _refused(path, where, "a virtual dataset", "data in this file", stage)
    if plist.get_external_count():
        raise _refused(path, where, "external storage", "data in this file", stage)
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if not filters <= ALLOWED_FILTERS:
        raise _refused(path, where, f"HDF5 filter {sorted(filters - ALLOWED_FILTERS)}", "gzip or none", stage)
