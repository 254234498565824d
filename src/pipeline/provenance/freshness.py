"""Whether the outputs in ``results/`` match the present config, code and inputs.

Every output records what it was made from, in its header or in a sidecar.  Snakemake compares
its own records; this module compares the outputs themselves: at every start, for
``python -m pipeline verify``, and before scoring.  A start opens only outputs that changed
since an earlier one: an index beside them has what the others say of themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths, versions
from pipeline.artifacts.files import file_sha256, write_text
from pipeline.artifacts.memory import remembered
from pipeline.artifacts.sidecar import damaged_files, read_sidecar, refuse_damaged
from pipeline.config.canonical import digest
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.provenance.outputs import ACCEPTED, Output, accepted

#: What outputs say of themselves, and the sha256 of the files of sidecars, as of the last start.
INDEX = paths.RESULTS / ".index.json"
FILES_INDEX = paths.RESULTS / ".files_index.json"
FIELDS = {"output", "config", "code", "inputs", "content", "parts"}


@dataclass(frozen=True)
class Finding:
    """An output that is missing, damaged or made from something else, with the reason."""

    output: Output
    reason: str

    def __str__(self) -> str:
        return f"{self.output.path}: {self.reason}. Rerun the stage {self.output.stage}"


@dataclass
class Freshness:
    """Compares outputs with the present config, code and inputs; keeps what it read of them.

    ``raw`` holds the sha256 of the user's raw files, by path.
    """

    raw: Mapping[str, str] = field(default_factory=dict)
    _known: dict[str, dict[str, Any] | None] = field(default_factory=dict)

    def check(self, outputs: Iterable[Output], *, read_all: bool = False) -> Iterator[Finding]:
        """Every output that is missing, damaged or made from something else.

        With ``read_all`` all data is read and its digest recomputed.
        """
        for output in outputs:
            reason = self.why_stale(output) or (damage(output) if read_all else "")
            if reason:
                yield Finding(output, reason)

    def check_changed(self, outputs: Iterable[Output]) -> Iterator[Finding]:
        """The same of outputs that exist, as quickly as a start needs it; the index is brought up to date."""
        there = [output for output in outputs if Path(output.path).exists()]
        described_by = {o.described_by: Path(o.described_by) for o in there if Path(o.described_by).is_file()}
        index = remembered(described_by, INDEX, lambda path, _: _said(path))
        self._known |= {path: said if _is_said(said) else _said(path) for path, said in index.items()}
        sidecars = [path for path in described_by if path.endswith(".json")]
        files = {name: Path(name) for sidecar in sidecars for name in self.files_of(sidecar)[1:]}
        files = {name: file for name, file in files.items() if file.is_file()}
        contents = remembered(files, FILES_INDEX, lambda _, file: file_sha256(file))
        for output in there:
            reason = self.why_stale(output) or self._changed_files(output.described_by, contents)
            if reason:
                yield Finding(output, reason)

    def why_stale(self, output: Output) -> str:
        """Why ``output`` is not up to date; empty where it is."""
        if not Path(output.path).exists():
            return "missing"
        said = self._said_by(output.described_by) or {"unreadable": "no provenance"}
        if "unreadable" in said:
            return f"unreadable ({said['unreadable']})"
        if said["output"] not in ("", output.path):
            return f"written as {said['output']}"
        if said["config"] != digest(output.config_json) or said["code"] != digest(dict(output.code)):
            return _made_otherwise(output)
        recorded = dict(said["inputs"])
        if set(recorded) != set(output.inputs):
            return "made from other files"
        other = next(self.replaced(recorded.items()), None)
        return f"made from another {other}" if other else ""

    def _changed_files(self, described_by: str, contents: Mapping[str, str]) -> str:
        """What is wrong with the files of a sidecar, by the sha256 of each; empty where they are as written."""
        if not described_by.endswith(".json"):
            return ""
        parts = (self._said_by(described_by) or {}).get("parts", {})
        names = [n for n, sha256 in parts.items() if contents.get(str(Path(described_by).with_name(n))) != sha256]
        return f"damaged or missing: {', '.join(names)}" if names else ""

    def replaced(self, inputs: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Inputs with other content than recorded; unreadable inputs are reported as outputs of their own."""
        return (path for path, sha256 in inputs if (self._content(path) or sha256) != sha256)

    def files_of(self, path: str) -> list[str]:
        """The files of an output or input, by what describes it."""
        if Path(path).parent.suffix == ".h5":
            return [str(Path(path).parent)]
        parts = (self._said_by(path) or {}).get("parts", {}) if path.endswith(".json") else {}
        return [path, *(str(Path(path).with_name(name)) for name in parts)]

    def _content(self, path: str) -> str | None:
        return self.raw.get(path) or _content(path, self._said_by)

    def _said_by(self, path: str) -> dict[str, Any] | None:
        """What an output says of itself; None where there is no such file."""
        if path not in self._known:
            self._known[path] = _said(path) if Path(path).is_file() else None
        return self._known[path]


