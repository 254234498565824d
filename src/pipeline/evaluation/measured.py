"""A score with its null: of segments that exchange predictions, and of frames under the draws of r's null."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.evaluation import segments
from pipeline.evaluation.chance import Null
from pipeline.evaluation.fold import Prepared
from pipeline.evaluation.frame_exchange import FrameExchange, Frames
from pipeline.evaluation.nulls import null_fold
from pipeline.evaluation.segments import Each, Pairwise, Segments
from pipeline.evaluation.types import MODEL, VOCODED_TRUE, Values

SEED = 6
"""Of the draws, so that they are not those of other tests."""


@dataclass(frozen=True)
class Measured:
    """A score and its null, (1 + R,), the observed one first; ``reason`` says why either is missing.

    ``spread`` describes the score of single segments, of which there are ``segments``.
    """

    values: Values = field(default_factory=lambda: np.array([np.nan]))
    reason: str | None = None
    spread: Mapping[str, float] = field(default_factory=dict)
    segments: int = 0


ByName = dict[str, Measured]
"""By prediction; :data:`VOCODED_TRUE` is the ceiling and has no null."""


@dataclass(frozen=True)
class Subject:
    """A subject's folds, ``nulls`` of r by prediction and metric, and ``number`` among the subjects."""

    prepared: Sequence[Prepared]
    nulls: Mapping[str, Mapping[str, Null]]
    evaluate: EvaluateConfig
    chance: ChanceConfig
    number: int

    @property
    def rate_hz(self) -> float:
        """Mel frames per second."""
        return self.prepared[0].fold.frame_rate_hz

    def has(self, name: str) -> bool:
        """Whether every fold has a prediction."""
        return all(name in p.fold.names() for p in self.prepared)

    def null_of(self, name: str) -> Null:
        """The null of a prediction's r; the ceiling gets the model's."""
        return self.nulls[MODEL if name == VOCODED_TRUE else name]["pearson_r"]

    @property
    def seed(self) -> tuple[int, ...]:
        """All predictions see the same draws."""
        return (self.evaluate.seed, self.number, SEED)

    @property
    def whole_trials(self) -> bool:
        """Whether test blocks are trials that exchange partners."""
        return self.null_of(MODEL).method == "exchange"


def of_segments(
    subject: Subject, names: Sequence[str], own: Segments, noun: str, score: Pairwise, each: Each | None = None
) -> ByName:  # fmt: skip
    """A score of segments of each of ``names``; ``each`` is that of targets and their own predictions alone."""
    if not own:
        return {name: Measured(reason=f"no {noun} in the test blocks") for name in names}
    target, reason = segments.cut(subject.prepared, own), segments.too_few(own, noun)
    return {
        name: exchanged(subject, own, (target, segments.cut(subject.prepared, own, name)), score, name, reason, each)
        for name in names
    }


def exchanged(
    subject: Subject, own: Segments, sides: tuple[Sequence[Any], Sequence[Any]], score: Pairwise, name: str,
    reason: str | None, each_of: Each | None = None,
) -> Measured:  # fmt: skip
    """A score of segments with its null; each with itself alone where there is no test."""
    if reason or name == VOCODED_TRUE:
        each_of = each_of or (lambda y, p: np.array([score([a], [b])[0, 0] for a, b in zip(y, p, strict=True)]))
        parts = [[[side[i] for i in group] for side in sides] for group in segments.groups_of(own)]
        each = np.concatenate([each_of(*part) for part in parts])
        values = np.array([each[np.isfinite(each)].mean()]) if np.isfinite(each).any() else np.array([np.nan])
    else:
        rng = np.random.default_rng(subject.seed)
        each, values = segments.exchanged(*sides, segments.groups_of(own), score, subject.chance.shifts, rng)
    known = each[np.isfinite(each)]
    if not known.size:
        return Measured(reason="undefined: target or prediction is constant")
    spread = {"median": float(np.median(known)), "sd": float(known.std())}
    return Measured(values, reason, spread, len(known))


def of_frames(subject: Subject, name: str, score: Callable[[Frames, Frames], float]) -> Measured:
    """A score of target frames and the predicted frames that they meet, over the draws of the null of r."""
    null = subject.null_of(name)
    source = MODEL if name == VOCODED_TRUE else name
    folds = [null_fold(p, source) for p in subject.prepared]
    trials = [(k, block) for k, fold in enumerate(folds) for block in fold.blocks]
    exchange = FrameExchange(trials, null, subject.rate_hz, subject.chance, subject.seed)
    if not exchange.blocks:
        return Measured(reason=null.reason)
    frames, values = np.concatenate(exchange.blocks), []
    for met in exchange.draws():
        values.append(score(frames, met))
        if null.p_value is None or name == VOCODED_TRUE:
            break
    if not np.isfinite(values[0]):
        return Measured(reason="undefined: no frame of one kind")
    known = [value for value in values if np.isfinite(value)]  # a draw may have no frame of one kind
    return Measured(np.array(known), null.reason)
