"""Leak audit: whether two roles share raw samples, by interval arithmetic.

A span is a stretch of raw samples that a role depends on, through filter support, context and
attention, in one recording's neural data or audio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from pipeline.data.intervals import union
from pipeline.errors import InputError, Problem

Kind = Literal["neural", "audio"]


@dataclass(frozen=True)
class Span:
    """Raw samples ``start`` ≤ n < ``stop`` of one recording, sampled at ``rate_hz``."""

    recording: str
    kind: Kind
    start: int
    stop: int
    rate_hz: float


@dataclass(frozen=True)
class PairAudit:
    """What two roles have in common: samples, and the smallest gap between them [s].

    ``smallest_gap_s`` is ``None`` where they never meet in one recording, and negative by
    the longest overlap where they share samples.
    """

    shared_samples: int
    smallest_gap_s: float | None


@dataclass(frozen=True)
class AuditResult:
    """Sum over pairs of roles; ``pairs`` is keyed ``"train/test"`` and so on, ``"train/test, inner fold 1"`` of inner
    folds but the first.

    ``repeated_stimuli`` are whole stimuli (sentences) of test trials that training or validation holds too, of which
    the split leaves none unless nothing else is left, and those that the training of an initial model held;
    ``repeated_words`` are single words of which that is true, which may well be.
    """

    shared_samples: int
    smallest_gap_s: float | None
    pairs: Mapping[str, PairAudit] = field(default_factory=dict)
    repeated_stimuli: int = 0
    repeated_words: int = 0

    @property
    def passed(self) -> bool:
        """No raw sample was seen by two roles."""
        return self.shared_samples == 0


def compare(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> tuple[int, int | None]:
    """Shared samples and smallest gap of two lists of disjoint, rising intervals, by one sweep."""
    shared, gap, i, j = 0, None, 0, 0
    while i < len(a) and j < len(b):
        between = max(a[i][0], b[j][0]) - min(a[i][1], b[j][1])
        shared += max(0, -between)
        gap = between if gap is None else min(gap, between)
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return shared, gap


def audit_pair(a: Sequence[Span], b: Sequence[Span]) -> PairAudit:
    """Compare two roles recording by recording, neural data and audio apart."""
    shared, gaps = 0, []
    mine, other = _by_place(a), _by_place(b)
    for place in sorted(mine.keys() & other.keys()):
        found, gap = compare(union(mine[place]), union(other[place]))
        shared += found
        if gap is not None:
            gaps.append(gap / place[2])
    return PairAudit(shared, min(gaps, default=None))


def _by_place(spans: Sequence[Span]) -> dict[tuple[str, Kind, float], list[tuple[int, int]]]:
    found: dict[tuple[str, Kind, float], list[tuple[int, int]]] = {}
    for span in spans:
        found.setdefault((span.recording, span.kind, span.rate_hz), []).append((span.start, span.stop))
    return found


def audit_spans(spans_by_role: Mapping[str, Sequence[Span]]) -> AuditResult:
    """Compare every pair of roles (train, validation, test) of one fold."""
    pairs = {
        f"{one}/{two}": audit_pair(spans_by_role[one], spans_by_role[two])
        for one, two in combinations(spans_by_role, 2)
    }
    return _over(pairs)


def audit_inner_folds(audits: Sequence[AuditResult]) -> AuditResult:
    """The audits of the inner folds of a fold as one."""
    numbers = ["", *(f", inner fold {k}" for k in range(1, len(audits)))]
    return _over(
        {
            f"{pair}{number}": found
            for number, audit in zip(numbers, audits, strict=True)
            for pair, found in audit.pairs.items()
        }
    )


def _over(pairs: Mapping[str, PairAudit]) -> AuditResult:
    gaps = [p.smallest_gap_s for p in pairs.values() if p.smallest_gap_s is not None]
    return AuditResult(sum(p.shared_samples for p in pairs.values()), min(gaps, default=None), pairs)


def refuse_leak(result: AuditResult, file: str) -> None:
    """Raise :class:`InputError` naming each pair of roles that shares samples."""
    problems = [
        Problem(
            file,
            pair,
            f"{p.shared_samples} raw samples seen by both roles",
            "0",
            "split by contiguous blocks or recordings with a purge gap, and run window again",
        )
        for pair, p in result.pairs.items()
        if p.shared_samples
    ]
    if problems:
        raise InputError(problems)
