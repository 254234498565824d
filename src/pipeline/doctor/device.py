"""Which device a run would train on, found without importing torch, which takes seconds."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

#: What a driver of NVIDIA's, or of AMD's, leaves where it sees a card.
CARDS = (Path("/dev/nvidia0"), Path("/proc/driver/nvidia/gpus"), Path("/dev/kfd"))


def device_text(accelerator: str, cards: tuple[Path, ...] = CARDS) -> str:
    """What ``runtime.accelerator`` leads to here, and what to do where a GPU would lie idle."""
    build = torch_build()
    sees_gpu = any(card.exists() for card in cards)
    if accelerator == "cpu":
        return "the CPU, as runtime.accelerator says"
    if sees_gpu and build == "CPU":
        return (
            "GPU seen, CPU build of torch installed: networks train on the CPU. Install the CUDA build: make run GPU=1"
        )
    if not sees_gpu:
        return f"the CPU: no GPU seen ({build} build of torch)"
    return f"a GPU ({build} build of torch)"


def torch_build() -> str:
    """``CPU``, ``CUDA 12.8`` or ``ROCm 6.4``, as the installed torch was built; ``no`` without one."""
    spec = find_spec("torch")
    file = None if spec is None or spec.origin is None else Path(spec.origin).with_name("version.py")
    if file is None or not file.is_file():
        return "no"
    text = file.read_text(encoding="utf-8")
    for key, name in (("cuda", "CUDA"), ("hip", "ROCm")):
        if found := re.search(rf"^{key}\b[^=]*= '([^']+)'", text, re.MULTILINE):
            return f"{name} {found[1]}"
    return "CPU"
