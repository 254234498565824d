"""Artifacts: whole or absent, self-contained, checked, byte-identical, and damage is noticed."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.artifacts import paths
from pipeline.artifacts.checksums import ATTRIBUTES_CHECKSUM, attributes_checksum
from pipeline.artifacts.core import (
    Provenance,
    Schema,
    all_attributes,
    create,
    header,
    opened,
    opened_any,
    recomputed_digest,
)
from pipeline.artifacts.files import atomic_path
from pipeline.artifacts.inspection import describe, verify
from pipeline.artifacts.sidecar import read_sidecar, write_sidecar
from pipeline.errors import CannotWriteError, InputError

SCHEMA = Schema("sample", 3, "align")


def write(path: Path, value: float = 1.0, provenance: Provenance | None = None) -> Path:
    with create(path, SCHEMA, provenance or Provenance('{"a":1}', {"m": "h"}, [("x.npy", "00")])) as writer:
        writer.attributes(rate_hz=100.0, names=["a", "β"], simulated=True, absent=None)
        stream = writer.stream("features/data", (2000, 3), np.float32, ["time", "channel"], units="µV")
        rng = np.random.default_rng(0)
        for _ in range(4):
            stream.append(rng.standard_normal((500, 3)) * value)
        writer.array("features/time", np.arange(2000) / 100, ["time"], units="s")
        writer.table("channels", {"name": ["α", "LA2", "x"], "x": np.array([1.0, 2, 3])}, "channel")
        writer.table("events", {"onset": np.zeros(0), "label": []}, "event")
        writer.scale("features/time", ("features/data", 0))
        writer.scale("channels/name", ("features/data", 1))
    return path


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    with opened(write(tmp_path / "a.h5"), SCHEMA) as artifact:
        assert artifact.root_attributes() == {"rate_hz": 100.0, "names": ["a", "β"], "simulated": True}
        assert artifact.table("channels") == {"name": ["α", "LA2", "x"], "x": [1.0, 2.0, 3.0]}
        assert artifact.table("events") == {"onset": [], "label": []}
        assert artifact.read("features/data", 10, 20).shape == (10, 3)
        assert artifact.dimensions("features/data") == ("time", "channel")
        assert [d.label for d in artifact.file["features/data"].dims] == ["time", "channel"], "what viewers show"
        assert artifact.file["features/data"].dims[1][0][1] == b"LA2"
    assert header(tmp_path / "a.h5")["inputs"] == [["x.npy", "00"]]


def test_written_twice_is_byte_identical(tmp_path: Path) -> None:
    assert write(tmp_path / "a.h5").read_bytes() == write(tmp_path / "b.h5").read_bytes()


def test_digest_covers_content_and_not_provenance(tmp_path: Path) -> None:
    digests = [
        header(write(tmp_path / "a.h5"))["content_digest"],
        header(write(tmp_path / "b.h5", provenance=Provenance("{}", {"other": "code"})))["content_digest"],
        header(write(tmp_path / "c.h5", value=2.0))["content_digest"],
    ]
    assert digests[0] == digests[1] != digests[2]
    with opened_any(tmp_path / "a.h5") as artifact:
        assert recomputed_digest(artifact) == digests[0]


def test_a_failed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    before = write(tmp_path / "a.h5").read_bytes()
    with pytest.raises(RuntimeError), create(tmp_path / "a.h5", SCHEMA, Provenance()) as writer:
        writer.attributes(rate_hz=1.0)
        raise RuntimeError
    assert (tmp_path / "a.h5").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_a_half_filled_array_is_never_published(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 of 4 rows"), create(tmp_path / "a.h5", SCHEMA, Provenance()) as writer:
        writer.stream("x", (4,), np.float32, ["time"]).append(np.zeros(2))
    assert not (tmp_path / "a.h5").exists()


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.h5.dead.tmp").write_bytes(b"half")
    write(tmp_path / "a.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_the_temporary_file_of_a_writer_at_work_is_left_alone(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with atomic_path(tmp_path / "a.h5") as mine:
        mine.write_text("of this process")
        old = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
        elsewhere = mine.with_name(mine.name.replace(f".a.h5.{mine.name.split('.')[3][:8]}", ".a.h5.0a0a0a0a"))
        for other in (old, elsewhere):
            other.write_text("of another")
        write(tmp_path / "a.h5")
        assert mine.exists()
        assert elsewhere.exists(), "its host may be at work"
        assert not old.exists()
        os.utime(elsewhere, (0, 0))
        write(tmp_path / "a.h5")
        assert not elsewhere.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_a_reader_keeps_the_old_file_while_it_is_replaced(tmp_path: Path) -> None:
    with opened(write(tmp_path / "a.h5"), SCHEMA) as artifact:
        old = artifact.read("features/data", 0, 5)
        write(tmp_path / "a.h5", value=2.0)
        np.testing.assert_array_equal(artifact.read("features/data", 0, 5), old)
    with opened(tmp_path / "a.h5", SCHEMA) as artifact:
        np.testing.assert_allclose(artifact.read("features/data", 0, 5), 2 * old)


def checked_again(file: h5py.File) -> None:
    """The checksum that fits the attributes of an edited artifact."""
    file.attrs[ATTRIBUTES_CHECKSUM] = attributes_checksum(all_attributes(file))


def damaged(path: Path, change) -> Path:
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)
    return path


REFUSED = {
    "incomplete": (lambda f: f.attrs.__setitem__("complete", False), "unfinished"),
    "other schema": (lambda f: f.attrs.__setitem__("schema", "other"), "schema"),
    "other version": (lambda f: f.attrs.__setitem__("schema_version", 99), "schema_version"),
    "another rate": (lambda f: f.attrs.__setitem__("rate_hz", 50.0), "attributes"),
    "an attribute without a value": (lambda f: f.attrs.__setitem__("rate_hz", h5py.Empty("f8")), "attributes"),
    "an attribute more": (lambda f: f.attrs.__setitem__("more", 1), "attributes"),
    "no checksum": (lambda f: f.attrs.__delitem__("attributes_crc32"), "attributes"),
    "external link": (lambda f: f.__setitem__("l", h5py.ExternalLink("/etc/passwd", "/")), "link"),
    "soft link": (lambda f: f.__setitem__("l", h5py.SoftLink("/features")), "link"),
    "external storage": (
        lambda f: f.create_dataset("e", (4,), "u1", external=[("/etc/hostname", 0, 4)]),
        "external storage",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_artifact_is_refused(tmp_path: Path, name: str) -> None:
    change, words = REFUSED[name]
    path = damaged(write(tmp_path / "a.h5"), change)
    with pytest.raises(InputError, match=words) as caught, opened(path, SCHEMA):
        pass
    assert "rerun the stage align" in str(caught.value)


@pytest.mark.parametrize(
    "change", [lambda f: f.__delitem__("words/label"), lambda f: f.create_dataset("words/x", (1,), "f4")]
)
def test_a_column_more_or_less_is_damage(tmp_path: Path, change) -> None:
    """Some columns need not be there, so whoever reads them would not miss one."""
    with create(path := tmp_path / "a.h5", SCHEMA, Provenance()) as writer:
        writer.table("words", {"onset": [0.5], "label": ["ja"]}, "word")
    damaged(path, change)
    with opened(path, SCHEMA) as artifact, pytest.raises(InputError, match=r"words\]: got damaged data \(columns"):
        artifact.table("words")


def test_an_array_without_labels_of_its_axes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["features/data"].attrs["dimensions"]
    with opened(path, SCHEMA) as artifact, pytest.raises(InputError, match="checksum of the attributes"):
        artifact.dimensions("features/data")
    with h5py.File(path, "r+") as file:
        file["features/data"].attrs[ATTRIBUTES_CHECKSUM] = attributes_checksum({"units": "µV"})
    with opened(path, SCHEMA) as artifact, pytest.raises(InputError, match="labels of its axes"):
        artifact.dimensions("features/data")


def test_damage_is_named_where_rows_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path) as file:
        first = file["features/data"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[first + 8] ^= 1
    path.write_bytes(content)
    with opened(path, SCHEMA) as artifact:
        rows = artifact.dataset("features/data")
        with pytest.raises(InputError, match="rerun the stage align"):
            rows[:10]


def test_virtual_sources_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    damaged(path, lambda f: f.create_virtual_dataset("v", layout))
    with pytest.raises(InputError, match="virtual"), opened(path, SCHEMA):
        pass


def test_foreign_filters_are_refused_before_any_plugin_is_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")

    def add(file: h5py.File) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"f", h5py.h5t.NATIVE_UINT8, space, plist)

    with pytest.raises(InputError, match="32004"), opened(damaged(path, add), SCHEMA):
        pass


@pytest.mark.parametrize("content", [b"", b"not hdf5", b"\x89HDF\r\n\x1a\n" + b"\0" * 64])
def test_no_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(InputError), opened(tmp_path / "a.h5", SCHEMA):
        pass


def test_flipped_bits_never_change_a_value_unnoticed(tmp_path: Path) -> None:
    original = write(tmp_path / "a.h5").read_bytes()
    with opened(tmp_path / "a.h5", SCHEMA) as artifact:
        digest, attributes = artifact.content_digest, artifact.root_attributes()
        truth = {name: artifact.read(name) for name in ("features/data", "features/time", "channels/name")}
    generator = random.Random(0)
    for _ in range(200):
        flipped = bytearray(original)
        bit = generator.randrange(len(flipped) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "b.h5").write_bytes(flipped)
        try:
            with opened(tmp_path / "b.h5", SCHEMA) as artifact:
                assert artifact.content_digest == digest
                assert artifact.root_attributes() == attributes
                for name, values in truth.items():
                    np.testing.assert_array_equal(artifact.read(name), values)
        except InputError:
            continue


def test_atomic_path_keeps_the_target_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "t.txt"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_path(target) as temporary:
        temporary.write_text("new")
        raise KeyError
    assert target.read_text() == "old"


def test_inspect_describes_and_verifies(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    text = describe(path)
    for word in ("features/", "(time 2000, channel 3) float32 µV", "content_digest", "α, LA2, x"):
        assert word in text
    verify(path)
    damaged(path, lambda f: f["features/time"].__setitem__(3, 9.0))
    with pytest.raises(InputError, match="checksum of rows from 0 on"):
        verify(path)
    damaged(write(path), lambda f: (f.attrs.__setitem__("rate_hz", 50.0), checked_again(f)))
    with pytest.raises(InputError, match="content_digest"):
        verify(path)


@pytest.mark.parametrize("name", ["predictions/s1/fold0.h5", "variants/null0/predictions/s1/fold1.h5"])
def test_an_artifact_under_the_name_of_another_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two folds, nothing else may differ in the header."""
    monkeypatch.chdir(tmp_path)
    first, other = Path("results", name), Path("results/predictions/s1/fold7.h5")
    with create(first, SCHEMA, Provenance(output=str(first))) as writer:
        writer.array("x", np.zeros(3), ["time"])
    assert header(first)["output"] == str(first)
    other.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(first, other)
    shutil.copy(first, "elsewhere.h5")
    assert header(Path("elsewhere.h5"))["output"] == str(first)
    for read in (lambda: opened(other, SCHEMA).__enter__(), lambda: header(other)):
        with pytest.raises(InputError, match=f"written as {first}"):
            read()


