"""A small untrained HiFi-GAN generator as its original saves one: checkpoint and config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

#: The shapes that the original publishes, but for the width: v1 (and universal), v2 and v3.
MEL = {
    "sampling_rate": 22050, "n_fft": 1024, "hop_size": 256, "win_size": 1024, "num_mels": 80, "fmin": 0, "fmax": 8000
}  # fmt: skip
V1 = {
    "resblock": "1", "upsample_rates": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4],
    "upsample_initial_channel": 32, "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]], "segment_size": 8192, "fmax_for_loss": None, **MEL,
}  # fmt: skip
V2 = {**V1, "upsample_initial_channel": 16}
V3 = {
    **V1, "resblock": "2", "upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8],
    "resblock_kernel_sizes": [3, 5, 7], "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]],
}  # fmt: skip


def random_state(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict with the names and shapes of the original, weight-normalised, of random values."""
    shapes: dict[str, tuple[int, int, int]] = {}
    width = config["upsample_initial_channel"]
    shapes["conv_pre"] = (width, config["num_mels"], 7)
    branches = list(zip(config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True))
    for i, kernel in enumerate(config["upsample_kernel_sizes"]):
        shapes[f"ups.{i}"] = (width, width // 2, kernel)
        width //= 2
        for j, (size, dilations) in enumerate(branches):
            for k in range(len(dilations)):
                for convs in ("convs1", "convs2") if config["resblock"] == "1" else ("convs",):
                    shapes[f"resblocks.{i * len(branches) + j}.{convs}.{k}"] = (width, width, size)
    shapes["conv_post"] = (1, width, 7)
    noise = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        bias = shape[1] if name.startswith("ups.") else shape[0]
        state[f"{name}.bias"] = 0.1 * torch.randn(bias, generator=noise)
        state[f"{name}.weight_g"] = 0.5 + torch.rand(shape[0], 1, 1, generator=noise)
        state[f"{name}.weight_v"] = torch.randn(shape, generator=noise)
    return state


def write_checkpoint(folder: Path, config: dict[str, Any] | None = None, seed: int = 0) -> tuple[Path, Path]:
    """``generator.pth`` and ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    config = config or V2
    torch.save({"generator": random_state(config, seed)}, folder / "generator.pth")
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "generator.pth", folder / "config.json"
