"""Checkpoints to resume from: whole or not at all, the last two kept, checked before use.

A checkpoint is ``torch.save`` bytes followed by their SHA-256, written beside its target,
synced and moved into place.  It is read with ``weights_only=True``: no file runs code.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from pipeline.model.model_file import serialise, write_atomically

PREVIOUS = ".previous"
_DIGEST_BYTES = 32


class DamagedCheckpointError(Exception):
    """A checkpoint whose bytes do not match their digest, or that holds more than tensors and plain values."""


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's checkpoints, written and read as this module says."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write ``checkpoint`` to ``path``; what was there becomes ``path.previous``."""
        target = Path(path)
        content = serialise(checkpoint)
        if target.exists():
            target.replace(previous_checkpoint(target))
        write_atomically(target, content + hashlib.sha256(content).digest())

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Tensors and plain values; raises :class:`DamagedCheckpointError`."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def previous_checkpoint(path: Path) -> Path:
    """Where the checkpoint before ``path`` lies."""
    return path.with_name(path.name + PREVIOUS)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint after its digest was checked."""
    raw = path.read_bytes()
    content, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise DamagedCheckpointError(path.name)
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on a hostile or foreign file
        raise DamagedCheckpointError(path.name) from error
    if not isinstance(loaded, dict):
        raise DamagedCheckpointError(path.name)
    return loaded


def newest_valid_checkpoint(path: Path, is_own: Callable[[dict[str, Any]], bool] = lambda _: True) -> Path | None:
    """``path`` or, where that is absent, damaged or not its run's own, its predecessor; None where neither will do."""
    for candidate in (path, previous_checkpoint(path)):
        with suppress(OSError, DamagedCheckpointError):
            if is_own(read_checkpoint(candidate)):
                return candidate
    return None
