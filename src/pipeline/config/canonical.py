"""Canonical JSON: one text for equal values, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(parts: Any) -> str:
    """sha256 of ``parts`` as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_rows(config_json: str, rows: Mapping[str, Any]) -> str:
    """A stage's config and the rows of the sample sheet that it takes, by recording, as one canonical JSON text."""
    whole = {**json.loads(config_json), "rows": dict(rows)}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"))
