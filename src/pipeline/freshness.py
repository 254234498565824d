"""Is what lies in ``results/`` what the config, the code and the inputs would give now?

Every output says what it was made from, in its header or in a sidecar.  Snakemake
decides by its own records; this decides where those are missing, for
``python -m pipeline verify``, and before anything is scored.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths
from pipeline.artifacts.core import header, opened_any, recomputed_digest, write_text
from pipeline.artifacts.sidecar import damaged_files, read_sidecar
from pipeline.errors import InputError, Problem
from pipeline.provenance import digest

ACCEPTED = paths.RESULTS / ".accepted.json"
MAX_NAME = 255
SNAKEMAKE = Path(".snakemake")


@dataclass(frozen=True)
class Output:
    """One output of one job, and what it should have been made from.

    ``path`` is what Snakemake knows it by, ``described_by`` the file that says what it
    was made from; ``inputs`` are described outputs and raw files.
    """

    path: str
    stage: str
    described_by: str
    config_json: str
    code: Mapping[str, str]
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """Why an output is not what it should be."""

    output: Output
    reason: str

    def __str__(self) -> str:
        return f"{self.output.path}: {self.reason}. Rerun the stage {self.output.stage}"


@dataclass
class Freshness:
    """Compares outputs with what they should be; remembers the digests that it read.

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
        """Why ``output`` would come out otherwise now; empty where it would not."""
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
        return next((f"made from another {p}" for p, sha in recorded.items() if self._digest(p) != sha), "")

    def _digest(self, path: str) -> str | None:
        if path not in self._digests:
            self._digests[path] = self.raw.get(path) or _content_digest(path)
        return self._digests[path]


def described(path: str) -> dict[str, Any]:
    """``config_json``, ``code_fingerprint``, ``inputs`` and ``content_digest`` of an output.

    Raises :class:`InputError` where it is damaged or does not say.
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
    """Raise :class:`InputError` where an output was made from a version of its inputs that is gone.

    Inputs that no longer lie there cannot be compared and are passed over.
    """
    problems = []
    freshness = Freshness()
    for name in described_by:
        for path, sha256 in described(name)["inputs"]:
            now = freshness._digest(path)
            if now is not None and now != sha256:
                fix = "Run the workflow again: snakemake --cores 8 results/eval.json"
                problems.append(Problem(name, "inputs", f"made from an older {path}", "results of one run", fix))
    if problems:
        raise InputError(problems)


def without_record(outputs: Iterable[Output]) -> list[Output]:
    """Outputs that exist and that Snakemake has no record of (``.snakemake`` was deleted)."""
    return [o for o in outputs if Path(o.path).exists() and not _has_record(o.path)]


def accept(outputs: Iterable[Output], stage: str, present_code: Mapping[str, str]) -> int:
    """Let the outputs of ``stage`` stand although its code changed; returns how many.

    From now on the present code counts as the code that they carry.  Raises
    :class:`InputError` where different versions made them.
    """
    made_by = [
        described(o.described_by)["code_fingerprint"] for o in outputs if o.stage == stage and Path(o.path).exists()
    ]
    if len({digest(code) for code in made_by}) > 1:
        got, fix = "outputs made by different versions of the code", f"Rerun the stage {stage}"
        raise InputError(Problem(stage, "code_fingerprint", got, "one version to accept", fix))
    if made_by:
        known = accepted()
        known.setdefault(stage, {})[digest(dict(present_code))] = made_by[0]
        write_text(ACCEPTED, json.dumps(known, indent=1, sort_keys=True) + "\n")
    return len(made_by)


def accepted() -> dict[str, dict[str, dict[str, str]]]:
    """By stage and digest of its code: the older code that it counts as."""
    return json.loads(ACCEPTED.read_text(encoding="utf-8")) if ACCEPTED.is_file() else {}


def _content_digest(path: str) -> str | None:
    try:
        return str(described(path)["content_digest"])
    except InputError:
        return None


def mark_for_rerun(paths: Iterable[str]) -> None:
    """Tell Snakemake that these outputs are not to be kept, in the way it tells itself of unfinished ones."""
    for path in paths:
        marker = SNAKEMAKE / "incomplete" / _record_name(path)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps({"external_jobid": None}))


def _has_record(path: str) -> bool:
    return (SNAKEMAKE / "metadata" / _record_name(path)).is_file()


def _record_name(path: str) -> Path:
    """Where Snakemake's file persistence keeps its record of ``path``, long names in pieces."""
    name = base64.urlsafe_b64encode(path.encode()).decode()
    size = MAX_NAME - 1
    pieces = [name[i : i + size] for i in range(0, len(name), size)]
    return Path(*(f"@{piece}" for piece in pieces[:-1]), pieces[-1])


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