def _said(path: str) -> dict[str, Any]:
    """What an output says of itself, with digests of what is long; ``unreadable`` says why where it cannot be read."""
    try:
        made = described(path)
    except InputError as error:
        return {"unreadable": error.problems[0].got}
    return {
        "output": made["output"],
        "config": digest(made["config_json"]),
        "code": digest(made["code_fingerprint"]),
        "inputs": made["inputs"],
        "content": made["content_digest"],
        "parts": made["parts"],
    }


def _made_otherwise(output: Output) -> str:
    """How config or code differ from those that ``output`` names, of which the index has no more than digests."""
    try:
        made = described(output.described_by)
    except InputError as error:  # an index of an earlier version, which could read it
        return f"unreadable ({error.problems[0].got})"
    if made["config_json"] != output.config_json:
        return f"made with another config ({_changed_keys(made['config_json'], output.config_json)})"
    return f"made by other code ({_changed(made['code_fingerprint'], output.code)})"


def _is_said(value: object) -> bool:
    """Whether an entry of the index is one."""
    return isinstance(value, dict) and value.keys() in (FIELDS, {"unreadable"})


def made_with_others(outputs: Iterable[Output]) -> list[str]:
    """A line per package of which another version is installed now than some of ``outputs`` were made with.

    Versions rerun nothing: this only says where numbers may differ from what a run would give now.
    """
    there = sorted({output.described_by for output in outputs if Path(output.described_by).is_file()})
    lines = []
    for package, counts in versions.counted(map(_versions_of, there)).items():
        now = versions.version_now(package)
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
    """What an output says of itself: the fields of a header (:func:`pipeline.artifacts.core.header`).

    ``parts`` are digests of what is in it, groups or files.  Raises :class:`InputError` where it is damaged or has no
    provenance.
    """
    if path.endswith(".json"):
        made = read_sidecar(Path(path))
        return {"output": "", **made, "parts": made["files"]}
    from pipeline.artifacts.core import header  # h5py, which a start that opens nothing should not wait for

    return header(Path(path))


def damage(output: Output) -> str:
    """What is wrong with the data of an output; empty where it matches its digest."""
    if output.described_by.endswith(".json"):
        names = damaged_files(Path(output.described_by))
        return f"damaged or missing: {', '.join(names)}" if names else ""
    from pipeline.artifacts.core import opened_any, recomputed_digest

    try:
        with opened_any(Path(output.path)) as artifact:
            return "" if recomputed_digest(artifact) == artifact.content_digest else "damaged: another content digest"
    except InputError as error:
        return error.problems[0].got


def refuse_mixture(described_by: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What each output says of itself (:func:`described`), by its file.

    Raises :class:`InputError` where one was made from a version of its inputs that is gone, or is damaged.  Inputs
    that no longer exist cannot be compared and are skipped.
    """
    problems, found = [], {}
    freshness = Freshness()
    for name in described_by:
        made = found[name] = described(name)
        if name.endswith(".json"):
            refuse_damaged(Path(name))
        for path in freshness.replaced(made["inputs"]):
            fix = f"Rerun the stage {made['stage']}: snakemake --cores 8 --forcerun {made['stage']} results/eval.json"
            problems.append(Problem(name, "inputs", f"made from another {path}", "results of one run", fix))
    raise_if_any(problems)
    return found


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
    return _content(path, _said)


def _content(path: str, said: Callable[[str], dict[str, Any] | None]) -> str | None:
    place = Path(path)
    if ".." in place.parts or place.parts[:1] != paths.RESULTS.parts:
        return None
    if place.suffix in (".h5", ".json"):
        return (said(path) or {}).get("content")
    holder = place.parent if place.parent.suffix == ".h5" else place.with_name("provenance.json")
    return (said(str(holder)) or {}).get("parts", {}).get(place.name)


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
