"""Ridge and the other baselines: exact against the plain definition, lag signs, penalties, edges."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist

from pipeline.artifacts.windows import EventRow
from pipeline.baselines import ridge as R  # noqa: N812
from pipeline.baselines.tuned_ridge import tuned_ridge
from pipeline.signal.normalisation import normalise_recording
from pipeline.stages.ridge import _onsets

SPANS = [(0, 10, 260), (1, 0, 150)]


@pytest.fixture
def pair() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two recordings whose mel follows the features three frames earlier, and a constant band."""
    rng = np.random.default_rng(0)
    features, mel = [], []
    mapping = rng.normal(size=(3, 5)) * 0.2
    for n in (300, 240):
        x = rng.normal(3.0, 2.0, (n, 4)).astype(np.float32)
        y = np.roll(x, 3, axis=0)[:, :3] @ mapping + rng.normal(0, 0.2, (n, 5)) - 6
        y[:, 4] = -11.5129
        features.append(x)
        mel.append(y.astype(np.float32))
    return features, mel


def plain_ridge(features, mel, spans, lags, penalty: float, clip: float = np.inf) -> R.Ridge:
    """The ridge of the spans' frames without a prior."""
    return tuned_ridge(features, mel, spans, [], lags, clip=clip, choice=R.RidgeChoice(False, None, penalty)).refit


def lagged(x: np.ndarray, lags: np.ndarray, start: int, stop: int) -> np.ndarray:
    rows = np.clip(np.arange(start, stop)[:, None] + lags, 0, len(x) - 1)
    return x[rows].reshape(stop - start, -1)


@pytest.mark.parametrize("clip", [np.inf, 1.5])
def test_equals_the_closed_form(pair, clip) -> None:
    features, mel = pair
    fitted = plain_ridge(features, mel, SPANS, (4, 2), 30.0, clip=clip)
    rows = np.concatenate([features[r][a:b] for r, a, b in SPANS]).astype(np.float64)
    standard = [np.clip((f - rows.mean(0)) / rows.std(0), -clip, clip) for f in features]
    lags = np.arange(-4, 3)
    x = np.concatenate([lagged(standard[r], lags, a, b) for r, a, b in SPANS])
    y = np.concatenate([mel[r][a:b] for r, a, b in SPANS]).astype(np.float64)
    xc, yc = x - x.mean(0), y - y.mean(0)
    weights = np.linalg.solve(xc.T @ xc + 30.0 * np.eye(x.shape[1]), xc.T @ yc)
    expected = (lagged(standard[1], lags, 200, 240) - x.mean(0)) @ weights + y.mean(0)
    assert_allclose(fitted.predict(features[1], 200, 240), expected, atol=2e-4)


def test_spans_summed_together_give_what_each_alone_gives(pair, monkeypatch) -> None:
    """Short trials side by side, with lags that reach beyond their ends, in groups of any size."""
    features, mel = pair
    spans = [(0, 0, 3), (0, 20, 61), (1, 100, 101), (1, 200, 240), (0, 290, 300)]
    lags = np.arange(-6, 7, 3)
    alone = [R.moments_of_spans(features, mel, [span], lags) for span in spans]
    expected = sum(alone[1:], start=alone[0])
    x = np.concatenate([lagged(features[r], lags, a, b) for r, a, b in spans]).astype(np.float64)
    assert_allclose(expected.gram, x.T @ x, rtol=1e-9)
    for frames in (1, 60, 1000):
        monkeypatch.setattr(R, "GROUP_FRAMES", frames)
        found = R.moments_of_spans(features, mel, spans, lags)
        for mine, its in zip(found._sums, expected._sums, strict=True):
            assert_allclose(mine, its, rtol=1e-9)
    monkeypatch.setattr(R, "GROUP_FRAMES", 45)
    assert R._groups(spans) == [spans[:3], spans[3:4], spans[4:]], "45, 40 and 10 frames: memory is bounded"


