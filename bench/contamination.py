"""The contamination check on simulated subjects: ``contaminated`` ones should be suspect, ``linked`` ones not.

    python -m bench.contamination --seeds 20 --work contamination_test

Each seed is a short subject of the simulator, taken from raw files to the check on its own. Prints one line per
mode: how many are suspect, and the p of each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.subject import run_workflow
from pipeline.artifacts.contamination import read_contamination

CHECKED = "results/contamination/sim01_run01.h5"


def main() -> None:
    parser = argparse.ArgumentParser(description="the contamination check on simulated subjects")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--minutes", type=float, default=2.0, help="length of each subject")
    parser.add_argument("--work", type=Path, default=Path("contamination_test"), metavar="DIR")
    options = parser.parse_args()
    for mode in ("contaminated", "linked"):
        found = []
        for seed in range(options.seeds):
            folder = (options.work / f"{mode}{seed}").resolve()
            run_workflow(folder, {"simulate": {"mode": mode, "minutes": options.minutes, "seed": seed}}, CHECKED)
            found.append(read_contamination(folder / CHECKED))
        suspect = sum(result["result"] == "suspect" for result in found)
        print(f"{mode}: {suspect} of {options.seeds} suspect; p", *(f"{result['p']:.4f}" for result in found))


if __name__ == "__main__":
    main()
