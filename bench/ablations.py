"""What each part of the decoder adds: the same folds without it (docs/decoder.md).

    python -m bench.ablations [--data FOLDER …] [--sets 2-1 "seed 0" …] [--variants "no ridge" …] [--preset medium]

A set is a session of ``bench/emguka.py`` or a seed of the built-in subject, in five folds.  Prints, for the model, each
of its networks alone, their mean without the ridge, and the model with one part changed: r over time of all frames and
of speech frames, mean over folds, and the difference to the model with its 95 % interval (bootstrap over folds, which
knows nothing of other seeds).  A variant that is done is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import emguka
from bench.decoder import interval
from bench.limit import SCHEMAS, fold_files, r_of
from bench.subject import run_workflow

FOLDS = 5
#: A network whose attention is the learned bias alone: its queries are zero and stay so.
PACKAGE = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "by-time"
version = "1"
[project.entry-points."seeg_to_audio.plugins"]
by_time = "by_time:ByTime"
[tool.setuptools]
py-modules = ["by_time"]
""",
    "by_time.py": """\
from torch import nn
from pipeline.model.network import Seq2Seq
class ByTime(Seq2Seq):
    def __init__(self, a):
        super().__init__(a)
        for parameter in self.decoder.attention.query.parameters():
            nn.init.zeros_(parameter)
            parameter.requires_grad_(False)
""",
}
MODEL = "the model"
VARIANTS: dict[str, dict[str, Any]] = {
    MODEL: {},
    "no feedback (no autoregression)": {"model": {"feedback": False}},
    "attention by time alone": {"model": {"network": "by_time:ByTime"}},
    "no ridge": {"model": {"ridge_skip": False}},
    "one inner fold": {"split": {"inner_folds": 1}},
    "no noise, no channel left out": {"train": {"input_noise": 0.0, "channel_drop": 0.0}},
    "speech frames count once": {"train": {"speech_weight": 0.0}},
}
Scores = dict[str, list[tuple[float, float]]]


def main() -> int:
    """Run what is not done, print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="folders with a recordings.tsv")
    parser.add_argument("--sets", nargs="+", default=["seed 0"], help=f"{', '.join(emguka.SESSIONS)}, seed N")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--preset", default="auto", help="of the networks")
    parser.add_argument("--work", type=Path, default=emguka.ROOT / "build" / "ablations")
    options = parser.parse_args()
    work = options.work.resolve()
    plugin = str(installed(work / "plugin"))
    sys.path.insert(0, plugin)
    os.environ["PYTHONPATH"] = os.pathsep.join([plugin, os.environ.get("PYTHONPATH", "")])
    for name in options.sets:
        folder = work / f"{name} {options.preset}".replace(" ", "_")
        for variant in dict.fromkeys([MODEL, *options.variants]):
            run(folder, name, variant, options.data, options.preset)
        print(f"\n{name}, {options.preset}\n\n{table(folder)}", flush=True)
    return 0


def installed(folder: Path) -> Path:
    """The package with :class:`ByTime`, as pip installs it, in a folder for ``PYTHONPATH``."""
    if not (folder / "site").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in PACKAGE.items():
            (folder / name).write_text(text)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, "--target", str(folder / "site"), str(folder)], check=True)
    return folder / "site"


def run(folder: Path, name: str, variant: str, data: list[Path], preset: str) -> None:
    """Scores of a variant's folds, in ``folder``."""
    file = folder / f"{variant}.json"
    if file.exists():
        return
    config: dict[str, Any] = {"fold": "all", "split": {"folds": FOLDS}, "predict": {"importance": False}}
    subject = "sim01"
    if name.startswith("seed "):
        config["simulate"] = {"seed": int(name.split()[1])}
    else:
        row = emguka.ROWS[name]
        subject, config = row.subject, dict(row.config)
        emguka.write_sheet(folder, emguka.sheet_of(row, data))
    config["model"] = {"preset": preset, "networks": 2}
    for section, values in VARIANTS[variant].items():
        config[section] = config.get(section, {}) | values
    run_workflow(folder, config, *(file for fold in range(FOLDS) for file in fold_files(fold, subject)))
    found: Scores = {}
    for fold in range(FOLDS):
        for series, score in scored(folder, subject, fold):
            found.setdefault(series, []).append(score)
    file.write_text(json.dumps(found))