def test_parts_are_of_equal_length_and_no_span_of_one_is_empty() -> None:
    assert R.cut([(0, 5, 15), (1, 0, 10), (3, 0, 10)], 2) == [[(0, 5, 15), (1, 0, 5)], [(1, 5, 10), (3, 0, 10)]]
    assert R.cut([(0, 5, 15), (1, 0, 10)], 2) == [[(0, 5, 15)], [(1, 0, 10)]]
    assert R.cut([(0, 5, 7)], 4) == [[(0, 5, 6)], [(0, 6, 7)]], "no part is empty either"


def test_gram_is_exact_for_lag_steps_above_one(pair) -> None:
    features, mel = pair
    lags = np.arange(-6, 7, 3)
    moments = R.moments_of_spans(features, mel, SPANS, lags)
    x = np.concatenate([lagged(features[r], lags, a, b) for r, a, b in SPANS]).astype(np.float64)
    assert_allclose(moments.gram, x.T @ x, rtol=1e-9)
    assert_allclose(moments.x_sum, x.sum(0), rtol=1e-9)


def test_the_scale_of_a_flat_channel_is_1() -> None:
    """At 0, and at another value as far as float32 holds it."""
    rows = np.stack([np.zeros(50), np.full(50, 300) + 1e-5 * (np.arange(50) % 2), np.arange(50) % 2], axis=1)
    mean, scale = R.channel_statistics([rows.astype(np.float32)], [(0, 0, 50)])
    assert_allclose(mean, [0, 300, 0.5])
    assert_allclose(scale, [1, 1, 0.5])


def test_many_channels_widen_the_lag_step() -> None:
    assert len(R.lag_grid(26, 26, 32)) == 53
    wide = R.lag_grid(26, 26, 512)
    assert len(wide) * 512 <= R.MAX_COLUMNS
    assert wide[0] == -26


def test_the_mean_spectrum_is_that_of_the_training_frames(pair) -> None:
    _, mel = pair
    frames = [*mel[0][10:260], *mel[1][:150]]
    assert_allclose(R.mean_spectrum(mel, SPANS), np.mean(frames, axis=0, dtype=np.float64), rtol=1e-6)


def test_constant_band_is_its_constant(pair) -> None:
    features, mel = pair
    fitted = plain_ridge(features, mel, SPANS, (4, 0), 1.0)
    assert_allclose(fitted.predict(features[0], 0, 50)[:, 4], -11.5129, rtol=1e-6)


@pytest.mark.parametrize("latency", [-4, 0, 5])
def test_single_lag_r_peaks_at_the_latency(latency) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 3)).astype(np.float32)
    mel = (np.roll(x, latency, axis=0) @ rng.normal(size=(3, 6))).astype(np.float32)  # brain first: sound later
    lags = list(range(-8, 9))
    r = R.single_lag_r([x], [mel], [(0, 20, 400)], [(0, 420, 580)], lags)
    assert lags[int(np.argmax(r))] == latency
    assert r.max() > 0.99
    assert np.sort(r)[-2] < 0.3


def test_template_is_placed_at_onsets_and_cut_at_the_span() -> None:
    mel = np.zeros((100, 2), dtype=np.float32)
    onsets = np.array([10, 40, 95])
    for onset in onsets:
        mel[onset : onset + 5, 0] = np.arange(5)[: 100 - onset]
    template = R.mean_template([mel], [(0, 0, 100)], [onsets], length=7, before=2)
    assert template is not None
    assert_allclose(template[:, 0], [0, 0, 0, 1, 2, 3, 4])
    placed = R.place_template(template, 2, np.array([40]), np.full(2, -1.0, np.float32), 41, 50)
    assert_allclose(placed[:, 0], [1, 2, 3, 4, -1, -1, -1, -1, -1])
    assert R.mean_template([mel], [(0, 0, 100)], [np.array([1, 96, 97])], length=7, before=2) is None
    for onset in (12, 85):
        found = R.mean_template([mel + np.arange(100)[:, None]], [(0, 10, 90)], [np.array([onset])], length=7, before=2)
        assert_allclose(found[:, 1], np.arange(onset - 2, onset + 5))


