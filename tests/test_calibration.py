"""Errors after a gain and an offset per band: fitted on out-of-fold predictions for all alike, never on the test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.predictions import BASELINES, PREDICTIONS, PredictedBlock, PredictedFold, read_predicted
from pipeline.artifacts.windows import read_windows
from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.calibration import Calibration, calibration_of, out_of_fold
from pipeline.evaluation.fold import Prepared, score_prediction
from pipeline.evaluation.types import FoldPredictions, TestBlock

BANDS = 6
RATE_HZ = 86.1328125
Mels = dict[str, np.ndarray]


def mels(seed: int, frames: int = 900) -> Mels:
    """A target, a good prediction at another scale, a weak one, and a constant one."""
    rng = np.random.default_rng(seed)
    target = rng.normal(-6, 2, (frames, BANDS))
    noise = [rng.normal(0, spread, target.shape) for spread in (1, 4)]
    found = {"target": target, "model": 0.3 * (target + noise[0]) + 2, "ridge": target + noise[1]}
    found["mean_spectrum"] = np.full_like(target, -5)
    return {name: mel.astype(np.float32) for name, mel in found.items()}


def fold_of(test: Mels, other: Mels) -> FoldPredictions:
    predictions = {name: mel for name, mel in test.items() if name != "target"}
    frames = len(test["target"])
    block = TestBlock("r", 0, np.arange(frames) / RATE_HZ, test["target"], predictions, np.zeros(frames, bool))
    return FoldPredictions("s", 0, 0, RATE_HZ, (block,), -6.0, out_of_fold=(other,))


def errors(fold: FoldPredictions, name: str) -> tuple[float, float, float]:
    values, _ = score_prediction(Prepared(fold, EvaluateConfig()), name)
    return values["mse"], values["mse_calibrated"], values["mcd_db_calibrated"]


def test_gain_and_offset_are_those_of_least_squares() -> None:
    own = mels(0)
    found = Calibration.fitted(own["target"], own["model"])
    for band in range(BANDS):
        gain, offset = np.polyfit(own["model"][:, band].astype(float), own["target"][:, band].astype(float), 1)
        assert (found.gain[band], found.offset[band]) == pytest.approx((gain, offset), rel=1e-4)
    constant = Calibration.fitted(own["target"], own["mean_spectrum"])(own["mean_spectrum"])
    np.testing.assert_allclose(constant, np.tile(own["target"].mean(axis=0), (900, 1)), rtol=1e-5)


def test_scale_of_a_prediction_does_not_matter_after_it_and_what_is_known_does() -> None:
    test, other = mels(0), mels(1)
    mse, calibrated, mcd = errors(fold_of(test, other), "model")
    assert calibrated < 0.3 * mse
    assert calibrated < errors(fold_of(test, other), "ridge")[1]
    scaled = [{**own, "model": (3 * own["model"] - 1).astype(np.float32)} for own in (test, other)]
    assert errors(fold_of(*scaled), "model")[1:] == pytest.approx((calibrated, mcd), rel=1e-5)
    expected = np.mean((Calibration.fitted(other["target"], other["model"])(test["model"]) - test["target"]) ** 2)
    assert calibrated == pytest.approx(expected, rel=1e-5)


def test_test_data_does_not_move_the_line() -> None:
    other = mels(1)
    lines = [calibration_of(fold_of(test, other).out_of_fold, "model") for test in (mels(0), mels(2))]
    np.testing.assert_array_equal(lines[0].gain, lines[1].gain)  # type: ignore[union-attr]
    test = mels(0)
    shifted = {**test, "target": test["target"] + 3}
    before, after = (errors(fold_of(own, other), "model")[1] for own in (test, shifted))
    assert after - before > 5, "an offset of the test's target alone stays an error"


def test_a_prediction_without_out_of_fold_blocks_says_so() -> None:
    test, other = mels(0), mels(1)
    del other["ridge"]
    values, _ = score_prediction(Prepared(fold_of(test, other), EvaluateConfig()), "ridge")
    assert "mse_calibrated" not in values
    assert "out-of-fold" in values["reasons"]["mse_calibrated"]
    assert calibration_of([], "model") is None


def test_blocks_that_one_side_lacks_are_left_out() -> None:
    def part(name: str, *starts: int) -> PredictedFold:
        series = {name: np.zeros((5, 2)), "reference_voice": np.zeros((5, 2))}
        return PredictedFold([], {}, {}, [PredictedBlock("r", s, np.zeros(5), series) for s in starts])

    found = out_of_fold([part("model", 0, 10, 20), part("ridge", 10, 20, 30)])
    assert [set(block) for block in found] == [{"model", "ridge"}] * 2


def test_a_run_holds_the_validation_blocks_of_every_prediction_and_nothing_of_the_test(chain: Path) -> None:
    results = chain / "results"
    windows = read_windows(results / "windows/sim01.h5")
    expected = [(windows.recordings[b.recording], b.start, b.stop) for b in windows.blocks_of(0, "validation")]
    parts = [read_predicted(results / f"{kind}/sim01/fold0.h5", schema)
             for kind, schema in (("predictions", PREDICTIONS), ("baselines", BASELINES))]  # fmt: skip
    for part in parts:
        assert [(b.recording, b.start, b.start + len(b.time_s)) for b in part.out_of_fold] == expected
    (block,) = out_of_fold(parts)
    assert {"target", "model", "ridge", "mean_spectrum", "mean_template", "envelope"} <= set(block)
    unlike = replace(parts[0], out_of_fold=())
    assert out_of_fold([unlike, parts[1]]) == []
