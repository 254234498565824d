"""What a stage's result depends on besides its inputs: code, and a name for the whole.

A stage's *code fingerprint* is one hash per module of its static import closure inside
this package, and its script.  Comments, docstrings, formatting and the texts of
``description=`` do not count, so improving them reruns nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE_ROOT = Path(__file__).resolve().parent
PACKAGE = PACKAGE_ROOT.name
HASH_CHARACTERS = 12


def code_fingerprint(script: Path) -> dict[str, str]:
    """Hash by name of ``script`` and of every module of this package that it imports, however far."""
    tree, hashed = _parsed(Path(script))
    modules = {f"script {Path(script).stem}": hashed}
    pending = sorted(_imports(tree, ""))
    while pending:
        name = pending.pop()
        if name not in modules:
            tree, modules[name] = _parsed(_module_file(name))
            pending.extend(_imports(tree, name))
    return dict(sorted(modules.items()))


def digest(parts: Any) -> str:
    """sha256 of ``parts`` as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_row(config_json: str, row_json: str) -> str:
    """A stage's config and its row of the sample sheet as one canonical JSON text."""
    whole = {**json.loads(config_json), "row": json.loads(row_json)}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"))


@cache
def _parsed(file: Path) -> tuple[ast.Module, str]:
    """The syntax tree of a module without what has no effect, and its hash."""
    tree = ast.parse(file.read_bytes(), filename=file.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
        elif isinstance(node, ast.Call):
            node.keywords = [k for k in node.keywords if k.arg != "description"]
    text = ast.dump(tree, annotate_fields=False)
    return tree, hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]


def _imports(tree: ast.Module, module: str) -> set[str]:
    """Modules of this package that ``tree`` imports anywhere, and the packages they lie in."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    own = {name for name in found if name.split(".")[0] == PACKAGE and _module_file(name).is_file()}
    parents = {name.rsplit(".", n)[0] for name in own for n in range(1, name.count(".") + 1)}
    return own | parents


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    is_package = _module_file(module).name == "__init__.py"
    package = module.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
    return ".".join([*package, *([node.module] if node.module else [])])


@cache
def _module_file(name: str) -> Path:
    place = PACKAGE_ROOT.parent.joinpath(*name.split("."))
    package = place / "__init__.py"
    return package if package.is_file() else place.with_suffix(".py")
