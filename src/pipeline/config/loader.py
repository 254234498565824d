"""Read config files, strict YAML or TOML, and check them into a :class:`Config`.

The YAML reader is strict: ``1e-3`` is a number, only ``true`` and ``false`` are booleans;
duplicate keys, aliases and tags are refused.  All problems of all files are reported at once,
with a similar known key for an unknown one.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline import plugins
from pipeline.config.base import Section, subsection
from pipeline.config.checks import file_problem
from pipeline.config.features import feature_section
from pipeline.config.renamed import REMOVED, RENAMED, RENAMED_VALUES
from pipeline.config.root import Config
from pipeline.errors import InputError, Problem, raise_if_any

MOST_PROBLEMS = 50
MAX_CONFIG_BYTES = 1 << 20


class _StrictLoader(yaml.SafeLoader):
    """Numbers and booleans as in YAML 1.2; no aliases, no tags, no duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "an alias (*)", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str) or key in seen:
                what = f"the key {key!r} twice" if isinstance(key, str) else f"the key {key!r}"
                raise yaml.constructor.ConstructorError(None, None, what, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", "nN~"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
):
    for _letter in [*_first, ""] if _tag == "null" else _first:
        _StrictLoader.yaml_implicit_resolvers.setdefault(_letter, []).append(
            (f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"))
        )


def read_config_file(path: Path) -> dict[str, Any]:
    """The nested mapping that a ``.yaml``/``.yml``/``.toml`` file holds."""
    if problem := file_problem(path, str(path), "", may_be_empty=True):
        raise InputError(problem)
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise InputError(Problem(str(path), "", "more than 1 MB", "a config file", "Name the right file"))
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text) if path.suffix == ".toml" else parse_yaml(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise InputError(_unreadable(path, error)) from None


def parse_yaml(text: str) -> dict[str, Any]:
    """A mapping from YAML text, read strictly."""
    values = yaml.load(text, Loader=_StrictLoader)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValueError(f"a {type(values).__name__}, not a mapping of keys to values")
    return values


def parse_override(text: str) -> dict[str, Any]:
    """``train.lr=1e-3`` as a nested mapping; the value is read as YAML."""
    key, separator, value = text.partition("=")
    if not separator or not re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*", key):
        problem = Problem("--set", text, "no key=value", "a dotted key and a value", "Write --set train.lr=1e-3")
        raise InputError(problem)
    try:
        nested: Any = yaml.load(value, Loader=_StrictLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(_unreadable(Path("--set"), error)) from None
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return nested


def load_config(
    files: Iterable[Path], overrides: Iterable[Mapping[str, Any]] = (), *, yaml_1_1: bool = False
) -> Config:
    """The resolved config: defaults, then each file, then each override.

    ``yaml_1_1`` says that the overrides were read so, where ``1e-05`` is a text: it is a number where the key takes no
    text.  Raises :class:`InputError` with every problem found.
    """
    files, overrides = list(files), list(overrides)
    merged: dict[str, Any] = {}
    problems: list[Problem] = []
    for file in files:
        try:
            merged = _merged(merged, read_config_file(file))
        except InputError as error:
            problems += error.problems
    raise_if_any(problems)
    for values in overrides:
        merged = _merged(merged, values)
    source = ", ".join(map(str, files)) or "config"
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        places = [item["loc"] for item in error.errors(include_url=False)] if yaml_1_1 else []
        if (mended := [reduce(_with_number, places, values) for values in overrides]) != overrides:
            return load_config(files, mended, yaml_1_1=True)  # each round has a text less
        raise InputError(_problems(source, error)) from None
    except Exception as error:
        raise_if_any(filter(None, [plugins.raised_in(error)]))
        raise


_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")


def _with_number(values: Any, place: Sequence[int | str]) -> Any:
    """The same values with a number for a text such as ``1e-05`` at that place, of which some parts name types."""
    if isinstance(values, str):
        return float(values) if _EXPONENT.fullmatch(values) else values
    items: dict[Any, Any] = dict(enumerate(values)) if isinstance(values, list) else {}
    items = dict(values) if isinstance(values, Mapping) else items
    for n, part in enumerate(place):
        if part in items:
            items[part] = _with_number(items[part], place[n + 1 :])
            return items if isinstance(values, Mapping) else list(items.values())
    return values


def _merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), Mapping) else value
        for key, value in top.items()
    }
    return {**base, **both}


