"""The contamination check on simulated subjects: ``contaminated`` ones should be suspect, ``linked`` ones not.

    python bench/contamination.py --seeds 20 --work contamination_test

Each seed is a short subject of the simulator, taken from raw files to the check on its own. Prints one line per
mode: how many are suspect, and the p of each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parents[1]
CHECKED = "results/contamination/sim01_run01.h5"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--minutes", type=float, default=2.0, help="length of each subject")
    parser.add_argument("--work", type=Path, default=Path("contamination_test"), metavar="DIR")
    options = parser.parse_args()
    for mode in ("contaminated", "linked"):
        config = {"mode": mode, "minutes": options.minutes}
        found = [check(options.work / f"{mode}{seed}", {**config, "seed": seed}) for seed in range(options.seeds)]
        suspect = sum(result == "suspect" for result, _ in found)
        print(f"{mode}: {suspect} of {options.seeds} suspect; p " + " ".join(f"{p:.4f}" for _, p in found), flush=True)


def check(folder: Path, simulate: dict[str, object]) -> tuple[str, float]:
    """Result and p of one simulated recording."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"simulate": simulate}), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "config.json"), "--cores", "1", CHECKED]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"the workflow failed in {folder}:\n{done.stdout[-3000:]}")
    with h5py.File(folder / CHECKED) as file:
        return str(file.attrs["result"].decode()), float(file.attrs["p"])


if __name__ == "__main__":
    main()
