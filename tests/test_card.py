"""Networks wait for each other on a graphics card; the cards here are made up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import ROOT
from pipeline.errors import EXIT_INTERRUPTED, StageFailureError
from pipeline.training.card import lock_folder

HOLD = """\
import logging, sys
from pathlib import Path
from pipeline.errors import StageFailureError
from pipeline.training.card import held_cards
logging.basicConfig(stream=sys.stdout, format="%(message)s", level="INFO")
try:
    with held_cards(sys.argv[1].split(","), int(sys.argv[2]), logging.getLogger(), Path(sys.argv[3])) as places:
        print(*places, flush=True)
        sys.stdin.read()
except StageFailureError as error:
    sys.exit(error.exit_code)
"""


class Job:
    """A process that holds cards until it ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """What it says next: the places of its cards, or that it waits."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def job(cards: str, n: int, folder: Path) -> Iterator[Job]:
    command = [sys.executable, "-c", HOLD, cards, str(n), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            yield Job(process)
        finally:
            process.kill()


WAITING = "train: waiting for card a, on which another network is trained"


def test_a_network_waits_for_the_one_on_its_card_until_that_ends_however(tmp_path: Path) -> None:
    with job("a", 1, tmp_path) as holder:
        assert holder.line() == "0"
        with job("a", 1, tmp_path) as waiting:
            assert waiting.line() == WAITING
            holder.process.kill()
            assert waiting.line() == "0"


def test_asked_to_end_while_it_waits_a_network_was_interrupted(tmp_path: Path) -> None:
    with job("a", 1, tmp_path) as holder:
        assert holder.line() == "0"
        with job("a", 1, tmp_path) as waiting:
            assert waiting.line() == WAITING
            waiting.process.terminate()
            assert waiting.process.wait() == EXIT_INTERRUPTED


def test_a_free_card_is_taken_without_waiting_and_several_cards_are_held_together(tmp_path: Path) -> None:
    with job("a,b,c", 2, tmp_path) as several:
        assert several.line() == "0 1"
        with job("a,b,c", 1, tmp_path) as one, job("a,b", 2, tmp_path) as waiting:
            assert one.line() == "2"
            assert waiting.line() == WAITING


def test_the_folder_of_the_locks_is_the_users_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = lock_folder()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(StageFailureError, match="another user"):
        lock_folder()
