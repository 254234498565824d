"""Plug-ins: features and networks of other distributions, which a config names as ``package.module:Class``.

A plug-in is an entry point of the group :data:`GROUP`, as an installed distribution declares it in its metadata::

    [project.entry-points."seeg_to_audio.plugins"]
    teager = "mypackage.features:TeagerEnergy"

The metadata have to be those that an installer wrote (with a ``RECORD``).  The working directory is never searched,
neither for metadata nor for modules, unless a distribution that is installed as editable says that it lies there.
Nothing of a plug-in is imported before :func:`load`.  What its code raises later is named by :func:`raised_in`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, distributions
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipeline.errors import InputError, Problem, is_out_of_memory

GROUP = "seeg_to_audio.plugins"
_LEFT_OUT = re.compile(r"(^|/)(\.|__pycache__/)|~$")
PATTERN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
MOST_SAID = 200


@dataclass(frozen=True)
class Plugin:
    """A declared plug-in: the distribution with its version, and the ``folder`` that its top-level ``names`` lie in."""

    reference: str
    distribution: str
    version: str
    folder: Path
    names: tuple[str, ...]

    def files(self) -> dict[str, Path]:
        """All files of its packages and modules, by path below the folder, but hidden ones and copies of an editor."""
        found = []
        for name in self.names:
            package, module = self.folder / name, self.folder / f"{name}.py"
            found += _below(package) if package.is_dir() else [module]
        named = {file.relative_to(self.folder).as_posix(): file for file in sorted(found)}
        return {name: file for name, file in named.items() if not _LEFT_OUT.search(name)}


def is_reference(text: object) -> bool:
    """Whether a value of the config names a plug-in."""
    return isinstance(text, str) and re.fullmatch(PATTERN, text) is not None


def named_in(config: Mapping[str, Any]) -> list[str]:
    """The plug-ins that a config, or the part of one that a stage reads, names."""
    kinds = [feature["kind"] for feature in config.get("align", {}).get("features", [])]
    named = [*kinds, config.get("model", {}).get("network")]
    return sorted({reference for reference in named if is_reference(reference)})


def versions(config: Mapping[str, Any]) -> dict[str, str]:
    """Version by distribution of the plug-ins that a config names."""
    return {plugin.distribution: plugin.version for plugin in map(find, named_in(config))}


def find(reference: str) -> Plugin:
    """The plug-in of this name, of which nothing is imported.

    Raises :class:`InputError` where no installed distribution declares it, or where its files are not found.
    """
    declared, unreadable = [], []
    top = reference.partition(":")[0].partition(".")[0]
    for distribution in distributions(path=_searched()):
        try:
            values = [entry.value for entry in distribution.entry_points if entry.group == GROUP]
            if not values or (record := distribution.read_text("RECORD")) is None:  # which every installer writes
                continue
            declared += values
            if reference in values and (found := _places(distribution, record, top)):
                name, version = distribution.metadata["Name"], distribution.metadata["Version"]
                return Plugin(reference, _filled(name), _filled(version), *found)
        except Exception as error:  # of metadata that no installer wrote, anything
            unreadable.append(f"{distribution.locate_file('')}: {said(error)}")
    others = f" (installed are {', '.join(sorted(set(declared)))})" if declared else ""
    others += f" (metadata that cannot be read in {', '.join(unreadable)})" if unreadable else ""
    fix = f'pip install the distribution of {top}, whose metadata declare it as an entry point of the group "{GROUP}"'
    got = f"no installed distribution that declares it{others}"
    if reference in declared and not unreadable:
        got, fix = f"no package {top} with __init__.py, nor a module {top}.py", "Install the distribution anew"
    raise InputError(Problem("plug-in", reference, got, "an installed plug-in", fix))


def load(reference: str) -> type:
    """The class of a plug-in, imported from the files that :func:`find` found.

    Raises :class:`InputError` where there is none, or where its import fails.
    """
    plugin = find(reference)
    module_name, _, name = reference.partition(":")
    try:
        with _without_working_directory(), redirect_stdout(sys.stderr):
            found = getattr(_module(plugin, module_name), name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit(0) too, which would end a run as if it were done
        got = said(error)
        fix = f"Repair {plugin.distribution} {plugin.version}, or install what it needs"
        raise InputError(Problem("plug-in", reference, got, "a module that can be imported", fix)) from error
    if not isinstance(found, type):
        fix = f"Define class {name} in {module_name}"
        raise InputError(Problem("plug-in", reference, f"no class {name}", "a class", fix))
    _loaded[reference] = plugin
    return found


#: The plug-ins of this process.
_loaded: dict[str, Plugin] = {}


def raised_in(error: BaseException) -> Problem | None:
    """What code of a loaded plug-in raised; None where ``error`` did not pass through any, or memory ran out."""
    if is_out_of_memory(error):
        return None
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        for plugin in _loaded.values():
            with suppress(ValueError):  # a file elsewhere
                file = Path(frame.f_code.co_filename).relative_to(plugin.folder)
                if file.parts[:1] and file.parts[0].removesuffix(".py") in plugin.names:
                    got, fix = f"{said(error)} ({file}, line {line})", f"Repair {plugin.distribution}"
                    return Problem("plug-in", f"{plugin.distribution} {plugin.version}", got, "no error", fix)
    return None


def said(error: BaseException) -> str:
    """Type and text of an error of somebody's code, whose text may fail too."""
    try:
        text = str(error)[:MOST_SAID]
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _filled(text: str | None) -> str:
    if not text:
        raise ValueError("no name or no version")
    return text


