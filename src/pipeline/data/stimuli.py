"""What makes two trials the same stimulus: the split keeps such trials on one side, and the audit counts them."""

from __future__ import annotations

from collections.abc import Sequence


def whole_stimuli(text: str, words: Sequence[str]) -> tuple[str, ...]:
    """The whole stimulus of a trial as its text and as the words of its events; nothing where it is one word or none.

    Single words may repeat across the split: ``split.by: label`` holds words out.
    """
    found = (("text", text.split()), ("words", words))
    return tuple(f"{kind}: {' '.join(parts)}" for kind, parts in found if len(parts) > 1)


def whole_text(text: str) -> str | None:
    """The text of a trial as it is compared, where it is more than one word: the split keeps equal ones together."""
    return " ".join(text.split()) if len(text.split()) > 1 else None
