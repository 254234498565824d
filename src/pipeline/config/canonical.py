"""Canonical JSON: one text for equal values, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical(value: Any) -> str:
    """``value`` as JSON in which equal values are equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(parts: Any) -> str:
    """sha256 of ``parts`` as canonical JSON."""
    return text_digest(canonical(parts))


def text_digest(text: str) -> str:
    """sha256 of a text that is canonical JSON already."""
    return hashlib.sha256(text.encode()).hexdigest()


def with_rows(config_json: str, rows: Mapping[str, str]) -> str:
    """A stage's config and the rows of the sample sheet that it takes, as one canonical JSON text.

    ``rows`` are by recording, each as canonical JSON: thousands are not made anew for each text that they are part of.
    """
    before, after = canonical({**json.loads(config_json), "rows": None}).split('"rows":null')
    own = ",".join(f"{json.dumps(recording)}:{row}" for recording, row in sorted(rows.items()))
    return f'{before}"rows":{{{own}}}{after}'
