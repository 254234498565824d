"""Resources of each stage: memory [MB] and time [minutes], from the size of its data.

Read by the Snakefile.  On one machine the figures have no effect; on Slurm a job that
exceeds them is killed and tried again with 50 % more of the first try's memory and 100 % more of its time
(see ``retries`` in the profile).
Any of them is overridden by ``set-resources`` in a profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.run.plan import Plan


@dataclass(frozen=True)
class Request:
    """Memory and time of a job: a part that it always needs and a part per GB of its raw files."""

    mb: int
    mb_per_gb: int
    minutes: int
    minutes_per_gb: int


#: Twice what was measured and more: a job that is killed costs more than memory left idle.
RESOURCES = {
    "simulate": Request(800, 8000, 10, 30),
    "ingest": Request(800, 500, 10, 20),
    "align": Request(1000, 2000, 10, 20),
    "mel": Request(800, 1000, 10, 10),
    "contamination": Request(1000, 3000, 10, 20),
    "repeats": Request(1000, 3000, 10, 10),
    "window": Request(800, 200, 10, 5),
    "ridge": Request(2000, 10000, 30, 120),
    "train": Request(3000, 8000, 120, 240),
    "ensemble": Request(2500, 6000, 20, 60),
    "predict": Request(2500, 6000, 20, 60),
    "vocode": Request(1500, 2000, 20, 60),
    "evaluate": Request(2000, 2000, 20, 30),
}


def resources(plan: Plan, stage: str, sessions: Callable[[Any], Iterable[str]]) -> dict[str, Callable[..., int]]:
    """A rule's ``resources``; ``sessions`` names those that a job reads, given its wildcards."""
    request = RESOURCES[stage]

    def of(always: float, per_gb: float, growth: float) -> Callable[..., int]:
        def requested(wildcards: Any, attempt: int) -> int:
            return round((1 + growth * (attempt - 1)) * (always + per_gb * raw_gb(plan, sessions(wildcards))))

        return requested

    # A training that ran out of time needs no more memory, and a node has no fourfold.
    return {
        "mem_mb": of(request.mb, request.mb_per_gb, 0.5),
        "runtime": of(request.minutes, request.minutes_per_gb, 1.0),
    }


def raw_gb(plan: Plan, sessions: Iterable[str]) -> float:
    """Size of the sessions' raw files; what the config implies where the workflow makes them."""
    names = list(sessions)
    if plan.is_simulated:
        c = plan.config.simulate
        per_second = c.eeg_rate_hz * c.channels * (2 if c.eeg_dtype == "int16" else 4) + 2 * c.audio_rate_hz
        return sum(len(plan.sessions[name].trials) for name in names) * c.length_s * per_second / 1e9
    return sum(plan.raw_bytes[name] for name in names) / 1e9
