"""The path of each artifact, relative to the working directory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.config.variants import FINAL, FULL, Fold

RESULTS = Path("results")
#: The sidecar of eval.json, scores.tsv and the report: what they were made from.
EVALUATION_SIDECAR = RESULTS / "eval.provenance.json"
#: Of more subjects the report is a summary, and each has a page of its own.
SUBJECTS_OF_ONE_PAGE = 3
#: Name of the group in the baselines that holds the ridge which networks correct.
SKIP = "skip"
#: Characters of a content digest that name a run or a model.
DIGEST_CHARACTERS = 16
#: Folders of results that hold copies of others.
COPIES = (("archive",), ("sweep",))


def _of(variant: str) -> Path:
    return RESULTS if variant == FULL else RESULTS / "variants" / variant


def fold_name(fold: Fold) -> str:
    """A fold in paths: ``fold0``, ``fold1``, … or ``final``."""
    return FINAL if fold == FINAL else f"fold{fold}"


def fold_of(name: str) -> Fold:
    """The fold back from its name."""
    return FINAL if name == FINAL else int(name.removeprefix("fold"))


def recording(session: str) -> Path:
    return RESULTS / "recordings" / f"{session}.h5"


def aligned(session: str) -> Path:
    return RESULTS / "aligned" / f"{session}.h5"


def mel(session: str) -> Path:
    return RESULTS / "mel" / f"{session}.h5"


def ingest_plan(session: str) -> Path:
    """What the stage ingest gets of a session: it names folders, so it is no result that people pass on."""
    return Path(".snakemake") / "plan" / f"ingest_{session}.json"


def windows(subject: str) -> Path:
    return RESULTS / "windows" / f"{subject}.h5"


def repeats(model_id: str) -> Path:
    return RESULTS / "repeats" / f"{model_id}.h5"


def contamination(session: str) -> Path:
    return RESULTS / "contamination" / f"{session}.h5"


def train(subject: str, fold: Fold, variant: str = FULL) -> Path:
    return _of(variant) / "train" / subject / fold_name(fold)


def model(subject: str, fold: Fold, variant: str = FULL) -> Path:
    return train(subject, fold, variant) / "model.ckpt"


def model_sidecar(subject: str, fold: Fold, variant: str = FULL) -> Path:
    """The model's sidecar: what it was made from, readable without torch."""
    return train(subject, fold, variant) / "model.json"


def metrics(subject: str, fold: Fold, variant: str = FULL) -> Path:
    return train(subject, fold, variant) / "metrics.csv"


def network(subject: str, fold: Fold, name: str, variant: str = FULL) -> Path:
    return train(subject, fold, variant) / name / "network.ckpt"


def network_sidecar(subject: str, fold: Fold, name: str, variant: str = FULL) -> Path:
    """What the network was made from, readable without torch."""
    return train(subject, fold, variant) / name / "network.json"


def predictions(subject: str, fold: Fold, variant: str = FULL) -> Path:
    return _of(variant) / "predictions" / subject / f"{fold_name(fold)}.h5"


def baselines(subject: str, fold: Fold, variant: str = FULL) -> Path:
    return _of(variant) / "baselines" / subject / f"{fold_name(fold)}.h5"


def skip_of(baselines: str | Path) -> Path:
    """The ridge that networks correct, as a part of the baselines: all of them that training depends on."""
    return Path(baselines) / SKIP


def sound(subject: str, fold: Fold) -> Path:
    return RESULTS / "sound" / subject / fold_name(fold)


def sound_sidecar(subject: str, fold: Fold) -> Path:
    return sound(subject, fold) / "provenance.json"


def described_by(path: Path) -> Path:
    """The file that records what ``path`` was made from."""
    if path.name in ("model.ckpt", "metrics.csv"):
        return path.with_name("model.json")
    return path / "provenance.json" if path.parent.parent == RESULTS / "sound" else path


def is_own_place(path: Path, written_for: str) -> bool:
    """Whether an artifact that a stage wrote as ``written_for`` lies there, or outside of the results of its run.

    Two artifacts of one kind whose files were exchanged differ in nothing else.
    """
    is_result = path.parts[:1] == RESULTS.parts and path.parts[1:2] not in COPIES
    return not is_result or written_for in ("", str(path))


def subject_pages(subjects: Iterable[str]) -> dict[str, Path]:
    """The page of each subject beside the report; none where they fit on the report."""
    names = list(subjects)
    return {name: RESULTS / f"report_{name}.html" for name in names if len(names) > SUBJECTS_OF_ONE_PAGE}
