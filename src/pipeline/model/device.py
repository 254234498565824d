"""Which device a network runs on."""

from __future__ import annotations

import torch

from pipeline.errors import InputError, Problem


def device_of(accelerator: str) -> str:
    """Where to run: ``auto`` takes a GPU where there is one.  Raises :class:`InputError`."""
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        fix = "Set runtime.accelerator to auto or cpu"
        raise InputError(
            Problem("config", "runtime.accelerator", "gpu, and no GPU here", "a device that is there", fix)
        )
    return "cuda" if has_gpu and accelerator != "cpu" else "cpu"
