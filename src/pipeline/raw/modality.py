"""What was recorded: the values of the sheet's column ``modality``, and how prose names them."""

from __future__ import annotations

from collections.abc import Iterable

MODALITIES = ("ieeg", "eeg", "meg", "emg")


def source(modality: str) -> str:
    """Where the signal comes from: ``muscle``, or ``brain`` for all but EMG."""
    return "muscle" if modality == "emg" else "brain"


def activity(modalities: Iterable[str]) -> str:
    """``brain activity``, ``muscle activity``, or ``brain and muscle activity`` where there is both."""
    return f"{' and '.join(sorted({source(m) for m in modalities})) or 'brain'} activity"
