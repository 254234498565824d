"""The baselines of the network on the same test blocks: ridge, mean spectrum, mean template, envelope.

The mean template is told the true onsets of the test block's words, which no decoder
knows; where asked for, the nearest neighbour on lagged features stands beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.artifacts.core import content_digest
from pipeline.artifacts.predictions import BASELINES, PredictedBlock, PredictedFold, write_predicted
from pipeline.artifacts.windows import BlockRow, Windows, read_windows
from pipeline.baselines.ridge import (
    fit_envelope,
    fit_ridge,
    frame_features,
    mean_spectrum,
    mean_template,
    nearest_neighbour,
    place_template,
    single_lag_r,
)
from pipeline.config.ridge import RidgeStage
from pipeline.data.loading import normalised_subject
from pipeline.evaluation.metrics import speech_threshold
from pipeline.stage import Stage

CLIP_STANDARD_DEVIATIONS = 5.0
TEMPLATE_BEFORE_S, TEMPLATE_AFTER_S = 0.2, 1.5


def ridge(stage: Stage[RidgeStage]) -> str:
    config, fold = stage.config, int(stage.options["fold"])
    inputs = [*stage.files["windows"], *stage.files["mel"], *stage.files["aligned"]]
    windows = read_windows(stage.file("windows"))
    rate_hz = config.mel.frame_rate_hz
    arrays = normalised_subject(windows, stage.files["aligned"], stage.files["mel"], config)
    train, validation, test = (_spans(windows, fold, role) for role in ("train", "validation", "test"))
    x, _ = frame_features(arrays.features, train, arrays.rows_per_frame)
    lags, penalties = _lags(config), config.ridge.penalties
    ridge = fit_ridge(x, arrays.mel, train, validation, lags, penalties, clip=CLIP_STANDARD_DEVIATIONS)
    envelope = fit_envelope(x, arrays.mel, train, validation, lags, penalties, clip=CLIP_STANDARD_DEVIATIONS)
    spectrum = mean_spectrum(arrays.mel, train)
    onsets = [_onset_frames(windows, r, rate_hz) for r in range(len(x))]
    before, after = round(TEMPLATE_BEFORE_S * rate_hz), round(TEMPLATE_AFTER_S * rate_hz)
    template = mean_template(arrays.mel, train, onsets, before + after, before)

    def predicted(block: BlockRow) -> PredictedBlock:
        r, start, stop = block.recording, block.start, block.stop
        series = {
            "ridge": ridge.predict(x[r], start, stop),
            "envelope": envelope.predict(x[r], start, stop),
            "true_envelope": envelope.from_loudness(arrays.mel[r][start:stop]),
            "mean_spectrum": np.tile(spectrum, (stop - start, 1)),
        }
        if template is not None:
            series["mean_template"] = place_template(template, before, onsets[r], spectrum, start, stop)
        if config.ridge.nearest_neighbour:
            series["nearest_neighbour"] = nearest_neighbour(x, arrays.mel, train, lags, r, start, stop)
        times_s = config.mel.first_frame_s + np.arange(start, stop) / rate_hz
        return PredictedBlock(windows.recordings[r], start, times_s, series)

    max_lag = round(config.ridge.latency_range_s * rate_hz)
    latencies = np.arange(-max_lag, max_lag + 1)
    beyond = max(0, max_lag - config.window.context_frames)
    latency_r = single_lag_r(x, arrays.mel, _shortened(train, beyond), _shortened(test, beyond), latencies.tolist())
    result = PredictedFold(
        [predicted(block) for block in windows.blocks_of(fold, "test")],
        {
            "subject": windows.subject,
            "fold": fold,
            "simulated": bool(windows.attributes["simulated"]),
            "speech_threshold_nats": float(speech_threshold(_frames(arrays.mel, train))),
            "causal": config.causal,
            "lags_before": lags[0],
            "lags_after": lags[1],
            "ridge_penalty": np.asarray(ridge.penalty, np.float64).tolist(),
        },
        {
            "latency/lag_s": (latencies / rate_hz, ("lag",)),
            "latency/r": (np.asarray(latency_r, np.float32), ("lag",)),
        },
    )
    provenance = stage.provenance([(path, content_digest(path)) for path in inputs])
    write_predicted(stage.file("output"), BASELINES, result, provenance)
    return f"ridge with {len(ridge.lags)} lags × {x[0].shape[1]} channels → {stage.file('output')}"


def _spans(windows: Windows, fold: int, role: str) -> list[tuple[int, int, int]]:
    return [(b.recording, b.start, b.stop) for b in windows.blocks_of(fold, role)]


def _shortened(spans: list[tuple[int, int, int]], frames: int) -> list[tuple[int, int, int]]:
    """The spans without ``frames`` at each end, so that the widest lag stays within what their role may see."""
    return [(r, start + frames, stop - frames) for r, start, stop in spans if stop - start > 2 * frames]


def _lags(config: RidgeStage) -> tuple[int, int]:
    """The context on each side of a window, unless told otherwise."""
    context = config.window.context_frames
    before, after = config.ridge.lags_before, config.ridge.lags_after
    return context if before is None else before, (0 if config.causal else context) if after is None else after


def _onset_frames(windows: Windows, recording: int, rate_hz: float) -> np.ndarray:
    return np.array([round(e.onset_s * rate_hz) for e in windows.events if e.recording == recording], np.int64)


def _frames(mel: Sequence[np.ndarray], spans: Sequence[tuple[int, int, int]]) -> np.ndarray:
    return np.concatenate([mel[r][start:stop] for r, start, stop in spans])
