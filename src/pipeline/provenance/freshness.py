"""Whether the outputs in ``results/`` match the present config, code and inputs.

Every output records what it was made from, in its header or in a sidecar.  Snakemake compares
its own records; this module compares the outputs themselves: where Snakemake's records are
missing, for ``python -m pipeline verify``, and before scoring.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths, versions
from pipeline.artifacts.core import header, opened_any, part_digest, recomputed_digest
from pipeline.artifacts.files import write_text
from pipeline.artifacts.sidecar import damaged_files, read_sidecar, refuse_damaged
from pipeline.config.canonical import digest
from pipeline.errors import InputError, Problem
from pipeline.provenance.outputs import ACCEPTED, Output, accepted


@dataclass(frozen=True)
class Finding:
    """An output that is missing, damaged or made from something else, with the reason."""

    output: Output
    reason: str

    def __str__(self) -> str:
        return f"{self.output.path}: {self.reason}. Rerun the stage {self.output.stage}"


@dataclass
class Freshness:
    """Compares outputs with the present config, code and inputs; keeps the digests that it read.

    ``raw`` holds the sha256 of the user's raw files, by path.
    """

    raw: Mapping[str, str] = field(default_factory=dict)
    _digests: dict[str, str | None] = field(default_factory=dict)

    def check(self, outputs: Iterable[Output], *, read_all: bool = False) -> Iterator[Finding]:
        """Every output that is missing, damaged or made from something else.

        With ``read_all`` all data is read and its digest recomputed.
        """
        for output in outputs:
            reason = self.why_stale(output) or (damage(output) if read_all else "")
            if reason:
                yield Finding(output, reason)

    def why_stale(self, output: Output) -> str:
        """Why ``output`` is not up to date; empty where it is."""
        if not Path(output.path).exists():
            return "missing"
        try:
            made = described(output.described_by)
        except InputError as error:
            return f"unreadable ({error.problems[0].got})"
        if made["config_json"] != output.config_json:
            return f"made with another config ({_changed_keys(made['config_json'], output.config_json)})"
        if made["code_fingerprint"] != dict(output.code):
            return f"made by other code ({_changed(made['code_fingerprint'], output.code)})"
        recorded = dict(made["inputs"])
        if set(recorded) != set(output.inputs):
            return "made from other files"
        other = next(self.replaced(recorded.items()), None)
        return f"made from another {other}" if other else ""

    def replaced(self, inputs: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Inputs with other content than recorded; unreadable inputs are reported as outputs of their own."""
        return (path for path, sha256 in inputs if (self._digest(path) or sha256) != sha256)

    def _digest(self, path: str) -> str | None:
        if path not in self._digests:
            self._digests[path] = self.raw.get(path) or content_of(path)
        return self._digests[path]


def made_with_others(outputs: Iterable[Output]) -> list[str]:
    """A line per package of which another version is installed now than some of ``outputs`` were made with.

    Versions rerun nothing: this only says where numbers may differ from what a run would give now.
    """
    there = sorted({output.described_by for output in outputs if Path(output.described_by).is_file()})
    lines = []
    for package, counts in versions.counted(map(_versions_of, there)).items():
        now = versions.installed().get(package, "none")
        others = [made_with for made_with in counts if made_with != now]
        if others:
            n = sum(counts[made_with] for made_with in others)
            lines.append(f"{package}: {n} output{'s' * (n != 1)} made with {', '.join(others)}; installed is {now}")
    return lines


def _versions_of(path: str) -> dict[str, str]:
    """What an output was made with; nothing where it does not say or cannot be read."""
    try:
        return dict(described(path)["versions"])
    except InputError:
        return {}


def described(path: str) -> dict[str, Any]:
    """``config_json``, ``code_fingerprint``, ``inputs``, ``versions`` and ``content_digest`` of an output.

    Raises :class:`InputError` where it is damaged or has no provenance.
    """
    return read_sidecar(Path(path)) if path.endswith(".json") else header(Path(path))


def damage(output: Output) -> str:
    """What is wrong with the data of an output; empty where it matches its digest."""
    if output.described_by.endswith(".json"):
        names = damaged_files(Path(output.described_by))
        return f"damaged or missing: {', '.join(names)}" if names else ""
    try:
        with opened_any(Path(output.path)) as artifact:
            return "" if recomputed_digest(artifact) == artifact.content_digest else "damaged: another content digest"
    except InputError as error:
        return error.problems[0].got


def refuse_mixture(described_by: Iterable[str]) -> None:
    """Raise :class:`InputError` where an output was made from a version of its inputs that is gone, or is damaged.

    Inputs that no longer exist cannot be compared and are skipped.
    """
    problems = []
    freshness = Freshness()
    for name in described_by:
        made = described(name)
        if name.endswith(".json"):
            refuse_damaged(Path(name))
        for path in freshness.replaced(made["inputs"]):
            fix = f"Rerun the stage {made['stage']}: snakemake --cores 8 --forcerun {made['stage']} results/eval.json"
            problems.append(Problem(name, "inputs", f"made from another {path}", "results of one run", fix))
    if problems:
        raise InputError(problems)


def accept(outputs: Iterable[Output], stage: str, present_code: Mapping[str, str]) -> int:
    """Accept the outputs of ``stage`` although its code changed; returns how many there are.

    From then on the present code counts as equal to the code that they record.  Raises
    :class:`InputError` where they were made by different versions of the code.
    """
    there = [o.described_by for o in outputs if o.stage == stage and Path(o.path).exists()]
    made_by = [dict(described(name)["code_fingerprint"]) for name in there]
    if len({digest(code) for code in made_by}) > 1:
        got, fix = "outputs made by different versions of the code", f"Rerun the stage {stage}"
        raise InputError(Problem(stage, "code_fingerprint", got, "one version to accept", fix))
    if made_by and made_by[0] != dict(present_code):
        known = accepted()
        known.setdefault(stage, {})[digest(dict(present_code))] = made_by[0]
        write_text(ACCEPTED, json.dumps(known, indent=1, sort_keys=True) + "\n")
    return len(made_by)


def content_of(path: str) -> str | None:
    """Content of an output, of a part of one (``file.h5/group``), or of a raw file that a stage made; None where
    nothing says.

    Only files below ``results/`` are read: a path elsewhere, recorded in an artifact, is not followed.
    """
    if ".." in Path(path).parts or Path(path).parts[:1] != paths.RESULTS.parts:
        return None
    try:
        if Path(path).suffix in (".h5", ".json"):
            return str(described(path)["content_digest"])
        if Path(path).parent.suffix == ".h5":
            return part_digest(Path(path))
        return dict(read_sidecar(Path(path).with_name("provenance.json"))["files"]).get(Path(path).name)
    except InputError:
        return None


def _changed_keys(old: str, new: str) -> str:
    return _changed(_flat(json.loads(old)), _flat(json.loads(new)))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    names = sorted(n for n in {*old, *new} if old.get(n) != new.get(n))
    return ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
