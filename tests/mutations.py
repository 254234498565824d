"""Mutations of everything that is read: whole files of each kind, changed as hypothesis chooses, and read as users do.

Whatever a file holds, a command reads it (code 0) or refuses it: code 2, every line in the form of
:mod:`pipeline.errors`, nothing written, within bounds of time and memory (tests/isolated.py).
``python tests/mutations.py --mutations 2000 --seed 0`` counts how commands over all readers end.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from isolated import Ended, Isolated
from readers import readers

FORM = re.compile(r"error: (?P<file>.+?): got (?P<got>.*), expected (?P<expected>.+)\. Fix: (?P<fix>.+)", re.DOTALL)
CPU_S, MEMORY_BYTES = 15.0, 1 << 30


class Bench:
    """A whole folder of each kind, and one to spoil."""

    def __init__(self, place: Path, isolated: Isolated) -> None:
        self._place, self.isolated, self.readers = place, isolated, readers(isolated)
        self._whole: dict[Callable[[Path], None], Path] = {}

    def whole(self, name: str) -> Path:
        write = self.readers[name].write
        if write not in self._whole:
            self._whole[write] = self._place / f"whole{len(self._whole)}"
            self._whole[write].mkdir()
            write(self._whole[write])
        return self._whole[write]

    def run(self, name: str, drawn: Any) -> tuple[str, str]:
        """How the commands of a reader ended: ``read``, ``refused``, or the fault with the last command's words."""
        folder, reader = self._place / "spoilt", self.readers[name]
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.whole(name), folder)
        if drawn is not None:
            reader.apply(folder, drawn)
        for command in reader.commands:
            before = _listed(folder)
            ended = self.isolated.run(folder, *command)
            written = sorted(dict(_listed(folder).items() ^ before.items())) if ended.code else []
            if found := fault(ended) or ("written" if written else ""):
                return found, f"{' '.join(command)}: {ended.errors[-3000:]} {written}"
            if ended.code:
                return "refused", ended.errors
        return "read", ""


def _listed(folder: Path) -> dict[str, tuple[int, int]]:
    """What lies in a folder; a file that only remembers what was looked at does not count."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and ".snakemake" not in path.parts
    }


def fault(ended: Ended) -> str:
    """What is wrong with how a command ended; empty where nothing is."""
    lines = [line for line in ended.errors.splitlines() if line.startswith("error: ")]
    if ended.code < 0:
        return "hung" if ended.code in (-24, -14) else "crashed"
    if "Traceback (most recent call last)" in ended.errors or ended.code not in (0, 2):
        return "traceback"
    if ended.cpu_s > CPU_S:
        return "slow"
    if ended.memory_bytes > MEMORY_BYTES:
        return "memory"
    if ended.code == 2 and not (lines and all(map(FORM.fullmatch, lines))):
        return "form"
    return ""


QUIET = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.function_scoped_fixture,
    HealthCheck.large_base_example,
]


def count(bench: Bench, name: str, n: int, number: int, tell: Callable[[str], None]) -> Counter[str]:
    """How ``n`` mutations of a reader's file end; every fault is told."""
    outcomes: Counter[str] = Counter()

    @seed(number)
    @settings(max_examples=n, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=QUIET)
    @given(bench.readers[name].mutations)
    def mutate(drawn: Any) -> None:
        outcome, said = bench.run(name, drawn)
        outcomes[outcome] += 1
        if said and outcome != "refused":
            tell(f"{name}: {outcome}\n  {drawn!r:.600}\n  {said}")

    mutate()
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000, help="over all readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="*", help="only those whose names begin so")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, Isolated() as isolated:
        bench = Bench(Path(place), isolated)
        names = [n for n in bench.readers if not options.readers or n.startswith(tuple(options.readers))]
        total: Counter[str] = Counter()
        for i, name in enumerate(names):
            n = options.mutations // len(names) + (i < options.mutations % len(names))
            found = count(bench, name, n, options.seed, partial(print, flush=True))
            print(f"{name:20} {dict(found)}", flush=True)
            total += found
    print(f"{total.total()} mutations: {dict(total)}")
    return int(bool(set(total) - {"read", "refused"}))


if __name__ == "__main__":
    sys.exit(main())
