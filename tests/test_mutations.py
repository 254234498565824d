"""A few mutations of each kind of file that is read (``make chaos`` tries 2000): read or refused, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from isolated import Ended, Isolated

pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install hypothesis")

from mutations import CPU_S, MEMORY_BYTES, Bench, count, fault
from readers import readers

#: What is needed to write or read some of the kinds.
PACKAGES = {"edf": ["edfio", "mne"], "brainvision": ["pybv", "mne"], "fif": ["mne"], "xdf": ["pyxdf"]}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Isolated() as isolated:
        yield Bench(tmp_path_factory.mktemp("mutations"), isolated)


@pytest.mark.parametrize("name", list(readers()))
def test_whatever_a_file_holds_it_is_read_or_refused(bench: Bench, name: str) -> None:
    for package in PACKAGES.get(name.split()[0], ()):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install {package}")
    assert bench.run(name, None)[0] == ("refused" if name == "nwb listing" else "read")
    faults: list[str] = []
    outcomes = count(bench, name, EXAMPLES, 0, faults.append)
    assert not faults
    assert outcomes["refused"] > 0


EXAMPLES = 5
GOOD = "error: a.npy[shape]: got 5, expected 6. Fix: Mend it.\n"


@pytest.mark.parametrize(
    ("code", "errors", "cpu_s", "memory", "found"),
    [
        (0, "", 1.0, 0, ""),
        (2, GOOD * 2, 1.0, 0, ""),
        (2, "Traceback (most recent call last)\n" + GOOD, 1.0, 0, "traceback"),
        (1, GOOD, 1.0, 0, "traceback"),
        (2, "no message", 1.0, 0, "form"),
        (2, GOOD + "error: something else\n", 1.0, 0, "form"),
        (-11, "", 1.0, 0, "crashed"),
        (-24, "", 20.0, 0, "hung"),
        (2, GOOD, CPU_S + 1, 0, "slow"),
        (0, "", 1.0, MEMORY_BYTES + 1, "memory"),
    ],
)
def test_what_counts_as_a_fault(code: int, errors: str, cpu_s: float, memory: int, found: str) -> None:
    assert fault(Ended(code, errors, cpu_s, memory)) == found


def test_a_command_that_crashes_loops_or_raises_is_an_outcome(bench: Bench, tmp_path: Path) -> None:
    run = partial(bench.isolated.run, tmp_path, "python", cpu_s=1)
    assert run("import os; os.abort()").code == -6
    assert run("while True: pass").code == -24
    assert "MemoryError" in run("bytearray(1 << 40)").errors
    assert run("1 / 0").code == 1
    assert run("raise SystemExit(3)").code == 3
