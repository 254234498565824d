"""What every config section shares: frozen, strict, no unknown keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from pipeline.errors import InputError


class Section(BaseModel):
    """A group of config keys.

    Strict types (``"5"`` is not 5, ``1`` is not ``true``; an int is taken for a
    float), unknown keys refused, NaN and infinity refused, values frozen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)

    def canonical_json(self) -> str:
        """The section as JSON in which equal configs are equal texts.

        Keys sorted, floats in shortest round-trip form, so ``1e-3`` and
        ``0.001`` give the same text, as do ``1`` and ``1.0`` of a float field.
        """
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The section back from :meth:`canonical_json`."""
        return cls.model_validate_json(text)


@contextmanager
def as_value_error() -> Iterator[None]:
    """Let pydantic collect an :class:`InputError` among the other problems of a config."""
    try:
        yield
    except InputError as error:
        raise ValueError(error) from None


S = TypeVar("S", bound=Section)


def subsection(section: type[Section], name: str) -> type[Section] | None:
    """The model of a nested section, or None where ``name`` is a key or unknown."""
    field = section.model_fields.get(name)
    kind: Any = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def pick(stage: type[S], config: Section) -> S:
    """The part of ``config`` that ``stage`` declares: the keys that one stage reads.

    A stage model names sections by their place in the whole config.  Where its field has a base
    class as type (``MelGrid`` for ``MelConfig``), only the keys of that base class are taken.
    """
    values: dict[str, Any] = {}
    for name in stage.model_fields:
        value = getattr(config, name)
        kind = subsection(stage, name)
        values[name] = pick(kind, value) if kind else value
    return cast(S, stage.model_construct(**values))