@pytest.mark.parametrize("subject", ["s1", "runs"])
def test_a_sidecar_in_the_folder_of_another_is_refused(tmp_path: Path, monkeypatch, subject: str) -> None:
    monkeypatch.chdir(tmp_path)
    made = Provenance(output=f"results/train/{subject}/fold0/0-free/network.ckpt")
    model = Provenance(output=f"results/train/{subject}/fold0/model.ckpt")
    write_sidecar(paths.model_sidecar(subject, 0), "ensemble", [], model)
    assert read_sidecar(paths.model_sidecar(subject, 0))["output"] == model.output
    for fold, is_own in (("fold0", True), ("fold1", False)):
        for folder in ("", "runs/abc/"):
            path = Path(f"results/train/{subject}/{fold}/0-free/{folder}network.json")
            write_sidecar(path, "train", [], made)
            if is_own:
                assert read_sidecar(path)["output"] == made.output
            else:
                with pytest.raises(InputError, match=f"written for results/train/{subject}/fold0"):
                    read_sidecar(path)


@pytest.mark.parametrize("word", [b"\xff\xff", b"\0\0"])
def test_erased_words_never_change_a_value_unnoticed(tmp_path: Path, word: bytes) -> None:
    """Words of ones in place of zeros, and the other way round, have the same fletcher32."""
    names = ("features/data", "features/time", "channels/name")
    generator = random.Random(1)
    for value in (0.0, float("nan")):
        original = write(tmp_path / "a.h5", value).read_bytes()
        with opened(tmp_path / "a.h5", SCHEMA) as artifact:
            truth = {name: artifact.read(name) for name in names}
        for _ in range(250):
            erased = bytearray(original)
            place = generator.randrange(len(erased) // 2) * 2
            length = generator.choice([1, 2, 4, 64]) * 2
            erased[place : place + length] = (word * length)[: len(erased[place : place + length])]
            (tmp_path / "b.h5").write_bytes(erased)
            try:
                with opened(tmp_path / "b.h5", SCHEMA) as artifact:
                    for name, values in truth.items():
                        assert artifact.read(name).tobytes() == values.tobytes()
            except InputError:
                continue


def test_what_is_read_of_a_checked_array_is_what_h5py_reads(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((400_000, 3)).astype(np.float32)
    with create(tmp_path / "a.h5", SCHEMA, Provenance()) as writer:
        stream = writer.stream("x", values.shape, values.dtype, ["time", "channel"])
        for start in range(0, len(values), 70_001):
            stream.append(values[start : start + 70_001])
    assert writer._streams["/x"].checksums.values().size > 5
    keys = [slice(None), slice(5, 9), slice(43_000, 90_000, 7), (slice(3, 300_000), 1), (slice(3, 9), [0, 2]), 399_999]
    keys += [-1, (), Ellipsis, (7, slice(1, 3)), [1, 5, 200_000], slice(400_000, 500_000), slice(9, 3)]
    for key in keys:
        with opened(tmp_path / "a.h5", SCHEMA) as artifact:
            dataset = artifact.dataset("x")
            for _ in range(2):
                np.testing.assert_array_equal(dataset[key], artifact.file["x"][key], str(key))


@pytest.mark.parametrize("gzip", [False, True])
def test_a_single_chunk_that_comes_in_pieces_is_written_and_read_whole(tmp_path: Path, gzip: bool) -> None:
    values = np.random.default_rng(0).standard_normal((900, 3)).astype(np.float32)
    buffer = np.empty((300, 3), np.float32)
    with create(tmp_path / "a.h5", SCHEMA, Provenance()) as writer:
        stream = writer.stream("x/data", values.shape, np.float32, ["time", "channel"], gzip=gzip, units="µV")
        for start in (0, 300, 600):
            buffer[:] = values[start : start + 300]  # used again, as a reader's may be
            stream.append(buffer)
        writer.array("long", np.zeros(400_000, np.float32), ["time"])
        np.testing.assert_array_equal(writer.rows("x/data"), values)
    with create(tmp_path / "b.h5", SCHEMA, Provenance()) as writer:
        writer.stream("x/data", values.shape, np.float32, ["time", "channel"], gzip=gzip, units="µV").append(values)
        writer.array("long", np.zeros(400_000, np.float32), ["time"])
    assert header(tmp_path / "a.h5")["content_digest"] == header(tmp_path / "b.h5")["content_digest"]
    with opened(tmp_path / "a.h5", SCHEMA) as artifact:
        assert isinstance(artifact.rows("x/data"), np.ndarray)
        assert isinstance(artifact.rows("long"), h5py.Dataset), "read in blocks"
        np.testing.assert_array_equal(artifact.rows("x/data"), values)
        assert artifact.file["x/data"].fletcher32
        assert artifact.file["x/data"].compression == ("gzip" if gzip else None)
        assert recomputed_digest(artifact) == artifact.content_digest


def test_damage_of_a_single_chunk_is_named_where_it_is_read_whole(tmp_path: Path) -> None:
    path = damaged(write(tmp_path / "a.h5"), lambda f: f["features/data"].__setitem__((3, 1), 9.0))
    with opened(path, SCHEMA) as artifact:
        for read in (lambda: artifact.rows("features/data"), lambda: artifact.closed_dataset("features/data")[5:9]):
            with pytest.raises(InputError, match="checksum of rows from 0 on"):
                read()


def test_the_short_arrays_that_were_read_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with create(tmp_path / "a.h5", SCHEMA, Provenance()) as writer:
        for i in range(4):
            writer.array(f"t{i}/x", np.arange(5.0) + i, ["time"])
    with opened(tmp_path / "a.h5", SCHEMA) as artifact:
        read, rows = [], artifact.rows
        monkeypatch.setattr(artifact, "rows", lambda name: (read.append(name), rows(name))[1])
        arrays = [artifact.closed_dataset(f"t{i}/x") for i in range(4)]
        assert read == [], "nothing is opened before it is asked for"
        for _ in range(2):
            assert [len(x) for x in arrays] == [5] * 4
            assert [float(x[2:3][0]) for x in arrays[2:]] == [4, 5]
        assert read == ["t0/x", "t1/x", "t2/x", "t3/x"]
        assert len(artifact.kept) == 2
        assert float(arrays[0][0:1][0]) == 0
        assert read[-1] == "t0/x", "what was kept is gone"
        with pytest.raises(ValueError, match="read-only"):
            arrays[0][:][0] = 1.0


def test_one_damaged_chunk_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    with create(tmp_path / "a.h5", SCHEMA, Provenance()) as writer:
        writer.array("x", np.zeros(400_000, np.float32), ["time"])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["x"][300_000] = 1.0
    with opened(tmp_path / "a.h5", SCHEMA) as artifact:
        assert not artifact.read("x", 0, 200_000).any()
        with pytest.raises(InputError, match="checksum of rows from 262144 on"):
            artifact.read("x", 299_000, 299_001)


def test_checksums_of_an_array_of_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute of more than 64 KiB."""
    monkeypatch.setattr("pipeline.artifacts.core.CHUNK_BYTES", 4)
    with create(tmp_path / "a.h5", SCHEMA, Provenance()) as writer:
        writer.array("x", np.arange(30_000, dtype=np.float32), ["time"])
    with opened(tmp_path / "a.h5", SCHEMA) as artifact:
        np.testing.assert_array_equal(artifact.read("x"), np.arange(30_000))


def test_groups_linked_in_circles_and_arrays_of_nothing_are_refused_at_once(tmp_path: Path) -> None:
    """Thirty groups, each with two links to the next, have a thousand million paths."""
    for name in ("graph", "circle", "huge"):
        with h5py.File(write(tmp_path / f"{name}.h5"), "r+") as file:
            if name == "graph":
                groups = [file.create_group(f"g{i}") for i in range(30)]
                for one, other in itertools.pairwise(groups):
                    one["a"] = one["b"] = other
            elif name == "circle":
                circle = file.create_group("g")
                circle["g"] = circle
            else:
                file.create_dataset("huge", (1 << 50,), "f8", chunks=(1 << 20,))
        with pytest.raises(InputError, match=r"several names|not stored"):
            header(tmp_path / f"{name}.h5")


def test_an_array_in_place_of_another_is_refused(tmp_path: Path) -> None:
    """A second name of a column whose checksums are right, and an array without rows, which has none to be wrong."""
    with create(tmp_path / "whole.h5", SCHEMA, Provenance()) as writer:
        writer.table("t", {"onset_s": [0.5, 1.5], "label": ["a", "b"]}, "word")
    for case, match in (("linked", "several names"), ("empty", "columns of 0 to 2 rows")):
        path = tmp_path / f"{case}.h5"
        shutil.copy(tmp_path / "whole.h5", path)
        with h5py.File(path, "r+") as file:
            del file["t/label"]
            file["t/label"] = file["t/onset_s"] if case == "linked" else np.empty(0, "S1")
        with pytest.raises(InputError, match=match), opened(path, SCHEMA) as artifact:
            artifact.table("t")


@pytest.mark.parametrize(
    ("kind", "linked"), [("device", True), ("FIFO", False), ("FIFO", True), ("folder", False), ("folder", True)]
)
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str, linked: bool) -> None:
    """Neither itself nor a link to it; a device of the machine is never named here."""
    path = target = tmp_path / "out"
    if kind == "device":
        target = Path(os.devnull)
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.mkdir()
    if linked:
        (path := tmp_path / "link").symlink_to(target)
    before = path.lstat()
    with pytest.raises(CannotWriteError, match=f"got a {kind}, expected a file"), atomic_path(path):
        pytest.fail("a temporary file was made")
    assert path.lstat() == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", [".", "", "/", ".."])
def test_a_folder_without_a_name_of_its_own_is_not_replaced(tmp_path: Path, name: str) -> None:
    with contextlib.chdir(tmp_path), pytest.raises(CannotWriteError, match="got a folder"), atomic_path(Path(name)):
        pytest.fail("a temporary file was made")


@pytest.mark.parametrize("target", ["link", "nothing"])
def test_a_link_that_leads_to_nothing_is_replaced(tmp_path: Path, target: str) -> None:
    (link := tmp_path / "link").symlink_to(tmp_path / target)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert (link.read_text(), link.is_symlink()) == ("new", False)
