"""The null test: brain signals that are independent of the sound must score chance.

For each seed a short subject is simulated with ``simulate.mode: null`` and taken through the whole
workflow, for one fold and with the nearest neighbour among the baselines.  Printed, and written to
``null.tsv``, are r and the circular-shift p of model, ridge and nearest neighbour, and Fisher's pooled p over
the seeds.  Where the data are independent the pooled p is not small: above 0.01, say.

    python bench/null.py --seeds 5 --work null_test
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DECODERS = ("model", "ridge", "nearest_neighbour")
CONFIG: dict[str, Any] = {
    "fold": 0,
    "simulate": {"mode": "null", "minutes": 2.0, "channels": 12},
    "split": {"folds": 3},
    "model": {"preset": "tiny"},
    "ridge": {"nearest_neighbour": True},
    "predict": {"importance": False},
    "export": {"audio": "none"},
}


def main() -> None:
    options = _parser().parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows = [["seed", *(f"{d}_{what}" for d in DECODERS for what in ("r", "p"))]]
    print("\t".join(rows[0]))
    found = []
    for seed in seeds:
        found.append(scores(run(seed, options.work / f"seed{seed}", options.cores)))
        rows.append([str(seed), *(f"{value:.4g}" for name in DECODERS for value in found[-1][name])])
        print("\t".join(rows[-1]), flush=True)
    pooled = {name: fisher([own[name][1] for own in found]) for name in DECODERS}
    rows.append(["pooled", *(text for name in DECODERS for text in ("", f"{pooled[name]:.4g}"))])
    print("\t".join(rows[-1]))
    (options.work / "null.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def run(seed: int, folder: Path, cores: int) -> dict[str, Any]:
    """The whole workflow on one simulated subject; returns eval.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, "simulate": {**CONFIG["simulate"], "seed": seed}, "train": {"seed": seed}}
    (folder / "config.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    # --configfile takes many values, so an option has to follow it, never the target.
    command += ["--configfile", str(folder / "config.yaml"), "--directory", str(folder), "--cores", str(cores)]
    command.append("results/eval.json")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"the workflow failed for seed {seed}:\n{done.stdout[-3000:]}")
    return dict(json.loads((folder / "results" / "eval.json").read_text(encoding="utf-8")))


def scores(document: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """r over all frames and its circular-shift p, by decoder."""
    summary = document["summary"]
    tests = summary["chance"]["by_prediction"]
    return {name: (summary[name]["pearson_r"], tests[name]["pearson_r"]["p_value"]) for name in DECODERS}


def fisher(p: Sequence[float]) -> float:
    """Fisher's combined p: -2 Σ ln p is χ² with 2n degrees of freedom, whose tail is a Poisson sum."""
    half = -sum(map(math.log, p))
    return math.exp(-half) * sum(half**k / math.factorial(k) for k in range(len(p)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="r and p of decoders on data without a link")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("null_test"), metavar="DIR")
    parser.add_argument("--cores", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
