"""Changes of files as hypothesis draws them: of bytes, of numbers, words and lines of text, of the parts of HDF5."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

# --- of bytes and of text ---

NUMBERS = [
    "", "0", "-0", "-1", "1", "2", "1e999", "-1e999", "1e308", "nan", "inf", "-inf", "1e-320", "0x10", "1_000", "1,5",
    "\N{ARABIC-INDIC DIGIT THREE}", "½", "9" * 5000, "9" * 400, "9" * 19, "-" + "9" * 30, "4294967295", "65536",
    "99999999999", "1e-9", "True", "1.", ".", "+", "1e5000", "512.5", "2147483648", "1970-01-01", "١٢٣",
]  # fmt: skip
TEXTS = [
    "", " ", "n/a", "\0", "\x1b[2J", "a" * 300, "b" * 140_000, "../x", "/etc/passwd", "ä", "\u202e", "\ufeff", "{x}",
    "[", "*", "'", '"', "\\", "%s", "{0}", "\r", "\t", "\n", "-rf", "~", "$(x)", "#", "<", "&", ":", "=", "null", "[]",
    "{}", "\x85", "\u2028", "LA1", "uV", "V", "none", "\x7f", "BAD", "1", "é", "\N{COMBINING DIAERESIS}", "🎤",
    "!!python/name:os",
]  # fmt: skip
BYTES = [
    b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8,
    b"\0" * 4, b"\0" * 16, b"\xff" * 7 + b"\x7f", struct.pack("<d", np.nan), struct.pack("<d", np.inf), b"\x01\0\0\0",
    struct.pack("<d", 1e308), struct.pack(">I", 1 << 30), struct.pack("<I", 1 << 30), b"-1      ", b"99999999",
    b"nan     ",
]  # fmt: skip

PLACES = st.integers(0, 63) | st.integers(0, 1023) | st.integers(0, 1 << 40)
ODD_NUMBERS = st.sampled_from(NUMBERS) | st.floats().map(repr) | st.integers(-(2**70), 2**70).map(str)
ODD_TEXTS = st.sampled_from(TEXTS) | st.text(max_size=8)


@dataclass(frozen=True)
class Edit:
    """A change of a file's bytes; places are taken modulo its length."""

    kind: str
    place: int
    other: int = 0
    content: bytes = b""

    def __call__(self, data: bytes) -> bytes:
        at = self.place % (len(data) + 1)
        length = min(len(data) - at, self.other % 4096)
        match self.kind:
            case "set":
                return data[:at] + self.content + data[at + len(self.content) :]
            case "flip":
                return data[:at] + bytes(b ^ 1 << self.other % 8 for b in data[at : at + 1]) + data[at + 1 :]
            case "insert":
                return data[:at] + self.content + data[at:]
            case "delete":
                return data[:at] + data[at + length :]
            case "repeat":
                return data[: at + length] + data[at:]
            case "cut":
                return data[:at]
            case "number":
                return self._replaced(rb"[-+]?[0-9]+(?:\.[0-9]+)?", data)
            case "word":
                return self._replaced(rb"[A-Za-z_]+", data)
            case "line":
                lines = data.split(b"\n")
                lines[self.place % len(lines)] = [lines[self.other % len(lines)], self.content][self.other % 2]
                return b"\n".join(lines)
        raise ValueError(self.kind)

    def _replaced(self, pattern: bytes, data: bytes) -> bytes:
        found = list(re.finditer(pattern, data[:100_000]))
        if not found:
            return data
        match = found[self.place % len(found)]
        return data[: match.start()] + self.content + data[match.end() :]


BYTE_EDITS = st.one_of(
    st.builds(Edit, st.just("set"), PLACES, st.just(0), st.sampled_from(BYTES) | st.binary(min_size=1, max_size=8)),
    st.builds(Edit, st.just("flip"), PLACES, st.integers(0, 7)),
    st.builds(Edit, st.sampled_from(["delete", "repeat"]), PLACES, st.integers(1, 4096)),
    st.builds(Edit, st.just("insert"), PLACES, st.just(0), st.binary(min_size=1, max_size=64)),
    st.builds(Edit, st.just("cut"), PLACES),
)
TEXT_EDITS = st.one_of(
    st.builds(Edit, st.just("number"), PLACES, st.just(0), ODD_NUMBERS.map(str.encode)),
    st.builds(Edit, st.just("word"), PLACES, st.just(0), ODD_TEXTS.map(lambda t: t.encode("utf-8", "replace"))),
    st.builds(Edit, st.just("line"), PLACES, st.integers(0, 99), ODD_TEXTS.map(lambda t: t.encode("utf-8", "replace"))),
)


def edits(*kinds: st.SearchStrategy[Edit]) -> st.SearchStrategy[list[Edit]]:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=3)


def edited(path: Path, found: Sequence[Edit]) -> None:
    data = path.read_bytes()
    for edit in found:
        data = edit(data)
    path.write_bytes(data)


# --- of JSON ---

JSON_VALUES: list[Any] = [
    None, True, 0, -1, 1, 3, 1.5, -1e308, 2**40, 2**70, "", "a", "n/a", "\0", "../x", "9" * 400, [], {}, [[]], ["a"],
    [0], {"a": 1}, "1970-01-01", [["a", 1]],
]  # fmt: skip


