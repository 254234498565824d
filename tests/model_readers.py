"""Models, checkpoints, exported folders and what a model is given to read, for :mod:`readers`."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edits import BYTE_EDITS, JSON_EDITS, TEXT_EDITS, Edit, JsonEdit, edited, edits, json_changed
from isolated import Isolated
from readers import SHEET_EDITS, Reader, in_file, lab

MODEL = ("--run", "model.ckpt")
PREDICT = ("pipeline", "predict", *MODEL, "--sheet", "recordings.tsv", "--out", "new", "--audio", "none")
AGAIN = ("pipeline", "predict", *MODEL, "--recording", "r1")
OF_FOLD = ("pipeline", "predict", "--subject", "s1", "--fold", "0", "--recording", "r1")
LIVE = ("pipeline", "live", *MODEL, "--replay", "r1", "--speed", "max", "--chunk-s", "1", "--config", "my.yaml")
EXPORT = ("pipeline", "export", *MODEL, "--out", "exported", "--config", "my.yaml")
CONSUME = """\
import runpy, sys
sys.argv[1:] = ["eeg.npy", "mel.npy"]
sys.path.insert(0, "exported")
runpy.run_path("exported/consumer.py", run_name="__main__")
"""
#: As training looks for where to go on; a checkpoint that it passes over counts as refused.
RESUME = """\
import sys
from pathlib import Path
from pipeline.errors import Problem
from pipeline.training.checkpoint import newest_valid_checkpoint
if newest_valid_checkpoint(Path("last.ckpt"), lambda loaded: loaded["epoch"] == 3) is None:
    print(Problem("last.ckpt", "", "damage", "a checkpoint", "Start training again"), file=sys.stderr)
    sys.exit(2)
"""


def _trained(folder: Path, isolated: Isolated | None) -> None:
    """A recording, its aligned session, and a causal model with random weights."""
    assert isolated
    lab(folder, repeats=2)
    (folder / "my.yaml").write_text("data: {sheet: recordings.tsv}\ncausal: true\n")
    for command in (
        ("ingest", "recordings.tsv", "results/recordings/r1.h5"),
        ("stage", "align", "--recording", "results/recordings/r1.h5", "--output", "results/aligned/r1.h5"),
    ):
        ended = isolated.run(folder, *command)
        assert ended.code == 0, ended.errors
    with contextlib.chdir(folder):
        _random_model()


def _exported(folder: Path, isolated: Isolated | None) -> None:
    assert isolated
    _trained(folder, isolated)
    ended = isolated.run(folder, *EXPORT, cpu_s=120)
    assert ended.code == 0, ended.errors


def _in_export(folder: Path, found: Sequence[Edit]) -> None:
    files = sorted(path for path in (folder / "exported").iterdir() if path.suffix != ".py")
    edited(files[found[0].place % len(files)], found)


def _random_model() -> None:
    from live_lab import random_model
    from pipeline.artifacts import paths
    from pipeline.artifacts.aligned import aligned_trials, feature_columns
    from pipeline.artifacts.core import Provenance
    from pipeline.artifacts.sidecar import write_sidecar
    from pipeline.config.base import pick
    from pipeline.config.ensemble import ModelSettings
    from pipeline.config.loader import load_config
    from pipeline.data.front_end import FrontEnd
    from pipeline.data.spans import covered_frames
    from pipeline.data.subject import normalised_features
    from pipeline.model.model_file import model_digest, save_model
    from pipeline.run.layout import mark_layout

    aligned, whole = Path("results/aligned/r1.h5"), load_config([Path("my.yaml")])
    config, names, (info,) = pick(ModelSettings, whole), feature_columns(aligned), aligned_trials(aligned)
    rows = normalised_features(aligned, names, {info.recording: covered_frames(info, config.mel)[1]}, config)
    meta = {
        "subjects": ["s1"], "recordings": ["r1"], "fold": 0, "variant": "full", "preset": "tiny", "simulated": False,
        "feature_names": {"s1": names}, "feature_rate_hz": {"s1": info.feature_rate_hz}, "hop_frames": 8,
        "config": config.model_dump(mode="json"), "mel": whole.mel.model_dump(mode="json"),
        "front_ends": {"s1": FrontEnd.of_session(aligned, names).as_json()},
    }  # fmt: skip
    mark_layout()
    model, of_fold = random_model(names, rows, info, config), paths.model_sidecar("s1", 0)
    save_model(Path("model.ckpt"), model, meta)
    of_fold.parent.mkdir(parents=True)
    shutil.copy("model.ckpt", of_fold.with_name("model.ckpt"))
    write_sidecar(of_fold, "ensemble", [of_fold.with_name("model.ckpt")], Provenance(), model_digest(model), **meta)


def _header(folder: Path, found: Sequence[JsonEdit]) -> None:
    """What a model file says of itself; its values stay."""
    import torch

    content = torch.load(folder / "model.ckpt", weights_only=True)
    content["header"] = json_changed(content["header"], found)
    torch.save(content, folder / "model.ckpt")


def _sidecar(folder: Path, found: Sequence[Any]) -> None:
    path = folder / "results/train/s1/fold0/model.json"
    if isinstance(found[0], Edit):
        edited(path, found)
    else:
        path.write_text(json_changed(path.read_text(), found))


def _checkpoint(folder: Path) -> None:
    from pipeline.training.checkpoint import AtomicCheckpointIO

    AtomicCheckpointIO().save_checkpoint({"epoch": 3, "state_dict": {}, "loops": [1.5, None]}, folder / "last.ckpt")


def _sealed(folder: Path, found: Sequence[Edit]) -> None:
    """Edits of a checkpoint whose digest is right."""
    path = folder / "last.ckpt"
    path.write_bytes(path.read_bytes()[:-32])
    edited(path, found)
    path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).digest())


def model_readers(isolated: Isolated | None) -> dict[str, Reader]:
    trained = partial(_trained, isolated=isolated)
    exported = partial(_exported, isolated=isolated)
    return {
        "model file": Reader(trained, edits(BYTE_EDITS), in_file("model.ckpt"), (AGAIN, LIVE)),
        "model header": Reader(trained, JSON_EDITS, _header, (PREDICT, AGAIN, LIVE)),
        "model sidecar": Reader(trained, JSON_EDITS | edits(TEXT_EDITS), _sidecar, (OF_FOLD,)),
        "checkpoint": Reader(_checkpoint, edits(BYTE_EDITS), in_file("last.ckpt"), (("python", RESUME),)),
        "sealed checkpoint": Reader(_checkpoint, edits(BYTE_EDITS), _sealed, (("python", RESUME),)),
        "export": Reader(exported, SHEET_EDITS, _in_export, (("python", CONSUME),)),
        "new sheet": Reader(trained, SHEET_EDITS, in_file("recordings.tsv"), (PREDICT,)),
        "replayed array": Reader(trained, edits(BYTE_EDITS), in_file("eeg.npy"), ((*LIVE, "--wav", "x.wav"),)),
        "replayed sheet": Reader(trained, SHEET_EDITS, in_file("recordings.tsv"), ((*LIVE, "--wav", "x.wav"),)),
    }
