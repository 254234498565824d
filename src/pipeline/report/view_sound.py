"""The page's examples: spectrograms of test stretches on one time axis, with players of stretches and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.types import MODEL, FoldPredictions, Mel, TestBlock, Values
from pipeline.report import figures
from pipeline.report.listening import SOUNDS, excerpts, stretch, words_of
from pipeline.report.view import Picture, Player, Text, missing

RIDGE = "ridge"
NO_SOUND = (
    "none was made: export.audio: predicted makes the predicted sound, all the true and the vocoded true sound too"
)


@dataclass(frozen=True)
class Spectrogram:
    """A picture with the players of the same stretch."""

    picture: Picture
    players: Sequence[Player]


@dataclass(frozen=True)
class Words:
    """A row of players for each word; ``head`` names the columns."""

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Player]]]


@dataclass(frozen=True)
class Example:
    """One stretch of a test block, and words of that block."""

    heading: str
    shown: Spectrogram | None
    missing: Text | None
    words: Words | None


@dataclass(frozen=True)
class Examples:
    """Stretches of different folds; the target is shown unless the page is to be shared.

    ``missing`` says why none has sound.
    """

    examples: Sequence[Example]
    has_target: bool
    missing: Text | None = None


def examples(
    folds: Sequence[FoldPredictions], config: EvaluateConfig, band_hz: Values | None, *, share: bool
) -> Examples:
    """Target and prediction of some stretches, and sound where it was made."""
    cuts = list(excerpts(folds, config))
    silent = not any(block.sound for _, block, _ in cuts)
    shown = [example(*cut, config.report_words, band_hz, share=share, silent=silent) for cut in cuts]
    return Examples(shown, has_target=not share, missing=missing("Sound", NO_SOUND) if silent else None)


def example(
    fold: FoldPredictions,
    block: TestBlock,
    cut: slice,
    words: int,
    band_hz: Values | None,
    *,
    share: bool,
    silent: bool,
) -> Example:
    """One stretch with at most ``words`` words of its block; of a ``silent`` page no example says so again."""
    times_s = block.times_s[cut]
    heading = f"{fold.subject}, fold {fold.fold}, {block.recording}, {times_s[0]:.1f}–{times_s[-1]:.1f} s"
    spoken = word_players(fold, block, words, share=share)
    predicted = block.predictions.get(MODEL)
    if predicted is None:
        why = fold.missing.get(MODEL, "not computed")
        return Example(heading, None, missing("The model's prediction", why), spoken)
    shown = spectrograms(fold, block, cut, predicted, band_hz, share=share)
    return Example(heading, shown, None if block.sound or silent else missing("Sound", NO_SOUND), spoken)


def spectrograms(
    fold: FoldPredictions, block: TestBlock, cut: slice, predicted: Mel, band_hz: Values | None, *, share: bool
) -> Spectrogram:
    """Target, prediction and ridge on one colour scale; without target and labels on a page to be shared."""
    times_s = block.times_s[cut]
    scale = predicted[cut] if share else block.target[cut]
    limits = (float(scale.min()), float(scale.max()))
    events = () if share else [e for e in block.events if times_s[0] <= e.onset_s < times_s[-1]]
    mels = {"prediction of the model, free-running": predicted, "prediction of the ridge": block.predictions.get(RIDGE)}
    mels = mels if share else {"target: true sound": block.target, **mels}
    drawn = {name: mel[cut] for name, mel in mels.items() if mel is not None}
    caption = f"Log-mel from top to bottom: {'; '.join(drawn)}."
    kinds = ["predicted"] if share else ["true", "vocoded_true", "predicted"]
    return Spectrogram(
        Picture(figures.spectrograms(drawn, times_s, limits, events, band_hz), caption),
        [player for kind in kinds if (player := stretch_player(fold, block, cut, kind))],
    )


def stretch_player(fold: FoldPredictions, block: TestBlock, cut: slice, kind: str) -> Player | None:
    """One kind of sound of a stretch; ``None`` where it was not made."""
    wave = stretch(block, cut, fold, kind)
    if wave is None or block.sound is None:
        return None
    return Player(figures.flac_uri(wave, block.sound.rate_hz), SOUNDS[kind])


def word_players(fold: FoldPredictions, block: TestBlock, count: int, *, share: bool) -> Words | None:
    """Players of some words of the block; ``None`` without events or sound."""
    rows = []
    for number, (event, waves) in enumerate(words_of(fold, block, count), start=1):
        assert block.sound is not None
        name = f"word {number}" if share else f"{event.label}, {event.onset_s:.1f} s"
        kinds = [kind for kind in waves if kind == "predicted" or not share]
        uris = {kind: figures.flac_uri(waves[kind], block.sound.rate_hz) for kind in kinds}
        rows.append((name, [Player(uri, f"{name}: {SOUNDS[kind]}") for kind, uri in uris.items()]))
    return Words([SOUNDS[kind].partition(":")[0] for kind in kinds], rows) if rows else None
