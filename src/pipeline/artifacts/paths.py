"""Where each artifact lies, relative to the working directory."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path("results")
#: What eval.json, scores.tsv and the report were made from.
EVALUATION_NOTE = RESULTS / "eval.provenance.json"


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


def model_note(subject: str, fold: int) -> Path:
    """What the model was made from, readable without torch."""
    return train(subject, fold) / "model.json"


def metrics(subject: str, fold: int) -> Path:
    return train(subject, fold) / "metrics.csv"


def predictions(subject: str, fold: int) -> Path:
    return RESULTS / "predictions" / subject / f"fold{fold}.h5"


def baselines(subject: str, fold: int) -> Path:
    return RESULTS / "baselines" / subject / f"fold{fold}.h5"


def sound(subject: str, fold: int) -> Path:
    return RESULTS / "sound" / subject / f"fold{fold}"


def sound_note(subject: str, fold: int) -> Path:
    return sound(subject, fold) / "provenance.json"


def described_by(path: Path) -> Path:
    """The file that says what ``path`` was made from."""
    if path.parent.parent.parent == RESULTS / "train":
        return path.with_name("model.json")
    return path / "provenance.json" if path.parent.parent == RESULTS / "sound" else path
