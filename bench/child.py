"""One contender, run each time a line comes in: ``python -m bench.child ROW CONTENDER WORK WARM_UPS``.

Imports nothing before the contender does, so that its memory is its own.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Say that all is prepared, then answer each line with one JSON line; whatever else is printed goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    row, name, work = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    contender = next(c for c in importlib.import_module(f"bench.rows.{row}").CONTENDERS if c.name == name)
    run = contender.start(work)
    for _ in range(int(sys.argv[4])):
        run()
    print("{}", file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(_measured(run, work / f"{name}.out.npy")), file=answers, flush=True)


def _measured(run: Callable[[], Any], output: Path) -> dict[str, float]:
    cpu, wall = _cpu_s(), time.perf_counter()
    result = run()
    spent = {"cpu_s": _cpu_s() - cpu, "wall_s": time.perf_counter() - wall, "peak_mb": _peak_mb()}
    if (hasattr(result, "__array__") or isinstance(result, float)) and not output.exists():
        import numpy as np

        np.save(output, np.asarray(result), allow_pickle=False)
    return spent


def _cpu_s() -> float:
    """User and system time of this process and of the children it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_mb() -> float:
    """Largest memory so far, of this process or of one of its children."""
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(int(own.split()[1]), children) / 1024


if __name__ == "__main__":
    main()