def scored(folder: Path, subject: str, fold: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """r of all frames and of speech frames of a fold's test blocks: model, ridge, each network, the networks' mean."""
    from pipeline.artifacts.predictions import read_predicted

    files = fold_files(fold, subject)
    model, baselines = (read_predicted(folder / file, schema) for file, schema in zip(files, SCHEMAS, strict=True))
    target = np.concatenate([block.series["target"] for block in model.blocks])
    speech = target.mean(axis=1) > baselines.attributes["speech_threshold_nats"]
    own = networks(folder, subject, fold)
    series = {
        MODEL: np.concatenate([block.series["model"] for block in model.blocks]),
        "ridge": np.concatenate([block.series["ridge"] for block in baselines.blocks]),
        **own,
        "mean of the networks": np.mean(list(own.values()), axis=0),
    }
    for name, mel in series.items():
        yield name, (r_of(mel, target), r_of(mel[speech], target[speech], target))


def networks(folder: Path, subject: str, fold: int) -> dict[str, np.ndarray]:
    """What each network of a fold's model predicts on its own, (frame, band) of all test blocks."""
    from pipeline.artifacts.windows import read_windows
    from pipeline.config.base import pick
    from pipeline.config.loader import load_config
    from pipeline.config.train import SubjectSettings
    from pipeline.data.subject import load_subject
    from pipeline.model.inference import predict_continuous
    from pipeline.model.model_file import load_model
    from pipeline.model.presets import NetworkRole

    config = load_config([folder / "config.json"])
    windows = read_windows(folder / f"results/windows/{subject}.h5")
    aligned, mel = (sorted((folder / f"results/{kind}").glob(f"{subject}_*.h5")) for kind in ("aligned", "mel"))
    arrays = load_subject(windows, aligned, mel, pick(SubjectSettings, config))
    model, _ = load_model(folder / f"results/train/{subject}/fold{fold}/model.ckpt")
    hop = config.mel.frames(config.window.hop_s)
    found = {}
    for k, network in enumerate(model.networks):
        mels = [
            predict_continuous(network, arrays.features[b.recording], b.start, b.stop, hop).mel
            for b in windows.blocks_of(fold, "test")
        ]
        found[NetworkRole(k, network.skip is not None).name] = np.concatenate(mels)
    return found


def table(folder: Path) -> str:
    """A Markdown table of the variants that are done."""
    files = {variant: folder / f"{variant}.json" for variant in VARIANTS}
    done = {variant: json.loads(file.read_text()) for variant, file in files.items() if file.exists()}
    whole = np.array(done[MODEL][MODEL])
    lines = ["| | r / speech | difference to the model, r | speech |", "|---|---|---|---|"]
    for variant, scores in done.items():
        for series, values in scores.items():
            if variant == MODEL or series != "ridge":
                name = series if variant == MODEL else variant + ("" if series == MODEL else f": {series}")
                lines.append(f"| {name} | {_row(np.array(values), whole)} |")
    return "\n".join(lines)


def _row(values: np.ndarray, whole: np.ndarray) -> str:
    r, speech = values.mean(axis=0)
    difference = values - whole
    low, high = interval(difference)
    texts = [f"{d:+.3f} [{a:+.3f}, {b:+.3f}]" for d, a, b in zip(difference.mean(axis=0), low, high, strict=True)]
    return f"{r:.3f} / {speech:.3f} | " + " | ".join(texts if difference.any() else ["", ""])


if __name__ == "__main__":
    sys.exit(main())
