"""Ids only: no folder, user or host name in anything that a run leaves to be kept or shared."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import CANARIES, ROOT
from entry import Lab

#: What a run keeps for itself; docs/privacy.md names it, and that it is not to be shared.
OWN = {"results/config.json", "results/.raw_manifest.json", "results/.code_manifest.json"}


def left(work: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file below results/ and logs/ that is there to be kept; models and arrays as stored."""
    for folder in ("results", "logs"):
        for path in sorted((work / folder).rglob("*")):
            name = path.relative_to(work).as_posix()
            if path.is_file() and name not in OWN:
                yield name, name.encode() + path.read_bytes()


def holds(content: bytes, text: str) -> bool:
    """Whether ``text`` is there in any of the forms that our files use, packed ones included."""
    forms = {text.encode(), text.encode("utf-16-le"), text.encode("unicode_escape")}
    packed = (zlib.decompressobj().decompress(content[m.start() :], 1 << 22) for m in _zlib_streams(content))
    return any(form in content for form in forms) or any(form in plain for plain in packed for form in forms)


def _zlib_streams(content: bytes) -> Iterator[re.Match[bytes]]:
    for match in re.finditer(rb"x[\x01\x9c\xda]", content) if content.startswith(b"\x89PNG") else ():
        try:
            zlib.decompressobj().decompress(content[match.start() :], 64)
        except zlib.error:
            continue
        yield match


@pytest.mark.parametrize("kind", CANARIES)
def test_nothing_that_a_run_leaves_names_its_folder_user_or_host(chain: Path, kind: str) -> None:
    files = dict(left(chain))
    suffixes = {Path(name).suffix for name in files}
    assert {".h5", ".ckpt", ".json", ".html", ".log", ".csv", ".wav", ".npy", ".tsv"} <= suffixes
    assert any("tfevents" in name for name in files)
    leaks = [name for name, content in files.items() if holds(content, CANARIES[kind])]
    assert leaks == []


def test_nothing_that_a_run_leaves_holds_an_absolute_path(chain: Path) -> None:
    for place in (chain.parent, ROOT, Path.home()):
        leaks = [name for name, content in left(chain) if holds(content, f"{place}{os.sep}")]
        assert leaks == [], place


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    """A lab whose raw data lie in the home folder of a person, outside of the work directory."""
    home = tmp_path / CANARIES["user"]
    home.mkdir()
    lab = Lab(home, monkeypatch, capsys)
    work = tmp_path / "work"
    work.mkdir()
    lab.cell(0, eeg=str(home / "eeg1.npy"))
    lab.folder = work
    lab.config(f"data: {{sheet: '{home}/recordings.tsv'}}")
    return lab


def test_raw_files_elsewhere_are_recorded_without_their_folder(elsewhere: Lab) -> None:
    """The sheet by an absolute path, one file by an absolute path, the others relative to the sheet."""
    targets = ["results/recordings/run1.h5", "results/recordings/run2.h5"]
    command = [str(ROOT / "main.py"), "--config", "my.yaml", "--cores", "1", *targets]
    outcome = elsewhere.process(*command)
    assert outcome.code == 0, outcome.errors
    assert [name for name, content in left(elsewhere.folder) if holds(content, CANARIES["user"])] == []
    again = elsewhere.process(*command)
    assert "Nothing to be done" in again.errors


def test_a_log_of_refused_data_names_no_folder(elsewhere: Lab) -> None:
    """The terminal says which file; what stays on disk does not say where it lies."""
    (elsewhere.folder.parent / CANARIES["user"] / "voice1.npy").write_bytes(
        (elsewhere.folder.parent / CANARIES["user"] / "voice2.npy").read_bytes()[:128] + bytes(2 * 16000 * 8)
    )
    command = [str(ROOT / "main.py"), "--config", "my.yaml", "--cores", "1", "results/recordings/run1.h5"]
    outcome = elsewhere.process(*command)
    assert outcome.code == 2, outcome.errors
    assert f"{CANARIES['user']}/voice1.npy[samples]: got silence" in outcome.errors
    assert [name for name, content in left(elsewhere.folder) if holds(content, CANARIES["user"])] == []
