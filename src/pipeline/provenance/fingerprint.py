"""Code fingerprints: which code a stage's result depends on.

A fingerprint is one hash for the stage's script and one for each module of this package that it
imports, directly or through others.  Comments, docstrings, formatting and the texts of
``description=`` do not count, so editing them reruns nothing.  A file with a module's name
(``page.css`` and ``page.html.j2`` beside ``page.py``) counts as part of that module.  Of a plug-in that the stage's
config names, every file of its distribution counts; comments, docstrings and formatting of its modules do not.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import plugins
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.memory import remembered
from pipeline.artifacts.paths import RESULTS
from pipeline.errors import InputError

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
PACKAGE = PACKAGE_ROOT.name
HASH_CHARACTERS = 12
#: Hashes of unchanged modules, which the main process of a run keeps.
CODE_MANIFEST = RESULTS / ".code_manifest.json"
#: The Python version, which the syntax tree depends on.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

Scan = dict[str, Any]


def code_fingerprints(
    scripts: Sequence[Path], memory: Path | None = None, *, keep: bool = True
) -> dict[str, dict[str, str]]:
    """The fingerprint of each script: hash by name of it and of every module of this package that it imports.

    ``memory`` is a file that caches the hashes of unchanged modules; it is written where ``keep`` is set.
    """
    files = {_script_name(script): Path(script) for script in scripts} | _modules()
    scans = remembered({f"{PYTHON} {name}": file for name, file in files.items()}, memory, _scan, keep=keep)
    by_name = {name: scans[f"{PYTHON} {name}"] for name in files}
    data = _data_hashes()
    return {Path(script).stem: _closure(_script_name(script), by_name, data) for script in scripts}


def plugin_code(references: Iterable[str]) -> dict[str, str]:
    """Hash by path of every file of these plug-ins; nothing of them is imported.

    Raises :class:`InputError` where one is not installed.
    """
    found = map(plugins.find, references)
    return {name: _plugin_file(file) for plugin in found for name, file in plugin.files().items()}


def code_now(script: str | Path, config_json: str) -> dict[str, str]:
    """The fingerprint of one script, with the stage's config, as its modules stand.

    A job of a run looks only at modules that changed.
    """
    own = code_fingerprints([Path(script)], CODE_MANIFEST, keep=False)[Path(script).stem]
    return own | plugin_code(plugins.named_in(json.loads(config_json)))


def code_at_start(script: str) -> dict[str, str]:
    """The same for a script that was given the code of its run; nothing where a person started it without."""
    if "--code" not in sys.argv:
        return {}
    with suppress(InputError):  # which the check of the config repeats where it is reported
        return code_now(script, sys.argv[sys.argv.index("--config") + 1])
    return {}


def _closure(script: str, scans: dict[str, Scan], data: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    pending = [script]
    while pending:
        name = pending.pop()
        if name in scans and name not in found:
            found[name] = scans[name]["hash"]
            pending.extend(scans[name]["imports"])
    return dict(sorted({**found, **{n: h for n, h in data.items() if n.rsplit("/", 1)[0] in found}}.items()))


def _script_name(script: Path) -> str:
    return f"script {Path(script).stem}"


@cache
def _modules() -> dict[str, Path]:
    """The file of every module of this package, by name."""
    files = {}
    for file in PACKAGE_ROOT.rglob("*.py"):
        parts = [PACKAGE, *file.relative_to(PACKAGE_ROOT).with_suffix("").parts]
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


def _data_hashes() -> dict[str, str]:
    """Hash of every other file with a module's name, as ``module/ending`` (``html.j2``)."""
    hashes = {}
    for name, module in _modules().items():
        for file in _beside(module.parent):
            stem, _, ending = file.name.partition(".")
            if stem == module.stem and ending.split(".")[0] not in ("py", "pyi"):
                hashes[f"{name}/{ending}"] = hashlib.sha256(file.read_bytes()).hexdigest()[:HASH_CHARACTERS]
    return hashes


@cache
def _beside(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.suffix != ".py" and file.is_file()]


def _plugin_file(file: Path) -> str:
    if file.suffix == ".py":
        # A template, a mistake that the import will name, or an expression too deep for a syntax tree.
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            tree = ast.parse(file.read_bytes(), filename=file.name)
            for node in ast.walk(tree):
                _drop_docstring(node)
            return hashlib.sha256(_dumped(tree).encode()).hexdigest()[:HASH_CHARACTERS]
    return file_sha256(file)[:HASH_CHARACTERS]


def _scan(name: str, file: Path) -> Scan:
    """The hash of a module without what has no effect, and what it may import from this package."""
    tree = ast.parse(file.read_bytes(), filename=file.name)
    module = name.removeprefix(f"{PYTHON} ")
    imports: set[str] = set()
    for node in ast.walk(tree):
        _drop_docstring(node)
        if isinstance(node, ast.Call):
            node.keywords = [k for k in node.keywords if k.arg != "description"]
        elif isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, file.name == "__init__.py")
            imports.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    own = {n for n in imports if n.split(".")[0] == PACKAGE}
    parents = {n.rsplit(".", depth)[0] for n in own for depth in range(1, n.count(".") + 1)}
    text = _dumped(tree)
    return {"hash": hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS], "imports": sorted(own | parents)}


def _dumped(value: object) -> str:
    """A syntax tree as text that is equal in every Python: fields without a value, which later ones add, left out."""
    if isinstance(value, list):
        return f"[{','.join(map(_dumped, value))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    fields = ((name, getattr(value, name, None)) for name in value._fields)
    return f"{type(value).__name__}({','.join(f'{n}={_dumped(v)}' for n, v in fields if v is not None and v != [])})"


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        node.body = node.body[ast.get_docstring(node, clean=False) is not None :]


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
    return ".".join([*package, *([node.module] if node.module else [])])
