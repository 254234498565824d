"""What timing or loudness alone tell of the mel, and how each word sounded in training: references for claims.

A decoder that knows when a voice is heard, or how loud it is, predicts part of the spectrum without any
knowledge of words.  These references predict the *true* mel of the test blocks from such a course; they are fitted
on training frames alone, and are no decoders:

``loudness``: from the mean log-mel of the frames within ±0.46 s, with random cosine features (Rahimi & Recht 2007)
for what is not linear;
``loudness_linear``: from frames 23 ms apart in the same stretch, and whether and by how much each exceeds three levels,
as a linear decoder of loudness and of functions of it would;
``power``, ``power_linear``: the same two from the log power of all bands, which low bands decide: the usual envelope;
``voice``: from whether an event, and whether a voice by energy, is on within ±0.46 s.

Mels are (frame, band) in nats, courses (frame, column), spans (recording, start, stop) in mel frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.aligned import Event
from pipeline.signal.mel_statistics import speech_threshold
from pipeline.signal.voice import voice_onset_frame

Array = NDArray[np.float32]
Wide = NDArray[np.float64]
Span = tuple[int, int, int]

OF_LOUDNESS = ("loudness", "loudness_linear", "power", "power_linear")
REFERENCES = (*OF_LOUDNESS, "voice")
LAGS_S = (0.0, 0.012, 0.035, 0.06, 0.09, 0.13, 0.18, 0.24, 0.3, 0.38, 0.46)
"""Either way: as far as a decoder with 0.3 s of context reaches, whose brain leads or lags by 0.15 s."""
DENSE_LAGS_S = tuple(0.023 * k for k in range(21))
"""Those of ``loudness_linear``: what sets in within a frame is lost between lags further apart."""
LEVELS = 3
"""Of loudness that ``loudness_linear`` and ``power_linear`` know to be exceeded."""
COSINES = {"loudness": 250, "loudness_linear": 0, "power": 250, "power_linear": 0, "voice": 100}
COSINE_SCALE = 0.3
PENALTY = 3.0
TEMPLATE_S = 0.6
"""Length of a word's template from the onset of its voice; longer words are compared over their beginning."""


def lagged(columns: Wide, lags: NDArray[np.int64]) -> Wide:
    """Columns (frame, column) at each lag, (frame, lags × columns); the edge frames are repeated."""
    rows = np.clip(np.arange(len(columns))[:, None] + lags, 0, len(columns) - 1)
    return columns[rows].reshape(len(columns), -1)


def lags_frames(frame_rate_hz: float, lags_s: Sequence[float] = LAGS_S) -> NDArray[np.int64]:
    """Lags either way in whole frames."""
    after = np.rint(np.array(lags_s) * frame_rate_hz).astype(np.int64)
    return np.unique(np.concatenate([-after, after]))


@dataclass(frozen=True)
class CourseModel:
    """A ridge from a course to the mel.

    ``centre`` and ``scale`` (lagged,) standardise the lagged course, ``frequencies`` (lagged, cosines) and ``phases``
    (cosines,) make the cosine features, ``weights`` (features, band) and ``mean`` (band,) [nats] the mel.
    """

    lags: NDArray[np.int64]
    knots: tuple[float, ...]
    centre: Wide
    scale: Wide
    frequencies: Wide
    phases: Wide
    feature_mean: Wide
    weights: Wide
    mean: Wide

    def predict(self, course: Wide) -> Array:
        """Mel (frame, band) [nats] of a course (frame, column)."""
        features = self._features((_columns(course, self.knots, self.lags) - self.centre) / self.scale)
        return np.asarray((features - self.feature_mean) @ self.weights + self.mean, dtype=np.float32)

    def _features(self, rows: Wide) -> Wide:
        return np.concatenate([rows, np.cos(rows @ self.frequencies + self.phases)], axis=1)


def _columns(course: Wide, knots: Sequence[float], lags: NDArray[np.int64]) -> Wide:
    hinges = [np.maximum(course - knot, 0) for knot in knots]
    steps = [(course > knot).astype(np.float64) for knot in knots]
    return lagged(np.concatenate([course, *hinges, *steps], axis=1), lags)