def _below(folder: Path) -> list[Path]:
    """All files below a folder, and below packages that links there lead to, each folder once."""
    found, seen = [], set[str]()
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        inner = [Path(place, name) for name in folders]
        folders[:] = [
            f.name for f in inner if not f.is_symlink() or (_is_package(f) and os.path.realpath(f) not in seen)
        ]
        found += [file for file in (Path(place, name) for name in names) if file.is_file()]
    return found


def _module(plugin: Plugin, name: str) -> Any:
    """The module, whose top-level package is the plug-in's own wherever else one of that name lies."""
    top = name.partition(".")[0]
    if top not in sys.modules:
        spec = PathFinder.find_spec(top, [str(plugin.folder)])
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
        sys.modules[top] = module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[top])
        except BaseException:
            del sys.modules[top]
            raise
    if not Path(str(sys.modules[top].__file__)).resolve().is_relative_to(plugin.folder.resolve()):
        raise ImportError(f"another package {top} is imported already")
    return import_module(name)


def _places(distribution: Distribution, record: str, top: str) -> tuple[Path, tuple[str, ...]] | None:
    """The folder and the names of a distribution's packages and modules; None where ``top`` is not among them."""
    listed = (distribution.read_text("top_level.txt") or "").split()
    if root := _editable(distribution):
        for folder in (root / "src", root):
            if _is_module(folder, top):
                return folder, tuple(name for name in dict.fromkeys([top, *listed]) if _is_module(folder, name))
        return None
    folder = Path(str(distribution.locate_file("")))
    firsts = {line.split(",")[0].split("/")[0] for line in record.splitlines()}
    names = tuple(name for name in sorted({first.removesuffix(".py") for first in firsts}) if _is_module(folder, name))
    return (folder, names) if top in names else None


def _editable(distribution: Distribution) -> Path | None:
    """The source tree of an editable installation, as its metadata say."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(urlsplit(origin["url"]).path))


def _is_module(folder: Path, name: str) -> bool:
    return name.isidentifier() and (_is_package(folder / name) or (folder / f"{name}.py").is_file())


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def _searched() -> list[str]:
    """Where modules are searched, but for the working directory."""
    here = os.path.realpath(".")
    return [place for place in sys.path if place and os.path.realpath(place) != here]


@contextmanager
def _without_working_directory() -> Iterator[None]:
    before = list(sys.path)
    sys.path[:] = _searched()
    try:
        yield
    finally:
        sys.path[:] = before