@dataclass(frozen=True)
class JsonEdit:
    """A value of a document that is replaced, or goes; the place is taken modulo their number."""

    place: int
    value: int | None

    def __call__(self, document: Any) -> None:
        values = list(_values(document))
        if values:
            holder, key = values[self.place % len(values)]
            if self.value is None:
                del holder[key]
            else:
                holder[key] = JSON_VALUES[self.value]


def _values(document: Any) -> Iterator[tuple[Any, Any]]:
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield document, key
        yield from _values(document[key])


JSON_EDITS = st.lists(
    st.builds(JsonEdit, st.integers(0, 9999), st.none() | st.integers(0, len(JSON_VALUES) - 1)), min_size=1, max_size=2
)


def json_changed(text: str, found: Sequence[JsonEdit]) -> str:
    document = json.loads(text)
    for edit in found:
        edit(document)
    return json.dumps(document)


# --- edits of the parts of an HDF5 file --------------------------------------------------------------------

VALUES: dict[str, Callable[[], Any]] = {
    "scalar": lambda: 5.0,
    "nothing": lambda: h5py.Empty("f8"),
    "no rows": lambda: np.zeros((0, 4)),
    "one": lambda: np.zeros(1),
    "three axes": lambda: np.zeros((3, 4, 5)),
    "complex": lambda: np.zeros((2000, 4), complex),
    "table": lambda: np.zeros(4, "i4,f8"),
    "texts": lambda: np.array(["a", "ä"], object),
    "bytes": lambda: np.bytes_("\xff", "latin-1"),
    "text": lambda: "text",
    "half": lambda: np.zeros((2000, 4), np.float16),
    "unsigned": lambda: np.full(2000, 2**64 - 1, np.uint64),
    "nan": lambda: np.full((2000, 4), np.nan),
    "inf": lambda: np.full(4, np.inf),
    "huge": lambda: np.full(2000, 1e308),
    "negative": lambda: np.full(4, -1),
    "bool": lambda: True,
    "wide": lambda: np.zeros((4, 2000)),
    "int": lambda: np.int64(2**62),
    "void": lambda: np.void(b"abc"),
    "reference": lambda: h5py.Reference(),
    "long": lambda: "a" * 60_000,
    "zero": lambda: 0,
    "list": lambda: np.arange(4),
    "empty text": lambda: "",
    "json": lambda: "{}",
    "json list": lambda: '[["a", 1]]',
}
CHANGES = [
    "delete",
    "replace",
    "group",
    "attribute",
    "no attribute",
    "soft link",
    "external link",
    "swap",
    "claim",
    "hard link",
]


@dataclass(frozen=True)
class Change:
    """A change of a part of an HDF5 file; places are taken modulo the number of parts."""

    kind: str
    place: int
    other: int
    value: str

    def __call__(self, file: h5py.File) -> None:
        names: list[str] = []
        file.visit(names.append)
        name, other = (sorted(names)[place % len(names)] for place in (self.place, self.other))
        item, value = file[name], VALUES[self.value]()
        holder = file if self.other % 3 == 0 else item
        match self.kind:
            case "attribute" | "no attribute":
                found = sorted(holder.attrs)
                if found:
                    key = found[self.place % len(found)]
                    del holder.attrs[key]
                    if self.kind == "attribute":
                        holder.attrs[key] = value
            case "swap":
                if not (name.startswith(other) or other.startswith(name)):
                    file.move(name, "swapped")
                    file.move(other, name)
                    file.move("swapped", other)
            case "claim" if isinstance(item, h5py.Dataset):
                kept = dict(item.attrs)
                del file[name]
                shape = [(1 << 40,), (1 << 40, 4), (1 << 26, 4)][self.other % 3]
                file.create_dataset(name, shape, "f8", chunks=(1 << 12, *shape[1:])).attrs.update(kept)
            case "delete" | "replace" | "group" | "soft link" | "external link" | "hard link":
                kept = dict(item.attrs)
                target = file[other]
                del file[name]
                made = {
                    "replace": value,
                    "soft link": h5py.SoftLink(f"/{other}"),
                    "external link": h5py.ExternalLink("/etc/passwd", "/x"),
                    "hard link": target,
                }
                if self.kind == "group":
                    file.create_group(name)
                elif self.kind != "delete":
                    file[name] = made[self.kind]
                if self.kind == "replace":
                    file[name].attrs.update(kept)


INDICES = st.integers(0, 9999)
HDF5_CHANGES = st.lists(
    st.builds(Change, st.sampled_from(CHANGES), INDICES, INDICES, st.sampled_from(sorted(VALUES))),
    min_size=1,
    max_size=2,
)


def changed(path: Path, found: Sequence[Change | Edit]) -> None:
    """Parts first, then bytes.  What h5py itself cannot make is left out."""
    parts = [change for change in found if isinstance(change, Change)]
    if parts:
        with h5py.File(path, "r+") as file:
            for change in parts:
                with suppress(KeyError, ValueError, TypeError, OSError, RuntimeError):
                    change(file)
    edited(path, [edit for edit in found if isinstance(edit, Edit)])
