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
VALUES = ", ".join(map(str, range(30)))
KEYS = "".join(f"k{i}: 1\n" for i in range(60_000))
SWEPT = ["lr", "weight_decay", "max_steps", "patience", "batch_size", "seed", "steps_per_epoch", "ema_decay"]
LARGE: dict[str, tuple[str, str]] = {
    # name: config, words
    "60 000 unknown keys": (KEYS, "60000 problems, of which the first 50 follow"),
    "60 000 keys of a section": (f"train: {{{KEYS.replace(chr(10), ', ')}}}", "60000 problems"),
    "a key twice, late": (f"{KEYS}k0: 1\n", "the key 'k0' twice"),
    "a sweep of 100 000 values": (
        f"sweep: {{grid: {{train.seed: [{', '.join(map(str, range(100_000)))}]}}}}",
        "100000 combinations, expected at most 1000",
    ),
    "a sweep of billions": (
        f"sweep: {{grid: {{{', '.join(f'train.{key}: [{VALUES}]' for key in SWEPT)}}}}}",
        "billions of combinations",
    ),
    "a sheet of 200 000 rows": ("data: {sheet: many.tsv}", "also in row 2"),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_far_too_large_is_refused_within_seconds(bench: Bench, tmp_path: Path, name: str) -> None:
    text, words = LARGE[name]
    (tmp_path / "my.yaml").write_text(text)
    row = "s1\tr1\te.npy\t500\tn/a\tn/a\n"
    (tmp_path / "many.tsv").write_text("subject\trecording\teeg\teeg_rate_hz\taudio\taudio_rate_hz\n" + row * 200_000)
    ended = bench.isolated.run(tmp_path, "main", "--config", "my.yaml", "--dry-run")
    assert ended.code == 2, ended
    assert fault(ended) == ""
    assert words in ended.errors


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
