"""Choice of the test stretches and words in the report's players: by the true sound, never by score.

In: folds with the sound that was made of their test blocks.  Out: waveforms (samples,) float32.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.artifacts.aligned import Event
from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.fold import speech_frames
from pipeline.evaluation.types import FoldPredictions, TestBlock
from pipeline.vocoder.loudness import WORD_MARGIN_S, Wave, equally_loud, excerpt

SOUNDS = {
    "true": "True sound",
    "vocoded_true": "True mel through the vocoder: the ceiling",
    "predicted": "Predicted sound",
}
FLAC_BITS = 13
"""Of a sound's largest sample, without its sign, that the report's players keep."""
LONGEST_WORD_S = 2.0
"""Words stop here, so that what holds them stays small."""


def excerpts(
    folds: Sequence[FoldPredictions], config: EvaluateConfig
) -> Iterator[tuple[FoldPredictions, TestBlock, slice]]:
    """Stretches to show: of folds spread over subjects, the one with most speech (never chosen by score)."""
    count = min(config.report_examples, len(folds))
    for k in sorted({round(place) for place in np.linspace(0, len(folds) - 1, count)}):
        yield folds[k], *liveliest(folds[k], config)


def liveliest(fold: FoldPredictions, config: EvaluateConfig) -> tuple[TestBlock, slice]:
    """The stretch of a fold with most speech: its test block, and its frames in it."""
    length = int(config.report_excerpt_s * fold.frame_rate_hz)
    parts = [speech_frames(block, fold, config) for block in fold.blocks]
    block = int(np.argmax([part.sum() for part in parts]))
    total = np.concatenate([[0], np.cumsum(parts[block])])
    last = max(1, len(parts[block]) - length + 1)
    ends = np.minimum(np.arange(last) + length, len(parts[block]))
    start = int(np.argmax(total[ends] - total[:last]))
    return fold.blocks[block], slice(start, min(start + length, len(parts[block])))


def stretch(block: TestBlock, cut: slice, fold: FoldPredictions, kind: str) -> Wave | None:
    """One kind of sound of the frames in ``cut``; None where it was not made."""
    wave = None if block.sound is None else getattr(block.sound, kind)
    if block.sound is None or wave is None:
        return None
    per_frame = block.sound.rate_hz / fold.frame_rate_hz
    return wave[round(cut.start * per_frame) : round(cut.stop * per_frame)]


def words_of(fold: FoldPredictions, block: TestBlock, count: int) -> Iterator[tuple[Event, dict[str, Wave]]]:
    """At most ``count`` of a block's words, spread over it, each with the equally loud sounds that were made of it."""
    waves = {kind: w for kind in SOUNDS if block.sound and (w := getattr(block.sound, kind)) is not None}
    events = [e for e in block.events if e.duration_s > 0]
    if not waves or not events or block.sound is None:
        return
    rate_hz = block.sound.rate_hz
    for place in sorted({round(p) for p in np.linspace(0, len(events) - 1, min(count, len(events)))}):
        start_s = events[place].onset_s - block.start_frame / fold.frame_rate_hz - WORD_MARGIN_S
        stop_s = start_s + min(events[place].duration_s, LONGEST_WORD_S) + 2 * WORD_MARGIN_S
        cut = {kind: excerpt(wave, rate_hz, start_s, stop_s) for kind, wave in waves.items()}
        yield events[place], equally_loud(cut, rate_hz)


def wav_bytes(sound: NDArray[np.float32], rate_hz: int) -> bytes:
    """A mono 16-bit WAV file; louder than full scale is turned down, never clipped."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(as_int16(sound).astype("<i2").tobytes())
    return buffer.getvalue()


def flac_bytes(sound: NDArray[np.float32], rate_hz: int) -> bytes:
    """A FLAC file, a third of the WAV's bytes, of the same samples to :data:`FLAC_BITS` of the loudest.

    The error, 80 dB below the peak, is not heard; equal sound gives equal bytes, as Vorbis and Opus do not.
    """
    samples = as_int16(sound)
    step = 1 << max(0, int(np.abs(samples, dtype=np.int32).max(initial=0)).bit_length() - FLAC_BITS)
    kept = (np.rint(samples / step).clip(max=32767 // step) * step).astype(np.int16)
    kept = kept if len(kept) else np.zeros(1, np.int16)  # of no sample there is no FLAC file
    buffer = io.BytesIO()
    soundfile.write(buffer, kept, rate_hz, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return buffer.getvalue()


def as_int16(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples of 16 bits, turned down where they are louder than full scale."""
    return np.rint(sound / max(1.0, float(np.abs(sound).max(initial=0.0))) * 32767).astype(np.int16)
