"""The config keys that each stage reads, from its ``…Stage`` model."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from pipeline.config.align import AlignStage
from pipeline.config.base import Section, pick, subsection
from pipeline.config.contamination import ContaminationStage
from pipeline.config.ensemble import EnsembleStage
from pipeline.config.evaluate import EvaluateStage
from pipeline.config.ingest import IngestStage
from pipeline.config.mel import MelStage
from pipeline.config.predict import PredictStage
from pipeline.config.repeats import RepeatsStage
from pipeline.config.ridge import RidgeStage
from pipeline.config.root import Config
from pipeline.config.simulate import SimulateStage
from pipeline.config.train import TrainStage
from pipeline.config.vocode import VocodeStage
from pipeline.config.window import WindowStage

STAGES: dict[str, type[Section]] = {
    "simulate": SimulateStage,
    "ingest": IngestStage,
    "align": AlignStage,
    "window": WindowStage,
    "mel": MelStage,
    "contamination": ContaminationStage,
    "repeats": RepeatsStage,
    "ridge": RidgeStage,
    "train": TrainStage,
    "ensemble": EnsembleStage,
    "predict": PredictStage,
    "vocode": VocodeStage,
    "evaluate": EvaluateStage,
}

#: Keys that name a file whose content decides, wherever it lies: no stage gets the name.
READ_BY_CONTENT = {"train.init_from": {"train"}}

#: The stages that read what a stage writes.
CONSUMERS: dict[str, tuple[str, ...]] = {
    "simulate": ("ingest",),
    "ingest": ("align", "contamination"),
    "align": ("mel", "window", "repeats", "ridge", "train", "ensemble", "predict"),
    "mel": ("repeats", "ridge", "train", "ensemble", "predict"),
    "window": ("ridge", "train", "ensemble", "predict"),
    "contamination": ("evaluate",),
    "repeats": ("evaluate",),
    "ridge": ("train", "predict", "evaluate"),
    "train": ("ensemble",),
    "ensemble": ("predict", "evaluate"),
    "predict": ("vocode", "evaluate"),
    "vocode": ("evaluate",),
    "evaluate": (),
}


def stage_json(stage: str, config: Config) -> str:
    """The keys that ``stage`` reads, as canonical JSON."""
    return pick(STAGES[stage], config).canonical_json()


def downstream(stages: set[str]) -> list[str]:
    """``stages`` and all later stages that depend on them, in the order of the workflow."""
    reached = set(stages)
    for stage in STAGES:
        if stage in reached:
            reached.update(CONSUMERS[stage])
    return [stage for stage in STAGES if stage in reached]


def readers(key: str) -> set[str]:
    """The stages that read the key of this dotted name."""
    declared = {stage for stage, model in STAGES.items() if _declares(model, key.split("."))}
    return declared | READ_BY_CONTENT.get(key, set())


def follows(field: FieldInfo) -> str | None:
    """The key that a stage's own field is made from, where it is not a key itself."""
    extra = field.json_schema_extra
    return str(extra["follows"]) if isinstance(extra, dict) and "follows" in extra else None


def _declares(section: type[Section], parts: list[str]) -> bool:
    if parts[0] not in section.model_fields:
        return any(parts[0] == follows(field) for field in section.model_fields.values())
    kind = subsection(section, parts[0])
    return _declares(kind, parts[1:]) if kind and len(parts) > 1 else True
