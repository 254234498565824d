"""What eval.json says of the chance level: from nulls made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.evaluation import nulls
from pipeline.evaluation.chance import Null

#: Two bands, of which the second has no r.
ONLY_FIRST = np.array([1.0, np.nan])


def null(*values: float, p: float | None = 0.005, independent: int = 120, minutes: float | None = None) -> Null:
    """The observed r and those of the draws; without a p it could not be tested."""
    reason = "too short" if p is None else None
    own = np.array(values)
    return Null(own, independent, "shift", p, reason, minutes, own[:, None] * ONLY_FIRST)


def of_subjects(**by_subject: Null | dict[str, Null]) -> dict[str, Any]:
    """The nulls of each subject's model, the same over all frames and over speech; or of its decoders."""
    decoders = {s: own if isinstance(own, dict) else {"model": own} for s, own in by_subject.items()}
    return {s: {name: dict.fromkeys(nulls.METRICS, one) for name, one in own.items()} for s, own in decoders.items()}


def test_a_voice_lasts_50_ms_and_a_click_does_not() -> None:
    """At 100 Hz five frames; the voice reaches from the first such stretch to the end of the last."""
    speech = np.zeros(60, bool)
    speech[5:9], speech[12:17], speech[30:42], speech[50:54] = True, True, True, True
    assert nulls.voice(speech, 100.0) == (12, 42)
    assert nulls.voice(speech & (np.arange(60) < 11), 100.0) == (None, None)
    assert nulls.voice(np.arange(9) == 4, 5.0) == (4, 5), "one frame at least"


def test_draws_are_counted_without_the_observed_value() -> None:
    found = nulls.histogram(np.array([9.0, 0.0, 0.1, 0.2, 3.0]))
    assert found is not None
    assert (found["counts"].sum(), found["edges"][0], found["edges"][-1]) == (4, 0.0, 3.0)
    assert len(found["edges"]) == len(found["counts"]) + 1 == nulls.HISTOGRAM_BINS + 1
    assert nulls.histogram(np.array([9.0, 1.0])) is not None
    assert nulls.histogram(np.array([9.0])) is nulls.histogram(np.array([9.0, np.nan])) is None


def test_nulls_are_averaged_draw_by_draw_as_far_as_all_have_draws() -> None:
    values, bands = nulls.mean_null([null(0.5, 0.1, 0.3), null(0.3, 0.0, 0.1, 0.9)])
    np.testing.assert_allclose(values, [0.4, 0.05, 0.2])
    np.testing.assert_allclose(bands, np.array([0.4, 0.05, 0.2])[:, None] * ONLY_FIRST)


def test_a_null_without_a_p_has_no_percentile() -> None:
    found = nulls.null_document(null(0.5, 0.0, 0.1, minutes=None))
    assert (found["p95"], found["p_value"], found["pearson_r_without_drift"]) == (pytest.approx(0.095), 0.005, 0.5)
    few = nulls.null_document(null(0.5, 0.0, 0.1, p=None, minutes=2.5))
    assert (few["p95"], few["p_value"], few["reason"], few["minutes_needed"]) == (None, None, "too short", 2.5)


def test_the_chance_level_is_that_of_the_subjects_that_could_be_tested() -> None:
    ridge = {"model": null(0.6, 0.0, 0.2, 0.1), "ridge": null(0.2, 0.4, 0.0, 0.1)}
    tested = of_subjects(a=ridge, b=null(0.4, 0.2, 0.0, independent=101))
    found = nulls.chance_document(tested | of_subjects(c=null(0.9, 0.8, p=None, independent=7, minutes=3.0)), "")
    assert (found["subjects_tested"], found["subjects"], found["independent"]) == (2, 3, 101)
    assert found["smallest_p"] == pytest.approx(1 / 3), "of the fewest draws"
    assert (found["reason"], found["minutes_needed"]) == (None, 3.0)
    for metric in ("pearson_r", "pearson_r_speech"):
        assert found[f"{metric}_without_drift"] == pytest.approx(0.5)
        assert found[f"{metric}_p95"] == pytest.approx(0.1), "of the means .1 and .1"
        ridge_p = found["by_prediction"]["ridge"][metric]["p_value"]
        assert ridge_p == pytest.approx(2 / 4), "one draw of three is above"
    assert found["p_value"] == found["p_value_speech"] == pytest.approx(1 / 3)
    np.testing.assert_allclose(found["bands"]["pearson_r_without_drift"], 0.5 * ONLY_FIRST)
    np.testing.assert_allclose(found["bands"]["p95"], 0.1 * ONLY_FIRST)
    assert found["histogram"]["counts"].sum() == 2
    assert found["test"] == nulls.TESTS["shift"], "said once"


def test_where_no_subject_could_be_tested_the_first_reason_is_that_of_all() -> None:
    few = {"a": null(0.9, 0.8, p=None, minutes=3.0), "b": null(0.7, 0.8, p=None, minutes=5.0)}
    found = nulls.chance_document(of_subjects(**few), "no model")
    assert (found["reason"], found["minutes_needed"]) == ("not testable: too short", 3.0)
    assert found["pearson_r_without_drift"] == pytest.approx(0.8)
    assert [found[key] for key in ("p_value", "independent", "smallest_p", "bands", "histogram")] == [None] * 5
    none = nulls.chance_document(of_subjects(a={"ridge": null(0.5, 0.1, 0.2)}), "no model")
    assert (none["reason"], none["pearson_r_without_drift"], none["subjects"]) == ("not testable: no model", None, 1)


def test_a_subject_whose_speech_could_not_be_tested_has_no_p_of_speech() -> None:
    own = of_subjects(a=null(0.6, 0.0, 0.2))
    own["a"]["model"]["pearson_r_speech"] = null(0.6, 0.0, 0.2, p=None)
    found = nulls.chance_document(own, "")
    assert found["p_value"] == pytest.approx(1 / 3)
    assert "p_value_speech" not in found


def test_the_true_model_is_one_among_those_that_were_trained_on_shifted_data() -> None:
    found = nulls.retrained_document([0.1, 0.5, 0.2], 0.4)
    assert (found["trainings"], found["p_value"], found["reason"]) == (3, pytest.approx(2 / 4), None)
    for r, observed in (([], 0.4), ([0.1], None)):
        found = nulls.retrained_document(r, observed)
        assert (found["trainings"], found["p_value"]) == (len(r), None)
        assert found["reason"] == "not run (chance.retrain)"
