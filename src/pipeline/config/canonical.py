"""Canonical JSON: one text for equal values, and its digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(parts: Any) -> str:
    """sha256 of ``parts`` as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_row(config_json: str, row_json: str) -> str:
    """A stage's config and its row of the sample sheet as one canonical JSON text."""
    whole = {**json.loads(config_json), "row": json.loads(row_json)}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"))
