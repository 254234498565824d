"""Measure rows and write docs/benchmarks.md: ``python -m bench [--rows mel ridge …] [--runs 7] [--quick]``.

Rows that are not measured keep their figures of before (docs/benchmarks.json).
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from bench.harness import HOME, Result, measure
from bench.report import row_text, write_pages

RESULTS = HOME / "docs" / "benchmarks.json"
ROWS = (
    "mel", "audio_stage", "resample", "high_gamma", "ingest", "batches", "train_step", "predict", "chance", "ridge",
    "griffin_lim", "trials", "noop", "overhead", "cores", "growth", "default_job", "folds",
)  # fmt: skip
RUNS = 7


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--runs", type=int, default=RUNS, help="of each contender; 7 for figures to keep")
    parser.add_argument("--quick", action="store_true", help="one run each, nothing written")
    parser.add_argument("--work", type=Path, help="where inputs are made, and kept (default: a temporary folder)")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="bench"))
    found = {}
    try:
        for name in options.rows:
            found[name] = measure(name, (work / name).resolve(), 1 if options.quick else options.runs)
            print(row_text(found[name]), flush=True)
            if not options.quick:
                _keep({name: found[name]})
    finally:
        if options.work is None:
            shutil.rmtree(work)


def _keep(found: dict[str, Result]) -> None:
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    values = before | {name: result.as_dict() for name, result in found.items()}
    values = {name: values[name] for name in ROWS if name in values}
    RESULTS.write_text(json.dumps(values, indent=1) + "\n")
    write_pages({name: Result.from_dict(v) for name, v in values.items()}, HOME / "docs")


if __name__ == "__main__":
    main()
