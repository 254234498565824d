"""The commented default configs, the key table and the JSON schema, made from the models.

``python -m pipeline config --write`` writes them to ``config/``; a test fails when they
differ from the models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pipeline.config.base import Section
from pipeline.config.features import FEATURE_SECTIONS
from pipeline.config.root import Config
from pipeline.config.stages import STAGES, downstream, readers

INTRODUCTION = """\
# Configuration

`config.yaml` and `config.toml` hold the same default, each key with its meaning. A config of your
own contains only the keys that differ. Unknown keys are refused, with the most similar known key.

```
snakemake --cores 8 results/eval.json --configfile my.yaml
python main.py --config my.toml --set train.lr=1e-3
```

Without `--configfile`, Snakemake reads `config/config.yaml` of the working directory, or the
built-in default where that file is missing. Paths are relative to the working directory. TOML has
no `null`: leave the key out. Editors complete and check keys with `config.schema.json`.

The last column names the stages that read the key. When the key changes, these stages and all later
ones run again. A model is not trained again where its training data and settings stay the same.

"""

FEATURES = """
## Kinds of `align.features`

An entry names its kind and, of the kind's keys, those that differ from the default. Any number of entries
are stacked, except for kinds that stand alone.

```yaml
align:
  features:
    - {kind: band_envelope, bands: [[70, 110], [110, 170]]}
    - {kind: low_pass, cutoff_hz: 5}
```
"""


def default_files() -> dict[str, str]:
    """Content of each generated file, by its name in ``config/``."""
    return {
        "config.yaml": "\n".join(_yaml(Config(), 0)) + "\n",
        "config.toml": "\n".join(_toml(Config(), "")).strip() + "\n",
        "config.schema.json": json.dumps(Config.model_json_schema(), indent=1, ensure_ascii=False) + "\n",
        "README.md": INTRODUCTION + "\n".join([*_key_tables(), *_feature_table()]) + "\n",
    }


def _yaml(section: Section, depth: int) -> Iterator[str]:
    pad = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from ([""] if depth == 0 else [])
            yield f"{pad}# {field.description}"
            yield f"{pad}{name}:"
            yield from _yaml(value, depth + 1)
        elif _is_list_of_sections(value):
            yield f"{pad}# {_comment(field)}"
            yield f"{pad}{name}:"
            for entry in value:
                yield from _yaml_entry(entry, depth + 1)
        else:
            yield f"{pad}# {_comment(field)}"
            yield f"{pad}{name}: {_literal(value)}"


def _yaml_entry(entry: Section, depth: int) -> Iterator[str]:
    """An entry of a list, with the dash before its first key."""
    comment, key, *others = _yaml(entry, depth + 1)
    yield comment.removeprefix("  ")
    yield key.replace("  " * (depth + 1), "  " * depth + "- ", 1)
    yield from others


def _toml(section: Section, prefix: str) -> Iterator[str]:
    values = {name: getattr(section, name) for name in type(section).model_fields}
    fields = type(section).model_fields
    for name, value in values.items():
        if not isinstance(value, Section) and not _is_list_of_sections(value):
            yield f"# {_comment(fields[name])}"
            yield f"# {name} =" if value is None else f"{name} = {_literal(value)}"
    for name, value in values.items():
        if isinstance(value, Section):
            yield from ["", f"# {fields[name].description}", f"[{prefix}{name}]"]
            yield from _toml(value, f"{prefix}{name}.")
        elif _is_list_of_sections(value):
            for entry in value:
                yield from ["", f"# {fields[name].description}", f"[[{prefix}{name}]]"]
                yield from _toml(entry, f"{prefix}{name}.")


def _key_tables() -> Iterator[str]:
    """A part for the keys without a section, then one for each section; each row has an anchor, ``#train.lr``."""
    fields, config = Config.model_fields, Config()
    single = [name for name in fields if not isinstance(getattr(config, name), Section)]
    yield from _part("The whole run", "Keys of no section.", [(n, fields[n], getattr(config, n)) for n in single])
    for name, field in fields.items():
        if isinstance(value := getattr(config, name), Section):
            yield from _part(f"`{name}`", f"{field.description}.", list(_keys(value, f"{name}.")))


def _part(title: str, about: str, keys: Iterable[tuple[str, FieldInfo, Any]]) -> Iterator[str]:
    yield from [f"## {title}", "", about, ""]
    yield "| key | type | unit | default | meaning | reruns |"
    yield "|---|---|---|---|---|---|"
    for key, field, value in keys:
        yield _row([f'<a id="{key}"></a>`{key}`', *_cells(field, value), _reruns(key)])
    yield ""


def _feature_table() -> Iterator[str]:
    yield from [*FEATURES.splitlines(), ""]
    yield "| kind | key | type | unit | default | meaning |"
    yield "|---|---|---|---|---|---|"
    for kind, section in FEATURE_SECTIONS.items():
        for name, field in section.model_fields.items():
            yield _row([f"`{kind}`", f"`{name}`", *_cells(field, field.default)])


def _cells(field: FieldInfo, value: Any) -> list[str]:
    """Type, unit, default and meaning of a key."""
    unit = _unit(field)
    meaning = (field.description or "").removesuffix(f"[{unit}]").strip()
    return [_type_name(field), unit, f"`{_literal(value)}`", meaning]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _reruns(key: str) -> str:
    direct = [stage for stage in STAGES if stage in readers(key)]
    behind = [stage for stage in downstream(set(direct)) if stage not in direct]
    if not direct:
        return "the jobs that it adds" if key in ("data.sheet", "fold", "context") else "nothing"
    added = "the networks that it adds, " if key in ("model.networks", "model.ridge_skip") else ""
    return added + ", ".join(direct) + (" and what follows" if behind else "")


def _keys(section: Section, prefix: str) -> Iterator[tuple[str, FieldInfo, Any]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name, field, value


def _comment(field: FieldInfo) -> str:
    choices = _choices(field)
    return f"{field.description}{' (' + ' | '.join(choices) + ')' if len(choices) > 1 else ''}"


def _choices(field: FieldInfo) -> list[str]:
    return [str(c) for c in get_args(field.annotation) if isinstance(c, str)]


#: Types as people call them.
WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null"}


def _type_name(field: FieldInfo) -> str:
    """The type in words: ``whole number or null``, ``all, final or whole number``."""
    found = list(dict.fromkeys(_words(field.annotation)))
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"


def _words(kind: Any) -> Iterator[str]:
    origin = get_origin(kind)
    if kind in WORDS:
        yield WORDS[kind]
    elif origin is Literal:
        yield from map(str, get_args(kind))
    elif origin in (Union, UnionType):
        for part in get_args(kind):
            yield from _words(part)
    elif origin is Annotated:
        yield from _words(get_args(kind)[0])
    else:
        yield "mapping" if (origin or kind) in (dict, Mapping) else "list"


def _unit(field: FieldInfo) -> str:
    found = re.search(r"\[([^\]]+)\]$", field.description or "")
    return found[1] if found else ""


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=lambda section: section.model_dump(mode="json"))


def _is_list_of_sections(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(entry, Section) for entry in value)
