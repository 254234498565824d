"""A few rounds of chaos (``make chaos`` runs 200): nothing is lost, nothing half-written is believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos import KINDS, VICTIMS, WHEN, Outcome, inflict, table


@pytest.fixture
def back_again() -> object:
    """Chaos changes the working directory."""
    before = Path.cwd()
    yield
    os.chdir(before)


@pytest.mark.slow
@pytest.mark.usefixtures("back_again")
def test_a_dozen_faults_are_survived() -> None:
    printed: list[str] = []
    outcomes = inflict(12, seed=0, tell=printed.append)
    assert [o.verdict for o in outcomes] == ["survived"] * 12, printed
    assert printed[-1] == "final digests equal the undisturbed run"


def test_what_became_of_faults_is_counted() -> None:
    good, bad = Outcome("KILL all", WHEN[0], "align"), Outcome("KILL all", WHEN[1], "align onwards", lost=["x"])
    rows = [line.split() for line in table([good, good, bad], lambda o: o.kind).splitlines()]
    assert rows == [["survived", "lost", "partial"], ["KILL", "all", "2", "1", "0"]]
    assert Outcome("", "", "", partial=["x"]).verdict == "partial"
    assert len([kind for kind in KINDS if kind.endswith(VICTIMS)]) >= 12
