"""The combinations of a ``sweep``: one checked config each, in an order that repeats early stages least."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.loader import all_keys, load_config
from pipeline.config.root import Config
from pipeline.config.stages import STAGES, stage_json
from pipeline.config.sweep import SweepConfig
from pipeline.errors import InputError, Problem, raise_if_any

LONGEST_NAME = 100
#: A sweep of more combinations would check their configs for minutes, and run for months.
MOST_COMBINATIONS = 1000


@dataclass(frozen=True)
class Combination:
    """One config of a sweep: its ``values`` by swept key, and ``name``, its folder."""

    name: str
    values: Mapping[str, Any]
    config: Config


def combinations(config: Config) -> list[Combination]:
    """The configs of a sweep; none where ``config.sweep`` is empty.

    Combinations with equal early stages follow one another, so that a shared stage runs
    once.  Raises :class:`InputError` with the problems of all of them.
    """
    sweep = config.sweep
    if not sweep.grid and not sweep.list:
        return []
    raise_if_any(_problems(sweep))
    base = config.model_dump(mode="json", exclude={"sweep"})
    found, problems = [], []
    for values in _value_sets(sweep):
        try:
            found.append(Combination(_name(values), values, load_config([], [base, *map(_nested, values.items())])))
        except InputError as error:
            problems += [_within(values, p) for p in error.problems]
    raise_if_any([*problems, *_twice(found)])
    return _sharing(found)


def _value_sets(sweep: SweepConfig) -> Iterator[dict[str, Any]]:
    grid = [dict(zip(sweep.grid, values, strict=True)) for values in itertools.product(*sweep.grid.values())]
    return ({**listed, **values} for listed in sweep.list or [{}] for values in grid)


def _nested(item: tuple[str, Any]) -> dict[str, Any]:
    key, value = item
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _problems(sweep: SweepConfig) -> Iterator[Problem]:
    swept = [key for key in all_keys() if not key.startswith(("sweep.", "runtime."))]
    for place, key in [("grid", k) for k in sweep.grid] + [("list", k) for s in sweep.list for k in s]:
        if key.startswith("runtime."):
            yield Problem("sweep", f"{place}.{key}", key, "a key that a result depends on", "Remove it")
        elif key not in swept:
            near = [k for k in swept if k.endswith(f".{key}")] or difflib.get_close_matches(key, swept, n=1)
            fix = f"Did you mean {near[0]}?" if near else "Write the whole key; config/README.md lists them"
            yield Problem("sweep", f"{place}.{key}", "an unknown key", "a dotted key such as train.seed", fix)
    for key, values in sweep.grid.items():
        if not values:
            yield Problem("sweep", f"grid.{key}", "no values", "a list of values", f"Write {key}: [first, second]")
    n_combinations = math.prod(map(len, sweep.grid.values())) * max(1, len(sweep.list))
    if n_combinations > MOST_COMBINATIONS:
        fix = "Sweep fewer values, or several sweeps one after the other"
        got = f"{n_combinations if n_combinations < 1e9 else 'billions of'} combinations"
        yield Problem("sweep", "", got, f"at most {MOST_COMBINATIONS}", fix)
    for key in sorted(set(sweep.grid) & {k for s in sweep.list for k in s}):
        yield Problem("sweep", key, "the key in grid and in list", "it in one of them", "Remove it from one")


def _within(values: Mapping[str, Any], problem: Problem) -> Problem:
    return Problem(f"sweep, {_text(values)}", problem.field, problem.got, problem.expected, problem.fix)


def _twice(found: list[Combination]) -> Iterator[Problem]:
    """Problems of combinations with equal configs, which would count as two results."""
    first: dict[str, Combination] = {}
    for c in found:
        text = c.config.canonical_json()
        if text in first:
            got = f"the same config as {_text(first[text].values)}"
            yield Problem("sweep", _text(c.values), got, "each combination once", "Remove one of them")
        first.setdefault(text, c)


def _sharing(found: list[Combination]) -> list[Combination]:
    """Sorted by what the stages read, early stages first, values in the user's order."""
    texts = {stage: list(dict.fromkeys(stage_json(stage, c.config) for c in found)) for stage in STAGES}
    return sorted(found, key=lambda c: [texts[stage].index(stage_json(stage, c.config)) for stage in STAGES])


def _text(values: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items())


def _name(values: Mapping[str, Any]) -> str:
    """A folder's name, with a digest where it cannot hold the values as they are."""
    text = _text(values)
    plain = re.sub(r"[^A-Za-z0-9.,=_+-]", "_", text)[:LONGEST_NAME]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