def fit_course(
    courses: Sequence[Wide],
    mels: Sequence[Array],
    frame_rate_hz: float,
    cosines: int,
    knots: tuple[float, ...] = (),
) -> CourseModel:
    """Fit on whole stretches of training: course (frame, column) and mel (frame, band) of each."""
    lags = lags_frames(frame_rate_hz, DENSE_LAGS_S if knots else LAGS_S)
    rows = np.concatenate([_columns(course, knots, lags) for course in courses])
    target = np.concatenate(mels).astype(np.float64)
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    rng = np.random.default_rng(0)
    frequencies = COSINE_SCALE * rng.standard_normal((rows.shape[1], cosines))
    phases = rng.uniform(0, 2 * np.pi, cosines)
    empty = np.zeros((0, target.shape[1]))
    mean = target.mean(axis=0)
    blank = CourseModel(lags, knots, centre, scale, frequencies, phases, centre, empty, mean)
    features = blank._features((rows - centre) / scale)
    feature_mean = features.mean(axis=0)
    features -= feature_mean
    gram = features.T @ features + PENALTY * np.eye(features.shape[1])
    weights: Wide = np.asarray(np.linalg.solve(gram, features.T @ (target - mean)), dtype=np.float64)
    return CourseModel(lags, knots, centre, scale, frequencies, phases, feature_mean, weights, mean)


def loudness_of(mel: NDArray[np.floating]) -> Wide:
    """Mean log-mel of each frame, (frame, 1) [nats]."""
    return np.asarray(mel.mean(axis=1, dtype=np.float64)[:, None])


def power_of(mel: NDArray[np.floating]) -> Wide:
    """Log of the summed squares of all bands, (frame, 1) [nats]."""
    return np.asarray(np.log(np.exp(2 * mel.astype(np.float64)).sum(axis=1))[:, None])


def voice_of(mel: NDArray[np.floating], events: Sequence[Event], threshold: float, frame_rate_hz: float) -> Wide:
    """(frame, 2): 1 inside an event, and 1 where the mean log-mel exceeds ``threshold``."""
    inside = np.zeros(len(mel))
    for event in events:
        first = max(0, round(event.onset_s * frame_rate_hz))
        inside[first : max(first, round((event.onset_s + event.duration_s) * frame_rate_hz))] = 1
    return np.stack([inside, loudness_of(mel)[:, 0] > threshold], axis=1)


def reference_mels(
    mel: Sequence[Array],
    train: Sequence[Span],
    test: Sequence[Span],
    events: Mapping[int, Sequence[Event]],
    frame_rate_hz: float,
) -> list[dict[str, Array]]:
    """:data:`REFERENCES` of each test span, (frame, band) [nats], fitted on the training spans."""
    frames = np.concatenate([mel[r][a:b] for r, a, b in train])
    threshold = speech_threshold(frames)
    recordings = {r for r, *_ in (*train, *test)}
    loudness = {r: loudness_of(mel[r]) for r in recordings}
    power = {r: power_of(mel[r]) for r in recordings}
    voice = {r: voice_of(mel[r], events.get(r, ()), threshold, frame_rate_hz) for r in recordings}
    courses = {"loudness": loudness, "loudness_linear": loudness, "power": power, "power_linear": power, "voice": voice}
    mels = [mel[r][a:b] for r, a, b in train]
    found: list[dict[str, Array]] = [{} for _ in test]
    for name, course in courses.items():
        knots = levels_of(course, train) if name.endswith("_linear") else ()
        model = fit_course([course[r][a:b] for r, a, b in train], mels, frame_rate_hz, COSINES[name], knots)
        for place, (r, a, b) in zip(found, test, strict=True):
            place[name] = model.predict(course[r][a:b])
    return found


def levels_of(course: Mapping[int, Wide], train: Sequence[Span]) -> tuple[float, ...]:
    """:data:`LEVELS` evenly between the 10th and 90th percentile of training."""
    low, high = np.percentile(np.concatenate([course[r][a:b] for r, a, b in train]), (10, 90))
    return tuple(np.linspace(low, high, LEVELS + 2)[1:-1].tolist())


def word_templates(
    mel: Sequence[Array], train: Sequence[Span], events: Mapping[int, Sequence[Event]], frame_rate_hz: float
) -> dict[str, Array]:
    """Mean training mel of each word from the onset of its voice on, by label, (frame, band) [nats].

    Only words whose first 0.6 s lie in one training span count.
    """
    length = round(TEMPLATE_S * frame_rate_hz)
    stretches: dict[str, list[Array]] = {}
    for r, start, stop in train:
        loudness = loudness_of(mel[r])[:, 0]
        for event in events.get(r, ()):
            first = voice_onset_frame(loudness, *(round(s * frame_rate_hz) for s in (event.onset_s, event.duration_s)))
            if start <= min(first, round(event.onset_s * frame_rate_hz)) and first + length <= stop:
                stretches.setdefault(event.label, []).append(mel[r][first : first + length])
    return {label: np.mean(own, axis=0).astype(np.float32) for label, own in sorted(stretches.items())}
