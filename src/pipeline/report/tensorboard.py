"""Additions to TensorBoard: sound, and hyper-parameters with the test scores.

Evaluate writes it beside the curves of the networks, ``{id}/fold{k}/test {subject} {preset,settings}``: there
``tensorboard --logdir results/train`` finds it under a name that people can read, and a run keeps its row on the
HPARAMS page when others are trained after it.  Runs that differ in fold or subject alone are one row
there, their mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # type: ignore[import-untyped]

from pipeline.artifacts import paths
from pipeline.artifacts.event_file import EventFile, folder_for
from pipeline.config.canonical import digest
from pipeline.config.ensemble import ModelSettings
from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.inputs import Scope
from pipeline.evaluation.types import MODEL, Document, FoldPredictions
from pipeline.model.presets import run_title
from pipeline.report.listening import SOUNDS, liveliest, stretch, wav_bytes, words_of
from pipeline.vocoder.loudness import Wave

SCORES = {
    "pearson_r": "test/r",
    "pearson_r_speech": "test/r_speech",
    "mse": "test/mse",
    "mcd_db": "test/mcd_db",
    "stoi": "test/stoi",
}


class ScoreFile(EventFile):
    """An event file that also takes sound and hyper-parameters."""

    def hyper_parameters(self, values: Mapping[str, bool | int | float | str]) -> None:
        """Put the run on the HPARAMS page, in one row with others of equal values."""
        summary = hparams_pb(dict(values), trial_id=digest(dict(values)), start_time_secs=0)
        self._summary(0, list(summary.value))

    def sounds(self, step: int, sounds: Mapping[str, Wave], rate_hz: int) -> None:
        """Players of mono sounds, by name."""
        audio = {name: _audio(wave, rate_hz) for name, wave in sounds.items()}
        self._summary(step, [Summary.Value(tag=name, audio=sound) for name, sound in audio.items()])


def show_in_tensorboard(
    scope: Scope, folds: list[FoldPredictions], document: Document, config: EvaluateConfig
) -> list[Path]:
    """Write the event file of every fold whose training run is still there; returns their folders."""
    written = []
    for fold in folds:
        sidecar = paths.model_sidecar(*scope.trained((fold.subject, fold.fold)))
        run = next((r for r in sorted(sidecar.parent.glob("runs/*")) if _holds(r, sidecar)), None)
        if run is None:
            continue
        model = json.loads(sidecar.read_text(encoding="utf-8"))
        folder = folder_for(sidecar.parent, f"test {fold.subject} {title_of(model)}", run.name)
        events = ScoreFile(folder, 0, is_first=True)
        events.hyper_parameters(hyper_parameters(model))
        # At the last epoch, so that they stand at the end of the curves.
        events.scalars(model["epochs"], scores_of(document, fold) | {"validation/r": model["val_r"]})
        for name, wave, rate_hz in sounds_of(fold, config):
            events.sounds(0, {name: wave}, rate_hz)
        written.append(folder)
    return written


def title_of(model: Mapping[str, Any]) -> str:
    """What people know a model by, from its sidecar."""
    settings = ModelSettings.model_validate(model["config"])
    return run_title(model["preset"], settings.model, settings.train)


def hyper_parameters(model: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """``section.key`` and value of all settings of the training, without those left to the preset."""
    flat: dict[str, bool | int | float | str] = {"preset": model["preset"]}
    for section, values in model["config"].items():
        named = {f"{section}.{key}": v for key, v in values.items()} if isinstance(values, dict) else {section: values}
        flat |= {name: value for name, value in named.items() if isinstance(value, bool | int | float | str)}
    return flat


def scores_of(document: Document, fold: FoldPredictions) -> dict[str, float]:
    """The model's test scores of a fold that are defined, as TensorBoard calls them."""
    folds = document["subjects"][fold.subject]["folds"]
    scores = next(f["scores"][MODEL] for f in folds if (f["fold"], f["seed"]) == (fold.fold, fold.seed))
    return {name: scores[key] for key, name in SCORES.items() if scores.get(key) is not None}


def sounds_of(fold: FoldPredictions, config: EvaluateConfig) -> Iterator[tuple[str, Wave, int]]:
    """Name, sound and rate of what the report plays of a fold: its liveliest stretch, and some words."""
    block, cut = liveliest(fold, config)
    if block.sound is None:
        return
    for kind in SOUNDS:
        if (wave := stretch(block, cut, fold, kind)) is not None:
            yield f"stretch/{kind}", wave, block.sound.rate_hz
    for event, waves in words_of(fold, block, config.report_words):
        for kind, wave in waves.items():
            yield f"word at {event.onset_s:.1f} s, {event.label}/{kind}", wave, block.sound.rate_hz


def _holds(run: Path, sidecar: Path) -> bool:
    """Whether the published model came from this run."""
    own = run / sidecar.name
    return own.is_file() and own.read_bytes() == sidecar.read_bytes()


def _audio(wave: Wave, rate_hz: int) -> Summary.Audio:
    return Summary.Audio(
        sample_rate=rate_hz,
        num_channels=1,
        length_frames=len(wave),
        encoded_audio_string=wav_bytes(wave, rate_hz),
        content_type="audio/wav",
    )
