"""Errors come back whole from another process, and commands end with their codes."""

from __future__ import annotations

import pickle

import pytest

from pipeline import cli
from pipeline.artifacts import inspection
from pipeline.errors import (
    EXIT_CANNOT_WRITE,
    EXIT_INTERRUPTED,
    CannotWriteError,
    InputError,
    Problem,
    StageFailureError,
)
from pipeline.training.lightning_module import NonFiniteLossError

PROBLEM = Problem("a.npy", "shape", "1-d", "2-d", "Reshape it")


@pytest.mark.parametrize(
    "error",
    [
        InputError([PROBLEM, PROBLEM]),
        StageFailureError("interrupted", 5),
        CannotWriteError("results", "a full disk", "space", "Free some"),
        NonFiniteLossError(3, ["run1"]),
    ],
)
def test_an_error_survives_the_way_between_processes(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    for name in ("problems", "exit_code", "step", "recordings"):
        assert getattr(again, name, None) == getattr(error, name, None)
    assert not isinstance(error, CannotWriteError) or again.exit_code == EXIT_CANNOT_WRITE


def test_a_command_that_is_interrupted_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspection, "describe", interrupted)
    assert cli.main(["inspect", "file.h5"]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"