def test_envelope_knows_loudness_and_nothing_else(pair) -> None:
    loudness = [x[:, :1] for x in pair[0]]
    mel = [np.concatenate([2 * v - 5, v + 1], axis=1) for v in loudness]
    fitted = R.Envelope.of(mel, SPANS)
    assert_allclose(fitted.from_loudness(mel[0]), mel[0], atol=1e-3)
    other = mel[0] + np.array([1.0, -1.0], np.float32)  # as loud, another spectrum
    assert_allclose(fitted.from_loudness(other), mel[0], atol=1e-3)


def test_nearest_neighbour_finds_a_frame_that_it_saw(pair) -> None:
    features, mel = pair
    found = R.nearest_neighbour(features, mel, SPANS, (8, 8), 0, 50, 90)
    assert_allclose(found, mel[0][50:90], atol=1e-6)


def test_nearest_neighbour_is_that_of_a_search_over_every_fourth_lag() -> None:
    rng = np.random.default_rng(5)
    x, mel = rng.normal(3, 2, size=(90, 2)).astype(np.float32), rng.normal(size=(90, 3)).astype(np.float32)
    standard = (x - x[5:45].mean(axis=0)) / x[5:45].std(axis=0)
    rows = np.concatenate([standard[np.clip(np.arange(90) + lag, 0, 89)] for lag in (-4, 0, 4)], axis=1)
    nearest = 5 + cdist(rows[60:], rows[5:45]).argmin(axis=1)
    assert_allclose(R.nearest_neighbour([x], [mel], [(0, 5, 45)], (4, 7), 0, 60, 90), mel[nearest])


def test_features_that_were_made_for_the_decoder_stay_as_they_are(pair) -> None:
    found, floor = R.frame_features(pair[0], SPANS, 1)
    assert floor is None
    for own, features in zip(found, pair[0], strict=True):
        assert_allclose(own, features, rtol=0)


def test_raw_features_become_power_per_frame() -> None:
    rng = np.random.default_rng(3)
    loud = np.repeat([1.0, 10.0], 40)[:, None]
    (power,), floor = R.frame_features([(rng.normal(size=(80, 1)) * loud).astype(np.float32)], [(0, 0, 10)], 8)
    assert power.shape == (10, 1)
    assert floor is not None
    assert power[6:].mean() - power[:4].mean() == pytest.approx(2 * np.log(10), abs=0.7)


def test_running_normalisation_is_causal_and_follows_drift() -> None:
    rng = np.random.default_rng(4)
    x = (rng.normal(size=(9000, 2)) * np.repeat([1.0, 3.0], 4500)[:, None] + 5).astype(np.float32)
    whole = normalise_recording(x, "causal_running", 1, 86.0)
    cut = normalise_recording(x[:4000], "causal_running", 1, 86.0)
    assert_allclose(whole[:4000], cut)
    assert whole[-1000:].std() == pytest.approx(1.0, abs=0.3)
    both = normalise_recording(x, "recording_unlabelled", 1, 86.0)
    assert_allclose(both.std(axis=0), 1.0, rtol=1e-4)


@pytest.mark.parametrize(("kind", "onsets"), [("", [20, 100]), ("voice", [20, 100]), ("cue", [50, 130])])
def test_the_template_stands_at_the_sound_where_events_are_cues(kind: str, onsets: list[int]) -> None:
    mel = np.full((200, 4), -11.0, np.float32)
    mel[50:70], mel[130:150] = -4.0, -7.0
    events = [EventRow(0.2, 0.6, "a", 1), EventRow(1.0, 0.6, "b", 1)]
    windows = SimpleNamespace(attributes={"events_are": kind}, events_of=lambda: {1: events})
    arrays = SimpleNamespace(mel=[mel[:50], mel])
    none, found = _onsets(windows, arrays, 100.0)  # type: ignore[arg-type]
    assert (none.tolist(), found.tolist()) == ([], onsets)
