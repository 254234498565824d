"""How far the model of minutes is on the way from the ridge to a model that knows hours of the same brain.

    python -m bench.limit --out scratch [--recordings 100] [--seed 0] [--preset large] [--steps 800]

Two runs of the workflow.  One is the built-in subject, five folds of its three minutes.  The other has many recordings
of three minutes with the same electrodes and receptive fields (100 are five hours).  The first is the built-in
subject's; the models are trained on all others and tested on that one.  Both are scored on the frames of the same five
test blocks: r over time, mean over active bands and over the blocks, of all frames and of speech frames.  Of many
recordings each has the mean and scale of its own features (``train.normalisation: recording_unlabelled``), since its
gains are its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.subject import run_workflow
from pipeline.artifacts.predictions import BASELINES, PREDICTIONS, read_predicted
from pipeline.config.active_bands import ACTIVE_STD_NATS
from pipeline.evaluation.metrics import mean_over_bands
from pipeline.signal.correlation import correlation_per_band

FOLDS = 5
SCHEMAS = (PREDICTIONS, BASELINES)
Pair = tuple[float, float]


def fold_files(fold: int, subject: str = "sim01") -> list[str]:
    """Predictions and baselines of a fold of a subject."""
    return [f"results/{kind}/{subject}/fold{fold}.h5" for kind in ("predictions", "baselines")]


def minutes(folder: Path, seed: int) -> None:
    """Run the built-in subject, all folds."""
    config = {"simulate": {"seed": seed}, "fold": "all", "split": {"folds": FOLDS}, "predict": {"importance": False}}
    run_workflow(folder, config, *(name for fold in range(FOLDS) for name in fold_files(fold)))


def hours(folder: Path, seed: int, recordings: int, preset: str, steps: int | None) -> None:
    """Train on all recordings but the first, test on that one; four recordings validate, two in each inner fold."""
    config: dict[str, Any] = {
        "simulate": {"seed": seed, "recordings": recordings},
        "split": {"by": "session", "folds": recordings, "validation_fraction": 2 / recordings},
        "model": {"preset": preset, "networks": 2},
        "train": {"normalisation": "recording_unlabelled", "max_steps": steps},
        "predict": {"importance": False},
    }
    run_workflow(folder, config, *fold_files(0))


def scored(own: Path, many: Path) -> Iterator[dict[str, Pair]]:
    """r of all frames and of speech frames of each decoder, on each test block of the built-in subject."""
    whole = [read_predicted(many / name, schema) for name, schema in zip(fold_files(0), SCHEMAS, strict=True)]
    for fold in range(FOLDS):
        model, baselines = (read_predicted(own / n, s) for n, s in zip(fold_files(fold), SCHEMAS, strict=True))
        (block,), (ridge,) = model.blocks, baselines.blocks
        target = block.series["target"]
        series = {"ridge": ridge.series["ridge"], "model": block.series["model"]}
        for name, artifact in zip(("model", "ridge"), whole, strict=True):
            (of_all,) = artifact.blocks
            first = block.start - of_all.start
            series[f"{name} of hours"] = of_all.series[name][first : first + len(target)]
        speech = target.mean(axis=1) > baselines.attributes["speech_threshold_nats"]
        yield {name: (r_of(mel, target), r_of(mel[speech], target[speech], target)) for name, mel in series.items()}


def r_of(mel: np.ndarray, target: np.ndarray, whole: np.ndarray | None = None) -> float:
    """Mean r over the bands that are active in ``whole``, by default in the target (frame, band) itself."""
    active = (target if whole is None else whole).std(axis=0) >= ACTIVE_STD_NATS
    return float(mean_over_bands(correlation_per_band(mel, target), active))


def main() -> None:
    """Run both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=int, default=100, help="of three minutes each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="large", help="of the networks of hours")
    parser.add_argument("--steps", type=int, default=None, help="of each of these networks; default: the preset's")
    options = parser.parse_args()
    own, many = options.out / f"minutes{options.seed}", options.out / f"hours{options.seed}"
    minutes(own, options.seed)
    hours(many, options.seed, options.recordings, options.preset, options.steps)
    folds = list(scored(own, many))
    means = {name: np.mean([fold[name] for fold in folds], axis=0) for name in folds[0]}
    print("| decoder | r | speech |\n|---|---|---|")
    for name, (r, speech) in means.items():
        print(f"| {name} | {r:.3f} | {speech:.3f} |")
    way = (means["model"] - means["ridge"]) / (means["model of hours"] - means["ridge"])
    print(f"\nShare of the way from the ridge to the model of hours: {way[0]:.2f}, of speech frames {way[1]:.2f}")


if __name__ == "__main__":
    main()
