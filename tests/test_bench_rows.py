"""Rows of the benchmark that start the stages, or call what they are made of, as these are today."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench.rows import audio_stage, overhead


@pytest.mark.slow
@pytest.mark.parametrize("stage", overhead.STAGES)
def test_the_row_of_the_overhead_starts_each_stage(stage: str, tmp_path: Path) -> None:
    overhead.prepare(tmp_path)
    overhead._stage(stage)(tmp_path)()


@pytest.mark.slow
def test_the_row_of_the_audio_stage_writes_the_mel_that_librosa_has(tmp_path: Path) -> None:
    np.save(tmp_path / "sound.npy", np.random.default_rng(0).integers(-9000, 9000, 5 * 48000).astype(np.int16))
    for contender in audio_stage.CONTENDERS:
        contender.start(tmp_path)()
    assert audio_stage.largest_difference(tmp_path) <= 1e-5