def _problems(source: str, error: ValidationError) -> Iterator[Problem]:
    found = error.errors(include_url=False)
    if len(found) > MOST_PROBLEMS:
        got, fix = f"{len(found)} problems, of which the first {MOST_PROBLEMS} follow", "Name the right file"
        yield Problem(source, "", got, "a config", fix)
    for place, item in _by_place(found[:MOST_PROBLEMS]):
        if item["type"] == "extra_forbidden":
            yield _unknown_key(source, item["loc"])
            continue
        if item["type"] == "value_error" and isinstance(
            inner := next(iter(item["ctx"]["error"].args), None), InputError
        ):
            yield from inner.problems
            continue
        if item["type"] == "value_error":
            got, expected = item["msg"].removeprefix("Value error, ") or "values that do not", "values that agree"
        else:
            got = "nothing" if item["type"] == "missing" else _shown(item["input"])
            expected = item["msg"].removeprefix("Input should be ")
        yield Problem(source, place, got, expected, _fix(item["input"], place))


#: How pydantic calls a type that a key may have, at the end of a problem's place.
_TYPE = re.compile(r"(int|float|str|bool|none)$|(literal|list|tuple|dict|constrained|function|nullable)\b")


def _by_place(found: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each problem with its dotted key; where a key may be of several types, their refusals are one problem."""
    known, joined = set(all_keys()), dict[str, dict[str, Any]]()
    for item in found:
        parts = list(map(str, item["loc"]))
        keys = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        key = next((key for key in keys if key in known), keys[0] if keys else "")
        is_alternative = len(key.split(".")) == len(parts) - 1 and bool(_TYPE.match(parts[-1]))
        place = key if is_alternative else ".".join(parts)
        before = joined.get(place)
        if before and is_alternative:
            before["msg"] += f" or {item['msg'].removeprefix('Input should be ')}"
        else:
            joined[place] = dict(item)
    yield from joined.items()


def _shown(value: Any) -> str:
    try:
        return repr(value)[:80]
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"


def _fix(value: Any, place: str) -> str:
    if isinstance(value, str) and (place, value) in RENAMED_VALUES:
        return f"Write {RENAMED_VALUES[place, value]}"
    if isinstance(value, str) and value.lower() in {"yes", "no", "on", "off"}:
        return "Write true or false"
    if isinstance(value, str) and re.fullmatch(r"[-+.0-9eE_]+", value):
        return "Write the number without quotes"
    where = "config/README.md" if ":" not in place else "the documentation of the plug-in"
    return f"Look up {place or 'the key'} in {where}"


def _unknown_key(source: str, loc: tuple[int | str, ...]) -> Problem:
    known, place = _keys_at(loc[:-1]), ".".join(map(str, loc))
    if place in RENAMED:
        return Problem(source, place, "a key of an earlier version", RENAMED[place], f"Write {RENAMED[place]}")
    if place in REMOVED:
        return Problem(source, place, "a key of an earlier version", "none", f"Remove it: {REMOVED[place]}")
    name = str(loc[-1])
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    elsewhere = [k for k in all_keys() if k.rsplit(".", 1)[-1] == name]
    hint = near[0] if near else elsewhere[0] if elsewhere else None
    fix = f"Did you mean {hint}?" if hint else "Remove it; config/README.md lists every key"
    return Problem(source, place, "an unknown key", f"one of {', '.join(known)}", fix)


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    section: type[Section] = Config
    for part in loc:
        section = subsection(section, str(part)) or feature_section(part) or section
    return list(section.model_fields)


def all_keys(section: type[Section] = Config, prefix: str = "") -> list[str]:
    """Every key of the config by its dotted name."""
    names = []
    for name in section.model_fields:
        kind = subsection(section, name)
        names += all_keys(kind, f"{prefix}{name}.") if kind else [prefix + name]
    return names


def _unreadable(path: Path, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}" if mark else ""
    got = str(getattr(error, "problem", None) or error).replace("\n", " ")
    expected = "TOML" if path.suffix == ".toml" else "plain YAML: each key once, no aliases, no tags"
    return Problem(str(path), where, got, expected, "Mend the line; config/config.yaml shows the form")
