"""What the English recogniser PocketSphinx hears in a sound, choosing among the sentences or words of its session.

With an open vocabulary it fails even on true voices.  Texts with words that are not in its dictionary are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

RATE_HZ = 16_000


class Recogniser:
    """Recognises the texts that it knows the words of; ``texts`` are normalised (:func:`normalised`)."""

    def __init__(self, texts: Iterable[str]) -> None:
        words = {text: text.split() for text in dict.fromkeys(texts) if text}
        self.texts = [text for text, own in words.items() if all(map(self._decoder.lookup_word, own))]
        if self.texts:
            grammar = f"#JSGF V1.0; grammar session; public <text> = {' | '.join(self.texts)};"
            self._decoder.add_jsgf_string("session", grammar)
            self._decoder.activate_search("session")

    @cached_property
    def _decoder(self) -> Any:
        from pocketsphinx import Decoder

        return Decoder(lm=None, samprate=RATE_HZ, loglevel="FATAL")

    def __call__(self, sound: NDArray[np.float32], rate_hz: int) -> str:
        """The text that is heard in a sound (samples,); empty where none is."""
        samples = soxr.resample(sound, rate_hz, RATE_HZ)
        self._decoder.start_utt()
        self._decoder.process_raw(np.int16(32767 * np.clip(samples, -1, 1)).tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return "" if found is None else str(found.hypstr).strip()


def normalised(text: str) -> str:
    """Lower case, words with one space between, no punctuation but apostrophes; empty where it is no plain English."""
    plain = text.lower().replace("’", "'")
    return " ".join(re.findall(r"[a-z']+", plain)) if plain.isascii() and not re.search(r"\d", plain) else ""
