"""Events that are cues: true onsets are those of the sound, and a frame inside a cue is no speech for that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.config.evaluate import ChanceConfig
from pipeline.evaluation.fold import speech_frames
from pipeline.evaluation.scores import RunContext, score
from test_chance import FAST, RATE_HZ, WORD_FRAMES, WordList, fold_of


def test_true_onsets_are_the_sounds_where_events_are_cues() -> None:
    rng, word_list = np.random.default_rng(3), WordList(0)
    block = word_list.block(rng, "words")
    late = rng.integers(2, 40, len(block.events))
    cues = [
        replace(e, onset_s=e.onset_s - frames / RATE_HZ, duration_s=(WORD_FRAMES + frames) / RATE_HZ)
        for e, frames in zip(block.events, late, strict=True)
    ]
    fold = fold_of(replace(block, events=tuple(cues)))
    documents = {
        kind: score([replace(fold, events_are=kind)], FAST, ChanceConfig(), RunContext({"events_are": kind}))
        for kind in ("voice", "cue")
    }
    ranks = {k: d["summary"]["words"]["by_prediction"]["model"]["rank_accuracy"] for k, d in documents.items()}
    assert ranks["cue"]["observed"] != ranks["voice"]["observed"]
    folds = {k: d["subjects"]["sub1"]["folds"][0] for k, d in documents.items()}
    assert {k: f["words"]["true_onset"] for k, f in folds.items()} == {"voice": "annotated_onset", "cue": "sound_onset"}


def test_a_cue_is_no_speech_frame() -> None:
    block = WordList(0).block(np.random.default_rng(3), "words")
    config = FAST.model_copy(update={"speech_frames": "events"})
    voice, cue = (speech_frames(block, replace(fold_of(block), events_are=k), config) for k in ("voice", "cue"))
    assert voice.sum() == pytest.approx(25 * WORD_FRAMES, abs=25)
    np.testing.assert_array_equal(cue, block.target.mean(axis=1) > -6.0)
