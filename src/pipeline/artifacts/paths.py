"""Where each artifact lies, relative to the working directory."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path("results")


def recording(name: str) -> Path:
    return RESULTS / "recordings" / f"{name}.h5"


def aligned(name: str) -> Path:
    return RESULTS / "aligned" / f"{name}.h5"


def mel(name: str) -> Path:
    return RESULTS / "mel" / f"{name}.h5"


def windows(subject: str) -> Path:
    return RESULTS / "windows" / f"{subject}.h5"


def contamination(name: str) -> Path:
    return RESULTS / "contamination" / f"{name}.h5"


def train(subject: str, fold: int) -> Path:
    return RESULTS / "train" / subject / f"fold{fold}"


def model(subject: str, fold: int) -> Path:
    return train(subject, fold) / "model.ckpt"


def metrics(subject: str, fold: int) -> Path:
    return train(subject, fold) / "metrics.csv"


def predictions(subject: str, fold: int) -> Path:
    return RESULTS / "predictions" / subject / f"fold{fold}.h5"


def baselines(subject: str, fold: int) -> Path:
    return RESULTS / "baselines" / subject / f"fold{fold}.h5"


def sound(subject: str, fold: int) -> Path:
    return RESULTS / "sound" / subject / f"fold{fold}"
