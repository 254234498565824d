"""Scores of a replay against the true sound of its recording."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo, open_aligned
from pipeline.artifacts.mel import read_mels
from pipeline.artifacts.trials import within
from pipeline.evaluation.intelligibility import intelligibility
from pipeline.live.replay import Session
from pipeline.signal.correlation import correlation_per_band
from pipeline.signal.mel_statistics import active_bands

MAX_LAG_MS = 300


def score_lines(session: Session, info: AlignedInfo) -> Iterator[str]:
    """Correlation of the live mel with the true one, lag of its envelope, and STOI; where there is sound."""
    if not info.has_audio:
        yield "no score: the recording has no sound"
        return
    true, _ = next(iter(read_mels(paths.mel(info.session), [info.recording])))
    first, grid = session.decoder.first_frame, session.decoder.config.mel
    n = min(len(session.mel), len(true) - first)
    if n < 2:
        yield "no score: fewer than two frames were decoded whose sound is known"
        return
    target, mel, bands = true[first : first + n], session.mel[:n], active_bands(true)
    r = np.nanmean(correlation_per_band(mel, target)[bands])
    yield f"r {r:.3f} over {n} frames with the true mel, training frames among them"
    lag_ms, largest, at_zero = envelope_lag(mel.mean(axis=1), target.mean(axis=1), grid.frame_rate_hz)
    heard_ms = lag_ms + 1e3 * session.delay_s
    yield (
        f"envelope: r {largest:.3f} at a lag of {lag_ms} ms, {at_zero:.3f} at none; "
        f"heard {heard_ms:.0f} ms late, {1e3 * session.delay_s:.0f} ms of them the delay of the sound"
    )
    start = first * grid.hop_length
    with open_aligned(paths.aligned(info.session)) as aligned:
        sound = aligned.read(within(info.recording, "audio/data"), start, start + len(session.sound))
    found = intelligibility(sound, session.sound[: len(sound)], grid.sample_rate_hz)
    yield f"no STOI: {found}" if isinstance(found, str) else f"STOI {found[0]:.3f}, ESTOI {found[1]:.3f}"


def envelope_lag(live: NDArray[np.floating], true: NDArray[np.floating], rate_hz: float) -> tuple[int, float, float]:
    """The lag of ``live`` behind ``true`` (frame,) at which they correlate most [ms], their r there, and without lag.

    The true envelope is interpolated linearly, in steps of 1 ms up to 300 ms either way, or half of a shorter one.
    Without lag, and NaN, where one of them is constant.
    """
    frames = np.arange(len(true))
    largest_ms = min(MAX_LAG_MS, int(500 * (len(true) - 1) / rate_hz))
    lags_ms = np.arange(-largest_ms, largest_ms + 1)
    r = []
    for lag_frames in lags_ms * rate_hz / 1e3:
        at = frames - lag_frames
        inside = (at >= 0) & (at <= frames[-1])
        r.append(correlation_per_band(live[inside, None], np.interp(at[inside], frames, true)[:, None])[0])
    best = largest_ms if np.isnan(r).all() else int(np.nanargmax(r))
    return int(lags_ms[best]), float(r[best]), float(r[largest_ms])
