"""What channels are called that an amplifier records beside electrodes.

For hints: no channel is left out by its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Triggers and other inputs, heart, eyes, muscle, breath and pulse, sound.
_OTHERS = [
    "ttl", "trig", "trigger", "sti", "stim", "sync", "status", "event", "events", "marker", "photo", "photodiode",
    "diode", "din", "dc", "ekg", "ecg", "eog", "heog", "veog", "emg", "resp", "pulse", "pleth", "spo", "mic", "mikro",
    "microphone", "audio", "sound",
]  # fmt: skip


def no_electrodes(names: Sequence[str], modality: str) -> list[str]:
    """Those of ``names`` that are no electrodes by their letters, in their order (``EMG`` is one of modality emg)."""
    others = [word for word in _OTHERS if word != modality]
    return [name for name in names if re.sub(r"[\W\d_]+", "", name).lower() in others]
